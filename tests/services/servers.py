"""Fixtures: an empty Postgres database for each test that asks. Import them in a conftest.

TEST_DATABASE_URL names a server whose user may create databases; without it each test process starts a private server.
Where PostgreSQL is not installed, the test is skipped, or fails with CI=true.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.services.databases import NotInstalled, PrivatePostgres, new_database


def give_up(missing: NotInstalled) -> NoReturn:
    """Skip this test, or fail it where everything has to be there."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"With CI=true everything is tested, but: {missing}")
    pytest.skip(str(missing))


def sqlalchemy_url(url: str) -> str:
    """What DATABASE_URL makes of `postgres://…`."""
    return url.replace("postgres://", "postgresql+psycopg://", 1)


@pytest.fixture(scope="session")
def postgres_server_url() -> Iterator[str]:
    """A Postgres on which databases may be made."""
    if os.environ.get("TEST_DATABASE_URL"):
        yield os.environ["TEST_DATABASE_URL"]
        return
    try:
        server = PrivatePostgres()
    except NotInstalled as missing:
        give_up(missing)
    with server:
        yield server.url


@pytest.fixture
def postgres_url(postgres_server_url: str) -> Iterator[str]:
    """An empty database of this test's own, as `postgres://…`, which DATABASE_URL takes."""
    url, drop = new_database(postgres_server_url)
    yield url
    drop()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, for the parts: each test runs on SQLite and on Postgres, which must read all of it alike."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalogue.db"
    return sqlalchemy_url(request.getfixturevalue("postgres_url"))


@pytest.fixture
def private_postgres() -> Iterator[PrivatePostgres]:
    """A server that only this test uses, and may stop or freeze."""
    try:
        server = PrivatePostgres()
    except NotInstalled as missing:
        give_up(missing)
    with server:
        yield server
