"""The examples in docs/plugins.md run, and do what the page says."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plugins.contract import CHECKS, Check, Target
from plugins.manager import Plugins, load_plugins
from recordings.keys import check_key
from recordings.model import Call, Copy, Recording, State

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"
WHEN = datetime(2026, 11, 22, tzinfo=UTC)
RECORDING = Recording("app", "uuid-1", "CON-1", "https://x", State.PENDING, 1, WHEN, WHEN, WHEN, to="447700900001")
COPY = Copy("file", "k", State.STORED, 1, None, None, 1, None, WHEN)


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Plugins:
    folder = tmp_path_factory.mktemp("dropin")
    for name, code in re.findall(r"```python\n# plugins/dropin/(\w+)\.py\n(.*?)```", PAGE.read_text(), re.DOTALL):
        (folder / f"{name}.py").write_text(code)
    return load_plugins([], plugins_dir=folder, entry_points=[])


def test_every_example_is_active(plugins: Plugins) -> None:
    assert {info.name: (info.state, info.problem) for info in plugins.report()} == {
        "house_rules": ("active", None),
        "memory": ("active", None),
    }


def test_the_examples_implement_every_hook(plugins: Plugins) -> None:
    hooks = {hook for info in plugins.report() for hook in info.hooks}
    assert hooks == {
        "register_storage_backends",
        "object_key",
        "recording_stored",
        "recording_failed",
        "recording_missing",
        "answer_call",
    }


def test_the_hooks_do_what_the_page_says(plugins: Plugins, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    key = plugins.object_key(RECORDING)
    assert key == "support/2026/11/uuid-1"
    check_key(key)
    assert plugins.object_key(replace(RECORDING, to=None)) is None
    blocked = Call("CON-1", "u", "447700900666", "1", "voicemail")
    assert plugins.answer_call(blocked)[0]["action"] == "talk"
    assert plugins.answer_call(replace(blocked, from_="1")) is None
    plugins.recording_stored(RECORDING, COPY)
    plugins.recording_failed(RECORDING, COPY, ValueError("gone"), will_retry=False)
    plugins.recording_missing(replace(blocked, params={"completed_at": "noon"}))
    assert caplog.messages == [
        "uuid-1 is stored as k in file: 1 bytes",
        "uuid-1 is lost unless somebody helps: gone",
        "No recording of CON-1, a call to 1 that ended at noon",
    ]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_memory_backend_keeps_its_promises(check: Check, plugins: Plugins) -> None:
    unfit = {"memory_stays_bounded": "it is memory", "killed_writer_leaves_no_trace": "it ends with its process"}
    target = Target(plugins.backend("memory://demo", {}, contained=False), spawn_url="memory://demo", skip=unfit)
    verdict = target.try_out(check)
    assert verdict.passed, verdict.detail
