"""The audio through the API, and exports: ranges, bounds, errors, and a trace of every listener."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
from pathlib import Path

import pytest

from console.exports import Pieces
from recordings.access import Role
from recordings.catalogue.exports import as_jsonl
from recordings.catalogue.search import RecordingFilter, walk

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


def test_more_rows_than_one_piece_come_whole(api):
    rows = [api.record(stored=False) for _ in range(3)]
    places = threading.BoundedSemaphore(1)
    pieces = Pieces(places, lines=2)
    assert places.acquire(blocking=False)
    pieces.begin(as_jsonl(walk(api.deployment.wiring.database, RecordingFilter())))
    assert len(b"".join(pieces).splitlines()) == len(rows)
    pieces.close()
    pieces.close()
    assert places.acquire(blocking=False), "its place is given back, once"


def begun(api, path):
    """The reply to an export that is not read to its end."""
    program = api.program()
    bearer = {"Authorization": f"Bearer {program.token}"}
    return api.deployment.app.test_client().post(path, json={}, headers=bearer)


@pytest.mark.parametrize("path", ["/recordings/export.csv", "/recordings/export.jsonl", "/activity/export.csv"])
def test_only_two_exports_run_at_once_whatever_they_hold_and_pages_count_with_programs(api, path):
    api.record()
    operator = api.browser(Role.OPERATOR)
    token = operator.token("/activity")
    running = [begun(api, "/api/recordings/export.csv"), begun(api, "/api/activity/export.jsonl")]
    assert [reply.status_code for reply in running] == [200, 200]
    program = api.program()
    refused = program.post(path, {})
    assert "Too many exports" in refusal(refused, 503)
    assert refused.headers["Retry-After"] == "60"
    page = operator.post("/activity/export", token)
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert len(api.noted("export")) == 2, "what is refused is not noted"
    running.pop().close()
    with operator.post("/activity/export", token) as reply:
        assert reply.status_code == 200
        assert "Too many exports" in refusal(program.post(path, {}), 503)
    for _ in range(2):
        assert program.post(path, {}).status_code == 200, "each gives its place back"
    running.pop().close()


def test_an_export_that_cannot_be_noted_gives_its_place_back(api, admin):
    with api.deployment.wiring.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    for _ in range(3):
        reply = admin.post("/activity/export.csv", {})
        assert reply.status_code >= 500
        assert "Too many exports" not in refusal(reply, reply.status_code)


# --- Exports of the audit ---------------------------------------------------------------------------------------------


def test_the_audit_is_exported_by_person_and_the_export_is_noted_without_the_name(api, admin):
    listener = api.program(Role.LISTENER)
    listener.get(f"/recordings/{api.record()}/audio")
    table = admin.post("/activity/export.csv", {"person": listener.name})
    assert 'filename="activity.csv"' in table.headers["Content-Disposition"]
    (row,) = csv.DictReader(io.StringIO(table.get_data(as_text=True)))
    assert (row["person"], row["action"]) == (listener.name, "play")
    lines = admin.post("/activity/export.jsonl", {"action": "play", "since": "1h"})
    assert lines.mimetype == "application/jsonl"
    assert [json.loads(line)["person"] for line in lines.data.splitlines()] == [listener.name]
    details = [entry.detail for entry in api.deployment.wiring.people.audit.entries(action="export")]
    assert details == ["the audit, by since, action", "the audit, by person"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_nobody_below_an_operator_exports_the_audit(api, kind):
    refusal(api.program(Role.LISTENER).post(f"/activity/export.{kind}", {}), 403)
    assert "There is no such parameter" in refusal(api.program().post(f"/activity/export.{kind}", {"limit": 5}), 400)
    assert api.noted("export") == []


# --- Peaks ------------------------------------------------------------------------------------------------------------


def test_peaks_come_once_they_are_made_and_to_see_them_is_not_to_listen(api):
    row_id, listener = api.record(channels=2), api.program(Role.LISTENER)
    assert "a worker makes it" in refusal(listener.get(f"/recordings/{row_id}/peaks"), 404)
    while api.deployment.wiring.waveforms.make_next():
        pass
    reply = listener.get(f"/recordings/{row_id}/peaks")
    peaks = reply.get_json()
    assert peaks["channels"] == len(peaks["peaks"]) == 2
    assert all(0 <= peak <= 1 for channel in peaks["peaks"] for peak in channel)
    again = listener.get(f"/recordings/{row_id}/peaks", headers={"If-None-Match": reply.headers["ETag"]})
    assert again.status_code == 304
    assert api.noted("play") == []


def test_peaks_are_for_listeners_and_of_recordings_that_are_there(api):
    row_id = api.record()
    refusal(api.program(Role.VIEWER).get(f"/recordings/{row_id}/peaks"), 403)
    assert "There is no recording" in refusal(api.program(Role.LISTENER).get("/recordings/999/peaks"), 404)
