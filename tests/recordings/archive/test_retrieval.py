"""The pipeline with a real folder, a pretend Vonage and SQLite: claim, fetch, verify, record."""

from __future__ import annotations

import dataclasses
import json

import pytest

from backends.local.storage import LocalStorage
from recordings.catalogue.tables import copies
from recordings.errors import InvalidKey, StorageUnavailable
from recordings.keys import KeyTemplate
from recordings.model import State

# --- All is well ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format", "channels"), [("mp3", 1), ("wav", 2), ("ogg", 1)])
def test_a_recording_is_stored_byte_for_byte_and_noted(desk, vonage, clock, format, channels):
    file = vonage.add_file(format=format, channels=channels)
    event, ids = desk.announce(file, format=format)
    desk.run(ids)
    archived = desk.find(event)
    (copy,) = archived.copies
    key = desk.key(event, format)
    assert (archived.state, copy.state, copy.key) == (State.STORED, State.STORED, key)
    assert (copy.size, copy.sha256, copy.attempts, copy.error) == (file.size, file.sha256, 1, None)
    assert copy.stored_at == clock()
    assert desk.files().keys() == {key, f"{key}.json"}
    assert desk.files()[key] == file.content
    assert desk.hooks.stored == [(archived, copy)]
    assert file.requests == 1


def test_the_sidecar_tells_what_is_needed_without_this_program(desk, vonage, clock):
    file = vonage.add_file()
    event, ids = desk.announce(file, flow="voicemail", format="mp3", channels=1)
    desk.run(ids)
    key = desk.key(event)
    document = json.loads(desk.files()[f"{key}.json"])
    assert (document["schema"], document["recording_uuid"], document["conversation_uuid"]) == (
        1,
        event.recording_uuid,
        event.conversation_uuid,
    )
    assert document["audio"] == {
        "key": key,
        "size": file.size,
        "sha256": file.sha256,
        "format": "mp3",
        "content_type": "audio/mpeg",
        "channels": 1,
    }
    assert document["event"]["source_host"] == "127.0.0.1"
    assert document["event"]["end_time"] == "2026-11-22T11:59:50Z"
    assert document["call"]["flow"] == "voicemail"
    assert (document["stored_at"], document["written_by"]) == ("2026-11-22T12:00:00Z", "tapekeeper test")
    assert document["event"]["recording_url"] == file.url, "it is of no use without the application's key"


def test_a_second_look_does_nothing(desk, vonage):
    file = vonage.add_file()
    event, ids = desk.announce(file)
    desk.run(ids)
    before = desk.find(event)
    desk.run([*ids, *ids, 4711])
    assert desk.find(event) == before
    assert (file.requests, len(desk.hooks.stored)) == (1, 1)


def test_each_storage_fetches_for_itself_and_one_that_fails_does_not_hold_up_the_other(desk, vonage, tmp_path):
    (tmp_path / "broken").write_text("a file where a folder belongs")
    desk.storages["file:///broken"] = LocalStorage(tmp_path / "broken")
    file = vonage.add_file()
    event, ids = desk.announce(file)
    desk.run(ids)
    archived = desk.find(event)
    assert [copy.state for copy in archived.copies] == [State.STORED, State.BLOCKED]
    assert archived.state is State.BLOCKED
    assert "broken" in archived.copies[1].error
    (tmp_path / "broken").unlink()
    assert desk.retry(event).state is State.STORED
    assert file.requests == 3


def test_unknown_audio_is_stored_as_bin(desk, vonage):
    event, ids = desk.announce(vonage.add_file(b"fLaC" + bytes(500)))
    desk.run(ids)
    assert desk.find(event).copies[0].key == desk.key(event, "bin")
    assert desk.find(event).copies[0].content_type == "application/octet-stream"


