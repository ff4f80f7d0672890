"""What `flask doctor` can tell from the settings alone: values, key and token, hosts, flows, names of objects.

Nothing here opens a database, a store or a connection: `parts` does.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import jwt
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

import settings as environment
from recordings.archive.credentials import load_private_key
from recordings.archive.hosts import HostRule
from recordings.keys import KeyTemplate
from recordings.model import Recording, State

from .findings import DoctorFinding, error, ok, sentence, settings_error, warning

if TYPE_CHECKING:
    from plugins.manager import Plugins
    from recordings.archive.credentials import ApplicationToken

_PACKAGES = (
    *("flask", "gunicorn", "requests", "urllib3", "sqlalchemy", "psycopg", "pyjwt", "cryptography"),
    *("pluggy", "google-cloud-storage", "azure-storage-blob"),
)
_LEAST_KEY_BITS = 2048
_INSTALL = "pip install --require-hashes -r requirements.txt"

_SAMPLE_START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SAMPLE = Recording(
    application_id="aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
    recording_uuid="bbbbbbbb-cccc-dddd-eeee-0123456789ab",
    conversation_uuid="CON-cccccccc-dddd-eeee-ffff-0123456789ab",
    recording_url="https://api.nexmo.com/v1/files/bbbbbbbb-cccc-dddd-eeee-0123456789ab",
    state=State.PENDING,
    size=12_345,
    start_time=_SAMPLE_START,
    end_time=_SAMPLE_START + timedelta(minutes=3),
    received_at=_SAMPLE_START + timedelta(minutes=3, seconds=2),
    flow="voicemail",
    format="mp3",
    channels=1,
    from_="447700900001",
    to="447700900000",
    direction="inbound",
)


class Parts(Protocol):
    """What these checks use. `problems` are the wrong settings."""

    @property
    def settings(self) -> environment.Settings: ...
    @property
    def problems(self) -> Sequence[environment.SettingsError]: ...
    @property
    def token(self) -> ApplicationToken: ...
    @property
    def plugins(self) -> Plugins: ...


def versions(parts: Parts) -> Iterator[DoctorFinding]:
    """The versions of what runs here."""
    installed = {}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            yield error("versions", f"The package {package} is not installed.", f"Install what is missing: {_INSTALL}")
    if int(installed.get("urllib3", "2").partition(".")[0]) < 2:
        yield error(
            "versions",
            f"urllib3 {installed['urllib3']} takes a download that was cut short for a whole one.",
            f"Install version 2: {_INSTALL}",
        )
    listed = ", ".join(f"{package} {number}" for package, number in installed.items())
    yield ok("versions", f"tapekeeper {environment.VERSION}, Python {platform.python_version()}, {listed}")


def values(parts: Parts) -> Iterator[DoctorFinding]:
    """Every variable that is set, secrets masked; every one that is wrong, missing, or set under a name that is."""
    wrong = {problem.name for problem in parts.problems}
    for name, default, secret, _ in environment.variables():
        value = getattr(parts.settings, name.lower(), None) if hasattr(parts.settings, name.lower()) else None
        value = parts.settings.backend_env.get(name, "") if value is None else value
        if value != default and name not in wrong:
            yield ok("settings", f"{name} = {_shown(name, value, secret)}")
    for problem in (*parts.problems, *environment.lacking(parts.settings)):
        if problem in parts.problems or problem.name not in wrong:
            yield settings_error("settings", problem)
    for name, meant in environment.misspelt().items():
        yield warning("settings", f"{name} is set, and nothing reads it.", f"If {meant} is meant, rename it.")
    if parts.settings.allow_unsigned_webhooks:
        yield warning(
            "settings",
            "ALLOW_UNSIGNED_WEBHOOKS is on: anybody who finds the address can announce recordings, fill the database "
            "with what is not from Vonage, and read FORWARD_TO and MODERATORS' room out of the answers to calls.",
            "Set VONAGE_SIGNATURE_SECRET and remove ALLOW_UNSIGNED_WEBHOOKS.",
        )


def _shown(name: str, value: Any, secret: bool) -> str:
    if name == "DATABASE_URL":
        return without_password(value)
    if secret:
        secrets = value if isinstance(value, tuple) else (value,)
        return " ".join(f"*** ({len(text)} characters)" for text in secrets)
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def without_password(url: str) -> str:
    """A database's address as it may be shown."""
    try:
        return make_url(url).set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return f"{url.partition('://')[0]}://***"


