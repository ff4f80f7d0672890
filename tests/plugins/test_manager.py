"""Each plugin stands and falls by itself, and the message about a fallen one says what to mend."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

import pytest

from plugins.contained import BrokeOff
from plugins.manager import PluginError, PluginInfo, Plugins, load_plugins
from recordings.errors import StorageConfigurationError
from recordings.model import Call, Copy, Recording, State

WHEN = datetime(2026, 11, 22, tzinfo=UTC)
RECORDING = Recording("app", "uuid-1", "CON-1", "https://x", State.PENDING, 1, WHEN, WHEN, WHEN)
COPY = Copy("file", "k", State.STORED, 1, None, None, 1, None, WHEN)
MARKER = 'import pluggy\nhookimpl = pluggy.HookimplMarker("tapekeeper")\n'
GOOD = MARKER + '@hookimpl\ndef object_key(recording):\n    return "good/" + recording.recording_uuid\n'
STORAGE = """
@hookimpl
def register_storage_backends():
    return {{{scheme!r}: Storage}}

class Storage:
    def __init__(self): pass
    @classmethod
    def from_url(cls, url, env):
        if "wrong" in url:
            raise ValueError("no such bucket")
        return cls()
    put = head = get = delete = list = signed_url = check = close = lambda self: None
"""
EXITS = "import sys; sys.exit('config missing')"
CANCELS = "import asyncio; raise asyncio.CancelledError"  # one of the errors that are no `Exception`

Load = Callable[..., Plugins]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load drop-ins given as name=code."""

    def load(*, builtins: tuple[str, ...] = (), disabled: tuple[str, ...] = (), **files: str) -> Plugins:
        for name, code in files.items():
            (tmp_path / f"{name}.py").write_text(code)
        return load_plugins(builtins, plugins_dir=tmp_path, disabled=disabled, entry_points=[])

    return load


def about(plugins: Plugins, name: str) -> PluginInfo:
    return next(info for info in plugins.report() if info.name == name)


def test_a_drop_in_is_loaded_and_reported(load: Load, tmp_path: Path) -> None:
    plugins = load(good=GOOD, _ignored="1/0")
    assert plugins.report() == [
        PluginInfo("good", None, "drop-in", str(tmp_path / "good.py"), ("object_key",), (), "active", None)
    ]
    assert plugins.object_key(RECORDING) == "good/uuid-1"


