"""What every storage backend must keep, as code that runs against any of them: emulator, folder or live bucket.

The promises are in `plugins.promises`; here they are run. Plain Python, no test framework: the tests, `flask contract
URL` and the authors of backends use the same. Everything happens below a throw-away prefix, and is deleted after.
"""

from __future__ import annotations

import secrets
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from recordings.storage import StorageBackend

from .fakes import FakeSource
from .promises import CHECKS, Broken, Check, NotTried
from .trial import LARGE_BYTES, Trial, child_put

__all__ = ["CHECKS", "Check", "CheckResult", "FakeSource", "Target", "run_check", "run_contract"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One promise's verdict. `passed` is also True when it was not tried (`tried` False); `detail` then says why."""

    name: str
    promise: str
    passed: bool
    detail: str
    seconds: float
    tried: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """A backend and how to try it.

    `spawn_url` and `spawn_env` open the same store anew, for the promises about a killed process and about closing;
    without them these are not tried. `large_bytes` is the size of the object that memory is measured with: under
    32 MiB that is not tried either. `skip` maps a promise's name to the reason for leaving it out.
    """

    backend: StorageBackend
    spawn_url: str | None = None
    spawn_env: Mapping[str, str] = field(default_factory=dict)
    large_bytes: int = LARGE_BYTES
    skip: Mapping[str, str] = field(default_factory=dict)

    def try_out(self, check: Check, prefix: str = "contract") -> CheckResult:
        """Run one promise below `prefix`; see `run_check`."""
        return run_check(check, self, prefix=prefix)


def run_check(check: Check, target: Target, *, prefix: str = "contract") -> CheckResult:
    """Run one promise in its own corner of `prefix`, clear up, and say what came of it. Never raises."""
    if check.name in target.skip:
        return CheckResult(check.name, check.promise, True, f"not tried: {target.skip[check.name]}", 0.0, tried=False)
    corner = f"{prefix}/{check.name}-{secrets.token_hex(4)}"
    trial = Trial(target.backend, corner, target.spawn_url, target.spawn_env, target.large_bytes)
    started = time.monotonic()
    detail, passed, tried = "kept", True, True
    try:
        check.run(trial)
    except NotTried as reason:
        detail, tried = f"not tried: {reason}", False
    except Broken as broken:
        detail, passed = str(broken), False
    except Exception as error:  # whatever a stranger's backend raises is a verdict on it, not on us
        detail, passed = f"raised {_where(error)}", False
    finally:
        litter = trial.clear_up()
    if litter and passed:
        detail, passed = f"what it stored could not be deleted: {litter}", False
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
    """Run every promise below `<prefix>/`, in order; `on_result` hears each verdict as it falls."""
    target = Target(backend, spawn_url, spawn_env or {}, large_bytes, skip or {})
    results = []
    for check in CHECKS:
        results.append(run_check(check, target, prefix=prefix))
        if on_result:
            on_result(results[-1])
    return results


def _where(error: Exception) -> str:
    last = traceback.format_exception_only(error)[-1].strip()
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last} ({frame.filename}, line {frame.lineno})"


if __name__ == "__main__" and sys.argv[1:] == ["--child-put"]:
    child_put()
