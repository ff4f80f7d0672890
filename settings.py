"""Every environment variable in one table: name, type, default, secret or not, help. Parsed once, then frozen.

Only `wsgi.py` and `commands/` read this module, and only this module reads `os.environ`. A wrong value raises
`SettingsError`: one line that names the variable, what was read (secrets masked) and what to write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent
FLOWS = ("voicemail", "call", "split", "conversation", "moderated")
FORWARDING_FLOWS = ("call", "split")


class SettingsError(Exception):
    """A variable that is wrong or missing; the message is the one line to show, `fault` and `mend` its halves."""

    def __init__(self, name: str, value: str | None, mend: str) -> None:
        self.name = name
        self.fault = f"{name} is not set" if value is None else f"{name} is {value!r}"
        self.mend = mend
        super().__init__(f"{self.fault}: {mend}")


# --- Parsers: text in, value out; ValueError says what to write ------------------------------------------------------


def _text(value: str) -> str:
    return value.strip()


def _words(value: str) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split())


def _tokens(value: str) -> tuple[str, ...]:
    tokens = _words(value)
    if not all(len(token) >= 16 and token.isascii() and token.isprintable() for token in tokens):
        raise ValueError("write random words of 16 characters or more, such as `openssl rand -hex 32` prints")
    return tokens


def _switch(value: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if value.strip().lower() not in known:
        raise ValueError("write true or false")
    return known[value.strip().lower()]


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value.strip()) or not least <= int(value) <= most:
            raise ValueError(f"write a whole number from {least} to {most}")
        return int(value)

    return parse


def _greeting(value: str) -> str:
    """Vonage speaks 1,500 characters at most. https://developer.vonage.com/en/voice/voice-api/ncco-reference#talk"""
    return value.strip()[:1500]


def _choice(*words: str, fold: Callable[[str], str] = str.lower) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if fold(value.strip()) not in words:
            raise ValueError(f"write one of {', '.join(words)}")
        return fold(value.strip())

    return parse


def _split(value: str) -> SplitResult:
    """The URL's parts; none where they cannot be told apart."""
    try:
        parts = urlsplit("" if re.search(r"\s", value.strip()) else value.strip())
        parts.port  # noqa: B018 - reading it is what raises on a port that is no number
    except ValueError:
        return urlsplit("")
    return parts


