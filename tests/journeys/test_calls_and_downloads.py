"""Whole journeys through one running deployment: from a call, or an event, to the archived audio."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from simulator import FLOWS
from simulator.processes import free_port

OWN_ANSWERS = '''
"""Callers to one number are recorded as this plugin likes."""

import pluggy

hookimpl = pluggy.HookimplMarker("tapekeeper")

@hookimpl
def answer_call(call):
    if call.to == "15005550006":
        raise RuntimeError("this plugin has a bad day")
    if call.to != "12015550123":
        return None
    url = "{url}/webhooks/recordings?flow=voicemail"
    return [{{"action": "record", "format": "ogg", "endOnKey": "#", "eventUrl": [url]}}]
'''


@pytest.fixture(scope="module")
def simulator_port():
    """Where `flask simulate` serves its audio: the deployment trusts it from the start."""
    return free_port()


@pytest.fixture(scope="module")
def deployment(deploy, vonage, simulator_port):
    gunicorn, archive = deploy(RECORDING_HOSTS=f"{vonage.origin} http://127.0.0.1:{simulator_port}")
    archive.never_ready(vonage)
    plugins = archive.folder / "plugins"
    plugins.mkdir()
    (plugins / "own_answers.py").write_text(OWN_ANSWERS.format(url=gunicorn.url))
    return gunicorn.start(), archive


@pytest.fixture
def gunicorn(deployment):
    return deployment[0]


@pytest.fixture
def archive(deployment):
    return deployment[1]


# --- Calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("flow", FLOWS)
def test_a_call_in_each_flow_is_archived_byte_for_byte(gunicorn, archive, vonage, flow, method):
    result = vonage.call_flow(gunicorn.url, flow, name=f"room-{method}", method=method)
    assert result.complaints == []
    assert result.ok
    (made,) = result.recordings
    recording = archive.wait_stored(made.recording_uuid, made.file)
    assert (recording.flow, recording.format, recording.channels) == (flow, "mp3", made.channels)
    assert (recording.from_, recording.to, recording.direction) == ("447700900001", "447700900000", "inbound")
    assert recording.copies[0].content_type == "audio/mpeg"
    assert made.file.requests == 1


def test_an_empty_recording_is_kept_and_never_fetched(gunicorn, archive, vonage):
    (made,) = vonage.call_flow(gunicorn.url, "voicemail", empty=True).recordings
    assert made.event.accepted
    assert archive.wait(made.recording_uuid, "empty").copies == ()


def test_a_plugin_answers_calls_of_its_own(gunicorn, archive, vonage):
    result = vonage.call_flow(gunicorn.url, "call", to="12015550123")
    assert result.complaints == []
    assert [action["action"] for action in result.ncco] == ["record"]
    (made,) = result.recordings
    assert archive.wait_stored(made.recording_uuid, made.file).copies[0].key.endswith(".ogg")


def test_a_plugin_that_fails_leaves_the_answer_to_the_flow(gunicorn, archive, vonage):
    result = vonage.call_flow(gunicorn.url, "call", to="15005550006")
    assert [action["action"] for action in result.ncco][-1] == "connect"
    (made,) = result.recordings
    archive.wait_stored(made.recording_uuid, made.file)


@pytest.mark.parametrize("answered_first", [True, False])
def test_event_and_answer_are_joined_in_whichever_order_they_come(
    gunicorn, archive, vonage, post, until, answered_first
):
    file, conversation = vonage.add_file(), f"CON-order-{answered_first}"
    asked = {"conversation_uuid": conversation, "uuid": "leg", "from": "447700900055", "to": "447700900000"}

    def answer():
        url = f"{gunicorn.url}/webhooks/answer/voicemail"
        assert vonage.post_recording_event(url, asked, method="GET").replies[0].status == 200

    if answered_first:
        answer()
    recording_uuid = post(gunicorn, file, conversation_uuid=conversation.removeprefix("CON-"))
    archive.wait_stored(recording_uuid, file)
    if not answered_first:
        answer()
    until(lambda: archive.find(recording_uuid).from_ == "447700900055", "the call is joined to its recording")
    assert archive.find(recording_uuid).flow == "voicemail"


# --- Events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["duplicate", "resigned"])
def test_an_event_that_comes_twice_makes_one_recording(gunicorn, archive, vonage, fault):
    (made,) = vonage.call_flow(gunicorn.url, "voicemail", event_fault=fault).recordings
    assert [reply.status for reply in made.replies] == [204, 204]
    archive.wait_stored(made.recording_uuid, made.file)
    assert made.file.requests == 1


def test_twenty_at_once_make_one_recording(gunicorn, archive, vonage):
    file = vonage.add_file()
    payload = vonage.recording_event(file)
    url = f"{gunicorn.url}/webhooks/recordings"
    with ThreadPoolExecutor(20) as pool:
        sent = list(pool.map(lambda _: vonage.post_recording_event(url, payload), range(20)))
    assert {reply.status for event in sent for reply in event.replies} == {204}
    archive.wait_stored(payload["recording_uuid"], file)
    assert file.requests == 1


@pytest.mark.parametrize("route", ["recordings", "events"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_recording_event_is_taken_by_either_way(gunicorn, archive, vonage, route, method):
    file = vonage.add_file(old_url=True)
    payload = vonage.recording_event(file)
    sent = vonage.post_recording_event(f"{gunicorn.url}/webhooks/{route}", payload, method=method)
    assert sent.accepted
    archive.wait_stored(payload["recording_uuid"], file)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("unsigned", 503, "signature_required"),
        ("wrong-secret", 401, "bad_signature"),
        ("wrong-hash", 401, "bad_signature"),
        ("old-token", 401, "bad_signature"),
        ("alg-none", 401, "bad_signature"),
    ],
)
def test_an_event_that_is_not_vonages_is_turned_away(gunicorn, archive, vonage, fault, status, code):
    payload = vonage.recording_event(vonage.add_file())
    url = f"{gunicorn.url}/webhooks/recordings"
    (reply,) = vonage.post_recording_event(url, payload, fault=fault).replies
    assert (reply.status, reply.attempts) == (status, 2 if status == 503 else 1)
    assert json.loads(reply.body)["error"]["code"] == code
    assert archive.find(payload["recording_uuid"]) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{" + b" " * (1 << 20) + b"}", 413),
        (b"[" * 10_000, 400),
        (b"not json", 400),
        (b'{"recording_uuid": "\xff"}', 400),
        (b"{}", 400),
    ],
    ids=["large", "nested", "no json", "no utf-8", "nothing"],
)
def test_bad_input_is_refused_in_one_shape(gunicorn, vonage, body, status):
    (reply,) = vonage.post_recording_event(f"{gunicorn.url}/webhooks/recordings", body).replies
    assert reply.status == status
    assert set(json.loads(reply.body)["error"]) == {"code", "message", "hint"}


def test_health_and_readiness(gunicorn):
    for path in ("healthz", "readyz"):
        with requests.get(f"{gunicorn.url}/{path}", timeout=10) as reply:
            assert (reply.status_code, reply.json()["status"]) == (200, "ok")


# --- Sources that misbehave -------------------------------------------------------------------------------------------

PASSING = [
    ["404", "404"],
    ["500"],
    ["429:1"],
    ["truncated"],
    ["truncated-unsized"],
    ["truncated-chunked"],
    ["reset"],
    ["html"],
    ["json"],
    ["empty"],
    ["gzip"],
    ["close-delimited"],
    ["chunked"],
    ["redirect"],
]


@pytest.fixture(scope="module")
def troubled(deployment, vonage, post):
    """A recording for each kind of trouble, all announced at once, so that they are retried side by side."""
    announced = {}
    for faults in PASSING:
        file = vonage.add_file(faults=faults)
        announced[faults[0]] = (post(deployment[0], file), file)
    return announced


@pytest.mark.parametrize("fault", [faults[0] for faults in PASSING])
def test_a_source_that_misbehaves_for_a_while_is_archived_in_the_end(troubled, archive, fault):
    recording_uuid, file = troubled[fault]
    recording = archive.wait_stored(recording_uuid, file)
    # The catalogue counts attempts; a redirect, or a body without length, is none too many.
    expected = {"404": 3, "close-delimited": 1, "chunked": 1, "redirect": 1}.get(fault, 2)
    assert recording.copies[0].attempts == expected


@pytest.mark.parametrize("fault", ["401", "redirect-stranger"])
def test_what_is_blocked_is_shown_and_archived_once_a_person_says_so(gunicorn, archive, vonage, post, fault):
    file = vonage.add_file(faults=[fault])
    recording_uuid = post(gunicorn, file)
    archive.wait(recording_uuid, "blocked")
    said = gunicorn.flask("recordings", "retry", recording_uuid)
    assert (said.returncode, said.stderr) == (0, "")
    archive.wait_stored(recording_uuid, file)
    assert vonage.stranger_visits == []


# --- Commands beside it -----------------------------------------------------------------------------------------------


def test_the_commands_tell_what_the_deployment_did(gunicorn, archive, vonage, post):
    file = vonage.add_file()
    recording_uuid = post(gunicorn, file)
    archive.wait_stored(recording_uuid, file)
    (row,) = [row for row in gunicorn.list_recordings() if row["recording_uuid"] == recording_uuid]
    assert (row["state"], row["copies"][0]["sha256"], row["copies"][0]["size"]) == ("stored", file.sha256, file.size)
    plugins = gunicorn.flask("plugins")
    assert plugins.returncode == 0
    assert "own_answers" in plugins.stdout


def test_flask_simulate_places_a_call_and_follows_it(gunicorn, simulator_port):
    said = gunicorn.flask("simulate", "call", "voicemail", "--port", str(simulator_port))
    assert said.returncode == 0, said.stderr
    assert "answered 200" in said.stdout
    assert "event answered 204" in said.stdout
    assert "the same bytes" in said.stdout


def test_flask_simulate_says_which_flow_answered_in_place_of_another(make_gunicorn, tmp_path):
    port = free_port()
    gunicorn = make_gunicorn(tmp_path, FORWARD_TO="", RECORDING_HOSTS=f"http://127.0.0.1:{port}").start()
    said = gunicorn.flask("simulate", "call", "call", "--port", str(port))
    assert said.returncode == 0, said.stderr
    assert "The flow voicemail answered in place of call: a setting that call needs is missing" in said.stderr
