"""What `flask doctor` learns by use: of the database, the plugins, the public address, the clock, each storage.

Each check uses the part as production does, and leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import secrets
import stat
import time
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import requests
from sqlalchemy import Connection, func, select, text

from recordings.archive import integrity
from recordings.archive.sources import BytesSource
from recordings.care.checks import folder_of, room_left
from recordings.catalogue.tables import HEAD
from recordings.clock import utc_now
from recordings.disk import reserve_of
from recordings.messages import message_of
from settings_platforms import on_network

from .findings import DoctorFinding, error, ok, warning
from .settings import without_password

if TYPE_CHECKING:
    from plugins.manager import Plugins
    from recordings.catalogue.database import Database
    from recordings.catalogue.schedule import Schedule
    from recordings.storage import StorageBackend
    from settings import Settings
    from telling import Telling

_SAMPLE_BYTES = 64 * 1024
_TIMEOUTS = (3, 5)  # seconds to connect, and to answer
_SKEW_SECONDS = 30
_OVERDUE_SECONDS = 120
_AGAIN = "Mend it and run flask doctor again; nothing that was taken in is lost meanwhile."


class Parts(Protocol):
    """What these checks use."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def plugins(self) -> Plugins: ...
    @property
    def telling(self) -> Telling: ...


def database(parts: Parts) -> Iterator[DoctorFinding]:
    """The database can be reached and written, and its schema is this program's."""
    where = without_password(parts.settings.database_url)
    before, after = parts.database.migrate()
    migrated = "" if before == after else f", brought there from {before or 'nothing'} just now"
    parts.database.try_write()
    yield ok("database", f"{where} can be written; its schema is at revision {after}{migrated}.")
    if after > HEAD:
        yield warning(
            "database",
            f"The schema is newer than this program, which knows {HEAD}.",
            "Deploy the newer program everywhere, or go back to a backup of the database.",
        )
    if parts.database.sqlite:
        yield from _catalogue_files(Path(parts.database.url.database or ""))
    with parts.database.read() as connection:
        yield from _journal(connection) if parts.database.sqlite else _database_clock(connection)


def _catalogue_files(path: Path) -> Iterator[DoctorFinding]:
    """The files of a SQLite catalogue are not for everybody, and their disk is a local one with room."""
    if kind := on_network(path):
        yield warning(
            "database",
            f"The catalogue is a SQLite file on a network file system ({kind}): its locks may not keep writers apart.",
            "Put the file on a local disk, or write the address of a Postgres into DATABASE_URL.",
        )
    if warned := room_left(path):
        yield warning("database", *_halves(warned))
    if not path.parent.stat().st_mode & stat.S_IXOTH:
        return
    files = [Path(f"{path}{ending}") for ending in ("", "-wal", "-shm")]
    names = " ".join(str(file) for file in files if file.exists() and file.stat().st_mode & stat.S_IROTH)
    if names:
        yield warning(
            "database",
            f"Everybody on this machine can read the catalogue, with callers' numbers and raw webhooks: {names}",
            f"Take the right away: chmod o= {names}",
        )


def _halves(text: str) -> tuple[str, str]:
    """What is wrong, and the last sentence, which says what to do."""
    message, _, mend = text.rstrip(".").rpartition(". ")
    return f"{message}.", f"{mend}."


def _journal(connection: Connection) -> Iterator[DoctorFinding]:
    mode = connection.execute(text("PRAGMA journal_mode")).scalar()
    if mode != "wal":
        yield warning(
            "database",
            f"SQLite's journal is in mode {mode}, not WAL: writers and readers will wait for each other.",
            "Put the file on a local disk: network file systems cannot hold a WAL.",
        )


def _database_clock(connection: Connection) -> Iterator[DoctorFinding]:
    yield from _skew("the database's", connection.execute(select(func.now())).scalar_one())


def work(parts: Parts) -> Iterator[DoctorFinding]:
    """What is due gets archived."""
    count, seconds = parts.schedule.overdue()
    if seconds > _OVERDUE_SECONDS:
        yield warning(
            "work",
            f"Copies that could be archived now: {count}; the oldest has been waiting for {_span(seconds)}.",
            "Start a worker: flask worker, or the app itself with EMBEDDED_WORKER=true. If one runs, read its log.",
        )
    else:
        yield ok("work", f"Copies that are due: {count}" + (f", the oldest for {_span(seconds)}." if count else "."))


def _span(seconds: float) -> str:
    for length, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} seconds"


def plugins(parts: Parts) -> Iterator[DoctorFinding]:
    """Every plugin works, and every name in PLUGINS_DISABLED is the name of a plugin."""
    report = parts.plugins.report()
    active = [f"{plugin.name} ({plugin.origin})" for plugin in report if plugin.state == "active"]
    yield ok("plugins", f"{', '.join(active) or 'none'}")
    for plugin in report:
        if plugin.state == "broken":
            yield warning(
                "plugins",
                f"{plugin.name} ({plugin.origin} {plugin.file_or_distribution}) is left out: {plugin.problem}.",
                f"Mend it, remove it, or write PLUGINS_DISABLED={plugin.name}",
            )
        elif plugin.problem:
            yield warning("plugins", f"{plugin.name}: {plugin.problem}.", "Correct PLUGINS_DISABLED.")