@pytest.mark.parametrize("fault", [None, "chunked"])
def test_unknown_audio_of_less_than_half_the_size_is_stored_once_it_came_twice_the_same(desk, vonage, fault):
    file = vonage.add_file(b"fLaC" + bytes(500), faults=[fault, fault] if fault else [])
    event, ids = desk.announce(file, size=2000)
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert (copy.state, desk.files()) == (State.WAITING, {})
    assert "504 bytes of no known audio format where 2000 were announced" in copy.error
    assert (copy.next_attempt_at - desk.clock()).total_seconds() == 60
    archived = desk.retry(event)
    assert (archived.state, archived.copies[0].key) == (State.STORED, desk.key(event, "bin"))
    assert file.requests == 2


def test_unknown_audio_of_which_no_size_was_announced_must_come_twice_the_same(desk, vonage):
    event, ids = desk.announce(vonage.add_file(b"\x89PNG\r\n\x1a\n" + bytes(range(256))), size=None)
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert (copy.state, desk.files()) == (State.WAITING, {})
    assert "264 bytes of no known audio format (a PNG image, it seems) where no size was announced" in copy.error
    assert desk.retry(event).state is State.STORED


@pytest.mark.parametrize("fault", [None, "chunked"])
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(2000), "audio/mpeg"),
        (b"PK\3\4" + bytes(range(256)) * 8, "application/octet-stream"),
        (b"fLaC" + bytes(2000), "image/png"),
        (b"fLaC" + bytes(2000), "application/pdf"),
    ],
)
def test_what_seems_no_audio_is_doubted_at_every_size_and_is_never_named_as_audio(
    desk, vonage, content, content_type, fault
):
    file = vonage.add_file(content, content_type=content_type, faults=[fault, fault] if fault else [])
    event, ids = desk.announce(file, size=len(content), format="mp3")
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert (copy.state, desk.files()) == (State.WAITING, {})
    assert "It is stored if it comes the same at the next attempt" in copy.error
    archived = desk.retry(event)
    assert (archived.state, archived.copies[0].key) == (State.STORED, desk.key(event, "bin"))
    assert archived.copies[0].content_type == "application/octet-stream"


def test_unknown_audio_that_comes_otherwise_the_second_time_is_looked_at_again(desk, vonage):
    other = vonage.add_file(b"fLaC" + bytes(400))
    event, ids = desk.announce(
        vonage.add_file(b"fLaC" + bytes(500), faults=[f"redirect:/v1/files/{other.id}"]), size=2000
    )
    desk.run(ids)
    assert desk.retry(event).state is State.WAITING
    assert desk.retry(event).copies[0].size == 504


def test_unknown_audio_of_about_the_announced_size_is_believed_at_once(desk, vonage):
    assert desk.archive(vonage.add_file(b"fLaC" + bytes(1000)), size=2000).state is State.STORED


@pytest.mark.parametrize("content_type", ["application/xml", "application/octet-stream", "audio/mpeg"])
def test_an_error_page_of_a_store_is_never_audio(desk, vonage, content_type):
    page = b"<Error><Code>NoSuchKey</Code></Error>"
    archived = desk.archive(vonage.add_file(page, content_type=content_type), size=18990)
    assert (archived.state, desk.files()) == (State.WAITING, {})


def test_a_recording_without_a_conversation_is_archived(desk, vonage):
    archived = desk.archive(vonage.add_file(), conversation_uuid="")
    assert (archived.state, archived.conversation_uuid) == (State.STORED, "")
    assert "/unknown=" in archived.copies[0].key


def test_raw_aac_is_named_what_it_is(desk, vonage):
    frames = (b"\xff\xf1\x50\x80\x04\x1f\xfc" + bytes(25)) * 20
    event, ids = desk.announce(vonage.add_file(frames, content_type="audio/aac"))
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert (copy.key, copy.content_type) == (desk.key(event, "aac"), "audio/aac")


def test_another_size_than_announced_is_stored_where_the_reply_proves_it(desk, vonage, caplog):
    file = vonage.add_file()
    archived = desk.archive(file, size=file.size + 5)
    assert (archived.state, archived.copies[0].size) == (State.STORED, file.size)
    assert f"{file.size + 5} bytes were announced, {file.size} came" in caplog.text


