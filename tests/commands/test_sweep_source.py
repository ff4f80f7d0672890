"""`flask recordings sweep-source` is off by default, lists only, and takes one file in when told to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recordings.model import Call, CallEvent, Delivery


@pytest.fixture
def deployment(deploy, vonage):
    return deploy(RECORDING_HOSTS=vonage.origin, EXPERIMENTAL_MEDIA_API="true", MISSING_GRACE_SECONDS="30")


@pytest.fixture
def lost(deployment, vonage):
    """A call whose recording was made and never announced: its file."""
    wiring = deployment.wiring
    wiring.intake._clock = lambda: datetime.fromtimestamp(datetime.now(UTC).timestamp() - 60, UTC)
    wiring.intake.note_call(Call("CON-9", "leg", "1", "2", "voicemail", channels=1, records=True), "a")
    for kind in ("answered", "completed"):
        delivery = Delivery("events", "POST", "", "", b"{}", "a", True)
        wiring.intake.accept(delivery, [CallEvent(kind, ("CON-9",), "leg")])
    assert len(wiring.missing.settle()) == 1
    return vonage.add_file()


def test_it_is_off_unless_switched_on(deploy, vonage):
    done = deploy(RECORDING_HOSTS=vonage.origin).run("recordings", "sweep-source", "--url", vonage.origin)
    assert done.exit_code == 1
    assert "EXPERIMENTAL_MEDIA_API=true" in done.stderr


def test_its_help_says_what_is_unproven(deployment):
    shown = " ".join(deployment.run("recordings", "sweep-source", "--help").stdout.split())
    assert "EXPERIMENTAL" in shown
    assert "Unproven, all of it" in shown
    assert "An empty list proves nothing" in shown


def test_it_lists_what_could_be_missing_and_takes_nothing_by_itself(deployment, lost, vonage):
    (found,) = deployment.objects("recordings", "sweep-source", "--url", vonage.origin)
    assert (found["id"], found["known"], found["fits"]) == (lost.id, False, ["CON-9"])
    assert deployment.objects("recordings", "list") == []
    assert "CON-9" in deployment.run("recordings", "sweep-source", "--url", vonage.origin).stdout


def test_one_file_is_taken_in_when_told_to(deployment, lost, vonage):
    words = ["recordings", "sweep-source", "--url", vonage.origin]
    (taken,) = deployment.objects(*words, "--take", lost.id, "--conversation", "CON-9")
    assert taken == {"recording_uuid": lost.id, "outcome": "new"}
    (recording,) = deployment.objects("recordings", "list")
    assert (recording["origin"], recording["flow"], recording["state"]) == ("media", "voicemail", "pending")
    assert deployment.objects("recordings", "missing") == []
    (found,) = deployment.objects(*words)
    assert (found["known"], found["fits"]) == (True, [])


@pytest.mark.parametrize("words", [["--take", "x"], ["--conversation", "CON-1"], ["--since", "never"]])
def test_a_wrong_use_is_exit_2(deployment, words):
    assert deployment.run("recordings", "sweep-source", *words).exit_code == 2


def test_a_host_that_is_not_allowed_is_not_asked(deployment, vonage):
    done = deployment.run("recordings", "sweep-source", "--url", vonage.stranger_origin)
    assert done.exit_code == 1
    assert "RECORDING_HOSTS" in done.stderr
    assert vonage.stranger_visits == []
