"""`/metrics`, read as Prometheus reads it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, text, update

from recordings.catalogue.quotas import Worth
from recordings.catalogue.tables import calls
from recordings.model import Call, CallEvent, Delivery, State
from settings import SettingsError

TOKEN = "the-token-of-this-year"
OLD = "the-token-of-last-year"


@pytest.fixture
def scraped(deploy):
    """`scraped(deployment)`: {(name, labels): value}, as a scrape with the token gives it."""

    def scrape(deployment):
        reply = deployment.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert (reply.status_code, reply.mimetype) == (200, "text/plain")
        families = text_string_to_metric_families(reply.get_data(as_text=True))
        return {
            (one.name, *(one.labels[name] for name in ("storage", "state", "token") if name in one.labels)): one.value
            for family in families
            for one in family.samples
        }

    return scrape


def test_without_tokens_there_is_no_such_page(deploy):
    deployment = deploy()
    assert deployment.client.get("/metrics").status_code == 404
    assert deployment.client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}", "Bearer é"],
)
def test_without_one_of_the_tokens_nothing_is_told(deploy, header):
    client = deploy(API_TOKENS=f"{OLD} {TOKEN}").client
    reply = client.get("/metrics", headers={} if header is None else {"Authorization": header})
    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert "tapekeeper_" not in reply.get_data(as_text=True)


@pytest.mark.parametrize("token", [OLD, TOKEN])
def test_each_token_opens_it(deploy, token):
    client = deploy(API_TOKENS=f"{OLD}, {TOKEN}").client
    assert client.get("/metrics", headers={"Authorization": f"bearer {token}"}).status_code == 200


@pytest.mark.parametrize("accept", ["", "text/plain; version=x", "application/openmetrics-text; version=1.0.0", "é"])
def test_it_may_be_public_and_takes_whatever_the_scraper_accepts(deploy, accept):
    reply = deploy(METRICS_PUBLIC="true").client.get("/metrics", headers={"Accept": accept})
    assert reply.status_code == 200
    assert "tapekeeper_info{" in reply.get_data(as_text=True)


@pytest.mark.parametrize("tokens", ["short", f"{TOKEN} short", "é" * 20])
def test_a_token_that_can_be_guessed_stops_the_start(deploy, tokens):
    with pytest.raises(SettingsError, match="16 characters or more") as caught:
        deploy(API_TOKENS=tokens)
    assert caught.value.name == "API_TOKENS"
    assert tokens not in str(caught.value)


def test_an_empty_catalogue_has_every_line(deploy, scraped, tmp_path):
    told = scraped(deploy(API_TOKENS=TOKEN))
    storage = f"file://{tmp_path}/recordings"
    states = [state.value for state in State if state is not State.EMPTY]
    assert [told["tapekeeper_copies", storage, state] for state in states] == [0] * 6
    assert told["tapekeeper_recordings",] == told["tapekeeper_calls_missing",] == 0
    assert told["tapekeeper_oldest_overdue_seconds",] == told["tapekeeper_workers",] == 0
    assert told["tapekeeper_oldest_claim_seconds",] == 0
    assert [told["tapekeeper_last_refused_timestamp_seconds", token] for token in ("like_vonage", "other")] == [0, 0]


def test_what_is_stored_and_what_waits_is_counted_for_each_storage(deploy, scraped, vonage, tmp_path):
    urls = [f"file://{tmp_path}/a", f"file://{tmp_path}/b"]
    deployment = deploy(API_TOKENS=TOKEN, STORAGE_URL=" ".join(urls), RECORDING_HOSTS=vonage.origin)
    deployment.archive(vonage.add_file())
    _, copy_ids = deployment.announce(recording_url=vonage.add_file(faults=["404"]).url)
    deployment.look_at(copy_ids[0])
    told = scraped(deployment)
    assert told["tapekeeper_recordings",] == 2
    counted = {key[1:]: value for key, value in told.items() if key[0] == "tapekeeper_copies" and value}
    assert counted == {
        (urls[0], "stored"): 1,
        (urls[0], "waiting"): 1,
        (urls[1], "stored"): 1,
        (urls[1], "pending"): 1,
    }
    assert told["tapekeeper_copies_overdue",] == 1
    assert 0 <= told["tapekeeper_oldest_overdue_seconds",] < 60


def test_a_call_without_its_recording_is_counted_for_as_long_as_it_can_be_helped(deploy, scraped):
    deployment = deploy(API_TOKENS=TOKEN)
    intake, now = deployment.wiring.intake, datetime.now(UTC)
    intake.note_call(Call("CON-1", "leg", "1", "2", "voicemail", format="mp3", channels=1, records=True), "app")
    for kind in ("answered", "completed"):
        delivery = Delivery("events", "POST", "", "application/json", b"{}", "app", True)
        intake.accept(delivery, [CallEvent(kind, ("CON-1",), "leg")])
    with deployment.wiring.database.write() as connection:
        connection.execute(update(calls).values(answered_at=now - timedelta(days=2)))
    assert len(deployment.wiring.missing.settle()) == 1
    assert scraped(deployment)["tapekeeper_calls_missing",] == 1
    with deployment.wiring.database.write() as connection:
        connection.execute(update(calls).values(missing_at=now - timedelta(days=31)))
    assert scraped(deployment)["tapekeeper_calls_missing",] == 0


@pytest.mark.parametrize(("worth", "label"), [(Worth.LIKELY, "like_vonage"), (Worth.UNLIKELY, "other")])
def test_it_tells_when_a_webhook_was_last_turned_away_and_whether_a_stranger_knocked(deploy, scraped, worth, label):
    deployment = deploy(API_TOKENS=TOKEN)
    refused = Delivery("recordings", "POST", "", "application/json", b"{}")
    deployment.wiring.inbox.keep_refused(refused, "a.b.c", "bad signature", worth)
    name = "tapekeeper_last_refused_timestamp_seconds"
    told = scraped(deployment)[name, label]
    assert 0 <= datetime.now(UTC).timestamp() - told < 60
    (other,) = {"like_vonage", "other"} - {label}
    assert scraped(deployment)[name, other] == 0


def test_the_workers_that_live_are_counted(deploy, scraped):
    deployment = deploy(API_TOKENS=TOKEN)
    deployment.wiring.workers.sign()
    assert scraped(deployment)["tapekeeper_workers",] == 1


def test_it_tells_for_how_long_the_oldest_copy_has_been_in_work(deploy, scraped):
    deployment = deploy(API_TOKENS=TOKEN)
    _, (copy_id,) = deployment.announce()
    deployment.wiring.leases.claim(copy_id)
    assert 0 < scraped(deployment)["tapekeeper_oldest_claim_seconds",] < 60


def test_a_database_that_hangs_holds_at_most_two_scrapes_for_three_seconds(deploy, postgres_url):
    deployment = deploy(METRICS_PUBLIC="true", DATABASE_URL=postgres_url)
    assert deployment.client.get("/metrics").status_code == 200
    engine = create_engine(deployment.wiring.database.url)
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE recordings, copies, calls"))
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: deployment.app.test_client().get("/metrics"), range(8)))
        assert time.monotonic() - began < 5
    engine.dispose()
    assert {reply.status_code for reply in replies} == {503}
    assert sum("other scrapes" in reply.get_data(as_text=True) for reply in replies) == 6
    assert deployment.client.get("/metrics").status_code == 200


def test_a_database_that_is_away_is_said_and_logged_in_one_line_for_each_scrape(deploy, tmp_path, caplog):
    (tmp_path / "folder.db").mkdir()
    deployment = deploy(METRICS_PUBLIC="true", DATABASE_URL=f"sqlite:///{tmp_path}/folder.db")
    caplog.clear()
    for _ in range(2):
        reply = deployment.client.get("/metrics")
        assert reply.status_code == 503
        assert "DATABASE_URL" in reply.get_data(as_text=True)
    lines = [record.getMessage() for record in caplog.records if record.name == "console.metrics"]
    assert [
        line.startswith("/metrics cannot be answered. The database cannot be used right now: ") for line in lines
    ] == [
        True,
        True,
    ]
    assert "Traceback" not in caplog.text
