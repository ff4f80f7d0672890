"""What the tests of several rooms share: one Vonage application and its key, a pretend Vonage, a clock moved by hand,
the settings of a whole deployment, and that deployment under gunicorn.

Everything lies in the test's own temporary folder and on free loopback ports, so that tests run side by side.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis.internal.conjecture import providers

from simulator import PretendVonage, public_pem
from simulator.application import Application, Checkout
from simulator.processes import environment, wait_for
from tests.contract_table import contract_table
from tests.services.application import APPLICATION_ID, SIGNATURE_SECRET, pem_of, settings_below
from tests.services.signals import listen_again

# The same examples at each run, so that a red test is red for everybody; `--hypothesis-profile=default` explores.
hypothesis.settings.register_profile("house", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("house")

# Hypothesis also tries constants that it finds in the modules loaded so far: the examples of a test would depend on the
# tests that ran before it in the same process. No setting turns that off; the constants that come with Hypothesis stay.
NO_CONSTANTS = providers._local_constants
assert len(NO_CONSTANTS) == 0
setattr(providers, "_get_local_constants", lambda: NO_CONSTANTS)  # noqa: B010 - mypy takes no assignment

listen_again()  # before anything is started
os.environ["FLASK_SKIP_DOTENV"] = "1"  # a `.env` in the checkout is not read


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes (make everything)")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("long") and not item.config.getoption("--long"):
        pytest.skip("It takes minutes: make everything runs it.")


class HandClock:
    """A clock that stands still until it is moved. Calling it gives the time, in UTC."""

    def __init__(self, now: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> datetime:
        """Let so many seconds pass."""
        self.now += timedelta(seconds=seconds)
        return self.now


@pytest.fixture
def clock() -> HandClock:
    """A clock that only the test moves."""
    return HandClock()


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """`until(condition, what)`: wait for a condition, not for a time."""
    return wait_for


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    """The application's key, made and parsed once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def key_pem(rsa_key: rsa.RSAPrivateKey) -> str:
    """The application's key as the dashboard gives it: PKCS#8 PEM."""
    return pem_of(rsa_key)


@pytest.fixture(scope="session")
def application_id() -> str:
    """The only Vonage application of these tests."""
    return APPLICATION_ID


@pytest.fixture(scope="session")
def make_vonage(key_pem: str) -> Callable[..., PretendVonage]:
    """`make_vonage()`: a pretend Vonage for the application, not started yet."""
    return lambda **more: PretendVonage(APPLICATION_ID, public_pem(key_pem), SIGNATURE_SECRET, **more)


@pytest.fixture
def vonage(make_vonage: Callable[..., PretendVonage]) -> Iterator[PretendVonage]:
    """A running pretend Vonage of this test alone."""
    with make_vonage() as running:
        yield running


@pytest.fixture(scope="session")
def make_environ(key_pem: str) -> Callable[..., dict[str, str]]:
    """`make_environ(folder, **changes)`: every setting of a deployment that keeps all it has below `folder`."""

    def make(folder: Path, **changes: str) -> dict[str, str]:
        return settings_below(folder, key_pem, **{"PUBLIC_URL": "https://tapes.example"} | changes)

    return make


@pytest.fixture(scope="session")
def bare_environ() -> dict[str, str]:
    """A child process's environment without a single setting of ours."""
    return environment({})


@pytest.fixture
def without_threads() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """`with without_threads(): …`: meanwhile the system has no thread to give, as at a container's limit."""

    @contextlib.contextmanager
    def exhausted() -> Iterator[None]:
        usual = threading.stack_size(1 << 46)  # bytes: more than there is address space for
        try:
            yield
        finally:
            threading.stack_size(usual)

    return exhausted


@pytest.fixture(scope="session")
def flask_process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`flask_process(words, env)`: a real `flask` command; its exit status, stdout and stderr."""
    return Checkout().flask


@pytest.fixture(scope="module")
def make_gunicorn(key_pem: str) -> Iterator[Callable[..., Application]]:
    """`make_gunicorn(folder, vonage, **settings)`: a deployment that trusts this pretend Vonage, not started yet.

    All are killed at the end of the module; an end in order is what some journeys are about.
    """
    made: list[Application] = []

    def make(folder: Path, vonage: PretendVonage | None = None, **changes: str) -> Application:
        hosts = {"RECORDING_HOSTS": vonage.origin} if vonage else {}
        made.append(Application(settings_below(folder, key_pem, **hosts | changes), folder / "gunicorn.log"))
        return made[-1]

    yield make
    for gunicorn in made:
        if gunicorn.started:
            gunicorn.kill()


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Puts the root logger back as it was: making an app gives it a handler on this moment's stderr."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts whole deployments, or runs the contract over every store, is `slow`: `make quick` leaves it out.

    Property tests have no time limit. The alarm of pytest-timeout raises inside an example; Hypothesis takes that for a
    failure of this example, replays it without the alarm, and reports "Inconsistent data generation!". The alarm goes
    by the clock on the wall, so a machine that was paused is enough for it.
    """
    for item in items:
        if hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.timeout(0))
        if {"browser", "chaos", "journeys", "contract"} & set(item.nodeid.split("/")):
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show which store kept which promise."""
    outcomes = [
        (report.nodeid, outcome)
        for outcome in ("passed", "failed", "skipped", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if hasattr(report, "nodeid")
    ]
    if table := contract_table(outcomes):
        terminalreporter.section("the storage contract")
        terminalreporter.write_line(table)
