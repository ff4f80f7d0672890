"""Events that come at the same moment are taken in together, and each gets its own reply."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from recordings.errors import CatalogueUnavailable
from webhooks.events import Reception
from webhooks.replies import Refusal


class Gate:
    """Holds the first to commit until the others have come; `batches` are what was committed together.

    `bad` names a recording that no transaction survives.
    """

    def __init__(self, intake):
        self.batches, self.entered, self.opened, self.bad = [], threading.Event(), threading.Event(), None
        self._commit, intake.accept_all = intake.accept_all, self

    def __call__(self, arrivals, deadline=None):
        self.entered.set()
        assert self.opened.wait(10)
        names = [told.recording_uuid for _, (told,) in arrivals]
        if self.bad in names:
            raise ZeroDivisionError
        self.batches.append(names)
        return self._commit(arrivals)


class Callers:
    """Brings requests to a reception, each in a thread of its own; all but the first come while that one is served."""

    def __init__(self, house, signer, until):
        self.gate, self._signer, self._until = Gate(house.intake), signer, until
        self._reception = Reception(house.door)

    def bring(self, *bodies, forged=()):
        """The status of each reply."""
        with ThreadPoolExecutor(len(bodies)) as pool:
            jobs = [pool.submit(self._one, bodies[0], forged)]
            assert self.gate.entered.wait(10)
            jobs += [pool.submit(self._one, body, forged) for body in bodies[1:]]
            if not self.gate.opened.is_set():
                self._until(lambda: self._reception._together.waiting == len(bodies) - 1, "the others wait")
            self.gate.opened.set()
            return [job.result(10) for job in jobs]

    def _one(self, body, forged):
        headers = {"Authorization": "Bearer not.a.token" if body in forged else self._signer(body)}
        builder = EnvironBuilder(method="POST", data=body, headers=headers, content_type="application/json")
        try:
            return self._reception.receive(Request(builder.get_environ()), "recordings").status_code
        except Refusal as refusal:
            return refusal.status
        except ZeroDivisionError:
            return "our fault"


def event(name):
    url = "https://api.nexmo.com/v1/files/1"
    return json.dumps({"recording_uuid": name, "conversation_uuid": "CON-1", "recording_url": url}).encode()


A, B, C, D = map(event, "abcd")


@pytest.fixture
def callers(house, signer, until):
    return Callers(house, signer, until)


def test_those_that_come_meanwhile_are_committed_together(house, callers):
    assert callers.bring(A, B, C, D) == [204] * 4
    assert [sorted(batch) for batch in callers.gate.batches] == [["a"], ["b", "c", "d"]]


def test_each_gets_its_own_reply_whatever_the_others_were(house, callers):
    assert callers.bring(A, B, C, b"no JSON", forged=[B]) == [204, 401, 204, 400]
    assert callers.gate.batches == [["a"], ["c"]]
    assert [delivery.body for delivery, _ in house.intake.kept] == [b"no JSON"]


def test_a_database_that_is_away_makes_no_forgery_worth_another_try(house, callers):
    house.intake.broken = CatalogueUnavailable("gone")
    assert callers.bring(A, B, C, forged=[B]) == [503, 401, 503]


def test_a_fault_of_ours_with_one_costs_no_other_its_event(house, callers):
    callers.gate.bad = "b"
    assert callers.bring(A, B, C) == [204, "our fault", 204]
    assert sorted(told.recording_uuid for told in house.events) == ["a", "c"]


def test_where_writers_need_not_take_turns_each_commits_by_itself(house, callers):
    house.intake.gathers = False
    callers.gate.opened.set()
    assert callers.bring(A, B, C) == [204] * 3
    assert sorted(callers.gate.batches) == [["a"], ["b"], ["c"]]