def _base_url(value: str) -> str:
    parts = _split(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("write the https address of this app as Vonage reaches it, such as https://calls.example.com")
    return value.strip().rstrip("/")


def _media_url(value: str) -> str:
    if _split(value).scheme not in ("https", "http"):
        raise ValueError("write the https address of an mp3 file")
    return value.strip()


def _number(value: str) -> str:
    """Vonage writes E.164 numbers without the plus. https://developer.vonage.com/en/concepts/guides/glossary#e-164-format"""
    digits = re.sub(r"[\s().+-]", "", value)
    if not re.fullmatch(r"[0-9]{3,15}", digits):
        raise ValueError("write a phone number with its country code, such as 447700900000")
    return digits


def _numbers(value: str) -> tuple[str, ...]:
    return tuple(_number(word) for word in re.split(r"[,;]|\s+(?=\+)|(?<=\d)\s+(?=\d{7,})", value) if word.strip())


def _database_url(value: str) -> str:
    """Heroku writes `postgres://`, which SQLAlchemy does not know; both Postgres forms get our driver's name."""
    value = value.strip()
    if re.match(r"postgres(ql)?(\+psycopg)?://.", value):
        return "postgresql+psycopg://" + value.split("://", 1)[1]
    if re.fullmatch(r"sqlite:///.+", value) and ":memory:" not in value:
        return f"sqlite:///{ROOT / value.removeprefix('sqlite:///')}"
    raise ValueError("write sqlite:///path/to/file.db or postgres://user:password@host/database")


def _storage_urls(value: str) -> tuple[str, ...]:
    urls = tuple(url.rstrip("/") if url.count("/") > 3 else url for url in value.split())
    if not urls or not all(re.match(r"[a-z][a-z0-9+.-]*://", url) for url in urls):
        raise ValueError("write file:///dir, gs://bucket/prefix or az://container/prefix; several with spaces between")
    if len(set(urls)) != len(urls):
        raise ValueError("write each storage once")
    return urls


def _folder(value: str) -> Path:
    return ROOT / value.strip()


# --- The table -------------------------------------------------------------------------------------------------------


def _setting(parse: Callable[[str], Any], default: Any, about: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"parse": parse, "about": about, "secret": secret})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Each field is the variable of the same name in capitals."""

    vonage_application_id: str = _setting(_text, "", "the Vonage application that makes the recordings")
    vonage_private_key: str = _setting(
        _text, "", "its RSA key: PEM, PEM with literal \\n, base64 of PEM, or a file's path", secret=True
    )
    vonage_signature_secret: tuple[str, ...] = _setting(
        _words, (), "the account's signature secret; old and new during a rotation, space or comma between", secret=True
    )
    allow_unsigned_webhooks: bool = _setting(_switch, False, "accept webhooks that carry no signature")
    signature_max_age_seconds: int = _setting(_whole(30, 86400), 900, "how old a webhook's signature may be")
    public_url: str = _setting(_base_url, "", "https base of this app as Vonage sees it; eventUrls are built on it")
    recording_hosts: tuple[str, ...] = _setting(
        _words,
        (".nexmo.com", ".vonage.com"),
        "hosts that may get the JWT; an entry with a scheme is one exact origin, for a simulator",
    )
    database_url: str = _setting(
        _database_url,
        f"sqlite:///{ROOT / 'var/tapekeeper.db'}",
        "the catalogue: sqlite:///… or postgres://…",
        secret=True,
    )
    embedded_worker: bool = _setting(_switch, True, "a web process archives too; false where `flask worker` runs")
    worker_threads: int = _setting(_whole(1, 64), 8, "copies archived at the same time by one worker")
    lease_seconds: int = _setting(_whole(3, 3600), 60, "how long a silent worker keeps its copy")
    retry_first_seconds: int = _setting(_whole(1, 3600), 10, "the first wait after a transient error; doubles")
    retry_max_seconds: int = _setting(_whole(1, 86400), 21600, "the longest wait between two attempts")
    storage_url: tuple[str, ...] = _setting(
        _storage_urls,
        (f"file://{ROOT / 'var/recordings'}",),
        "file:///dir, gs://bucket/prefix, az://container/prefix, a plugin's scheme; several: a copy in each",
    )
    storage_key_template: str = _setting(
        _text,
        "{start:%Y/%m/%d}/{conversation_uuid}/{recording_uuid}.{ext}",
        "the object's key; must hold {recording_uuid}",
    )
    missing_grace_seconds: int = _setting(
        _whole(30, 86400), 600, "seconds that a recording may take after its call's end before it is listed as missing"
    )
    delivery_retention_days: int = _setting(
        _whole(1, 3650), 35, "how long raw webhook deliveries are kept; recordings and calls stay"
    )
    experimental_media_api: bool = _setting(
        _switch, False, "allow `flask recordings sweep-source`, which asks an API that nobody has proven for Voice"
    )
    plugins_dir: Path = _setting(_folder, ROOT / "plugins/dropin", "folder of one-file plugins")
    plugins_disabled: tuple[str, ...] = _setting(
        _words, (), "names of plugins to leave out, as `flask plugins` prints them"
    )
    call_flow: str = _setting(_choice(*FLOWS), "voicemail", "the flow that /webhooks/answer answers with")
    forward_to: str = _setting(_number, "", "the number that `call` and `split` connect to")
    vonage_number: str = _setting(_number, "", "your Vonage number, the caller id of connected calls")
    recording_format: str = _setting(_choice("mp3", "wav", "ogg"), "mp3", "the audio format that calls are recorded in")
    greeting: str = _setting(_greeting, "", "what the caller hears first; default: a sentence for each flow")
    conversation_name: str = _setting(_text, "tapekeeper", "the room that callers join when the URL names none")
    moderators: tuple[str, ...] = _setting(_numbers, (), "callers who moderate; commas between")
    hold_music_url: str = _setting(_media_url, "", "mp3 that attendees hear until the moderator joins")
    api_tokens: tuple[str, ...] = _setting(
        _tokens, (), "who sends one of these as Bearer token may read /metrics; without any it is closed", secret=True
    )
    metrics_public: bool = _setting(_switch, False, "let everybody read /metrics")
    allow_ephemeral_storage: bool = _setting(_switch, False, "on a dyno, allow files that its restart deletes")
    dyno: str = _setting(_text, "", "set by Heroku: this machine's disk does not last")
    log_format: str = _setting(_choice("text", "json"), "text", "log lines for people or for machines")
    log_level: str = _setting(
        _choice("DEBUG", "INFO", "WARNING", "ERROR", fold=str.upper), "INFO", "the least level that is logged"
    )
    backend_env: Mapping[str, str] = field(default_factory=dict, repr=False)


# Read by the backends themselves, out of the mapping that they are given.
BACKEND_SETTINGS: tuple[tuple[str, bool, str], ...] = (
    ("GOOGLE_APPLICATION_CREDENTIALS_JSON", True, "service account key for gs://, as JSON or base64 of it"),
    ("GOOGLE_CREDENTIALS", True, "the same under the name that buildpacks use"),
    ("GOOGLE_APPLICATION_CREDENTIALS", False, "path of a credentials file, as Google's own libraries read it"),
    ("STORAGE_EMULATOR_HOST", False, "a GCS emulator's address, for tests"),
    ("AZURE_STORAGE_CONNECTION_STRING", True, "everything that az:// needs in one value"),
    ("AZURE_STORAGE_ACCOUNT", False, "the storage account's name"),
    ("AZURE_STORAGE_ACCOUNT_NAME", False, "the same under the name that other tools use"),
    ("AZURE_STORAGE_KEY", True, "the account's key"),
    ("AZURE_STORAGE_SAS_TOKEN", True, "a shared access signature in place of the key"),
)


def variables() -> list[tuple[str, Any, bool, str]]:
    """The table: (NAME, default, secret, help) of every variable, ours first, then the backends'."""
    ours = [
        (f.name.upper(), f.default, f.metadata["secret"], f.metadata["about"]) for f in fields(Settings) if f.metadata
    ]
    return ours + [(name, "", secret, about) for name, secret, about in BACKEND_SETTINGS]


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Parse the environment. Raises `SettingsError` at the first wrong value; an empty one counts as not set."""
    settings, problems = survey(environ)
    for problem in problems:
        raise problem
    return settings


def survey(environ: Mapping[str, str] | None = None) -> tuple[Settings, list[SettingsError]]:
    """The settings, with its default in place of each wrong value, and everything that is wrong."""
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    problems: list[SettingsError] = []
    for item in fields(Settings):
        text = env.get(item.name.upper(), "")
        if item.metadata and text.strip():
            try:
                values[item.name] = _parsed(item.name.upper(), text, item.metadata)
            except SettingsError as problem:
                problems.append(problem)
    hidden = {item.name.upper() for item in fields(Settings) if item.name.startswith("vonage_")}
    hidden |= {"DATABASE_URL", "API_TOKENS"}
    values["backend_env"] = {name: text for name, text in env.items() if name not in hidden}
    settings = Settings(**values)
    return settings, problems + list(_inconsistencies(settings))


def misspelt(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables that are set and that nobody reads, each with the name that was probably meant."""
    known = [name for name, *_ in variables()]
    strange = sorted((os.environ if environ is None else environ).keys() - set(known))
    return {name: near[0] for name in strange if (near := get_close_matches(name, known, 1, 0.9))}


