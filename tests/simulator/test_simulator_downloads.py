"""What a real HTTP client sees of the file host: audio for a good token, and every misbehaviour as ordered."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import threading
import time

import pytest
import requests
import urllib3

from simulator import FAULTS, PretendVonage, public_pem
from simulator.processes import free_port
from simulator.shelf import sized_file


def test_a_good_token_gets_the_audio_under_both_paths(vonage, client):
    for file in (vonage.add_file(), vonage.add_file(format="wav", channels=2, old_url=True)):
        reply = client.get(file.url)
        assert (reply.status_code, reply.headers["Content-Type"]) == (200, file.content_type)
        assert int(reply.headers["Content-Length"]) == file.size
        assert hashlib.sha256(reply.content).hexdigest() == file.sha256
        assert (file.requests, file.refused, file.served) == (1, 0, 1)


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic YTpi"])
def test_without_a_good_token_there_is_a_401_that_spends_no_fault(vonage, client, header):
    file = vonage.add_file(faults=["404"])
    reply = client.get(file.url, headers={"Authorization": header})
    assert reply.status_code == 401
    assert set(reply.json()) == {"type", "title", "detail", "instance"}
    assert (file.requests, file.refused, file.served) == (1, 1, 0)
    assert list(file.faults) == ["404"]


def test_an_unknown_file_is_404_and_tells_nothing_without_a_token(vonage, client):
    assert client.get(f"{vonage.origin}/v1/files/unknown").status_code == 404
    assert client.get(f"{vonage.origin}/v1/files/unknown", headers={"Authorization": None}).status_code == 401
    assert client.get(f"{vonage.origin}/nowhere").json()["title"] == "Not found."


def test_the_file_remembers_each_authorization_and_shows_none(vonage, client):
    file = vonage.add_file()
    client.get(file.url)
    assert file.authorizations == [client.headers["Authorization"]]
    assert client.headers["Authorization"] not in repr(file)


def test_big_files_stream_without_being_held(vonage, client):
    file = vonage.add_file(size=20_000_001)
    digest = hashlib.sha256()
    with client.get(file.url, stream=True) as reply:
        for chunk in reply.iter_content(65536):
            digest.update(chunk)
    assert digest.hexdigest() == file.sha256
    assert int(reply.headers["Content-Length"]) == 20_000_001


@pytest.mark.parametrize("status", ["400", "401", "403", "404", "410", "429", "500", "503", "504"])
def test_a_status_comes_once_and_then_the_file(vonage, client, status):
    file = vonage.add_file(faults=[status])
    first = client.get(file.url)
    assert first.status_code == int(status)
    assert first.headers["Content-Type"] == "application/json"
    assert client.get(file.url).content == file.content


def test_429_says_how_long_to_wait(vonage, client):
    file = vonage.add_file(faults=["429:7"])
    assert client.get(file.url).headers["Retry-After"] == "7"


def test_faults_come_in_their_order(vonage, client):
    file = vonage.add_file(faults=["404", "503", "html"])
    assert [client.get(file.url).headers["Content-Type"].partition(";")[0] for _ in range(4)] == [
        "application/json",
        "application/json",
        "text/html",
        "audio/mpeg",
    ]


@pytest.mark.parametrize(("fault", "kind"), [("html", "text/html; charset=utf-8"), ("json", "application/json")])
def test_a_page_comes_with_200(vonage, client, fault, kind):
    reply = client.get(vonage.add_file(faults=[fault]).url)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, kind)


def test_an_empty_200(vonage, client):
    reply = client.get(vonage.add_file(faults=["empty"]).url)
    assert (reply.status_code, reply.content, reply.headers["Content-Length"]) == (200, b"", "0")


def test_a_gzip_encoded_body(vonage, client):
    file = vonage.add_file(faults=["gzip"])
    with client.get(file.url, stream=True) as reply:
        assert reply.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(reply.raw.read(decode_content=False)) == file.content


def test_a_chunked_body(vonage, client):
    file = vonage.add_file(faults=["chunked"])
    reply = client.get(file.url)
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in reply.headers
    assert reply.content == file.content


@pytest.mark.parametrize(("fault", "share"), [("close-delimited", 1), ("truncated-unsized", 2)])
def test_a_body_that_only_the_end_of_the_connection_ends(vonage, client, fault, share):
    file = vonage.add_file(faults=[fault])
    reply = client.get(file.url)
    assert not {"Content-Length", "Transfer-Encoding"} & set(reply.headers)
    assert reply.content == file.content[: file.size // share]


@pytest.mark.parametrize("fault", ["truncated", "truncated-chunked", "reset"])
@pytest.mark.parametrize("size", [None, 3_000_000])
def test_a_body_that_breaks_off(vonage, client, fault, size):
    file = vonage.add_file(size=size, faults=[fault])
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.get(file.url)
    assert client.get(file.url).content == file.content


def test_a_reset_is_a_reset_and_a_truncation_is_not(vonage, client):
    causes = {}
    for fault in ("truncated", "reset"):
        file = vonage.add_file(size=1_000_000, faults=[fault])
        with client.get(file.url, stream=True) as reply, pytest.raises(urllib3.exceptions.ProtocolError) as broken:
            reply.raw.read()
        causes[fault] = str(broken.value)
    assert "IncompleteRead" in causes["truncated"]
    assert "reset" in causes["reset"].lower()


def test_a_drip_is_slow_but_whole(vonage, client):
    file = vonage.add_file(faults=["drip:0.01"])
    begun = time.monotonic()
    assert client.get(file.url).content == file.content
    assert time.monotonic() - begun > 0.15


def test_a_hang_lasts_until_the_client_gives_up(vonage, client):
    file = vonage.add_file(faults=["hang"])
    with pytest.raises(requests.ReadTimeout):
        client.get(file.url, timeout=0.2)
    assert client.get(file.url).content == file.content


def test_closing_ends_a_hang(private_key, application_id, client):
    vonage = PretendVonage(application_id, public_pem(private_key("ours")), "secret").start()
    file, outcome = vonage.add_file(faults=["hang"]), []

    def fetch():
        try:
            client.get(file.url, timeout=30)
        except requests.ConnectionError as error:
            outcome.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    while not file.requests:
        pass
    vonage.close()
    thread.join(5)
    assert len(outcome) == 1


def test_a_redirect_to_the_same_host_needs_a_token_again(vonage, client):
    file = vonage.add_file(faults=["redirect"])
    assert client.get(file.url, allow_redirects=False).headers["Location"] == file.url
    assert client.get(file.url).content == file.content


def test_a_redirect_goes_where_it_is_told(vonage, client):
    file = vonage.add_file(faults=["redirect:https://example.com/a?b=c:d"])
    assert client.get(file.url, allow_redirects=False).headers["Location"] == "https://example.com/a?b=c:d"


def test_the_stranger_tells_whether_it_was_shown_a_token(vonage, client):
    file = vonage.add_file(faults=["redirect-stranger"] * 2)
    assert client.get(file.url).content == file.content  # requests itself drops the header on another port
    place = client.get(file.url, allow_redirects=False).headers["Location"]
    client.get(place)
    assert [visit.leaked for visit in vonage.stranger_visits] == [False, True]
    assert client.headers["Authorization"] not in repr(vonage.stranger_visits)


@pytest.mark.parametrize("fault", ["sulk", "200", "4o4", ""])
def test_an_unknown_misbehaviour_is_refused_at_once(vonage, fault):
    with pytest.raises(ValueError, match="knows no misbehaviour"):
        vonage.add_file(faults=[fault])


def test_a_file_id_is_taken_once(vonage):
    vonage.add_file(file_id="one")
    with pytest.raises(ValueError, match="There is a file 'one' already"):
        vonage.add_file(file_id="one")


@pytest.mark.parametrize(
    ("file_id", "size"), [("sized-204800-7", 204800), ("sized-0", 0), ("sized-x", None), ("7", None)]
)
def test_some_ids_describe_their_file(file_id, size):
    file = sized_file(file_id)
    assert (file.size if file else None) == size


# --- The same application under gunicorn -----------------------------------------------------------------------------

FACTORY = """
from simulator.misbehaviour import FAULTS
from simulator.server import create_app
from simulator.shelf import ServedFile, Shelf
from simulator.sounds import Synthetic
from collections import deque

