"""Fixtures: an empty Postgres database and an empty Redis for each test that asks. Import them in a conftest.

TEST_DATABASE_URL (whose user may create databases) and TEST_REDIS_URL name servers to use; without them each test
process starts private ones. Where their programs are missing too, the test is skipped, or fails with CI=true.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
import redis

from tests.services.databases import NotInstalled, PrivatePostgres, PrivateRedis, new_database


def give_up(missing: NotInstalled) -> None:
    """Skip this test, or fail it where everything has to be there."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"With CI=true everything is tested, but: {missing}")
    pytest.skip(str(missing))


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


@pytest.fixture
def private_postgres() -> Iterator[PrivatePostgres]:
    """A Postgres that only this test uses, and may stop."""
    try:
        server = PrivatePostgres()
    except NotInstalled as missing:
        give_up(missing)
    with server:
        yield server


@pytest.fixture
def private_redis() -> Iterator[PrivateRedis]:
    """A Redis that only this test uses, and may empty, freeze or kill."""
    try:
        server = PrivateRedis()
    except NotInstalled as missing:
        give_up(missing)
    with server:
        yield server


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty Redis database. On a shared server each test process has a number of its own."""
    shared = os.environ.get("TEST_REDIS_URL")
    if not shared:
        yield request.getfixturevalue("private_redis").url
        return
    number = int("".join(filter(str.isdigit, os.environ.get("PYTEST_XDIST_WORKER", "0"))))
    url = f"{re.sub(r'/[0-9]*$', '', shared)}/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    yield url