def test_a_storage_that_is_not_configured_any_more_blocks_its_copies(desk, vonage):
    event, ids = desk.announce(vonage.add_file())
    store = desk.storages.pop("file:///tapes")
    desk.run(ids)
    assert desk.find(event).state is State.BLOCKED
    assert "STORAGE_URL" in desk.find(event).copies[0].error
    desk.storages["file:///tapes"] = store
    assert desk.retry(event).state is State.STORED


# --- Sidecars that cannot be written ----------------------------------------------------------------------------------


class NoSidecars(LocalStorage):
    """A folder that refuses sidecars, with `error`, while it is set."""

    error = StorageUnavailable("no .json here")

    def put(self, key, source, **options):
        if key.endswith(".json") and self.error:
            raise self.error
        return super().put(key, source, **options)


def test_a_sidecar_is_written_later_without_another_download(desk, vonage):
    desk.storage = NoSidecars(desk.folder)
    file = vonage.add_file()
    event, ids = desk.announce(file)
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert (copy.state, copy.size, copy.sha256) == (State.WAITING, file.size, file.sha256)
    assert copy.error == "The audio is stored, its sidecar is not. no .json here"
    desk.clock.move(40 * 86400)  # Vonage has it no more, and that does not matter
    assert desk.retry(event).state is State.WAITING
    desk.storage.error = None
    (copy,) = desk.retry(event).copies
    assert (copy.state, copy.size, copy.sha256, copy.error) == (State.STORED, file.size, file.sha256, None)
    assert copy.content_type == "audio/mpeg"
    assert desk.files().keys() == {copy.key, f"{copy.key}.json"}
    assert file.requests == 1


def test_audio_that_went_before_its_sidecar_came_is_fetched_again(desk, vonage):
    desk.storage = NoSidecars(desk.folder)
    file = vonage.add_file()
    event, ids = desk.announce(file)
    desk.run(ids)
    desk.storage.delete(desk.find(event).copies[0].key)
    desk.storage.error = None
    assert desk.retry(event).state is State.STORED
    assert file.requests == 2


def test_a_sidecar_that_is_refused_for_good_can_be_retried_alone(desk, vonage):
    desk.storage = NoSidecars(desk.folder)
    desk.storage.error = InvalidKey("no dots")
    file = vonage.add_file()
    event, ids = desk.announce(file)
    desk.run(ids)
    assert desk.find(event).state is State.FAILED
    desk.storage.error = None
    desk.run(desk.schedule.retry(event.recording_uuid))
    assert (desk.find(event).state, file.requests) == (State.STORED, 1)


def test_a_storage_that_exits_is_tried_again(desk, vonage):
    desk.storage = NoSidecars(desk.folder)
    desk.storage.error = SystemExit("config missing")
    archived = desk.archive(vonage.add_file())
    assert (archived.state, "SystemExit: config missing" in archived.copies[0].error) == (State.WAITING, True)


# --- Sources that misbehave -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        *("404", "410", "429:75", "500", "418", "html", "json", "empty", "gzip"),
        *("truncated", "truncated-unsized", "truncated-chunked", "reset"),
    ],
)
def test_a_passing_fault_waits_leaves_nothing_and_is_mended_by_the_next_attempt(desk, vonage, fault):
    file = vonage.add_file(faults=[fault])
    event, ids = desk.announce(file)
    desk.run(ids)
    (copy,) = desk.find(event).copies
    assert (copy.state, copy.attempts) == (State.WAITING, 1)
    assert (copy.next_attempt_at - desk.clock()).total_seconds() == (75 if fault == "429:75" else 10)
    assert copy.error
    assert desk.files() == {}
    ((recording, reported_copy, _, will_retry),) = desk.hooks.failed
    assert (recording, reported_copy, will_retry) == (desk.find(event), copy, True)
    archived = desk.retry(event)
    assert (archived.state, archived.copies[0].sha256) == (State.STORED, file.sha256)


