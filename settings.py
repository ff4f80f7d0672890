"""Every environment variable in one table: name, type, default, secret or not, help. Parsed once, then frozen.

Only `wsgi.py`, `serving.py`, `gunicorn.conf.py` and `commands/` read this module, and only this module reads
`os.environ` and `.env`. How text becomes a value is in `settings_parsers.py`. A wrong value raises `SettingsError`: one
line that names the variable, what was read (secrets masked) and what to write.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import settings_parsers as parse
from recordings.masking import MASK, masked
from settings_database import database_url as parse_database_url
from settings_platforms import Platform, outlives_restart, own_address, platform_of

VERSION = "0.2.0"
ROOT = parse.ROOT
FLOWS = ("voicemail", "call", "split", "conversation", "moderated")
FORWARDING_FLOWS = ("call", "split")
_METADATA = "; or let Heroku tell it: heroku labs:enable runtime-dyno-metadata, and release once more"


class SettingsError(Exception):
    """A variable that is wrong or missing; the message is the one line to show, `fault` and `mend` its halves.

    Whatever looks like a secret is masked in both halves, also in a variable that should hold none.
    """

    def __init__(self, name: str, value: str | None, mend: str) -> None:
        self.name = name
        self.fault = f"{name} is not set" if value is None else f"{name} is {masked(value)!r}"
        self.mend = masked(mend)
        super().__init__(f"{self.fault}: {self.mend}")


# --- The table -------------------------------------------------------------------------------------------------------


def _setting(parse: Callable[[str], Any], default: Any, about: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"parse": parse, "about": about, "secret": secret})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Each field is the variable of the same name in capitals."""

    vonage_application_id: str = _setting(
        parse.application_id, "", "the id (a UUID) of the Vonage application that makes the recordings"
    )
    vonage_private_key: str = _setting(
        parse.text, "", "its RSA key: PEM, PEM with literal \\n, base64 of PEM, or a file's path", secret=True
    )
    vonage_signature_secret: tuple[str, ...] = _setting(
        parse.secrets,
        (),
        "the account's signature secret; old and new during a rotation",
        secret=True,
    )
    allow_unsigned_webhooks: bool = _setting(parse.switch, False, "accept webhooks that carry no signature")
    signature_max_age_seconds: int = _setting(parse.whole(30, 86400), 900, "how old a webhook's signature may be")
    public_url: str = _setting(
        parse.base_url,
        "",
        "https base of this app as Vonage sees it, without /webhooks; eventUrls are built on it; default: the address "
        "that the platform tells",
    )
    recording_hosts: tuple[str, ...] = _setting(
        parse.word_list,
        (".nexmo.com", ".vonage.com"),
        "hosts that may get the JWT; an entry with a scheme is one exact origin, for a simulator",
    )
    database_url: str = _setting(
        parse_database_url,
        f"sqlite:///{ROOT / 'var/tapekeeper.db'}",
        "the catalogue: sqlite:///… or postgres://…; in a password @ is written %40, / is %2F, ? is %3F",
        secret=True,
    )
    migration_database_url: str = _setting(
        parse_database_url,
        "",
        "another address of the same Postgres, by which the schema is changed: past a pooler, or for a user who may",
        secret=True,
    )
    embedded_worker: bool = _setting(parse.switch, True, "a web process archives too; false where `flask worker` runs")
    worker_threads: int = _setting(parse.whole(1, 64), 8, "copies archived at the same time by one worker")
    lease_seconds: int = _setting(parse.whole(3, 3600), 60, "how long a silent worker keeps its copy")
    retry_first_seconds: int = _setting(parse.whole(1, 3600), 10, "the first wait after a transient error; doubles")
    retry_max_seconds: int = _setting(parse.whole(1, 86400), 21600, "the longest wait between two attempts")
    storage_url: tuple[str, ...] = _setting(
        parse.storage_urls,
        (f"file://{ROOT / 'var/recordings'}",),
        "file:///dir, gs://bucket/prefix, az://container/prefix, a plugin's scheme, never with a password; several: a "
        "copy in each",
    )
    storage_key_template: str = _setting(
        parse.text,
        "{start:%Y/%m/%d}/{conversation_uuid}/{recording_uuid}.{ext}",
        "the object's key; must hold {recording_uuid}",
    )
    missing_grace_seconds: int = _setting(
        parse.whole(30, 86400),
        600,
        "seconds that a recording may take after its call's end before it is listed as missing",
    )
    delivery_retention_days: int = _setting(
        parse.whole(1, 3650),
        35,
        "how long raw webhook deliveries and events for programs are kept; recordings and calls stay",
    )
    nightly_list_days: int = _setting(
        parse.whole(0, 366), 7, "how many nightly lists of the catalogue lie in each storage; 0: none is written"
    )
    experimental_media_api: bool = _setting(
        parse.switch, False, "allow `flask recordings sweep-source`, which asks an API that nobody has proven for Voice"
    )
    plugins_dir: Path = _setting(parse.folder, ROOT / "plugins/dropin", "folder of one-file plugins")
    plugins_disabled: tuple[str, ...] = _setting(
        parse.word_list, (), "names of plugins to leave out, as `flask plugins` prints them"
    )
    call_flow: str = _setting(parse.choice(*FLOWS), "voicemail", "the flow that /webhooks/answer answers with")
    forward_to: str = _setting(parse.number, "", "the number that `call` and `split` connect to, with its country code")
    vonage_number: str = _setting(parse.number, "", "your Vonage number, the caller id of connected calls")
    recording_format: str = _setting(
        parse.choice("mp3", "wav", "ogg"), "mp3", "the audio format that calls are recorded in"
    )
    greeting: str = _setting(parse.greeting, "", "what the caller hears first; default: a sentence for each flow")
    conversation_name: str = _setting(parse.text, "tapekeeper", "the room that callers join when the URL names none")
    moderators: tuple[str, ...] = _setting(parse.numbers, (), "callers who moderate")
    hold_music_url: str = _setting(parse.media_url, "", "mp3 that attendees hear until the moderator joins")
    api_tokens: tuple[str, ...] = _setting(
        parse.tokens,
        (),
        "who sends one of these as Bearer token may read /metrics, and the JSON API as a viewer",
        secret=True,
    )
    console_password: str = _setting(
        parse.password, "", "opens the console to whoever signs in as `admin` with it", secret=True
    )
    auth_header: str = _setting(
        parse.header, "", "the header in which a single sign-on proxy names the person, such as X-Remote-User"
    )
    auth_proxies: tuple[str, ...] = _setting(
        parse.networks, (), "addresses and networks of that proxy; from anybody else the header is ignored"
    )
    auth_role: str = _setting(
        parse.choice("viewer", "listener", "operator", "admin"),
        "viewer",
        "the role of whoever comes through that proxy and has no account of the same name",
    )
    proxy_hops: int = _setting(
        parse.whole(0, 9),
        0,
        "how many proxies stand before this app and add to X-Forwarded-For; 0: the header is not read",
    )
    demo_door: bool = _setting(
        parse.switch, False, "for `make demo` alone: an open console, where no other machine can reach it"
    )
    metrics_public: bool = _setting(parse.switch, False, "let everybody read /metrics")
    notify_urls: tuple[str, ...] = _setting(
        parse.notify_urls,
        (),
        "who is told when something needs attention: addresses of apprise, such as mailto://…, slack://…, msteams://…",
        secret=True,
    )
    event_webhook_url: str = _setting(
        parse.event_url,
        "",
        "https address of a program that is told what was stored, failed, or is missing",
        secret=True,
    )
    event_webhook_secret: tuple[str, ...] = _setting(
        parse.event_secrets,
        (),
        "signs these events by Standard Webhooks: whsec_ and base64; old and new during a rotation",
        secret=True,
    )
    allow_ephemeral_storage: bool = _setting(
        parse.switch, False, "on a platform without a lasting disk, allow files that a restart deletes"
    )
    log_format: str = _setting(parse.choice("text", "json"), "text", "log lines for people or for machines")
    log_level: str = _setting(
        parse.choice("DEBUG", "INFO", "WARNING", "ERROR", fold=str.upper), "INFO", "the least level that is logged"
    )
    backend_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    platform: Platform | None = None  # by the variables that it sets; see `settings_platforms`