def public_url(parts: Parts) -> Iterator[DoctorFinding]:
    """PUBLIC_URL leads to this app, as far as this machine can tell."""
    base = parts.settings.public_url
    if not base:
        return
    if urlsplit(base).scheme != "https":
        yield warning(
            "public url",
            f"PUBLIC_URL {base} is not https: callers' numbers and recordings' ids travel in the clear.",
            "Write the https address.",
        )
    try:
        with requests.get(f"{base}/healthz", timeout=_TIMEOUTS, allow_redirects=False) as reply:
            yield from _answer(base, reply)
    except requests.RequestException as problem:
        yield warning(
            "public url",
            f"{base}/healthz cannot be reached from here: {_unreachable(problem)}.",
            "Make sure that it can be from the internet: where the app runs, the name resolves, the firewall is open.",
        )


def _answer(base: str, reply: requests.Response) -> Iterator[DoctorFinding]:
    if reply.status_code == 200 and reply.headers.get("Content-Type", "").startswith("application/json"):
        yield ok("public url", f"{base}/healthz answers as it should.")
    else:
        yield warning(
            "public url",
            f"{base}/healthz answers {reply.status_code}, which this app does not.",
            "Correct PUBLIC_URL, or the proxy in front of the app: Vonage's webhooks go to this address.",
        )
    date = reply.headers.get("Date")
    if date:
        yield from _skew(f"{urlsplit(base).netloc}'s", parsedate_to_datetime(date))


def _skew(whose: str, other: datetime) -> Iterator[DoctorFinding]:
    seconds = (utc_now() - other).total_seconds()
    if abs(seconds) > _SKEW_SECONDS:
        yield warning(
            "clock",
            f"This machine's clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} {whose}.",
            "Set the clocks (NTP): Vonage refuses tokens from the future and from the past.",
        )
    else:
        yield ok("clock", f"This machine's clock agrees with {whose}.")


def storages(parts: Parts) -> Iterator[DoctorFinding]:
    """Each storage takes an object, describes it rightly, gives it back, and lets it be deleted."""
    reserve = reserve_of(parts.settings.backend_env.get("STORAGE_RESERVE_MB", ""))
    for url in parts.settings.storage_url:
        try:
            backend = parts.plugins.backend(url, parts.settings.backend_env)
        except (Exception, SystemExit) as raised:  # a plugin's backend may raise anything, and that is the finding
            yield error("storage", f"{url}: {message_of(raised)}", _AGAIN)
            continue
        try:
            yield from _try(url, backend)
            if (folder := folder_of(url)) and (warned := room_left(folder, reserve)):
                yield warning("storage", *_halves(warned))
        finally:
            backend.close()


def _try(url: str, backend: StorageBackend) -> Iterator[DoctorFinding]:
    # The key has no slash, so that a file store is left without an empty folder.
    key, began = f"doctor-{secrets.token_hex(8)}", time.monotonic()
    try:
        backend.check()
        problem = _round_trip(backend, key, secrets.token_bytes(_SAMPLE_BYTES))
    except (Exception, SystemExit) as raised:  # a plugin's backend may raise anything
        problem = message_of(raised)
    undeleted = _delete(backend, key)
    if problem:
        yield error("storage", f"{url}: {problem}", _AGAIN)
    elif undeleted:
        yield warning(
            "storage",
            f"{url} keeps recordings, but {key} could not be deleted: {undeleted}",
            "Archiving needs no right to delete; remove the object by hand.",
        )
    else:
        spent = time.monotonic() - began
        yield ok("storage", f"{url}: {_SAMPLE_BYTES} bytes written, read, compared and deleted in {spent:.2f} s.")


def _round_trip(backend: StorageBackend, key: str, data: bytes) -> str | None:
    """Put one object and get it back, in the way of a recording. Returns the first thing that was wrong, or None."""
    kind, sha256 = "application/octet-stream", hashlib.sha256(data).hexdigest()
    result = integrity.put(backend, key, BytesSource(data, kind), content_type=kind, metadata={"recording_uuid": key})
    there = integrity.head(backend, key)
    if there is None:
        return "it took an object, and then knew of none."
    if {result.size, there.size} != {len(data)}:
        return f"of {len(data)} bytes it says {result.size} when they are stored, and {there.size} later."
    if {result.sha256 or sha256, there.checksums.get("sha256", sha256)} != {sha256}:
        return "it tells another SHA-256 than that of the bytes that were stored."
    if integrity.read_back(backend, key) != (len(data), sha256):
        return "other bytes came back than were stored."
    return None


def _delete(backend: StorageBackend, key: str) -> str | None:
    """Delete the object. Returns what went wrong, or None."""
    try:
        backend.delete(key)
    except (Exception, SystemExit) as raised:  # a plugin's backend may raise anything
        return message_of(raised)
    return None


def recipients(parts: Parts) -> Iterator[DoctorFinding]:
    """Who is told of troubles and events. Nothing is sent: `flask notify test` does that."""
    notifier, program = parts.telling.notifier, parts.telling.program
    names = [recipient.name for recipient in notifier.recipients] if notifier else []
    names += [program.host] if program else []
    tested = "Try it: flask notify test" if names else "NOTIFY_URLS and EVENT_WEBHOOK_URL are empty"
    yield ok("told", f"{', '.join(names) or 'Nobody'} is told when something needs attention. {tested}.")


def _unreachable(problem: requests.RequestException) -> str:
    """Why no answer came, as the end of a sentence. The text of `requests` is one for programmers."""
    if isinstance(problem, requests.Timeout):
        return "it did not answer in time"
    if isinstance(problem, requests.exceptions.SSLError):
        return "its certificate is not accepted"
    meanings = {"NameResolutionError": "its name cannot be resolved", "refused": "nothing listens there"}
    fitting = (meaning for part, meaning in meanings.items() if part in str(problem))
    return next(fitting, f"no connection came about ({type(problem).__name__})")