@pytest.mark.parametrize("fault", ["401", "403", "redirect-stranger"])
def test_what_a_person_must_mend_is_blocked(desk, vonage, fault):
    file = vonage.add_file(faults=[fault])
    event, ids = desk.announce(file)
    desk.run(ids)
    assert desk.find(event).state is State.BLOCKED
    assert vonage.stranger_visits == []
    assert desk.retry(event).state is State.STORED


def test_a_refused_host_is_blocked_and_never_asked(desk, vonage):
    archived = desk.archive(vonage.add_file(), recording_url="https://evil.example/v1/files/x")
    assert archived.state is State.BLOCKED
    assert "RECORDING_HOSTS" in archived.copies[0].error


def test_after_29_days_it_is_given_up_and_a_person_may_still_retry(desk, vonage):
    file = vonage.add_file(faults=["500"] * 200)
    event, ids = desk.announce(file)
    for _ in range(200):
        desk.run(ids)
        if (copy := desk.find(event).copies[0]).state is State.FAILED:
            break
        desk.clock.now = copy.next_attempt_at
    assert copy.state is State.FAILED
    assert copy.attempts >= 100
    assert desk.hooks.failed[-1][3] is False
    assert desk.due_ids() == []
    file.faults.clear()
    desk.run(desk.schedule.retry(event.recording_uuid))
    assert desk.find(event).state is State.STORED


@pytest.mark.parametrize("ending", ["?name=my call", "?name=my%20call", "?name=ü", "?name=a\\b", "?name=%zz"])
def test_a_url_that_needs_percent_encoding_is_fetched(desk, vonage, ending):
    file = vonage.add_file()
    assert desk.archive(file, recording_url=file.url + ending).state is State.STORED


def test_a_url_that_is_not_understood_is_blocked_for_that_reason(desk, vonage):
    archived = desk.archive(vonage.add_file(), recording_url="https://api.nexmo.com@evil.example/x")
    assert archived.state is State.BLOCKED
    assert "is not understood" in archived.copies[0].error
    assert "RECORDING_HOSTS" not in archived.copies[0].error


# --- Keys of plugins --------------------------------------------------------------------------------------------------


def test_a_plugins_key_is_used(desk, vonage):
    desk.hooks.key = lambda recording: f"mine/{recording.recording_uuid}.mp3"
    event, ids = desk.announce(vonage.add_file())
    desk.run(ids)
    key = f"mine/{event.recording_uuid}.mp3"
    assert desk.find(event).copies[0].key == key
    assert desk.files().keys() == {key, f"{key}.json"}


def test_a_plugin_is_asked_for_a_key_once_in_an_attempt(desk, vonage):
    asked = []
    desk.hooks.key = lambda recording: asked.append(recording) or f"mine/{recording.recording_uuid}.mp3"
    _, ids = desk.announce(vonage.add_file(), format="mp3")
    desk.run(ids)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "key",
    ["../{}", "/{}", "a//{}", "{}/", ".{}", "a b/{}", "{}\0", "", "no-uuid-at-all.mp3", "x" * 600 + "{}", "ü/{}"],
)
def test_an_illegal_key_falls_back_to_the_template_and_is_reported(desk, vonage, caplog, key):
    desk.hooks.key = lambda recording: key.format(recording.recording_uuid)
    event, ids = desk.announce(vonage.add_file())
    desk.run(ids)
    assert desk.find(event).copies[0].key == desk.key(event)
    assert "STORAGE_KEY_TEMPLATE is" in caplog.text


def test_another_template_makes_other_keys(desk, vonage):
    template = KeyTemplate("{flow}/{start:%Y}-{recording_uuid}.{ext}")
    retrieval = dataclasses.replace(desk.retrieval, template=template)
    event, ids = desk.announce(vonage.add_file(), flow="call")
    retrieval.archive(desk.leases.claim(ids[0]))
    assert desk.find(event).copies[0].key == f"call/2026-{event.recording_uuid}.mp3"


def test_nothing_but_the_fetching_row_is_touched(desk, vonage, rows):
    _, other_ids = desk.announce(vonage.add_file())
    before = rows(copies)
    desk.archive(vonage.add_file())
    assert [row for row in rows(copies) if row["id"] in other_ids] == before
