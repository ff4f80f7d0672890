"""One storage that hangs holds up no other."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from backends.local.storage import LocalStorage
from recordings.archive.limits import StorageLimits

SLOW = "file:///slow"


class Hanging(LocalStorage):
    """A store whose `put` waits until it is let go, as one does whose server hangs."""

    def __init__(self, root):
        super().__init__(root)
        self.waiting = threading.Semaphore(0)
        self.go = threading.Event()

    def put(self, key, source, *, content_type, metadata):
        self.waiting.release()
        assert self.go.wait(30)
        return super().put(key, source, content_type=content_type, metadata=metadata)


@pytest.mark.parametrize(
    ("storages", "threads", "width"), [(["a"], 8, 8), (["a", "b"], 8, 6), (["a", "b"], 1, 1), (["a", "b"], 2, 1)]
)
def test_a_storage_gets_its_share_of_the_threads_and_no_more(storages, threads, width):
    limits = StorageLimits(storages, threads)
    entered = [limits.enter("a") for _ in range(width + 1)]
    assert [place.__enter__() for place in entered] == [True] * width + [False]
    for place in entered:
        place.__exit__(None, None, None)
    with limits.enter("a") as room, limits.enter("a storage that was taken away") as free:
        assert (room, free) == (True, True)


def test_a_storage_is_full_while_no_thread_more_may_work_for_it():
    limits = StorageLimits(["a", "b"], 3)
    assert limits.full() == frozenset()
    with limits.enter("a"):
        assert limits.full() == frozenset()
        with limits.enter("a"):
            assert limits.full() == {"a"}
            with limits.enter("a") as room:
                assert not room
            assert limits.full() == {"a"}, "a thread that got no place gives none back"
        assert limits.full() == frozenset()


def test_while_one_store_hangs_the_other_gets_its_copies(desk, vonage, tmp_path, row_of):
    hanging = Hanging(tmp_path / "slow")
    desk.storages[SLOW] = hanging
    desk.retrieval = dataclasses.replace(desk.retrieval, limits=StorageLimits(list(desk.storages), 3))
    announced = [desk.announce(vonage.add_file()) for _ in range(3)]
    slow = [copy_ids[1] for _, copy_ids in announced]
    threads = [threading.Thread(target=desk.run, args=([copy_id],)) for copy_id in slow[:2]]
    for thread in threads:
        thread.start()
    assert hanging.waiting.acquire(timeout=10)
    assert hanging.waiting.acquire(timeout=10)
    desk.run([slow[2]])  # finds no room, and does not wait
    assert (row_of(slow[2])["state"], row_of(slow[2])["attempts"]) == ("pending", 0)
    desk.run([copy_ids[0] for _, copy_ids in announced])
    assert [row_of(copy_ids[0])["state"] for _, copy_ids in announced] == ["stored"] * 3
    hanging.go.set()
    for thread in threads:
        thread.join(10)
    desk.clock.move(5)
    desk.run(desk.due_ids())
    assert [row_of(copy_id)["state"] for copy_id in slow] == ["stored"] * 3
