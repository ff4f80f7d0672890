"""Listing Vonage's media is an experiment: it compares, it proves nothing, and it shows our token to nobody new."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from recordings.archive.fetch import Fetcher
from recordings.archive.hosts import HostRule
from recordings.care import media_api
from recordings.care.media_api import MediaLibrary, MediaUnusable
from recordings.model import Call

SAMPLE = json.loads((Path(__file__).parents[2] / "fixtures/vonage-media/item.json").read_text())
START = datetime(2020, 1, 1, 13, 59, tzinfo=UTC)
WEEK = timedelta(days=7)


@pytest.fixture
def library(vonage, token):
    return MediaLibrary(Fetcher(HostRule.parse([vonage.origin]), token.mint), vonage.origin)


class Answers:
    """A media API that gives these answers in turn; the last answer stays."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def document(self, url):
        self.asked.append(url)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def page(*items):
    return {"count": len(items), "_embedded": {"media": list(items)}}


def make_call(**changes):
    params = {"answered_at": "2020-01-01T13:59:00Z", "completed_at": "2020-01-01T14:00:00Z", "seconds": 60} | changes
    return Call("CON-1", "leg", None, None, "voicemail", channels=1, records=True, params=MappingProxyType(params))


def sample(**changes):
    (item,) = MediaLibrary(Answers(page(SAMPLE | changes), page())).listing(START, START)
    return item


def test_the_files_of_a_pretend_vonage_are_listed_page_by_page_oldest_first(library, vonage):
    files = [vonage.add_file(size=100 + n, file_id=f"{n:03}") for n in range(205)]
    now = datetime.now(UTC)
    files_listed = list(library.listing(now - WEEK, now + WEEK))
    assert [(item.id, item.size) for item in files_listed] == [(file.id, file.size) for file in files]
    assert list(library.listing(now - 2 * WEEK, now - WEEK)) == []
    one = library.find("007")
    assert (one.id, one.size, one.mime_type) == ("007", 107, "audio/mpeg")
    assert library.recording_url(one) == files[7].url


def test_the_sample_of_vonages_own_sdk_is_understood():
    item = sample()
    assert (item.id, item.size, item.name) == ("00000000-0000-0000-0000-000000000000", 1234567, "test.wav")
    assert item.created == datetime(2020, 1, 1, 14, tzinfo=UTC)


def test_a_server_that_pays_no_heed_to_the_page_ends_all_the_same():
    api = Answers(page(SAMPLE))
    assert len(list(MediaLibrary(api).listing(START, START))) == 1
    assert len(api.asked) == 2
    assert "start_time=2020-01-01T13%3A59%3A00Z" in api.asked[0]


@pytest.mark.parametrize("answer", [None, [], {}, {"_embedded": []}, page({"id": 7}), page({"id": ""}), page(None)])
def test_an_answer_of_another_shape_is_said_to_be_one(answer):
    with pytest.raises(MediaUnusable, match="media API answered"):
        list(MediaLibrary(Answers(answer)).listing(START, START))


def test_a_stranger_never_gets_the_token(library, vonage):
    library.base = vonage.stranger_origin
    with pytest.raises(MediaUnusable, match="may not get our token"):
        list(library.listing(START, START))
    assert vonage.stranger_visits == []


def test_a_refusal_names_its_status(library):
    with pytest.raises(MediaUnusable, match="404"):
        library.find("unknown")


@pytest.mark.parametrize(
    ("item", "call", "fits"),
    [
        ({"media_size": 240_000}, {}, True),
        ({}, {}, True),  # 1.2 MB of the widest sound in a minute
        ({"media_size": 2_500_000}, {}, False),  # more than a minute can hold
        ({"media_size": 0}, {}, False),
        ({"media_size": None}, {}, True),
        ({"time_created": "2020-01-01T13:58:59Z"}, {}, False),
        ({"time_created": "2020-01-01T14:10:00Z"}, {}, True),
        ({"time_created": "2020-01-01T14:10:01Z"}, {}, False),
        ({"time_created": None}, {}, False),
        ({}, {"answered_at": None}, False),
        ({"media_size": 1000}, {"completed_at": None, "seconds": None}, True),
    ],
)
def test_what_fits_a_call(item, call, fits):
    assert media_api.fits(sample(**item), make_call(**call)) is fits


def test_a_file_that_a_recording_names_is_known_and_fits_nothing(database, intake, delivery, announcement):
    item = sample()
    (unknown,) = media_api.candidates(database, iter([item]), [make_call()])
    assert (unknown.known, [call.conversation_uuid for call in unknown.calls]) == (False, ["CON-1"])
    intake.accept(delivery(), [announcement(recording_url=f"https://api.nexmo.com/v1/files/{item.id}")])
    (known,) = media_api.candidates(database, iter([item]), [make_call()])
    assert (known.known, known.calls) == (True, ())
    (other,) = media_api.candidates(database, iter([replace(item, id="%")]), [])
    assert not other.known


def test_one_that_is_taken_goes_the_ordinary_way(desk, library, vonage, intake):
    file = vonage.add_file(file_id="f-1")
    item = library.find("f-1")
    event = media_api.announcement(library, item, "CON-1", make_call())
    accepted = intake.accept(media_api.delivery(item, "the-application"), [event])
    assert accepted.outcome == "new"
    desk.run(accepted.copy_ids)
    recording = desk.find(event)
    assert (recording.state, recording.origin, recording.recording_uuid) == ("stored", "media", "f-1")
    assert recording.copies[0].sha256 == file.sha256
    assert intake.accept(media_api.delivery(item, "the-application"), [event]).outcome == "repeat"
