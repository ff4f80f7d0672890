"""Refused deliveries are handed on to be kept, in the background; a stored delivery can be read once more."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from recordings.background import BackgroundWriter
from recordings.catalogue.database import Database
from recordings.catalogue.inbox import Inbox, StoredDelivery
from recordings.catalogue.intake import Intake
from recordings.catalogue.quotas import Quota, Worth
from recordings.engine.supervisor import Supervisor
from recordings.errors import CatalogueUnavailable
from recordings.model import Delivery
from webhooks import FlowSettings, Verifier
from webhooks.payload import NotUnderstood
from webhooks.refused import RefusedDeliveries, paces
from webhooks.replay import Interpreter, StillRefused

RECORDING = (
    b'{"recording_uuid": "r", "conversation_uuid": "CON-1", "recording_url": "https://api.nexmo.com/v1/files/x"}'
)
NOW = 1_700_000_000
SECRET = "the right secret, found in the dashboard at last"
FLOWS = FlowSettings("https://tapes.example")


@pytest.fixture
def recording_house(make_house):
    """`recording_house()`: a house, and the list of what it handed on to be kept."""

    def make(**changes):
        handed_on = []
        return make_house(keep_refused=lambda *values: handed_on.append(values), **changes), handed_on

    return make


@pytest.mark.parametrize("route", ["recordings", "events", "transcriptions"])
def test_an_event_with_a_bad_signature_is_kept_with_its_token(recording_house, signer, route):
    house, handed_on = recording_house()
    token = signer(RECORDING, secret="another account's")
    assert house.post(route, RECORDING, headers={"Authorization": token}).status_code == 401
    assert house.context.refused.wait(10)
    ((delivery, its_token, problem, worth),) = handed_on
    assert (delivery.route, delivery.body, delivery.signed) == (route, RECORDING, False)
    assert (its_token, worth) == (token, Worth.RECORDING)
    assert "no configured signature secret" in problem


def test_an_unsigned_event_is_kept_too(recording_house):
    house, handed_on = recording_house()
    assert house.post("recordings?flow=call", RECORDING, signed=False).status_code == 503
    assert house.context.refused.wait(10)
    ((delivery, token, problem, worth),) = handed_on
    assert (delivery.query, token, worth) == ("flow=call", "", Worth.UNLIKELY)
    assert "A signature is required" in problem


@pytest.mark.parametrize("path", ["answer", "fallback"])
def test_a_refused_answer_is_not_an_event(recording_house, path):
    house, handed_on = recording_house()
    assert house.post(path, b"{}", signed=False).status_code == 503
    assert house.context.refused.wait(10)
    assert handed_on == []


def test_what_is_accepted_is_not_kept_twice(recording_house):
    house, handed_on = recording_house()
    assert house.post("recordings", RECORDING).status_code == 204
    assert house.context.refused.wait(10)
    assert handed_on == []


@pytest.mark.parametrize("error", [CatalogueUnavailable("no disk"), ZeroDivisionError()])
def test_a_catalogue_that_is_away_changes_no_reply(make_house, error, caplog):
    def fail(*values):
        raise error

    house = make_house(keep_refused=fail)
    assert house.post("recordings", RECORDING, signed=False).status_code == 503
    assert house.context.refused.wait(10)
    assert "a refused delivery is not kept" in caplog.text


def test_the_reply_does_not_wait_for_it(make_house):
    may_go = threading.Event()
    house = make_house(keep_refused=lambda *values: may_go.wait(30))
    try:
        for _ in range(60):  # more than may wait
            assert house.post("recordings", RECORDING, signed=False).status_code == 503
    finally:
        may_go.set()


def test_of_a_flood_only_some_is_kept(background_writer):
    ticks, written = [0.0], []
    writer = background_writer(lambda *values: written.append(values), loss="a refused delivery is not kept")
    refused = RefusedDeliveries(writer, paces(lambda: ticks[0]))
    delivery = Delivery("events", "POST", "", "", b"", "a")
    for _ in range(500):
        refused.add(delivery, "")
        assert refused.wait(10)
    assert len(written) == 20
    ticks[0] = 1.0
    assert [refused.add(delivery, "") and refused.wait(10) for _ in range(11)].count(True) == 10
    assert refused.add(replace(delivery, route="recordings"), ""), "a flood of one webhook is not another's"
    assert refused.add(delivery, "", Worth.LIKELY), "rubbish takes nothing away from what looks like Vonage's"


CALL = b'{"status": "ringing", "uuid": "u", "conversation_uuid": "CON-1"}'
OTHER_HEADER = {"alg": "HS512", "typ": "JWT"}


@pytest.mark.parametrize(
    ("body", "changes", "worth"),
    [
        (RECORDING, {}, Worth.RECORDING),
        (CALL, {}, Worth.LIKELY),
        (b"no JSON", {}, Worth.LIKELY),
        (RECORDING, {"payload_hash": "0" * 64}, Worth.UNLIKELY),
        (RECORDING, {"iss": "Somebody"}, Worth.UNLIKELY),
        (RECORDING, {"iat": NOW - 86400}, Worth.UNLIKELY),
        (RECORDING, {"header": OTHER_HEADER}, Worth.UNLIKELY),
        (RECORDING, {"without": ("jti",)}, Worth.UNLIKELY),
        (RECORDING + b" " * 10_000, {}, Worth.UNLIKELY),
    ],
)
def test_the_worth_is_judged_without_the_secret(recording_house, signer, body, changes, worth):
    house, handed_on = recording_house()
    token = signer(body, secret="one that nobody configured", **changes)
    assert house.post("events", body, headers={"Authorization": token}).status_code == 401
    assert house.context.refused.wait(10)
    assert [its_worth for *_, its_worth in handed_on] == [worth]


@pytest.mark.parametrize(
    "token", ["Bearer", "Bearer ", "Bearer a.b", "Bearer é.é.é", "Bearer W10.W10.W10", "Bearer " + "[" * 8000]
)
def test_a_token_that_cannot_be_read_is_unlikely(recording_house, token):
    house, handed_on = recording_house()
    assert house.post("events", CALL, headers={"Authorization": token}).status_code in (401, 503)
    assert house.context.refused.wait(10)
    assert [worth for *_, worth in handed_on] == [Worth.UNLIKELY]


def test_only_a_bearer_token_is_kept(recording_house):
    house, handed_on = recording_house()
    assert house.post("events", CALL, headers={"Authorization": "Basic dXNlcjpwYXNz"}).status_code == 503
    assert house.context.refused.wait(10)
    assert [token for _, token, *_ in handed_on] == [""]


def test_a_stranger_pushes_out_nothing_that_vonage_sent(make_house, signer, tmp_path):
    """The wrong secret is configured; 15 real events come, then a stranger's flood, then the right secret."""
    database = Database(f"sqlite:///{tmp_path}/catalogue.db")
    database.migrate()
    intake = Intake(database, ["file:///store"])
    few = {worth: Quota(rows, 10**6) for worth, rows in zip(Worth, (10, 20, 20), strict=True)}
    inbox = Inbox(database, intake, quotas=few, clock=lambda: datetime.fromtimestamp(NOW, UTC))
    ticks = [0.0]
    writer = BackgroundWriter("refused", inbox.keep_refused, Supervisor(pause=0.01).start, loss="not kept")
    house = make_house(refused=RefusedDeliveries(writer, paces(lambda: ticks[0])))
    with closing(database):
        for number in range(15):
            body = RECORDING.replace(b'"r"', b'"r-%d"' % number)
            token = signer(body, secret=SECRET)
            assert house.post("events", body, headers={"Authorization": token}).status_code == 401
        for _ in range(60):
            ticks[0] += 0.1
            assert house.post("events", b"x" * 65536, signed=False).status_code == 503
            assert house.context.refused.wait(10)
        mended = interpreter(SECRET)
        real = [stored for stored in inbox.listing(outcome="refused") if stored.body_size < 1000]
        assert [inbox.replay(stored.id, mended).accepted.outcome for stored in real] == ["new"] * 15


