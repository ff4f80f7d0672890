"""The catalogue in numbers: all of one moment, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from recordings.catalogue import stats
from recordings.catalogue.tables import copies
from recordings.model import State
from recordings.storage import PutResult
from tests.services.servers import postgres_server_url, postgres_url  # noqa: F401 - fixtures


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalogue.db"
    return request.getfixturevalue("postgres_url").replace("postgres://", "postgresql+psycopg://", 1)


def test_an_empty_catalogue(database):
    assert stats.count(database) == stats.CatalogueStats(0, {}, {})


def test_what_is_stored_is_what_remains_of_each_storage(database, leases, new_copy):
    ids = [new_copy(recording_uuid=f"r{n}") for n in range(5)]
    done = PutResult(100, "ab" * 32, True, "file:///tapes/k")
    leases.stored(leases.claim(ids[4]), key="k.mp3", content_type="audio/mpeg", result=done)
    leases.failed(leases.claim(ids[0]), "over")
    leases.claim(ids[1])
    found = stats.count(database)
    assert found.recordings == 5
    assert found.copies == {
        ("file:///tapes", State.FAILED): 1,
        ("file:///tapes", State.FETCHING): 1,
        ("file:///tapes", State.PENDING): 2,
        ("file:///tapes", State.STORED): 1,
    }


def test_a_view_does_not_change_while_others_write(database, make_database, new_copy):
    new_copy(recording_uuid="before")
    number = select(func.count()).select_from(copies)
    with database.read() as connection:
        first = connection.execute(number).scalar_one()
        new_copy(recording_uuid="meanwhile")
        assert connection.execute(number).scalar_one() == first == 1
    with database.read() as connection:
        assert connection.execute(number).scalar_one() == 2
