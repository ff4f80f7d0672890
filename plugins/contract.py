"""Runs the checks of `plugins.checks` against any storage backend: a folder, an emulator or a live bucket.

This is plain Python without a test framework, so that the tests, `flask contract URL` and the authors of backends run
the same checks. A run stores objects only below a prefix of its own, and deletes them afterwards.
"""

from __future__ import annotations

import secrets
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from recordings.storage import StorageBackend

from .checks import CHECKS, Check
from .fakes import FakeSource
from .sandbox import LARGE_BYTES, NotTried, PromiseBroken, Sandbox, child_put

__all__ = ["CHECKS", "Check", "CheckResult", "FakeSource", "Target", "run_check", "run_contract"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found. A check that was not tried has `tried` False and `passed` True; `detail` says why."""

    name: str
    promise: str
    passed: bool
    detail: str
    seconds: float
    tried: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """A backend, and what the checks need to try it.

    `spawn_url` and `spawn_env` open the same store again, for the checks that kill a process or close a backend; these
    checks are not tried without them. `large_bytes` is the size of the object with which memory is measured; below
    32 MiB memory is not measured. `skip` maps the name of a check to the reason why it is left out.
    """

    backend: StorageBackend
    spawn_url: str | None = None
    spawn_env: Mapping[str, str] = field(default_factory=dict)
    large_bytes: int = LARGE_BYTES
    skip: Mapping[str, str] = field(default_factory=dict)

    def try_out(self, check: Check, prefix: str = "contract") -> CheckResult:
        """Run one check below `prefix`; see `run_check`."""
        return run_check(check, self, prefix=prefix)


def run_check(check: Check, target: Target, *, prefix: str = "contract") -> CheckResult:
    """Run one check below a prefix of its own inside `prefix`, and delete what it stored. Never raises."""
    if check.name in target.skip:
        return CheckResult(check.name, check.promise, True, f"not tried: {target.skip[check.name]}", 0.0, tried=False)
    check_prefix = f"{prefix}/{check.name}-{secrets.token_hex(4)}"
    sandbox = Sandbox(target.backend, check_prefix, target.spawn_url, target.spawn_env, target.large_bytes)
    started = time.monotonic()
    detail, passed, tried = "kept", True, True
    try:
        check.run(sandbox)
    except NotTried as reason:
        detail, tried = f"not tried: {reason}", False
    except PromiseBroken as error:
        detail, passed = str(error), False
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a backend raises is a result of its check
        detail, passed = f"raised {_error_and_place(error)}", False
    finally:
        leftovers = sandbox.clean_up()
    if leftovers and passed:
        detail, passed = f"what it stored could not be deleted: {leftovers}", False
    return CheckResult(check.name, check.promise, passed, detail, time.monotonic() - started, tried)


def run_contract(
    backend: StorageBackend,
    *,
    prefix: str,
    on_result: Callable[[CheckResult], None] | None = None,
    large_bytes: int = LARGE_BYTES,
    spawn_url: str | None = None,
    spawn_env: Mapping[str, str] | None = None,
    skip: Mapping[str, str] | None = None,
) -> list[CheckResult]:
    """Run every check below `<prefix>/`, in order. `on_result` is called with each result as soon as it is known."""
    target = Target(backend, spawn_url, spawn_env or {}, large_bytes, skip or {})
    results = []
    for check in CHECKS:
        results.append(run_check(check, target, prefix=prefix))
        if on_result:
            on_result(results[-1])
    return results


def _error_and_place(error: BaseException) -> str:
    line = traceback.format_exception_only(error)[-1].strip()
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{line} ({frame.filename}, line {frame.lineno})"


if __name__ == "__main__" and sys.argv[1:] == ["--child-put"]:
    child_put()
