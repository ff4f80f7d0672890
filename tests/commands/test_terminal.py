"""What strangers wrote does not steer the terminal of whoever looks at it: callers, signed events, plugins, stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recordings.catalogue.missing import MissingCalls
from recordings.model import Announcement, Call, CallEvent, Delivery

HOSTILE = "a\x1b]0;title\x07b\x9b31mc\rd\u202ee"

PLUGIN = f"""
import pluggy
hookimpl = pluggy.HookimplMarker("tapekeeper")

class Store:
    from_url = classmethod(lambda cls, url, env: cls())
    close = lambda self: None
    def put(self, key, source, *, content_type, metadata): raise RuntimeError({HOSTILE!r})
    def head(self, key): raise RuntimeError({HOSTILE!r})
    def check(self): raise RuntimeError({HOSTILE!r})
    def get(self, key, start=None, end=None): raise RuntimeError({HOSTILE!r})
    def list(self, prefix): raise RuntimeError({HOSTILE!r})
    def delete(self, key): raise RuntimeError({HOSTILE!r})
    def signed_url(self, key, expires_in): return None

@hookimpl
def register_storage_backends():
    return {{"hostile": Store}}
"""


@pytest.fixture
def deployment(deploy, tmp_path, vonage):
    """A storage, a broken plugin, a caller and a sender of deliveries, all of whom write what a terminal obeys."""
    (tmp_path / "plugins").mkdir(exist_ok=True)
    (tmp_path / "plugins" / "hostile.py").write_text(PLUGIN)
    (tmp_path / "plugins" / "broken.py").write_text(f"raise RuntimeError({HOSTILE!r})")
    deployment = deploy(STORAGE_URL="hostile://x", RECORDING_HOSTS=vonage.origin)
    wiring, now = deployment.wiring, datetime.now(UTC)
    application, file = wiring.settings.vonage_application_id, vonage.add_file()
    sent = Delivery("recordings", "POST", f"a={HOSTILE}", HOSTILE, HOSTILE.encode(), application, True)
    wiring.intake.accept(sent, [Announcement("r-1", "CON-1", file.url, file.size, now, now, now)])
    for conversation in ("CON-1", "CON-2"):
        call = Call(conversation, "leg", HOSTILE, HOSTILE, "voicemail", records=True)
        wiring.intake.note_call(call, application)
        for kind in ("answered", "completed"):
            wiring.intake.accept(sent, [CallEvent(kind, (conversation,), "leg")])
    later = now + timedelta(seconds=60)
    MissingCalls(wiring.database, grace=30, clock=lambda: later, tell=wiring.plugins.recording_missing).settle()
    deployment.work()
    return deployment


@pytest.mark.parametrize(
    "words",
    [
        ("recordings", "list"),
        ("recordings", "show", "r-1"),
        ("recordings", "verify"),
        ("recordings", "import", "hostile://x"),
        ("recordings", "copy", "--to", "hostile://x"),
        ("recordings", "missing"),
        ("deliveries", "list"),
        ("deliveries", "show", "1"),
        ("deliveries", "replay", "1"),
        ("plugins",),
        ("doctor",),
        ("contract", "hostile://x"),
        ("notify", "list"),
    ],
    ids=" ".join,
)
def test_nothing_that_a_stranger_wrote_steers_the_terminal(deployment, words):
    result = deployment.run(*words)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    shown = (result.stdout + result.stderr).replace("\n", "").replace("\t", "")
    assert {character for character in shown if not character.isprintable()} == set()
