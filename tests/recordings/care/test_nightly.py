"""The nightly list: complete, once a day over all workers, a bounded number of them, and in nobody's way."""

from __future__ import annotations

import gzip
import json

import pytest

from backends.local.storage import LocalStorage
from recordings.care.nightly import LinesSource, NightlyLists
from recordings.care.verify import Verification
from recordings.catalogue.intake import Intake
from recordings.errors import InvalidKey, SourceError, StoragePermissionError, StorageUnavailable
from recordings.model import Call

DAY = 24 * 3600
HALF_AN_HOUR = 1800


@pytest.fixture
def worker(desk, clock):
    """`worker()`: the lists of one more worker, whose thread is the test's own."""
    return lambda days=7: NightlyLists(
        desk.database, desk.storages, lambda name, run: run(), days=days, version="test", clock=clock
    )


def lists(desk):
    """What each list holds, by its key."""
    files = {key: content for key, content in desk.files().items() if key.startswith("catalogue/")}
    return {key: [json.loads(line) for line in gzip.decompress(content).splitlines()] for key, content in files.items()}


def test_a_list_holds_every_recording_and_call_of_the_catalogue(desk, vonage, clock, worker):
    stored = desk.archive(vonage.add_file())
    empty, _ = desk.announce(vonage.add_file(), recording_url="", size=0)
    Intake(desk.database, [], clock=clock).note_call(Call("CON-lost", "leg", "447700900001", None, "call"), "app")
    clock.move(DAY)
    worker().start()
    ((key, lines),) = lists(desk).items()
    assert key == "catalogue/2026-11-22.jsonl.gz"
    assert lines[0]["catalogue"]["day"] == "2026-11-22"
    rows = {line["recording"]["recording_uuid"]: line["recording"] for line in lines[1:3]}
    assert rows.keys() == {stored.recording_uuid, empty.recording_uuid}
    assert rows[stored.recording_uuid]["copies"][0]["key"] in desk.files()
    assert rows[stored.recording_uuid]["recording_url"] == stored.recording_url
    assert lines[3]["call"]["from_number"] == "447700900001"
    assert [finding.kind for finding in Verification(desk.database, desk.storages).strays()] == []


def test_a_day_has_one_list_over_all_workers_and_only_the_newest_days_stay(desk, vonage, clock, worker):
    desk.archive(vonage.add_file())
    one, other = worker(days=2), worker(days=2)
    for _ in range(4):
        clock.move(DAY)
        for lists_of_worker in (one, other, one):
            lists_of_worker.start()
            clock.move(HALF_AN_HOUR)
    assert sorted(lists(desk)) == ["catalogue/2026-11-24.jsonl.gz", "catalogue/2026-11-25.jsonl.gz"]


def test_a_second_worker_leaves_the_list_to_the_first_one(desk, vonage, clock, worker):
    desk.archive(vonage.add_file())
    clock.move(DAY)
    first, second = worker(), worker()
    first.start()
    (path,) = (desk.folder / "catalogue").iterdir()
    path.unlink()
    second.start()
    assert lists(desk) == {}, "it was not its turn"
    clock.move(HALF_AN_HOUR)
    second.start()
    assert len(lists(desk)) == 1


def test_nothing_is_written_before_a_day_is_over_nor_where_it_is_turned_off(desk, vonage, clock, worker):
    desk.archive(vonage.add_file())
    worker().start()
    clock.move(DAY)
    worker(days=0).start()
    stopped = worker()
    stopped.stop()
    stopped.start()
    assert lists(desk) == {}


class Refusing(LocalStorage):
    """A folder that takes no list, with this error, and counts how often it was asked to."""

    error: Exception
    asked = 0

    def put(self, key, source, *, content_type, metadata):
        if key.startswith("catalogue/"):
            self.asked += 1
            raise self.error
        return super().put(key, source, content_type=content_type, metadata=metadata)


@pytest.mark.parametrize(("error", "times"), [(InvalidKey("no such keys"), 1), (StorageUnavailable("away"), 3)])
def test_a_store_that_takes_no_list_holds_up_no_other_and_is_asked_again_only_where_that_may_help(
    desk, vonage, clock, worker, tmp_path, caplog, error, times
):
    refusing = Refusing(tmp_path / "refusing")
    refusing.error = error
    desk.storages = {"file:///refusing": refusing} | desk.storages
    desk.archive(vonage.add_file())
    clock.move(DAY)
    lists_of_worker = worker()
    for _ in range(3):
        lists_of_worker.start()
        clock.move(HALF_AN_HOUR)
    assert len(lists(desk)) == 1
    assert refusing.asked == times
    assert "NIGHTLY_LIST_DAYS=0" in caplog.text


class Undeletable(LocalStorage):
    """A folder under a retention policy."""

    def delete(self, key):
        raise StoragePermissionError("kept until next year")


def test_old_lists_that_the_store_does_not_give_up_stay_and_new_ones_come(desk, vonage, clock, worker, caplog):
    desk.storage = Undeletable(desk.folder)
    desk.archive(vonage.add_file())
    lists_of_worker = worker(days=1)
    for _ in range(2):
        clock.move(DAY)
        lists_of_worker.start()
        lists_of_worker.start()
    assert len(lists(desk)) == 2
    assert caplog.text.count("kept until next year") == 1


def test_a_list_of_any_length_is_read_in_pieces_of_the_asked_size():
    objects = [{"n": number, "text": "ü" * (number % 100)} for number in range(20_000)]
    with LinesSource(iter(objects), lambda: False).open() as stream:
        pieces = []
        while piece := stream.read(5_000):
            pieces.append(piece)
    assert {len(piece) for piece in pieces[:-1]} == {5_000}
    assert [json.loads(line) for line in gzip.decompress(b"".join(pieces)).splitlines()] == objects


def test_a_process_that_ends_leaves_no_half_list():
    with LinesSource(iter([{}]), lambda: True).open() as stream, pytest.raises(SourceError):
        stream.read()