# --- Where unsigned webhooks are allowed ------------------------------------------------------------------------------


def test_unsigned_rubbish_is_kept_with_a_pace(recording_house):
    house, handed_on = recording_house(verifier=Verifier((), allow_unsigned=True))
    for _ in range(100):
        assert house.post("events", b"rubbish", signed=False).status_code == 400
    assert house.context.refused.wait(10)
    assert 0 < len(handed_on) < 100
    assert house.intake.unreadable == []
    delivery, token, problem, worth = handed_on[0]
    assert (delivery.body, token, worth) == (b"rubbish", "", Worth.UNLIKELY)
    assert "not understood" in problem


def test_an_unsigned_delivery_that_names_a_recording_or_a_call_is_never_dropped(recording_house):
    house, _ = recording_house(verifier=Verifier((), allow_unsigned=True))
    for _ in range(100):
        assert house.post("events", RECORDING, signed=False).status_code == 204
        assert house.post("events", CALL, signed=False).status_code == 204
    assert len(house.intake.accepted) == 200


def make_stored(signer, *, secret=SECRET, body=RECORDING, outcome="refused", at=NOW, token=None, **changes):
    sent = {"route": "recordings", "method": "POST", "query": "flow=split", "content_type": "", "body": body}
    delivery = Delivery(**sent | {"application_id": "ours", "signed": False} | changes)
    token = signer(body, secret=secret) if token is None else token
    return StoredDelivery(
        1, datetime.fromtimestamp(at, UTC), delivery, outcome, "Bad signature.", None, len(body), token=token
    )


