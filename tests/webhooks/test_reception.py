"""Events that come at the same moment are committed together, each gets its own reply, and none waits too long."""

import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from recordings.catalogue.database import Database
from recordings.catalogue.intake import Intake
from recordings.errors import CatalogueUnavailable
from recordings.timeouts import REQUEST_SECONDS, Deadline
from webhooks.events import ACCEPTED, Reception, deadline_of
from webhooks.replies import Rejected


def status_of(reception, body, authorization):
    """The status of the reply to this event."""
    builder = EnvironBuilder(method="POST", data=body, headers={"Authorization": authorization})
    try:
        return reception.receive(Request(builder.get_environ()), "recordings").status_code
    except Rejected as rejected:
        return rejected.status
    except ZeroDivisionError:
        return "our fault"


def event(name):
    url = "https://api.nexmo.com/v1/files/1"
    return json.dumps({"recording_uuid": name, "conversation_uuid": "CON-1", "recording_url": url}).encode()


A, B, C, D = map(event, "abcd")


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
        names = [announcement.recording_uuid for _, (announcement,) in arrivals]
        if self.bad in names:
            raise ZeroDivisionError
        self.batches.append(names)
        return self._commit(arrivals)


class Callers:
    """Brings requests to a reception, each in a thread of its own; all but the first come while that one commits."""

    def __init__(self, house, signer, until):
        self.gate, self._signer, self._until = Gate(house.intake), signer, until
        self._reception = Reception(house.context)

    def bring(self, *bodies, forged=(), waiting=None):
        """The status of each reply. `waiting`: how many wait for the first one's commit, if not all the others."""
        with ThreadPoolExecutor(len(bodies)) as pool:
            jobs = [pool.submit(self._status, bodies[0], forged)]
            assert self.gate.entered.wait(10)
            jobs += [pool.submit(self._status, body, forged) for body in bodies[1:]]
            if not self.gate.opened.is_set():
                expected = len(bodies) - 1 if waiting is None else waiting
                self._until(lambda: self._reception.waiting == expected, "the others wait")
            self.gate.opened.set()
            return [job.result(10) for job in jobs]

    def _status(self, body, forged):
        return status_of(self._reception, body, "Bearer not.a.token" if body in forged else self._signer(body))


@pytest.fixture
def callers(house, signer, until):
    return Callers(house, signer, until)


def test_those_that_come_meanwhile_are_committed_together(house, callers):
    assert callers.bring(A, B, C, D) == [204] * 4
    assert [sorted(batch) for batch in callers.gate.batches] == [["a"], ["b", "c", "d"]]


def test_each_gets_its_own_reply_whatever_the_others_were(house, callers):
    assert callers.bring(A, B, C, b"no JSON", forged=[B], waiting=1) == [204, 401, 204, 400]
    assert callers.gate.batches == [["a"], ["c"]]
    assert [delivery.body for delivery, _ in house.intake.unreadable] == [b"no JSON"]


def test_a_database_that_is_away_makes_no_forgery_worth_another_try(house, callers):
    house.intake.broken = CatalogueUnavailable("gone")
    assert callers.bring(A, B, C, forged=[B], waiting=1) == [503, 401, 503]


def test_a_fault_of_ours_with_one_costs_no_other_its_event(house, callers):
    callers.gate.bad = "b"
    assert callers.bring(A, B, C) == [204, "our fault", 204]
    assert sorted(announcement.recording_uuid for announcement in house.events) == ["a", "c"]


def test_where_many_write_at_a_time_each_commits_by_itself(house, callers):
    house.intake.single_writer = False
    callers.gate.opened.set()
    assert callers.bring(A, B, C) == [204] * 3
    assert sorted(callers.gate.batches) == [["a"], ["b"], ["c"]]


@contextmanager
def locked(path):
    """The SQLite file, locked as by a writer of another process."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


@pytest.mark.parametrize("unreadable", [0, 3])
def test_every_reply_comes_within_the_deadline_while_another_process_holds_the_database(
    make_house, signer, tmp_path, unreadable
):
    """The database waits 4 s for the lock, the deadline is 1 s, and a writer of our own waits in the same queue."""
    database = Database(f"sqlite:///{tmp_path}/catalogue.db")
    database.migrate()
    reception = Reception(
        make_house(intake=Intake(database, ["file:///store"])).context, deadline=lambda request: Deadline(1)
    )
    bodies = [event(f"r{number}") for number in range(8 - unreadable)] + [b"no JSON"] * unreadable

    def reply(body):
        begun = time.monotonic()
        return status_of(reception, body, signer(body)), time.monotonic() - begun

    def heartbeat():
        with pytest.raises(CatalogueUnavailable), database.write(Deadline(3)):
            pass

    with closing(database), locked(tmp_path / "catalogue.db"), ThreadPoolExecutor(9) as pool:
        ours = pool.submit(heartbeat)
        replies = list(pool.map(reply, bodies))
        ours.result(10)
    assert [status for status, _ in replies] == [503] * 8
    assert max(seconds for _, seconds in replies) < 2


def test_the_deadline_begins_with_the_request_and_holds_for_all_that_it_waits_for(make_house, signer):
    made, used = [], []

    class Recorder:
        single_writer = False

        def accept_all(self, arrivals, deadline=None):
            used.append(deadline)
            raise CatalogueUnavailable("not now")

        def keep(self, delivery, problem, deadline=None):
            used.append(deadline)

        def note_call(self, call, application_id):
            raise NotImplementedError

    def deadline(request):
        made.append(Deadline())
        return made[-1]

    reception = Reception(make_house(intake=Recorder()).context, deadline=deadline)
    assert [status_of(reception, body, signer(body)) for body in (A, b"no JSON")] == [503, 400]
    assert used == made
    assert len(made) == 2


def test_the_deadline_counts_from_when_the_request_began_to_arrive():
    waited = Request(EnvironBuilder().get_environ() | {ACCEPTED: time.monotonic() - 3})
    assert REQUEST_SECONDS - 4 < deadline_of(waited).left() <= REQUEST_SECONDS - 3
    assert deadline_of(Request(EnvironBuilder().get_environ())).left() > REQUEST_SECONDS - 1


@pytest.mark.parametrize("route", ["recordings", "events", "transcriptions"])
def test_an_event_that_waited_too_long_for_its_turn_is_asked_for_again_at_once(house, signer, route):
    waited = {ACCEPTED: time.monotonic() - REQUEST_SECONDS}
    headers = {"Authorization": signer(A)}
    reply = house.client.post(f"/webhooks/{route}", data=A, headers=headers, environ_overrides=waited)
    assert (reply.status_code, house.intake.accepted) == (503, [])
