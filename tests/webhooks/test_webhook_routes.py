"""The routes, and how everything under /webhooks that is not one is refused."""

from __future__ import annotations

import io

import pytest

from webhooks.authentication import MAX_BODY

PATHS = ["answer", "answer/call", "fallback", "recordings", "events", "transcriptions"]
RECORDING = b'{"recording_uuid": "r", "conversation_uuid": "CON-1", "recording_url": ""}'


class Chunked(io.RawIOBase):
    """A chunked body as a server hands it on: an end that only reading finds."""

    def __init__(self, size):
        self.left = size

    def readable(self):
        return True

    def readinto(self, buffer):
        n = min(len(buffer), self.left)
        buffer[:n] = b" " * n
        self.left -= n
        return n


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_405_in_json(house, method, path):
    reply = house.client.open(f"/webhooks/{path}", method=method)
    assert reply.status_code == 405
    assert reply.headers["Allow"] == "GET, POST"
    assert reply.get_json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["", "/", "/nowhere", "/recordings/more", "/answer/call/more", "/recording"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_paths_are_404_in_json_and_never_a_redirect(house, method, path):
    reply = house.client.open(f"/webhooks{path}", method=method)
    assert reply.status_code == 404
    assert set(reply.get_json()["error"]) == {"code", "message", "hint"}


def test_a_slash_too_many_loses_no_event(house):
    assert house.post("recordings/", RECORDING).status_code == 204
    assert house.post("answer/", b"{}").status_code == 200


ODD_PATHS = {
    "/webhooks//recordings": 204,
    "/webhooks///recordings//": 204,
    "/webhooks/recordings//": 204,
    "/webhooks%2Frecordings": 204,
    "/webhooks/%2Frecordings": 204,
    "/webhooks/%72ecordings": 204,
    "/webhooks//answer": 200,
    "/webhooks//answer//call": 200,
    "/webhooks//fallback/": 200,
    "/webhooks//": 404,
    "/webhooks//nowhere": 404,
    "/webhooks//Recordings": 404,
    "/webhooks/RECORDINGS": 404,
    "/webhooks/./recordings": 404,
    "/webhooks/../webhooks/recordings": 404,
    "/webhooks//recordings//more": 404,
    "/webhooks/recordings;x=1": 404,
    "/webhooks/recordings%00": 404,
    "/webhooks/recordings%20": 404,
}


@pytest.mark.parametrize(("path", "status"), ODD_PATHS.items())
def test_an_odd_path_is_served_or_404_and_never_a_redirect(house, signer, path, status):
    reply = house.client.post(path, data=RECORDING, headers={"Authorization": signer(RECORDING)})
    assert (reply.status_code, reply.headers.get("Location")) == (status, None)
    assert status == 204 or reply.is_json


def test_another_method_on_an_odd_path_is_405(house):
    assert house.client.put("/webhooks//recordings").status_code == 405


def test_head_is_answered_as_get(house):
    assert house.client.head("/webhooks/answer").status_code == 503  # unsigned


@pytest.mark.parametrize("path", PATHS)
def test_a_body_over_the_limit_is_413(house, path):
    reply = house.post(path, b" " * (MAX_BODY + 1))
    assert reply.status_code == 413
    assert reply.get_json()["error"]["code"] == "body_too_large"
    assert not house.intake.unreadable


def test_a_body_of_just_the_limit_is_read(house):
    assert house.post("recordings", RECORDING + b" " * (MAX_BODY - len(RECORDING))).status_code == 204


@pytest.mark.parametrize("path", PATHS)
def test_a_chunked_body_over_the_limit_is_413(house, path):
    body = Chunked(MAX_BODY + 70_000)
    environ = {"wsgi.input": body, "wsgi.input_terminated": True}
    reply = house.client.post(f"/webhooks/{path}", environ_overrides=environ)
    assert reply.status_code == 413
    assert body.left


def test_a_chunked_body_within_the_limit_is_read(house, signer):
    environ = {"wsgi.input": io.BytesIO(RECORDING), "wsgi.input_terminated": True}
    headers = {"Authorization": signer(RECORDING)}
    assert house.client.post("/webhooks/recordings", headers=headers, environ_overrides=environ).status_code == 204


def test_a_body_that_is_cut_short_is_400(house, signer):
    environ = {"wsgi.input": io.BytesIO(RECORDING[:20]), "CONTENT_LENGTH": str(len(RECORDING))}
    headers = {"Authorization": signer(RECORDING)}
    reply = house.client.post("/webhooks/recordings", headers=headers, environ_overrides=environ)
    assert reply.status_code == 400
    assert reply.get_json()["error"]["code"] == "bad_request"


def test_a_body_that_the_server_cannot_read_is_400(house, caplog):
    class Broken(Chunked):
        def readinto(self, buffer):
            raise RuntimeError("Invalid chunk size: b'xyz\u2028'")

    environ = {"wsgi.input": Broken(5), "wsgi.input_terminated": True}
    reply = house.client.post("/webhooks/recordings", environ_overrides=environ)
    assert (reply.status_code, reply.get_json()["error"]["code"]) == (400, "bad_request")
    assert "cannot be read" in caplog.text
    assert "\u2028" not in caplog.text


def test_a_refused_signature_asks_for_one_and_tells_nothing(house):
    reply = house.post("events", b"{}", headers={"Authorization": "Bearer a.b.c"})
    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert "malformed" not in reply.text


def test_204_has_neither_body_nor_type(house):
    reply = house.post("recordings", RECORDING)
    assert (reply.data, reply.content_type) == (b"", None)
