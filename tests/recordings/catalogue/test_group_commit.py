"""Several threads' work done at once: in one batch where they come together, and fairly where one of them spoils it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from recordings.catalogue.group_commit import GroupCommit


class Away(Exception):
    pass


class Gate:
    """Work that doubles numbers, stands still until it is opened, and notes its batches."""

    def __init__(self):
        self.batches, self.entered, self.opened = [], threading.Event(), threading.Event()

    def __call__(self, items):
        self.batches.append(list(items))
        self.entered.set()
        assert self.opened.wait(10)
        for item in items:
            if isinstance(item, Exception):
                raise item
        return [2 * item for item in items]


@pytest.fixture
def gate():
    return Gate()


def run_behind(gate, together, items, until):
    """The results, or the errors, of one item in work and of those that come while it is."""
    with ThreadPoolExecutor(len(items)) as pool:
        first = pool.submit(together.do, items[0])
        assert gate.entered.wait(10)
        others = [pool.submit(together.do, item) for item in items[1:]]
        until(lambda: len(together._waiting) == len(others), "all wait")
        gate.opened.set()
        return [future.exception(10) or future.result() for future in (first, *others)]


def test_who_comes_alone_is_served_alone_and_at_once(gate):
    gate.opened.set()
    together = GroupCommit(gate, Away)
    assert [together.do(1), together.do(2)] == [2, 4]
    assert gate.batches == [[1], [2]]


def test_all_that_come_while_one_is_served_are_the_next_batch_each_with_its_own_result(gate, until):
    together = GroupCommit(gate, Away)
    assert run_behind(gate, together, [1, 2, 3, 4, 5], until) == [2, 4, 6, 8, 10]
    assert [gate.batches[0], sorted(gate.batches[1])] == [[1], [2, 3, 4, 5]]


def test_where_several_came_they_and_one_more_are_waited_for(gate, until):
    together = GroupCommit(gate, Away, patience=10)
    run_behind(gate, together, [1, 2, 3], until)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(together.do, [4, 5, 6])) == [8, 10, 12]
    assert [len(batch) for batch in gate.batches] == [1, 2, 3]


def together_at_once(together, items):
    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(together.do, items))


def test_one_more_that_stayed_away_is_tried_again_only_after_a_while(gate, until, monkeypatch):
    together = GroupCommit(gate, Away, patience=3600)
    run_behind(gate, together, [1, 2, 3], until)
    with monkeypatch.context() as patch:  # a third is waited for in vain
        patch.setattr(together._gathered, "wait", lambda _: until(lambda: len(together._waiting) == 2, "two wait"))
        together_at_once(together, [4, 5])
    for _ in range(16):
        assert together_at_once(together, [6, 7]) == [12, 14]
    assert together_at_once(together, [8, 9, 10]) == [16, 18, 20]
    assert [len(batch) for batch in gate.batches] == [1, *[2] * 18, 3]


def test_who_waited_in_vain_is_served_alone_and_the_next_at_once(gate, until):
    together = GroupCommit(gate, Away, patience=0.01)
    run_behind(gate, together, [1, 2, 3], until)
    assert together.do(4) == 8
    together._patience = 3600
    assert together.do(5) == 10


def test_a_batch_has_an_upper_limit(gate, until):
    together = GroupCommit(gate, Away, most=2)
    assert run_behind(gate, together, [1, 2, 3, 4, 5, 6], until) == [2, 4, 6, 8, 10, 12]
    assert [len(batch) for batch in gate.batches] == [1, 2, 2, 1]


def test_nobody_suffers_for_anothers_error(gate, until):
    spoilt = ValueError("spoilt")
    together = GroupCommit(gate, Away)
    assert run_behind(gate, together, [1, 2, spoilt, 4], until) == [2, 4, spoilt, 8]
    assert sorted(len(batch) for batch in gate.batches) == [1, 1, 1, 1, 3]


def test_an_error_that_is_everybodys_is_not_tried_again_and_each_gets_its_own(gate, until):
    together = GroupCommit(gate, Away)
    results = run_behind(gate, together, [1, 2, Away("the database is away"), 4], until)
    assert results[0] == 2
    assert [str(error) for error in results[1:]] == ["the database is away"] * 3
    assert len({id(error) for error in results[1:]}) == 3
    assert len(gate.batches) == 2


def test_the_work_goes_on_after_an_error():
    together = GroupCommit(lambda items: [1 // item for item in items], Away)
    with pytest.raises(ZeroDivisionError):
        together.do(0)
    assert together.do(1) == 1


def test_a_thread_that_is_torn_out_of_the_work_takes_nobody_with_it():
    def torn(items):
        raise KeyboardInterrupt

    together = GroupCommit(torn, Away)
    with pytest.raises(KeyboardInterrupt):
        together.do(1)
    together._work = list
    assert together.do(7) == 7


def test_many_threads_get_their_own_results_and_few_transactions():
    sizes = []

    def work(items):
        sizes.append(len(items))
        return [-item for item in items]

    together = GroupCommit(work, Away)
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(together.do, range(2000))) == [-number for number in range(2000)]
    assert sum(sizes) == 2000


def test_who_is_torn_out_before_the_work_began_leaves_the_others_their_turn(gate, monkeypatch):
    gate.opened.set()
    together = GroupCommit(gate, Away)

    def interrupted(timeout):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(together._gathered, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            together.do(1)
    assert together.do(2) == 4
    assert gate.batches == [[2]]