def build():
    files = [ServedFile(f, Synthetic(1000000, f), faults=deque([f])) for f in FAULTS]
    return create_app({application_id!r}, {key!r}, shelf=Shelf(files, sized_ids=True))
"""


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory, private_key, application_id):
    """The origin of the file host under gunicorn gthread, with one file for each fault."""
    folder, port = tmp_path_factory.mktemp("gunicorn"), free_port()
    factory = FACTORY.format(application_id=application_id, key=public_pem(private_key("ours")))
    (folder / "faulty_files.py").write_text(factory)
    options = [
        "-c",
        "/dev/null",
        "--no-control-socket",
        "--bind",
        f"127.0.0.1:{port}",
        "--worker-class",
        "gthread",
        "--threads",
        "4",
    ]
    command = [sys.executable, "-m", "gunicorn", *options, "--pythonpath", f"{folder},.", "faulty_files:build()"]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        until_it_listens(f"http://127.0.0.1:{port}", child)
        yield f"http://127.0.0.1:{port}", folder / "log"
    finally:
        child.terminate()
        child.wait(20)


def until_it_listens(origin, child):
    retry = urllib3.Retry(100, backoff_factor=0.1, backoff_max=0.1)
    with urllib3.PoolManager(retries=retry) as pool:
        assert pool.request("GET", f"{origin}/v1/files/x").status == 401
    assert child.poll() is None


def test_under_gunicorn_connections_are_kept(gunicorn, application_token):
    origin, _ = gunicorn
    with urllib3.connectionpool.connection_from_url(origin) as pool:
        for number in range(5):
            token = {"Authorization": f"Bearer {application_token()}"}
            assert len(pool.request("GET", f"/v1/files/sized-204800-{number}", headers=token).data) == 204_800
        assert pool.num_connections == 1


BROKEN = {"truncated", "truncated-chunked", "reset", "hang"}


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"redirect", "redirect-stranger"}))
def test_under_gunicorn_each_misbehaviour_looks_the_same(gunicorn, client, fault):
    origin, log = gunicorn
    url = f"{origin}/v1/files/{fault}"
    try:
        reply = client.get(url, timeout=(5, 0.5))
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout):
        assert fault in BROKEN
    else:
        assert fault not in BROKEN
        expected = {"429": 429}.get(fault, 200)
        assert reply.status_code == expected
        if fault in ("drip", "chunked", "close-delimited", "gzip"):
            assert len(reply.content) == 1_000_000
    assert len(client.get(url).content) == 1_000_000
    assert "Traceback" not in log.read_text()
