"""Group commit: one batch where threads come together, fairness where an item spoils it, and a deadline for each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from recordings.catalogue.group_commit import GroupCommit
from recordings.timeouts import Deadline


class Away(Exception):
    """The database is away."""


class Gate:
    """A commit that doubles numbers, stands still until it is opened, and notes its batches."""

    def __init__(self):
        self.batches, self.entered, self.opened = [], threading.Event(), threading.Event()

    def __call__(self, items, deadline):
        self.batches.append(list(items))
        self.entered.set()
        assert self.opened.wait(10)
        for item in items:
            if isinstance(item, BaseException):
                raise item
        return [2 * item for item in items]


@pytest.fixture
def gate():
    return Gate()


def do(group, item, seconds=30):
    return group.do(item, Deadline(seconds))


def run_behind(gate, group, items, until):
    """The results, or the errors, of one item that is being committed and of those that come meanwhile."""
    with ThreadPoolExecutor(len(items)) as pool:
        first = pool.submit(do, group, items[0])
        assert gate.entered.wait(10)
        rest = [pool.submit(do, group, item) for item in items[1:]]
        until(lambda: group.waiting == len(rest), "all wait")
        gate.opened.set()
        return [future.exception(10) or future.result() for future in (first, *rest)]


def test_an_item_that_comes_alone_is_committed_alone_and_at_once(gate):
    gate.opened.set()
    group = GroupCommit(gate, Away)
    assert [do(group, 1), do(group, 2)] == [2, 4]
    assert gate.batches == [[1], [2]]


def test_what_comes_during_a_commit_is_the_next_batch_and_each_item_has_its_own_result(gate, until):
    group = GroupCommit(gate, Away)
    assert run_behind(gate, group, [1, 2, 3, 4, 5], until) == [2, 4, 6, 8, 10]
    assert [gate.batches[0], sorted(gate.batches[1])] == [[1], [2, 3, 4, 5]]


def test_as_many_as_came_the_last_time_are_waited_for(gate, until):
    group = GroupCommit(gate, Away, wait=10)
    run_behind(gate, group, [1, 2, 3], until)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda item: do(group, item), [4, 5])) == [8, 10]
    assert [len(batch) for batch in gate.batches] == [1, 2, 2]


def test_an_item_whose_company_stays_away_is_committed_alone_and_the_next_one_at_once(gate, until):
    group = GroupCommit(gate, Away, wait=0.01)
    run_behind(gate, group, [1, 2, 3], until)
    assert [do(group, 4), do(group, 5)] == [8, 10]
    assert gate.batches[2:] == [[4], [5]]


def test_a_batch_has_an_upper_limit(gate, until):
    group = GroupCommit(gate, Away, most=2)
    assert run_behind(gate, group, [1, 2, 3, 4, 5, 6], until) == [2, 4, 6, 8, 10, 12]
    assert [len(batch) for batch in gate.batches] == [1, 2, 2, 1]


def test_no_item_fails_because_of_another_one(gate, until):
    spoilt = ValueError("spoilt")
    group = GroupCommit(gate, Away)
    assert run_behind(gate, group, [1, 2, spoilt, 4], until) == [2, 4, spoilt, 8]
    assert sorted(len(batch) for batch in gate.batches) == [1, 1, 1, 1, 3]


def test_a_database_that_is_away_is_asked_once_and_each_item_gets_an_error_of_its_own(gate, until):
    group = GroupCommit(gate, Away)
    results = run_behind(gate, group, [1, 2, Away("the database is away"), 4], until)
    assert results[0] == 2
    assert [str(error) for error in results[1:]] == ["the database is away"] * 3
    assert len({id(error) for error in results[1:]}) == 3
    assert len(gate.batches) == 2


def test_the_next_item_is_committed_after_an_error():
    group = GroupCommit(lambda items, deadline: [1 // item for item in items], Away)
    with pytest.raises(ZeroDivisionError):
        do(group, 0)
    assert do(group, 1) == 1


def test_a_thread_that_is_torn_out_of_the_commit_takes_no_other_thread_with_it(gate, until):
    group = GroupCommit(gate, Away)
    results = run_behind(gate, group, [KeyboardInterrupt(), 2], until)
    assert isinstance(results[0], KeyboardInterrupt)
    assert results[1] == 4


# --- The deadline -----------------------------------------------------------------------------------------------------


def test_a_thread_that_waits_goes_when_its_deadline_passes_and_its_item_is_not_committed(gate, until):
    group = GroupCommit(gate, Away)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(do, group, 1)
        assert gate.entered.wait(10)
        with pytest.raises(Away, match="time for this request"):
            do(group, 2, seconds=0.05)
        gate.opened.set()
        assert first.result(10) == 2
    assert do(group, 3) == 6
    assert gate.batches == [[1], [3]]


def test_the_thread_that_leads_is_the_one_whose_deadline_is_the_farthest(gate, until):
    deadlines = []

    def commit(items, deadline):
        deadlines.append(deadline.left())
        return gate(items, deadline)

    group = GroupCommit(commit, Away)
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(do, group, 1, 30)]
        assert gate.entered.wait(10)
        for waiting, seconds in ((1, 100), (2, 200)):
            futures.append(pool.submit(do, group, 2, seconds))
            until(lambda waiting=waiting: group.waiting == waiting, "it waits")
        gate.opened.set()
        assert [future.result(10) for future in futures] == [2, 4, 4]
    assert deadlines[1] > 150


class Breakable(Deadline):
    """A deadline that can pass at once."""

    passed = False

    def left(self):
        return 0.0 if self.passed else super().left()


def test_a_leader_whose_time_is_over_ends_only_its_own_item(gate, until):
    def commit(items, deadline):
        results = gate(items, deadline)
        if len(items) == 3:
            deadline.passed = True
            raise Away
        return results

    group = GroupCommit(commit, Away)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(do, group, 1)
        assert gate.entered.wait(10)
        others = [pool.submit(group.do, item, Breakable(30)) for item in (2, 3, 4)]
        until(lambda: group.waiting == 3, "all wait")
        gate.opened.set()
        outcomes = [future.exception(10) or future.result() for future in others]
    assert first.result() == 2
    assert sum(isinstance(outcome, Away) for outcome in outcomes) == 1
    assert all(
        isinstance(outcome, Away) or outcome == 2 * item for item, outcome in zip((2, 3, 4), outcomes, strict=True)
    )
    assert [len(batch) for batch in gate.batches] == [1, 3, 2]


def test_many_threads_get_their_own_results():
    sizes = []

    def commit(items, deadline):
        sizes.append(len(items))
        return [-item for item in items]

    group = GroupCommit(commit, Away)
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(lambda item: do(group, item), range(2000))) == [-number for number in range(2000)]
    assert sum(sizes) == 2000