def _parsed(name: str, text: str, metadata: Mapping[str, Any]) -> Any:
    try:
        return metadata["parse"](text)
    except ValueError as error:
        raise SettingsError(name, "***" if metadata["secret"] else text, str(error)) from None


def _inconsistencies(settings: Settings) -> Iterator[SettingsError]:
    if settings.retry_first_seconds > settings.retry_max_seconds:
        yield SettingsError(
            "RETRY_FIRST_SECONDS", str(settings.retry_first_seconds), "write less than RETRY_MAX_SECONDS, or raise that"
        )


def require_serving(settings: Settings) -> Settings:
    """The same settings, once everything that answering calls and archiving needs is there."""
    for problem in lacking(settings):
        raise problem
    return settings


def lacking(settings: Settings) -> Iterator[SettingsError]:
    """Everything that answering calls and archiving needs, and that is not there."""
    required = {
        "VONAGE_APPLICATION_ID": "copy it from your application's page in the Vonage dashboard",
        "VONAGE_PRIVATE_KEY": "paste the application's private.key, or write its path",
        "PUBLIC_URL": "write the https address of this app as Vonage reaches it, such as https://calls.example.com",
    }
    for name, mend in required.items():
        if not getattr(settings, name.lower()):
            yield SettingsError(name, None, mend)
    if not settings.vonage_signature_secret and not settings.allow_unsigned_webhooks:
        yield SettingsError(
            "VONAGE_SIGNATURE_SECRET",
            None,
            "copy the signature secret from the Vonage dashboard's settings, or write ALLOW_UNSIGNED_WEBHOOKS=true",
        )
    if settings.call_flow in FORWARDING_FLOWS and not settings.forward_to:
        yield SettingsError("FORWARD_TO", None, f"write the number that CALL_FLOW={settings.call_flow} connects to")
    yield from _fleeting(settings)


def _fleeting(settings: Settings) -> Iterator[SettingsError]:
    """A dyno's disk is wiped at least daily. https://devcenter.heroku.com/articles/dynos#ephemeral-filesystem"""
    if not settings.dyno or settings.allow_ephemeral_storage:
        return
    if settings.database_url.startswith("sqlite"):
        yield SettingsError(
            "DATABASE_URL",
            settings.database_url,
            "a dyno loses its disk daily: add Heroku Postgres, or risk it with ALLOW_EPHEMERAL_STORAGE=true",
        )
    for url in settings.storage_url:
        if url.startswith("file:"):
            yield SettingsError(
                "STORAGE_URL",
                url,
                "a dyno loses its disk daily: write gs://… or az://…, or risk it with ALLOW_EPHEMERAL_STORAGE=true",
            )
