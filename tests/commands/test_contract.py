"""`flask contract URL` tries the live store, shows each promise as it is tried, and leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugins.contract import CHECKS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"


@pytest.fixture
def deployment(deploy):
    return deploy()


@pytest.fixture
def memory(tmp_path):
    """`memory(text, other)`: the memory storage of docs/plugins.md as a drop-in, with a fault put into it."""
    (code,) = re.findall(r"```python\n# plugins/dropin/memory\.py\n(.*?)```", PAGE.read_text(), re.DOTALL)

    def write(right="", wrong=""):
        assert right in code
        (tmp_path / "plugins").mkdir(exist_ok=True)
        (tmp_path / "plugins" / "memory.py").write_text(code.replace(right, wrong) if right else code)

    return write


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_each_promise_is_shown_as_it_is_tried_and_nothing_stays(deployment, tmp_path):
    done = deployment.run("contract", f"file://{tmp_path}/store")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    for number, check in enumerate(CHECKS):
        assert lines[2 * number] == f"{check.name}: {check.promise}"
        assert re.fullmatch(r"    kept, in \d+\.\d s", lines[2 * number + 1])
    assert lines[-1] == f"{len(CHECKS)} of {len(CHECKS)} promises kept."
    assert files(tmp_path / "store") == []
    assert [path.name for path in (tmp_path / "store").iterdir()] == [], "not even an empty folder"


def test_what_was_there_before_is_not_touched(deployment, tmp_path):
    (tmp_path / "store" / "2026").mkdir(parents=True)
    (tmp_path / "store" / "2026" / "a.mp3").write_bytes(b"mine")
    (tmp_path / "store" / "empty").mkdir()
    assert deployment.run("contract", f"file://{tmp_path}/store", "--large-mb", "0").exit_code == 0
    assert files(tmp_path / "store") == [tmp_path / "store" / "2026" / "a.mp3"]
    assert (tmp_path / "store" / "empty").is_dir()


def test_a_promise_that_is_not_tried_is_called_so(deployment, tmp_path):
    done = deployment.run("contract", f"file://{tmp_path}/store", "--large-mb", "0")
    assert "    not tried: an object of 0 bytes is too small to tell (large_bytes)" in done.stdout
    assert done.stdout.splitlines()[-1] == (
        f"{len(CHECKS) - 1} of {len(CHECKS)} promises kept; 1 not tried (memory_stays_bounded)."
    )


def test_a_broken_promise_is_told_and_ends_with_1(deploy, memory):
    memory("if key not in self.objects:  # a taken", "if True:  # a taken")
    done = deploy().run("contract", "memory://demo", "--large-mb", "0")
    assert done.exit_code == 1
    assert "    BROKEN: the source was opened although the key was taken" in done.stdout
    assert "second_put_writes_nothing" in done.stdout.splitlines()[-1].partition("BROKEN")[2]


def test_a_promise_that_only_should_be_kept_is_a_warning_and_ends_with_0(deploy, memory):
    memory('if not KEY.fullmatch(key) or len(key) > 512 or max(map(len, key.split("/"))) > 200:', "if False:")
    deployment = deploy()
    done = deployment.run("contract", "memory://demo", "--large-mb", "0")
    assert done.exit_code == 0, done.output
    assert "    WARNING: put() accepted the key ''" in done.stdout
    assert "BROKEN" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith("1 only warned of (illegal_keys_are_refused).")
    verdicts = deployment.objects("contract", "memory://demo", "--large-mb", "0")
    assert [(one["name"], one["level"]) for one in verdicts if not one["passed"]] == [
        ("illegal_keys_are_refused", "should")
    ]


def test_json_is_one_object_a_line_with_the_summary_apart(deployment, tmp_path):
    run = deployment.run("contract", f"file://{tmp_path}/store", "--large-mb", "0", "--json")
    assert "promises kept" in run.stderr
    assert "promises kept" not in run.stdout
    verdicts = deployment.objects("contract", f"file://{tmp_path}/store", "--large-mb", "0")
    assert [verdict["name"] for verdict in verdicts] == [check.name for check in CHECKS]
    assert {tuple(verdict) for verdict in verdicts} == {
        ("name", "promise", "passed", "detail", "seconds", "tried", "level")
    }
    assert [verdict["name"] for verdict in verdicts if not verdict["tried"]] == ["memory_stays_bounded"]


def test_a_store_that_cannot_be_used_is_not_asked_for_the_rest(deployment):
    done = deployment.run("contract", "file:///proc/no-such-place")
    assert done.exit_code == 1
    assert done.stdout.count("\n") == 3
    assert done.stdout.endswith("the store cannot be used as it is, so nothing else was tried.\n")


@pytest.mark.parametrize(
    ("url", "told"),
    [("s9://bucket", "No plugin provides the storage scheme s9://"), ("file://relative", "not an absolute path")],
)
def test_a_url_that_nobody_takes_is_refused_in_a_sentence(deployment, url, told):
    done = deployment.run("contract", url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert told in done.stderr


def test_an_interrupted_trial_clears_up(deploy, memory, tmp_path):
    """Ctrl-C in the middle of a check. The storage writes down what it still holds when it is closed."""
    memory(
        """    def list(self, prefix=""):
""",
        """    def list(self, prefix=""):
        if len(self.objects) > 1 and not hasattr(self, "interrupted"):
            self.interrupted = True
            raise KeyboardInterrupt
""",
    )
    plugin = tmp_path / "plugins" / "memory.py"
    left = tmp_path / "left"
    code = f"        __import__('pathlib').Path({str(left)!r}).write_text(repr((self.interrupted, self.objects)))\n"
    plugin.write_text(plugin.read_text().rstrip() + "\n" + code)
    done = deploy().run("contract", "memory://demo", "--large-mb", "0")
    assert done.exit_code == 1
    assert "Aborted!" in done.output
    assert left.read_text() == "(True, {})"