def test_the_built_in_local_storage_comes_through_the_same_hook(load: Load, tmp_path: Path) -> None:
    plugins = load(builtins=("backends.local",))
    assert plugins.schemes == {"file": "local"}
    assert about(plugins, "local").schemes == ("file",)
    assert repr(plugins.backend(f"file://{tmp_path}", {})) == f"LocalStorage({str(tmp_path)!r})"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def broken(:", "SyntaxError"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        (MARKER + "@hookimpl\ndef recording_storred(recording): pass", "did you mean recording_stored?"),
        (MARKER + "@hookimpl\ndef something_else(): pass", "the hooks are register_storage_backends, object_key"),
        (MARKER + "@hookimpl\ndef recording_stored(record): pass", "record"),
        (MARKER + "@hookimpl(wrapper=True)\ndef object_key(recording):\n    return (yield)", "plain hooks only"),
        (MARKER.replace("tapekeeper", "tapkeeper") + "@hookimpl\ndef object_key(recording): pass", '"tapkeeper"'),
        ("import pluggy", "implements no hook"),
        (MARKER + "@hookimpl\ndef register_storage_backends(): return None", "give a dictionary"),
        (MARKER + "@hookimpl\ndef register_storage_backends(): return {'S3': 'a:B'}", "'S3'"),
        (MARKER + "@hookimpl\ndef register_storage_backends(): return {'s3': 'no colon'}", '"module:Class"'),
        (MARKER + "@hookimpl\ndef register_storage_backends(): return 1 / 0", "ZeroDivisionError"),
        (MARKER + "@hookimpl\ndef register_storage_backends(): raise SystemExit(3)", "SystemExit: 3"),
        ("import asyncio\nraise asyncio.CancelledError", "CancelledError"),
    ],
)
def test_a_broken_plugin_is_named_and_left_out(
    load: Load, code: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    plugins = load(bad=code, good=GOOD)
    bad = about(plugins, "bad")
    assert (bad.state, bad.schemes) == ("broken", ())
    assert message in bad.problem
    assert "'bad'" in caplog.text
    assert plugins.object_key(RECORDING) == "good/uuid-1"


def test_a_plugin_with_one_wrong_hook_is_out_altogether(load: Load) -> None:
    plugins = load(half=GOOD + "\n@hookimpl\ndef recording_stored(recording, kopy): pass\n")
    assert about(plugins, "half").state == "broken"
    assert plugins.object_key(RECORDING) is None


def test_dataclasses_with_postponed_annotations_work_in_a_drop_in(load: Load) -> None:
    code = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
    code += GOOD + "\n@dataclass\nclass Setting:\n    known: ClassVar[int] = 1\n    name: str = ''\n"
    assert about(load(modern=code), "modern").problem is None


def test_a_disabled_plugin_is_not_even_imported(load: Load) -> None:
    plugins = load(disabled=("bad", "local"), builtins=("backends.local",), bad="1/0", good=GOOD)
    assert [(info.name, info.state, info.problem) for info in plugins.report()] == [
        ("local", "disabled", None),
        ("bad", "disabled", None),
        ("good", "active", None),
    ]
    with pytest.raises(PluginError, match="'local' is disabled: does PLUGINS_DISABLED"):
        plugins.backend("file:///x", {})


def test_a_name_that_disables_nothing_is_reported(load: Load) -> None:
    info = about(load(disabled=("goood",), good=GOOD), "goood")
    assert info.state == "unknown"
    assert "the names are good" in info.problem


def test_a_name_given_twice_stays_with_the_first(load: Load) -> None:
    plugins = load(builtins=("backends.local",), local=GOOD)
    first, second = plugins.report()
    assert (first.state, second.state) == ("active", "broken")
    assert "taken by 'local' (built-in backends.local)" in second.problem


def test_a_scheme_given_twice_stops_the_start_and_names_both(load: Load) -> None:
    with pytest.raises(PluginError) as caught:
        load(builtins=("backends.local",), mine=MARKER + STORAGE.format(scheme="file"))
    assert "'local' (built-in backends.local) and 'mine' (drop-in" in str(caught.value)
    assert "PLUGINS_DISABLED=mine" in str(caught.value)
    assert isinstance(caught.value, StorageConfigurationError)


def test_an_unknown_scheme_names_what_is_known_and_what_is_broken(load: Load) -> None:
    plugins = load(builtins=("backends.local",), s3="import no_such_sdk")
    with pytest.raises(PluginError) as caught:
        plugins.backend("s3://secret:token@bucket", {})
    message = str(caught.value)
    for part in ("s3://", "Known: file://", "'s3' (drop-in", "No module named 'no_such_sdk'"):
        assert part in message
    assert "token" not in message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:Storage", "No module named 'no_such_module'"),
        ("json:Storage", "has no attribute 'Storage'"),
        ("json:JSONDecoder", "has no from_url, put, head"),
    ],
)
def test_a_backend_that_cannot_be_had_says_why_only_when_it_is_wanted(load: Load, target: str, message: str) -> None:
    code = MARKER + f"@hookimpl\ndef register_storage_backends(): return {{'lazy': {target!r}}}"
    plugins = load(lazy=code)
    assert plugins.schemes == {"lazy": "lazy"}
    with pytest.raises(PluginError, match="plugin 'lazy' \\(drop-in") as caught:
        plugins.backend("lazy://x", {})
    assert message in str(caught.value)
    assert caught.value.blocked


def test_a_strangers_own_complaint_about_its_url_names_the_plugin(load: Load) -> None:
    plugins = load(mine=MARKER + STORAGE.format(scheme="mine"))
    assert type(plugins.backend("MINE://right", {}, contained=False)).__name__ == "Storage"
    with pytest.raises(
        PluginError, match=r"plugin 'mine' .* does not take the mine:// URL: ValueError: no such bucket"
    ):
        plugins.backend("mine://wrong", {})


@pytest.mark.parametrize("does", [EXITS, CANCELS])
def test_a_backend_whose_from_url_exits_is_a_wrong_setting(load: Load, does: str) -> None:
    code = MARKER + STORAGE.format(scheme="mine").replace('raise ValueError("no such bucket")', does)
    with pytest.raises(PluginError, match=r"plugin 'mine' .* does not take the mine:// URL: "):
        load(mine=code).backend("mine://wrong", {})