def key(parts: Parts) -> Iterator[DoctorFinding]:
    """The application's key parses, is long enough, and makes a token that its public half confirms."""
    settings = parts.settings
    if not settings.vonage_private_key:
        return
    try:
        bits = load_private_key(settings.vonage_private_key).key_size
    except ValueError as problem:
        yield error("key", f"VONAGE_PRIVATE_KEY cannot be used: {str(problem).partition(':')[0]}.", _mend(problem))
        return
    claims = jwt.decode(parts.token.mint(), parts.token.public_pem(), algorithms=["RS256"])
    lifetime = claims["exp"] - claims["iat"]
    yield ok("key", f"RSA, {bits} bits; it signs a token of {lifetime} s for {claims['application_id'] or 'nobody'}.")
    if bits < _LEAST_KEY_BITS:
        yield warning("key", f"{bits} bits are too few.", "Make a new key pair on the application's page.")


def hosts(parts: Parts) -> Iterator[DoctorFinding]:
    """The hosts that may get the token are Vonage's."""
    entries = parts.settings.recording_hosts
    try:
        rule = HostRule.parse(entries)
    except ValueError as problem:
        yield error("hosts", f"RECORDING_HOSTS is {' '.join(entries)!r}.", sentence(str(problem)))
        return
    for scheme, host, port in sorted(rule.origins):
        yield warning(
            "hosts",
            f"RECORDING_HOSTS gives the token to {scheme}://{host}:{port}, as one does for a simulator.",
            "Remove it where real calls are recorded.",
        )
    for domain in rule.domains:
        if "." not in domain.strip("."):
            yield warning("hosts", f"RECORDING_HOSTS gives the token to all of {domain}.", "Name Vonage's hosts only.")
    if not rule.allows(SAMPLE.recording_url):
        yield warning(
            "hosts",
            f"RECORDING_HOSTS leaves out {urlsplit(SAMPLE.recording_url).hostname}: real recordings are blocked.",
            "Write RECORDING_HOSTS=.nexmo.com .vonage.com, or remove it.",
        )
    yield ok("hosts", f"The token goes to {' '.join(entries)} only.")


def flows(parts: Parts) -> Iterator[DoctorFinding]:
    """The call flow can do what it is meant to do."""
    settings = parts.settings
    yield ok("flows", f"/webhooks/answer answers with {settings.call_flow}, recorded as {settings.recording_format}.")
    if settings.call_flow in environment.FORWARDING_FLOWS and not settings.vonage_number:
        yield warning(
            "flows",
            f"VONAGE_NUMBER is not set, so calls that {settings.call_flow} connects show no number of yours.",
            "Write a Vonage number that is linked to the application.",
        )
    if settings.forward_to and settings.forward_to == settings.vonage_number:
        yield warning(
            "flows",
            "FORWARD_TO is VONAGE_NUMBER: a call would call itself.",
            "Write the number of a person into FORWARD_TO.",
        )
    if settings.call_flow == "moderated" and not settings.moderators:
        yield warning(
            "flows",
            "CALL_FLOW is moderated and MODERATORS is empty: attendees wait until somebody comes by ?role=moderator.",
            "Write the moderators' numbers into MODERATORS.",
        )


def template(parts: Parts) -> Iterator[DoctorFinding]:
    """The name that a sample recording would get in a storage."""
    rendered = KeyTemplate(parts.settings.storage_key_template).render(SAMPLE, "mp3")
    yield ok("template", f"A voicemail would be stored as {rendered}")
    plugins_key = parts.plugins.object_key(SAMPLE)
    if plugins_key is not None:
        yield ok("template", f"A plugin names the same voicemail {plugins_key}")


def _mend(problem: ValueError) -> str:
    """The second half of a message such as `reason: what to write`."""
    return sentence(str(problem).partition(":")[2].strip() or str(problem))
