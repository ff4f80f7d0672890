"""The catalogue of each release, with rows of every state, becomes the present one, and what it holds stays usable.

The dumps lie in `tests/fixtures/schemas`; `make.py` there writes the one of the present release.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, Table, Text, UniqueConstraint, select
from sqlalchemy.types import TypeEngine

import settings
from backends.local.storage import LocalStorage
from recordings.care.verify import Verification
from recordings.catalogue.inbox import Inbox
from recordings.catalogue.intake import Intake
from recordings.catalogue.leases import Leases
from recordings.catalogue.missing import MissingCalls
from recordings.catalogue.search import RecordingFilter, search
from recordings.catalogue.tables import HEAD, metadata
from recordings.model import State
from tests.fixtures.schemas.dumps import load
from tests.fixtures.schemas.make import FOLDER
from tests.fixtures.schemas.rows import AUDIO, STORAGES, key_of, uuid_of
from tests.services.servers import postgres_server_url, postgres_url, sqlalchemy_url  # noqa: F401 - fixtures

CHANGELOG = (FOLDER.parents[2] / "CHANGELOG.md").read_text()
RELEASES = re.findall(r"(?m)^## (\d+\.\d+\.\d+)", CHANGELOG)  # the newest first
DATABASES = ("sqlite", "postgres")
STATES = {1: "stored", 2: "waiting", 3: "failed", 4: "blocked", 5: "fetching", 6: "pending", 7: "empty", 8: "failed"}
UNFINISHED = ("waiting", "blocked", "fetching", "pending")
LATER = datetime(2026, 11, 22, 14, tzinfo=UTC)  # every lease in the dumps has ended, and no recording has expired

# The queue of 0.1.0 on Postgres. Another program of the same database may have a Huey of its own: nothing drops them.
HUEY = {"huey_counter", "huey_kv", "huey_schedule", "huey_task"}

# What the present schema took from the code of a release, which therefore cannot run beside it. `docs/upgrade.md` says
# so of each release that stands here. A column may go in a later release than the one that stopped using it.
STOP_FIRST = {"0.1.0": {"copies.held_until is gone", "copies.due_at may be empty"}}


@pytest.fixture(params=DATABASES)
def database_kind(request):
    return request.param


@pytest.fixture
def database_url(database_kind, tmp_path, request):
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path}/catalogue.db"
    return sqlalchemy_url(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=RELEASES)
def release(request):
    return request.param


@pytest.fixture
def loaded(release, database_kind, database_url, make_database):
    """The catalogue as this release left it."""
    plain = database_url.replace("+psycopg", "", 1)
    load(plain, (FOLDER / f"{release}.{database_kind}.sql").read_text())
    return make_database()


@pytest.fixture
def database(loaded):
    """The same, with the present schema."""
    loaded.migrate()
    return loaded


def tables_of(database):
    """The tables that the database has, as they are."""
    reflected = MetaData()
    with database.engine.connect() as connection:
        reflected.reflect(connection)
    return {name: table for name, table in reflected.tables.items() if name not in HUEY}


def test_each_release_has_its_dumps_and_the_present_one_is_among_them():
    dumps = {path.name for path in FOLDER.glob("*.sql")}
    assert dumps == {f"{release}.{kind}.sql" for release in RELEASES for kind in DATABASES}
    assert RELEASES[0] == settings.VERSION


@pytest.mark.parametrize("kind", DATABASES)
def test_the_newest_dump_has_the_newest_schema(kind):
    """Where this fails, a migration is new: python -m tests.fixtures.schemas.make (after a release: a new version)."""
    dump = (FOLDER / f"{settings.VERSION}.{kind}.sql").read_text()
    assert re.search(rf"INSERT INTO .*alembic_version.* VALUES ?\('{HEAD}'\)", dump)


def test_it_becomes_the_present_schema(database):
    assert database.migrate() == (HEAD, HEAD)
    with database.read() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    strange = [change for change in differences if not (str(change[0]).startswith("remove_") and is_hueys(change[1]))]
    assert strange == []


def is_hueys(thing):
    return (thing.name if isinstance(thing, Table) else thing.table.name) in HUEY


@pytest.mark.parametrize("release", [settings.VERSION], indirect=True)
def test_the_newest_dump_has_rows_in_every_table(database):
    with database.read() as connection:
        rows = {table.name: connection.execute(select(table).limit(1)).first() for table in metadata.sorted_tables}
    assert [name for name, row in rows.items() if row is None] == []


# --- What the rows are still good for ---------------------------------------------------------------------------------


def chosen(database, **conditions):
    """The recordings that this filter chooses."""
    page = search(database, RecordingFilter(**conditions), secret=b"a secret", limit=50)
    return [row.recording for row in page.rows]


def test_every_recording_is_found_with_the_state_that_it_had(database):
    everything = chosen(database, with_empty=True)
    assert {recording.recording_uuid: shown_state(recording) for recording in everything} == {
        uuid_of(number): state for number, state in STATES.items()
    }
    for state in ("stored", "waiting", "failed", "blocked", "empty"):
        expected = {uuid_of(number) for number, its_state in STATES.items() if its_state == state}
        assert {recording.recording_uuid for recording in chosen(database, states=(State(state),))} == expected
    (split,) = chosen(database, flow="split")
    assert (split.from_, split.to) == ("447700900001", "442079460000")


def shown_state(recording):
    """The state that is shown, but for a copy that a worker fetches."""
    fetching = any(copy.state is State.FETCHING for copy in recording.copies)
    return "fetching" if fetching else recording.state.value


def test_every_copy_that_was_to_be_archived_is_claimed(database):
    leases = Leases(database, clock=lambda: LATER)
    claims = list(iter(leases.claim_next, None))
    unfinished = {uuid_of(number) for number, state in STATES.items() if state in UNFINISHED}
    assert sorted((claim.recording.recording_uuid, claim.storage) for claim in claims) == sorted(
        (recording_uuid, storage) for recording_uuid in unfinished for storage in STORAGES
    )


def test_every_stored_copy_is_verified(database, tmp_path):
    folders = {storage: tmp_path / f"storage-{number}" for number, storage in enumerate(STORAGES)}
    for storage, number in ((STORAGES[0], 1), (STORAGES[1], 1), (STORAGES[0], 8)):
        path = folders[storage] / key_of(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(AUDIO)
    verification = Verification(database, {url: LocalStorage(folder) for url, folder in folders.items()}, deep=True)
    checked = list(verification.copies())
    assert [finding for _, finding in checked if finding] == []
    assert len(checked) == 3


def test_every_delivery_and_every_missing_call_is_listed(database):
    deliveries = list(Inbox(database, Intake(database, STORAGES)).listing())
    assert {row.outcome for row in deliveries} == {"new", "repeat", "conflict", "noted", "unreadable", "refused"}
    missing = MissingCalls(database, clock=lambda: LATER + timedelta(days=1))
    assert [call.conversation_uuid for call in missing.settle()] == []  # of call 23 nobody said that it was answered
    assert [call.conversation_uuid for call in missing.listing()] == [f"CON-{uuid_of(20)}"]


def test_a_repeated_announcement_is_a_repeat_and_a_new_one_is_new(database, delivery, announcement):
    intake = Intake(database, STORAGES, clock=lambda: LATER)
    (stored,) = chosen(database, states=(State.STORED,))
    known = {name: getattr(stored, name) for name in ("recording_uuid", "conversation_uuid", "recording_url")}
    ours = delivery(application_id=stored.application_id)
    assert intake.accept(ours, [announcement(**known)]).outcome == "repeat"
    assert intake.accept(ours, [announcement()]).outcome == "new"


# --- Old code beside the new schema -----------------------------------------------------------------------------------


class Shape(NamedTuple):
    """What the code of a release relies on in a column."""

    type: str
    nullable: bool
    needed: bool  # an INSERT must name it


def shape(column: Column) -> Shape:
    optional = column.nullable or column.server_default is not None or column.autoincrement is True
    generated = column.primary_key and len(column.table.primary_key) == 1
    return Shape(family(column.type), bool(column.nullable), not (optional or generated))


def family(kind: TypeEngine) -> str:
    return type(kind.as_generic()).__name__


def taken_away(before: dict[str, Table], after: dict[str, Table]) -> set[str]:
    """What the tables of `after` refuse to code that was written for those of `before`, in words."""
    losses = {f"{name} is gone" for name in before.keys() - after.keys()}
    for name in before.keys() & after.keys():
        old, new = dict(before[name].c), dict(after[name].c)
        losses |= {f"{name}.{column} is gone" for column in old.keys() - new.keys()}
        added = new.keys() - old.keys()
        losses |= {f"{name}.{column} must be written" for column in added if shape(new[column]).needed}
        for column in old.keys() & new.keys():
            losses |= {f"{name}.{column} {change}" for change in changes(shape(old[column]), shape(new[column]))}
        losses |= {f"{name} is unique otherwise: {key}" for key in uniques(before[name]) ^ uniques(after[name])}
    return losses


def changes(old: Shape, new: Shape) -> set[str]:
    changed = {f"was {old.type} and is {new.type}"} if old.type != new.type else set()
    if old.nullable != new.nullable:
        changed.add("may be empty" if new.nullable else "may not be empty")
    return changed


def uniques(table: Table) -> set[str]:
    """The constraints that INSERT … ON CONFLICT names."""
    constraints = [key for key in table.constraints if isinstance(key, UniqueConstraint)]
    return {", ".join(sorted(column.name for column in key.columns)) for key in constraints}


def test_the_code_of_each_release_can_run_beside_the_present_schema_unless_it_is_named(release, loaded):
    """A release goes out while the former one still serves: its migrations add, and take nothing away."""
    before = tables_of(loaded)
    loaded.migrate()
    assert taken_away(before, tables_of(loaded)) == STOP_FIRST.get(release, set())


def test_the_page_about_upgrades_names_each_release_that_has_to_be_stopped():
    page = (FOLDER.parents[2] / "docs/upgrade.md").read_text()
    assert [release for release in STOP_FIRST if f"Stop {release} first" not in page] == []


@pytest.mark.parametrize(
    ("before", "after", "losses"),
    [
        ({"n": (Integer, {})}, None, {"t is gone"}),
        ({"n": (Integer, {})}, {}, {"t.n is gone"}),
        ({"n": (Integer, {})}, {"n": (Text, {})}, {"t.n was Integer and is Text"}),
        ({"n": (Text, {})}, {"n": (Text, {"nullable": False})}, {"t.n may not be empty"}),
        ({"n": (Text, {"nullable": False})}, {"n": (Text, {})}, {"t.n may be empty"}),
        ({"n": (Text, {"unique": True})}, {"n": (Text, {})}, {"t is unique otherwise: n"}),
        ({}, {"n": (Text, {"nullable": False})}, {"t.n must be written"}),
        ({}, {"n": (Text, {"nullable": False, "server_default": "x"})}, set()),
        ({}, {"n": (Text, {})}, set()),
    ],
)
def test_what_a_migration_takes_away_is_seen(before, after, losses):
    def tables(columns):
        made = [Column(name, kind, **options) for name, (kind, options) in columns.items()]
        return {"t": Table("t", MetaData(), *made)}

    assert taken_away(tables(before), {} if after is None else tables(after)) == losses