METHODS = {
    "put": lambda backend: backend.put("k", None, content_type="audio/mpeg", metadata={}),
    "head": lambda backend: backend.head("k"),
    "get": lambda backend: list(backend.get("k")),
    "delete": lambda backend: backend.delete("k"),
    "list": lambda backend: list(backend.list()),
    "signed_url": lambda backend: backend.signed_url("k", 60),
    "check": lambda backend: backend.check(),
    "close": lambda backend: backend.close(),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("does", "told"), [(EXITS, "SystemExit: config missing"), (CANCELS, "CancelledError")])
def test_a_backend_that_exits_ends_only_its_own_call_and_is_named(
    load: Load, method: str, does: str, told: str
) -> None:
    code = STORAGE.replace("put = head = get = delete = list = signed_url = check = close = lambda self: None", "")
    methods = "".join(f"    def {name}(self, *_, **__): {does}\n" for name in METHODS)
    backend = load(mine=MARKER + code.format(scheme="mine") + methods).backend("mine://x", {})
    with pytest.raises(BrokeOff, match=rf"The plugin 'mine' \(drop-in .*\) broke off in {method}: {told}") as caught:
        METHODS[method](backend)
    assert caught.value.retryable


def test_a_backends_other_errors_and_its_own_attributes_come_through_unchanged(load: Load) -> None:
    code = STORAGE.format(scheme="mine") + "    limit = 7\n    def head(self, key): raise FileNotFoundError(key)\n"
    backend = load(mine=MARKER + code).backend("mine://x", {})
    assert backend.limit == 7
    with pytest.raises(FileNotFoundError):
        backend.head("k")


def test_a_keyboard_interrupt_stays_what_it_is(load: Load) -> None:
    plugins = load(mine=MARKER + "@hookimpl\ndef object_key(recording): raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        plugins.object_key(RECORDING)


HOOKS = """
@hookimpl
def object_key(recording): {does}
@hookimpl
def answer_call(call): {does}
@hookimpl
def recording_stored(recording): {does}
@hookimpl
def recording_failed(error, will_retry): {does}
@hookimpl
def recording_missing(call): {does}
"""


@pytest.mark.parametrize("does", ["1 / 0", "return 7", EXITS, CANCELS])
def test_the_error_of_one_keeps_no_other_from_being_asked(
    load: Load, does: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = MARKER + HOOKS.format(does=does)
    good = MARKER + HOOKS.format(does="import sys; sys.heard.append(1); return sys.answers.pop(0)")
    sys.heard, sys.answers = [], ["key", [{"action": "talk"}], None, None, None]
    plugins = load(a_bad=bad, b_good=good, c_bad=bad)
    assert plugins.object_key(RECORDING) == "key"
    assert plugins.answer_call(Call(None, None, None, None, "call")) == [{"action": "talk"}]
    plugins.recording_stored(RECORDING, COPY)
    plugins.recording_failed(RECORDING, COPY, ValueError("x"), True)
    plugins.recording_missing(Call(None, None, None, None, "call"))
    assert len(sys.heard) == 5
    assert "'c_bad'" in caplog.text
    del sys.heard, sys.answers


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path with a distribution in it, as pip leaves one."""
    (tmp_path / "far_storage.py").write_text(MARKER + STORAGE.format(scheme="far"))
    info = tmp_path / "tapekeeper_far-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tapekeeper-far\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text("[tapekeeper]\nfar = far_storage\nlost = far_storage_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("far_storage", None)


def test_an_installed_package_joins_by_its_entry_point(installed: Path) -> None:
    plugins = load_plugins([])
    far, lost = about(plugins, "far"), about(plugins, "lost")
    assert far == PluginInfo(
        "far", "2.1", "package", "tapekeeper-far 2.1", ("register_storage_backends",), ("far",), "active", None
    )
    assert lost.state == "broken"
    assert "far_storage_missing" in lost.problem


def test_one_module_under_two_entry_points_is_reported(installed: Path) -> None:
    (installed / "tapekeeper_far-2.1.dist-info/entry_points.txt").write_text(
        "[tapekeeper]\na = far_storage\nb = far_storage\n"
    )
    distribution = next(d for d in distributions(path=[str(installed)]) if d.name == "tapekeeper-far")
    plugins = load_plugins([], entry_points=list(distribution.entry_points))
    assert [info.state for info in plugins.report()] == ["active", "broken"]


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    plugins = load_plugins([], plugins_dir=tmp_path / "nowhere", entry_points=[])
    assert plugins.report()[0].state == "broken"
    assert "PLUGINS_DIR" in plugins.report()[0].problem
