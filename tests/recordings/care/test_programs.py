"""Programs get each event signed, whole and at least once, whatever their server does meanwhile."""

from __future__ import annotations

import base64
import logging
import threading
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from recordings.care.programs import EventLoop, NotTaken, Program
from recordings.catalogue.leases import Leases
from recordings.catalogue.outgoing import OutgoingEvents, Progress
from tests.services.listener import listening

__all__ = ["listening"]

SECRET = "whsec_" + base64.b64encode(b"a" * 32).decode()
OLDER = "whsec_" + base64.b64encode(b"b" * 32).decode()


@pytest.fixture
def events(database, clock):
    return OutgoingEvents(database, clock=clock)


@pytest.fixture
def program(listening):
    """The program, with little patience."""
    with_secret = Program(f"{listening.url}/hook?key=in-the-address", [SECRET], timeouts=(1, 0.3), seconds=2)
    yield with_secret
    with_secret.close()


@pytest.fixture
def loop(events, program):
    return EventLoop(events, program, lambda attempts: 10.0 * 2 ** (attempts - 1), idle=0.01, first_pause=0.01)


@pytest.fixture
def fail_copy(database, clock, events, new_copy):
    """`fail_copy()`: a copy fails, and so there is an event; its number."""
    leases = Leases(database, clock=clock, events=events)

    def fail():
        leases.failed(leases.claim(new_copy()), "The file is gone.")
        return list(events.listing())[-1].id

    return fail


def state_of(events, number):
    return next(event for event in events.listing() if event.id == number)


def test_the_example_of_the_specification_is_signed_as_it_says():
    """https://github.com/standard-webhooks/standard-webhooks: the vector that all its libraries are tested with."""
    moment = datetime.fromtimestamp(1614265330, UTC)
    with_clock = Program("https://example.com", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], clock=lambda: moment)
    headers = with_clock.signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}')
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_event_arrives_signed_and_is_delivered(loop, listening, fail_copy, events):
    number = fail_copy()
    assert loop.send_next() is True
    assert loop.send_next() is None
    (request,) = listening.received
    content = Webhook(SECRET).verify(request.body, request.headers)
    event = state_of(events, number)
    assert request.headers["webhook-id"] == event.message_id
    assert (content["type"], request.body.decode()) == ("recording.failed", event.body)
    assert (event.state, event.answer) == (Progress.DELIVERED, "HTTP 204")


def test_a_changed_body_does_not_verify(program, listening):
    program.send("msg_1", '{"type": "webhook.test"}')
    (request,) = listening.received
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)


def test_during_a_rotation_each_of_the_secrets_verifies(listening):
    Program(listening.url, [SECRET, OLDER]).send("msg_1", "{}")
    (request,) = listening.received
    assert request.headers["webhook-signature"].count("v1,") == 2
    for secret in (SECRET, OLDER):
        assert Webhook(secret).verify(request.body, request.headers) == {}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (500, "HTTP 500"),
        (404, "HTTP 404"),
        ((302, {"Location": "http://127.0.0.1:1/elsewhere"}), "not followed"),
        ("hang", "could not be reached"),
    ],
)
def test_what_is_not_taken_is_sent_again_the_same_with_longer_and_longer_waits(
    loop, listening, fail_copy, events, clock, answer, words
):
    number = fail_copy()
    listening.answers = [answer, 503]
    assert loop.send_next() is False
    event = state_of(events, number)
    assert words in event.answer
    assert "in-the-address" not in event.answer
    assert (event.due_at - clock()).total_seconds() == 10
    clock.move(10)
    assert loop.send_next() is False
    assert (state_of(events, number).due_at - clock()).total_seconds() == 20
    clock.move(20)
    assert loop.send_next() is True
    assert len({(request.headers["webhook-id"], request.body) for request in listening.received}) == 1
    assert len(listening.received) == 3


def test_a_program_that_is_not_there_is_tried_again(fail_copy, events):
    loop = EventLoop(events, Program("http://127.0.0.1:1/x?key=hidden", [SECRET], timeouts=(1, 1)), lambda attempts: 10)
    number = fail_copy()
    assert loop.send_next() is False
    assert "127.0.0.1 could not be reached" in state_of(events, number).answer
    assert "hidden" not in state_of(events, number).answer


def test_an_answer_that_comes_drop_by_drop_ends_with_the_attempt(listening):
    listening.answers = ["hang"]
    with pytest.raises(NotTaken, match=r"longer than 0\.2 s"):
        Program(listening.url, [SECRET], timeouts=(1, 30), seconds=0.2).send("msg_1", "{}")


def test_the_wish_of_a_busy_program_is_kept(loop, listening, fail_copy, events, clock):
    number = fail_copy()
    listening.answers = [(429, {"Retry-After": "100"})]
    loop.send_next()
    assert (state_of(events, number).due_at - clock()).total_seconds() == 100


def test_an_absurd_wish_does_not_end_the_event(loop, listening, fail_copy, events, clock):
    number = fail_copy()
    listening.answers = [(503, {"Retry-After": "999999999"})]
    loop.send_next()
    assert (state_of(events, number).due_at - clock()).total_seconds() == 6 * 3600


def test_gone_ends_the_event_with_a_loud_line_and_a_replay_sends_it(loop, listening, fail_copy, events, caplog):
    number = fail_copy()
    listening.answers = [410]
    with caplog.at_level(logging.ERROR):
        assert loop.send_next() is False
    assert "flask notify replay --failed" in caplog.text
    assert state_of(events, number).state is Progress.FAILED
    events.replay(number)
    assert loop.send_next() is True


def test_an_event_that_is_refused_for_five_days_is_given_up(loop, listening, fail_copy, events, clock, caplog):
    number = fail_copy()
    listening.answers = [500] * 100
    with caplog.at_level(logging.ERROR):
        while state_of(events, number).state is Progress.PENDING:
            clock.now = state_of(events, number).due_at
            loop.send_next()
    assert "given up after 5 days" in caplog.text
    assert len(listening.received) == 16
    assert loop.send_next() is None


def test_the_loop_sends_until_it_is_told_to_stop(loop, listening, fail_copy, events, clock, until):
    for _ in range(3):
        fail_copy()
    listening.answers = [500]
    stopping = threading.Event()
    thread = threading.Thread(target=loop.run, args=(stopping,))
    thread.start()
    try:
        until(lambda: len(listening.received) == 3, "each event was tried")
        clock.move(10)
        until(lambda: len(listening.received) == 4, "the refused one is tried again")
    finally:
        stopping.set()
        thread.join(10)
    assert not thread.is_alive()
    assert {event.state for event in events.listing()} == {Progress.DELIVERED}


def test_no_log_line_holds_the_address_or_a_secret(loop, listening, fail_copy, caplog):
    fail_copy()
    listening.answers = [500]
    with caplog.at_level(logging.INFO):
        loop.send_next()
    assert "was not taken" in caplog.text
    assert "in-the-address" not in caplog.text
    assert SECRET.removeprefix("whsec_") not in caplog.text
