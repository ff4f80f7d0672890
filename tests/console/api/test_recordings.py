"""`/api/recordings`: what is listed, found, shown and tried again, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recordings.access import Role

from .conftest import Api, refusal


def ids(reply):
    assert reply.status_code == 200, reply.get_data(as_text=True)
    return [recording["id"] for recording in reply.get_json()["recordings"]]


# --- The list ---------------------------------------------------------------------------------------------------------


def test_recordings_are_listed_newest_first_with_all_that_the_command_line_shows(api, admin):
    first, second = api.record(), api.record("447700900002", stored=False)
    reply = admin.get("/recordings")
    assert ids(reply) == [second, first]
    stored = reply.get_json()["recordings"][1]
    assert (stored["state"], stored["from"], stored["copies"][0]["state"]) == ("stored", "447700900001", "stored")
    (listed,) = [row for row in api.deployment.objects("recordings", "list") if row["state"] == "stored"]
    assert {name: stored[name] for name in listed} == listed
    assert stored.keys() - listed.keys() == {"id", "seconds", "measured_channels"} - listed.keys()


def test_pages_follow_one_another_by_their_cursors_and_miss_and_double_nothing(api, admin):
    made = [api.record(stored=False) for _ in range(5)]
    seen, query = [], {"limit": 2}
    while True:
        page = admin.get("/recordings", query_string=query)
        seen += ids(page)
        if page.get_json()["next_cursor"] is None:
            break
        query["cursor"] = page.get_json()["next_cursor"]
    assert seen == made[::-1]
    assert (page.get_json()["count"], page.get_json()["count_capped"]) == (5, False)


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("state=stored", 1),
        ("state=stored&state=pending", 2),
        ("state=failed", 0),
        ("flow=call", 2),
        ("flow=split", 0),
        ("since=1h", 2),
        ("until=2020-01-01", 0),
        ("format=mp3", 2),
        ("has_transcript=true", 0),
        ("min_seconds=0", 2),
        ("with_empty=true", 2),
    ],
)
def test_the_filters_of_the_command_line_choose(api, admin, query, number):
    api.record()
    api.record(stored=False)
    assert len(ids(admin.get(f"/recordings?{query}"))) == number


def test_the_filter_takes_a_storage_a_conversation_and_an_id(api, admin):
    row_id = api.record()
    api.record(stored=False)
    whole = admin.get(f"/recordings/{row_id}").get_json()
    for name, value in (("conversation", whole["conversation_uuid"]), ("recording_uuid", whole["recording_uuid"])):
        assert ids(admin.get("/recordings", query_string={name: value})) == [row_id]
    storage = {"storage": whole["copies"][0]["storage"], "state": "stored"}
    assert ids(admin.get("/recordings", query_string=storage)) == [row_id]


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("stat=failed", 400, "There is no such parameter: use state, storage"),
        ("number=0001", 400, "POST it to /api/recordings/search"),
        ("state=lost", 400, "Use pending, fetching"),
        ("state=", 400, "Use pending"),
        ("limit=0", 400, "less than or equal to 500"),
        ("limit=501", 400, "less than or equal to 500"),
        ("limit=x", 400, "Not a valid integer"),
        ("limit=5&limit=6", 400, "Give it once"),
        ("cursor=x", 400, "next_cursor"),
        (f"cursor={'a' * 30}.{'b' * 43}", 422, "damaged or made up"),
        ("since=yesterday", 400, "2026-11-22"),
        ("since=2026-02-31", 422, "is no point in time"),
        ("since=2026-03-02&until=2026-03-01", 422, "must be before until"),
        ("min_seconds=-1", 400, "min_seconds"),
        ("min_seconds=nan", 400, "min_seconds"),
        ("direction=up", 400, "Use one of inbound, outbound"),
        ("format=aac", 400, "Use one of mp3, wav, ogg"),
        ("has_transcript=perhaps", 400, "Not a valid boolean"),
        ("flow=%00", 400, "without control characters"),
        ("flow=%20", 400, "without blanks around them"),
        ("conversation=%E2%80%8B", 422, "without control characters"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_right(admin, query, status, sentence):
    assert sentence in refusal(admin.get(f"/recordings?{query}"), status)


def test_a_cursor_of_another_filter_is_refused(api, admin):
    for _ in range(3):
        api.record(stored=False)
    cursor = admin.get("/recordings?limit=1").get_json()["next_cursor"]
    reply = admin.get("/recordings", query_string={"limit": 1, "cursor": cursor, "flow": "call"})
    assert "belongs to another filter" in refusal(reply, 422)


def test_a_list_that_has_not_changed_is_a_304_without_a_body(api, admin):
    api.record(stored=False)
    tag = admin.get("/recordings").headers["ETag"]
    reply = admin.get("/recordings", headers={"If-None-Match": tag})
    assert (reply.status_code, reply.data, reply.headers["ETag"]) == (304, b"", tag)
    api.record(stored=False)
    assert admin.get("/recordings", headers={"If-None-Match": tag}).status_code == 200


# --- The search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "number"),
    [
        ({}, 2),
        ({"number": "+44 7700 900001"}, 1),
        ({"number": "0002", "number_match": "suffix"}, 1),
        ({"number": "447700", "number_match": "prefix"}, 2),
        ({"number": "0002", "number_match": "suffix", "state": ["stored"]}, 0),
        ({"since": "1h", "min_seconds": 0, "with_empty": True, "limit": 1}, 1),
    ],
)
def test_a_search_finds_by_number_and_by_everything_else(api, admin, body, number):
    api.record()
    api.record("447700900002", stored=False)
    assert len(ids(admin.post("/recordings/search", body))) == number


def test_a_search_has_pages_too(api, admin):
    made = [api.record(stored=False) for _ in range(2)]
    body = {"number": "0001", "number_match": "suffix", "limit": 1}
    first = admin.post("/recordings/search", body)
    second = admin.post("/recordings/search", body | {"cursor": first.get_json()["next_cursor"]})
    assert ids(first) + ids(second) == made[::-1]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"number": "12"}, 400, "4 to 32 digits"),
        ({"number": "+44 x"}, 400, "4 to 32 digits"),
        ({"number": 447700900001}, 400, "It must be a text"),
        ({"number": "+44 7", "number_match": "prefix"}, 422, "at least 4"),
        ({"number_match": "infix"}, 400, "exact, prefix, suffix"),
        ({"with_empty": "true"}, 400, "true or false"),
        ({"with_empty": 1}, 400, "true or false"),
        ({"limit": True}, 400, "a whole number"),
        ({"limit": "5"}, 400, "a whole number"),
        ({"state": "failed"}, 400, "a list"),
        ({"state": ["failed", "lost"]}, 400, "Use pending"),
        ({"flow": None}, 400, "a text"),
        ({"colour": "red"}, 400, "There is no such parameter"),
        ([], 400, "Invalid input type"),
        (5, 400, "Invalid input type"),
        ({"flow": "\ud800"}, 422, "without control characters"),
    ],
)
def test_a_wrong_search_is_named_with_what_is_right(admin, body, status, sentence):
    assert sentence in refusal(admin.post("/recordings/search", body), status)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "sentence"),
    [
        (b"{", "application/json", 400, "no JSON"),
        (b"\xff", "application/json", 400, "no JSON"),
        (b"", "application/json", 400, "empty"),
        (b"{}", "text/plain", 415, "Content-Type: application/json"),
        (b"{}", None, 415, "Content-Type: application/json"),
        (b"state=failed", "application/x-www-form-urlencoded", 415, "Content-Type: application/json"),
    ],
)
def test_a_body_that_is_no_json_is_refused(admin, body, content_type, status, sentence):
    reply = admin.ask("POST", "/recordings/search", data=body, content_type=content_type)
    assert sentence in refusal(reply, status)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 50_000, "nested too deeply"),
        ('{"limit": ' + "1" * 5000 + "}", "none has more than 19 digits"),
        ('{"\\ud800": 1}', "?: There is no such parameter"),
        ('{"' + "a" * 100_000 + '": 1}', "a: There is no such parameter"),
    ],
    ids=["lists", "objects", "a long number", "half a character", "a long name"],
)
def test_a_body_that_is_made_to_break_its_reader_is_refused_like_any_other(admin, body, sentence):
    assert sentence in refusal(admin.ask("POST", "/recordings/search", data=body, content_type="application/json"), 400)


@pytest.mark.parametrize(
    "body",
    [{f"a{number}": 0 for number in range(50_000)}, {"state": [f"a{number}" for number in range(50_000)]}],
    ids=["names", "values"],
)
def test_a_body_with_very_many_mistakes_gets_a_short_reply_about_the_first_of_them(admin, body):
    reply = admin.post("/recordings/search", body)
    refusal(reply, 400)
    assert len(reply.get_data()) < 10_000


# --- One recording ----------------------------------------------------------------------------------------------------


def test_one_recording_comes_with_the_events_of_its_call(api, admin):
    row_id = api.record()
    whole = admin.get(f"/recordings/{row_id}").get_json()
    assert (whole["id"], whole["state"], whole["call_events"], whole["transcriptions"]) == (row_id, "stored", [], [])
    assert "recording_url" not in whole
    tag = admin.get(f"/recordings/{row_id}").headers["ETag"]
    assert admin.get(f"/recordings/{row_id}", headers={"If-None-Match": tag}).status_code == 304


def test_one_recording_comes_with_the_attempts_that_failed(api, admin):
    row_id = api.record(stored=False, recording_url=f"{api.vonage.origin}/v1/files/nothing")
    api.deployment.work()
    (attempt,) = admin.get(f"/recordings/{row_id}").get_json()["failed_attempts"]
    assert (attempt["number"], attempt["state"]) == (1, "waiting")
    assert "404" in attempt["error"]
    assert attempt["at"].endswith("Z")


@pytest.mark.parametrize("path", ["/recordings/999", "/recordings/9223372036854775807"])
@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("GET", "/audio"), ("GET", "/download"), ("POST", "/retry")])
def test_a_recording_that_is_not_there_is_a_404_that_names_the_list(admin, path, method, rest):
    assert "GET /api/recordings" in refusal(admin.ask(method, path + rest), 404)


@pytest.mark.parametrize(
    "path", ["/recordings/0", "/recordings/-1", "/recordings/x", "/recordings/9223372036854775808"]
)
def test_what_is_no_number_of_a_row_is_a_404(admin, path):
    assert "openapi.json" in refusal(admin.get(path), 404)


def test_an_operation_without_parameters_refuses_every_one(api, admin):
    row_id = api.record(stored=False)
    for method, path in (("GET", ""), ("GET", "/audio"), ("POST", "/retry")):
        assert "takes no parameters" in refusal(admin.ask(method, f"/recordings/{row_id}{path}?full=1"), 400)
    assert api.noted("play") == api.noted("retry") == []


def test_a_retry_makes_the_copies_due_and_is_noted(api):
    operator = api.program(Role.OPERATOR)
    row_id = api.record(stored=False)
    assert operator.post(f"/recordings/{row_id}/retry").get_json() == {"copies_due": 1}
    assert api.noted("retry") == [(operator.name, row_id)]
    stored = api.record()
    assert operator.post(f"/recordings/{stored}/retry").get_json() == {"copies_due": 0}


def test_times_are_in_utc(api, admin):
    row_id = api.record(stored=False)
    received_at = datetime.fromisoformat(admin.get(f"/recordings/{row_id}").get_json()["received_at"])
    assert received_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - received_at) < timedelta(hours=1)


def test_the_api_is_there_on_postgres_too(deploy, vonage, postgres_url):
    api = Api(deploy(RECORDING_HOSTS=vonage.origin, DATABASE_URL=postgres_url), vonage)
    admin = api.program(Role.ADMIN)
    row_id = api.record()
    assert ids(admin.post("/recordings/search", {"number": "0001", "number_match": "suffix"})) == [row_id]
    assert admin.post("/recordings/export.jsonl", {}).data.count(b"\n") == 1
    assert admin.post("/accounts", {"name": "anna", "role": "viewer"}).status_code == 201
    for path in ("", "/audio", "/download"):
        assert admin.get(f"/recordings/{row_id}{path}").status_code == 200
    for path in ("/calls/missing", "/deliveries", "/deliveries/1", "/storages", "/figures", "/activity", "/accounts"):
        assert admin.get(path).status_code == 200, path