# Read by the backends themselves, out of the mapping that they are given.
BACKEND_SETTINGS: tuple[tuple[str, bool, str], ...] = (
    ("STORAGE_RESERVE_MB", False, "MiB that file:// keeps free for the catalogue; default: see docs/storage.md"),
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


def read_env_file(folder: Path = ROOT) -> None:
    """Put what `.env` holds into the environment, where it is not set there already.

    The `flask` command does the same by itself, and can be kept from it, as this can, by FLASK_SKIP_DOTENV=1.
    https://flask.palletsprojects.com/en/stable/cli/#environment-variables-from-dotenv
    """
    if (
        os.environ.get("FLASK_SKIP_DOTENV", "0").lower() not in ("0", "false", "no", "")
        or not (folder / ".env").exists()
    ):
        return
    from dotenv import dotenv_values  # needed only where there is a file

    try:
        written = dotenv_values(folder / ".env", encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(
            f"The file {folder / '.env'}", reason, "make it a text file that this user may read"
        ) from None
    for name, value in written.items():
        if value is not None:
            os.environ.setdefault(name, value)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Parse the environment. Raises `SettingsError` at the first wrong value; an empty one counts as not set."""
    settings, problems = survey(environ)
    for problem in problems:
        raise problem
    return settings


def survey(environ: Mapping[str, str] | None = None) -> tuple[Settings, list[SettingsError]]:
    """The settings, with its default in place of each wrong value, and everything that is wrong."""
    env = os.environ if environ is None else environ
    platform = platform_of(env)
    values: dict[str, Any] = {"platform": platform}
    problems: list[SettingsError] = []
    for item in fields(Settings):
        text = parse.clean(env.get(item.name.upper(), ""))
        if item.name == "public_url":
            text = text or own_address(platform, env)
        if item.metadata and text:
            try:
                value = _parsed(item.name.upper(), text, item.metadata)
            except SettingsError as problem:
                problems.append(problem)
            else:
                values |= {} if value == () else {item.name: value}  # commas alone are an empty list: not set
    settings = Settings(**values, backend_env=_for_backends(env))
    return settings, problems + list(_inconsistencies(settings))


def _for_backends(env: Mapping[str, str]) -> dict[str, str]:
    """What backends are given: everything but our own secrets; the variables of built-in backends are cleaned."""
    hidden = {item.name.upper() for item in fields(Settings) if item.name.startswith("vonage_")}
    hidden |= {"DATABASE_URL", "MIGRATION_DATABASE_URL", "API_TOKENS", "CONSOLE_PASSWORD"}
    hidden |= {"NOTIFY_URLS", "EVENT_WEBHOOK_URL", "EVENT_WEBHOOK_SECRET"}
    theirs = {name for name, *_ in BACKEND_SETTINGS}
    return {name: parse.clean(text) if name in theirs else text for name, text in env.items() if name not in hidden}


def misspelt(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables that are set and unknown, each with the known name that was probably meant."""
    known = [name for name, *_ in variables()]
    strange = sorted((os.environ if environ is None else environ).keys() - set(known))
    return {name: near[0] for name in strange if (near := get_close_matches(name, known, 1, 0.9))}


def _parsed(name: str, text: str, metadata: Mapping[str, Any]) -> Any:
    try:
        return metadata["parse"](text)
    except ValueError as error:
        raise SettingsError(name, MASK if metadata["secret"] else text, str(error)) from None


def _inconsistencies(settings: Settings) -> Iterator[SettingsError]:
    if settings.retry_first_seconds > settings.retry_max_seconds:
        yield SettingsError(
            "RETRY_FIRST_SECONDS", str(settings.retry_first_seconds), "write less than RETRY_MAX_SECONDS, or raise that"
        )
    if settings.migration_database_url and not _both_postgres(settings):
        yield SettingsError(
            "MIGRATION_DATABASE_URL", MASK, "take it out: it is for a Postgres, and the same one as DATABASE_URL"
        )
    if settings.auth_header and not settings.auth_proxies:
        yield SettingsError(
            "AUTH_PROXIES", None, "write the addresses of the proxy that sets AUTH_HEADER; nobody else may set it"
        )
    if settings.auth_proxies and not settings.auth_header:
        yield SettingsError("AUTH_HEADER", None, "write the header in which AUTH_PROXIES name the person")
    if settings.demo_door and not parse.is_loopback(settings.public_url):
        yield SettingsError(
            "DEMO_DOOR", "true", "take it out: it opens the console to everybody, and PUBLIC_URL is no loopback address"
        )


def _both_postgres(settings: Settings) -> bool:
    return all(url.startswith("postgresql") for url in (settings.database_url, settings.migration_database_url))


def require_serving(settings: Settings) -> Settings:
    """The same settings. Raises `SettingsError` when something that answering calls and archiving needs is not set."""
    for problem in lacking(settings):
        raise problem
    return settings


def lacking(settings: Settings) -> Iterator[SettingsError]:
    """What answering calls and archiving needs, and what is not set."""
    required = {
        "VONAGE_APPLICATION_ID": "copy it from your application's page in the Vonage dashboard",
        "VONAGE_PRIVATE_KEY": "paste the application's private.key, or write its path",
        "PUBLIC_URL": "write the https address of this app as Vonage reaches it, such as https://calls.example.com"
        f"{_METADATA if settings.platform and settings.platform.name == 'Heroku' else ''}",
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
    yield from unsigned_events(settings)
    yield from _fleeting(settings)


def unsigned_events(settings: Settings) -> Iterator[SettingsError]:
    """What is wrong where events for a program have no secret: a program could not tell them from a stranger's."""
    if settings.event_webhook_url and not settings.event_webhook_secret:
        yield SettingsError(
            "EVENT_WEBHOOK_SECRET",
            None,
            'write what `echo "whsec_$(openssl rand -base64 32)"` prints, and give it to the program that is told',
        )


def _fleeting(settings: Settings) -> Iterator[SettingsError]:
    """What would be lost: most platforms wipe a disk at each restart, and restart daily or at each release.

    https://devcenter.heroku.com/articles/dynos#ephemeral-filesystem
    """
    platform = settings.platform
    if platform is None or settings.allow_ephemeral_storage:
        return
    volume = " or a folder on a mounted volume," if platform.volumes else ""
    lost = f"{platform.name} wipes this folder at a restart:"
    risk = "or risk it with ALLOW_EPHEMERAL_STORAGE=true"
    file = settings.database_url.removeprefix("sqlite:///")
    if file != settings.database_url and not outlives_restart(Path(file), platform):
        yield SettingsError(
            "DATABASE_URL", settings.database_url, f"{lost} write the address of a Postgres,{volume} {risk}"
        )
    for url in settings.storage_url:
        if url.startswith("file:") and not outlives_restart(Path(unquote(urlsplit(url).path)), platform):
            yield SettingsError("STORAGE_URL", url, f"{lost} write gs://… or az://…,{volume} {risk}")