def interpreter(*secrets, **more):
    # The clock of now says that the token is years old.
    return Interpreter(Verifier(secrets, clock=lambda: NOW + 86400 * 700, **more), FLOWS, "ours")


def test_a_mended_secret_takes_a_refused_delivery_in(signer):
    delivery, (event,) = interpreter("the wrong one", SECRET)(make_stored(signer))
    assert (event.recording_uuid, event.flow, event.channels) == ("r", "split", 2)
    assert (delivery.signed, delivery.application_id) == (True, "aaaaaaaa-bbbb-cccc-dddd-0123456789ab")
    assert delivery.jti


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "a forger's"},
        {"at": NOW + 3600},  # a token that was old when it came
        {"token": "Bearer a.b.c"},
    ],
)
def test_a_forgery_stays_out(signer, changes):
    with pytest.raises(StillRefused, match="still not valid"):
        interpreter(SECRET)(make_stored(signer, **changes))


def test_a_body_that_was_cut_proves_nothing(signer):
    stored = make_stored(signer)
    cut = replace(stored, delivery=replace(stored.delivery, body=RECORDING[:50]))
    with pytest.raises(StillRefused, match="payload hash"):
        interpreter(SECRET)(cut)


def test_an_unsigned_one_needs_the_operators_word(signer):
    stored = make_stored(signer, token="")
    with pytest.raises(StillRefused, match="ALLOW_UNSIGNED_WEBHOOKS=true"):
        interpreter(SECRET)(stored)
    delivery, (event,) = interpreter(SECRET, allow_unsigned=True)(stored)
    assert (delivery.signed, delivery.application_id, event.recording_uuid) == (False, "ours", "r")


@pytest.mark.parametrize("signed", [True, False])
def test_what_was_accepted_is_not_verified_again(signer, signed):
    stored = make_stored(signer, outcome="noted", token="", signed=signed, application_id="theirs")
    delivery, (event,) = interpreter(SECRET)(stored)
    assert (delivery, event.recording_uuid) == (stored.delivery, "r")


def test_what_cannot_be_understood_says_why(signer):
    stored = make_stored(signer, outcome="unreadable", body=json.dumps([1]).encode(), signed=True)
    with pytest.raises(NotUnderstood, match="no object"):
        interpreter(SECRET)(stored)
