"""The audio through the API, and exports: ranges, bounds, errors, and a trace of every listener."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
from pathlib import Path

import pytest
from flask import Flask

from console.api import exports
from recordings.access import Role

from .conftest import refusal


def path_of(api, row_id):
    """The file of a stored recording."""
    copy = api.program().get(f"/recordings/{row_id}").get_json()["copies"][0]
    return copy, api.deployment.wiring.settings.storage_url[0].removeprefix("file://") + "/" + copy["key"]


# --- Audio ------------------------------------------------------------------------------------------------------------


def test_the_audio_comes_whole_and_is_noted_once_in_ten_minutes(api):
    listener = api.program(Role.LISTENER)
    row_id = api.record()
    copy, _ = path_of(api, row_id)
    for _ in range(2):
        reply = listener.get(f"/recordings/{row_id}/audio")
        assert (reply.status_code, reply.mimetype) == (200, "audio/mpeg")
        assert hashlib.sha256(reply.data).hexdigest() == copy["sha256"]
    assert api.noted("play") == [(listener.name, row_id)]


def test_a_range_is_a_206_and_adds_up(api, admin):
    row_id = api.record()
    whole = admin.get(f"/recordings/{row_id}/audio").data
    first = admin.get(f"/recordings/{row_id}/audio", headers={"Range": "bytes=0-99"})
    rest = admin.get(f"/recordings/{row_id}/audio", headers={"Range": "bytes=100-"})
    assert (first.status_code, first.headers["Content-Range"]) == (206, f"bytes 0-99/{len(whole)}")
    assert first.data + rest.data == whole


def test_a_range_behind_the_end_is_a_416_that_says_where_the_end_is(api, admin):
    row_id = api.record()
    reply = admin.get(f"/recordings/{row_id}/audio", headers={"Range": "bytes=99999999-"})
    assert "behind the end" in refusal(reply, 416)
    assert reply.headers["Content-Range"].startswith("bytes */")


def test_audio_that_a_program_has_already_is_a_304(api, admin):
    row_id = api.record()
    tag = admin.get(f"/recordings/{row_id}/audio").headers["ETag"]
    assert admin.get(f"/recordings/{row_id}/audio", headers={"If-None-Match": tag}).status_code == 304


def test_a_head_request_brings_no_audio_and_is_not_noted(api, admin):
    row_id = api.record()
    reply = admin.ask("HEAD", f"/recordings/{row_id}/audio")
    assert (reply.status_code, reply.data) == (200, b"")
    assert api.noted("play") == []


def test_a_download_has_a_name_and_is_noted_as_one(api, admin):
    row_id = api.record()
    reply = admin.get(f"/recordings/{row_id}/download")
    assert "from-447700900001" in reply.headers["Content-Disposition"]
    assert api.noted("download") == [(admin.name, row_id)]


@pytest.mark.parametrize("kind", ["audio", "download"])
def test_audio_that_is_not_there_is_a_404_that_says_what_is_left_to_do(api, admin, kind):
    row_id = api.record(stored=False)
    assert "no stored copy" in refusal(admin.get(f"/recordings/{row_id}/{kind}"), 404)
    row_id = api.record()
    _, path = path_of(api, row_id)
    Path(path).write_bytes(b"cut")
    assert "could not give the audio" in refusal(admin.get(f"/recordings/{row_id}/{kind}"), 502)
    Path(path).unlink()
    assert "not in the storage any more" in refusal(admin.get(f"/recordings/{row_id}/{kind}"), 404)


# --- Exports ----------------------------------------------------------------------------------------------------------


def test_a_table_is_the_one_of_the_command_line(api, admin, tmp_path):
    api.record()
    api.record("447700900002", stored=False)
    reply = admin.post("/recordings/export.csv", {})
    assert (reply.status_code, reply.mimetype) == (200, "text/csv")
    assert 'filename="recordings.csv"' in reply.headers["Content-Disposition"]
    api.deployment.run("recordings", "export", "--csv", tmp_path / "x.csv")
    assert reply.data == (tmp_path / "x.csv").read_bytes()
    rows = list(csv.DictReader(io.StringIO(reply.data.decode("utf-8-sig"))))
    assert [row["from"] for row in rows] == ["447700900002", "447700900001"]


def test_lines_of_json_are_those_of_the_command_line(api, admin, tmp_path):
    api.record()
    api.record(stored=False)
    reply = admin.post("/recordings/export.jsonl", {"state": ["stored"]})
    api.deployment.run("recordings", "export", "--jsonl", tmp_path / "x.jsonl", "--state", "stored")
    assert reply.data == (tmp_path / "x.jsonl").read_bytes()
    assert [json.loads(line)["state"] for line in reply.data.splitlines()] == ["stored"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_export_is_noted_and_one_that_is_refused_is_not(api, kind):
    listener = api.program(Role.LISTENER)
    assert listener.post(f"/recordings/export.{kind}", {"number": "0001", "number_match": "suffix"}).status_code == 200
    assert api.noted("export") == [(listener.name, None)]
    assert "Use pending" in refusal(listener.post(f"/recordings/export.{kind}", {"state": ["lost"]}), 400)
    assert "There is no such parameter" in refusal(listener.post(f"/recordings/export.{kind}", {"limit": 5}), 400)
    refusal(api.program(Role.VIEWER).post(f"/recordings/export.{kind}", {}), 403)
    assert len(api.noted("export")) == 1


def test_an_export_of_nothing_is_empty(admin):
    assert admin.post("/recordings/export.jsonl", {}).data == b""


def test_more_rows_than_one_piece_come_whole(api, admin):
    rows = [api.record(stored=False) for _ in range(3)]
    database = api.deployment.wiring.database
    places = threading.BoundedSemaphore(1)
    pieces = exports.Pieces(places, lines=2)
    assert places.acquire(blocking=False)
    pieces.begin(exports.as_jsonl(exports.walk(database, exports.filter_from({}))))
    assert len(b"".join(pieces).splitlines()) == len(rows)
    pieces.close()
    pieces.close()
    assert places.acquire(blocking=False), "its place is given back, once"


def test_only_so_many_exports_run_at_once(api):
    places = threading.BoundedSemaphore(1)
    app = api.deployment.app
    resource = exports.create_resource(api.deployment.wiring, places)
    other = Flask("other")
    other.register_blueprint(resource)
    assert places.acquire(blocking=False)
    app.view_functions["Export.export_csv"] = other.view_functions["Export.export_csv"]
    program = api.program()
    reply = program.post("/recordings/export.csv", {})
    assert "Too many exports" in refusal(reply, 503)
    assert reply.headers["Retry-After"] == "60"
    assert api.noted("export") == []
    places.release()
    for _ in range(2):
        assert program.post("/recordings/export.csv", {}).status_code == 200, "each gives its place back"
