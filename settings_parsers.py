"""How the text of an environment variable becomes a value: one function for each shape.

A parser takes text that `clean` has been over, and raises `ValueError`, which says what to write and never quotes the
text. Which variable has which shape is in `settings.py`; nothing here reads the environment, opens a file or connects.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from recordings.masking import masked

ROOT = Path(__file__).resolve().parent

# White space, control characters, and what no screen shows: byte-order mark, zero-width and no-break spaces, direction
# marks. They come along when a value is copied from a web page, a chat or a file of another system.
_INVISIBLE = r"\s\x00-\x1f\x7f-\xa0\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_EDGES = re.compile(f"^[{_INVISIBLE}]+|[{_INVISIBLE}]+$")
_QUOTES = "\"'"
_SEPARATORS = re.compile(r"[\s,;]+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def clean(value: str) -> str:
    """The value without invisible characters around it, and without the quotes that an env-file put around the whole.

    What is inside stays as it is.
    """
    value = _trimmed(value)
    while len(value) >= 2 and value[0] == value[-1] and value[0] in _QUOTES and value[0] not in value[1:-1]:
        value = _trimmed(value[1:-1])
    return value


def _trimmed(value: str) -> str:
    return _EDGES.sub("", value)


# --- Words, numbers, choices -----------------------------------------------------------------------------------------


def text(value: str) -> str:
    """Any text."""
    return value


def greeting(value: str) -> str:
    """Vonage speaks 1,500 characters at most. https://developer.vonage.com/en/voice/voice-api/ncco-reference#talk"""
    return _trimmed(value[:1500])


def word_list(value: str) -> tuple[str, ...]:
    """A list: white space, commas or semicolons between its words, each of which may have quotes of its own."""
    listed = tuple(word for part in _SEPARATORS.split(value) if (word := clean(part)))
    if any(word[0] in _QUOTES or word[-1] in _QUOTES for word in listed):
        raise ValueError("write the words without quotes, with spaces between")
    return listed


def secrets(value: str) -> tuple[str, ...]:
    """A list of secrets. Vonage's are plain ASCII: what is not was pasted with something invisible in it."""
    listed = word_list(value)
    if not all(_is_ascii(word) for word in listed):
        raise ValueError("write it in plain ASCII letters, digits and signs: copy it from the dashboard once more")
    return listed


def tokens(value: str) -> tuple[str, ...]:
    """A list of secrets that were made up here, so that they can be asked to be long."""
    listed = word_list(value)
    if not all(len(token) >= 16 and _is_ascii(token) for token in listed):
        raise ValueError("write random words of 16 characters or more, such as `openssl rand -hex 32` prints")
    return listed


def event_secrets(value: str) -> tuple[str, ...]:
    """A list of secrets as Standard Webhooks writes them: base64 of 24 to 64 bytes after `whsec_`.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
    """
    listed = word_list(value)
    if not all(_is_event_secret(word) for word in listed):
        raise ValueError('write what `echo "whsec_$(openssl rand -base64 32)"` prints: base64 of 24 to 64 bytes')
    return listed


def _is_event_secret(word: str) -> bool:
    try:
        key = b64decode(word.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return word.startswith("whsec_") and 24 <= len(key) <= 64


def password(value: str) -> str:
    """A password that was made up here."""
    if not 12 <= len(value) <= 1000 or not value.isprintable():
        raise ValueError("write a password of 12 characters or more, such as `openssl rand -hex 16` prints")
    return value


def _is_ascii(word: str) -> bool:
    return word.isascii() and word.isprintable()


def switch(value: str) -> bool:
    """True or false."""
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if value.lower() not in known:
        raise ValueError("write true or false")
    return known[value.lower()]


def whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number between two bounds."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
            raise ValueError(f"write a whole number from {least} to {most}")
        return int(value)

    return parse


def choice(*known: str, fold: Callable[[str], str] = str.lower) -> Callable[[str], str]:
    """One of a few words, in any case."""

    def parse(value: str) -> str:
        if fold(value) not in known:
            raise ValueError(f"write one of {', '.join(known)}")
        return fold(value)

    return parse


def application_id(value: str) -> str:
    """Vonage's ids of applications are UUIDs in small letters."""
    if not _UUID.fullmatch(value.lower()):
        raise ValueError(
            "write the application's id, such as aaaaaaaa-bbbb-cccc-dddd-0123456789ab: copy it, not the API key, from "
            "the application's page in the Vonage dashboard"
        )
    return value.lower()


def folder(value: str) -> Path:
    """A folder; a relative one is below the checkout."""
    return ROOT / value


# --- Phone numbers ---------------------------------------------------------------------------------------------------


def number(value: str) -> str:
    """A phone number as Vonage writes it: E.164 without the plus.

    It must be possible in its country's numbering plan, in length and form; whether it is in service does not matter.
    https://developer.vonage.com/en/concepts/guides/glossary#e-164-format
    """
    digits = _e164(value)
    if digits is None:
        raise ValueError("write a phone number with its country code, such as 447700900000")
    return digits


def numbers(value: str) -> tuple[str, ...]:
    """A list of phone numbers. Spaces may stand inside a number, so they separate only where both sides are numbers."""
    parts = re.split(r"[,;\n\r\t]+|\s+(?=\+)", value)
    return tuple(entry for part in parts if clean(part) for entry in _numbers_of(clean(part)))


def _numbers_of(part: str) -> list[str]:
    alone = [_e164(word) for word in part.split()]
    whole_numbers = [digits for digits in alone if digits is not None]
    return whole_numbers if len(whole_numbers) == len(alone) else [number(part)]


def _e164(value: str) -> str | None:
    """The digits, without a national prefix such as the (0) of +44 (0)20; None where it is no possible number."""
    import phonenumbers  # 40 ms, which a process without any number does not spend

    if not re.fullmatch(r"\+?[\d\s().\-\u2010-\u2015\u2212]{3,40}", value):
        return None
    international = "+" + re.sub(r"^(\+|00)", "", value)
    try:
        parsed = phonenumbers.parse(international, None)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(parsed) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


# --- Addresses -------------------------------------------------------------------------------------------------------

_OUR_ROUTES = r"(.*/)?webhooks(/(answer|fallback|recordings|events|transcriptions)(/.*)?)?"


def base_url(value: str) -> str:
    """The address below which Vonage finds our routes."""
    parts = _web_address(value)
    if parts is None or parts.query or parts.fragment or "?" in value or "#" in value or "//" in parts.path:
        raise ValueError("write the https address of this app as Vonage reaches it, such as https://calls.example.com")
    base = value.rstrip("/")
    if re.fullmatch(_OUR_ROUTES, parts.path.strip("/")):
        raise ValueError(
            "write the base alone, without /webhooks and what follows it: this app adds that by itself, so "
            "https://calls.example.com makes https://calls.example.com/webhooks/recordings"
        )
    return base


def is_loopback(url: str) -> bool:
    """Whether the address is one that no other machine can reach."""
    host = _split(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def header(value: str) -> str:
    """The name of an HTTP header that a proxy sets."""
    other_uses = ("authorization", "cookie", "host", "content-type", "content-length", "x-csrftoken")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", value) or value.lower() in other_uses:
        raise ValueError("write the name of the header in which the proxy names the person, such as X-Remote-User")
    return value


def networks(value: str) -> tuple[str, ...]:
    """A list of IP addresses and networks. The whole Internet is none: then anybody could claim to be the proxy."""
    try:
        listed = [ip_network(word, strict=False) for word in word_list(value)]
    except ValueError:
        listed = []
    if not listed or any(network.prefixlen == 0 for network in listed):
        raise ValueError("write the proxy's addresses, such as 10.0.0.5 or 10.0.0.0/24, with spaces between")
    return tuple(str(network) for network in listed)


def media_url(value: str) -> str:
    """The address of a file that Vonage fetches."""
    if _web_address(value) is None:
        raise ValueError("write the https address of an mp3 file")
    return value


def event_url(value: str) -> str:
    """The address of a program that is told of events: https, or http to this machine alone."""
    parts = _web_address(value)
    if parts is None or "#" in value or (parts.scheme == "http" and not _is_loopback(parts.hostname or "")):
        raise ValueError(
            "write an https address such as https://crm.example.com/hooks/recordings, without user and password; http "
            "only to this machine, such as http://127.0.0.1:9000/hook"
        )
    return value


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def notify_urls(value: str) -> tuple[str, ...]:
    """A list of apprise's addresses. A comma may be part of one, so it separates where a new scheme follows."""
    parts = re.split(r"[,;]*\s+[,;]*|[,;]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", value.strip(",; "))
    urls = tuple(clean(part) for part in parts if clean(part))
    if not all(url.isprintable() and re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://.", url) for url in urls):
        raise ValueError(
            "write apprise's addresses with spaces between, such as mailto://user:password@example.com, each as "
            "https://github.com/caronc/apprise/wiki shows for its service; a space inside is written %20"
        )
    if len(set(urls)) != len(urls):
        raise ValueError("write each address once")
    return urls


def _web_address(value: str) -> SplitResult | None:
    """The parts of an http address without user info; None where it is none, or parsers could read it differently."""
    parts = _split(value)
    fit = re.fullmatch(r"[!-~]+", value) and "\\" not in value
    return parts if fit and parts.scheme in ("https", "http") and parts.hostname and "@" not in parts.netloc else None


def _split(value: str) -> SplitResult:
    """The URL's parts; none where they cannot be told apart."""
    try:
        parts = urlsplit(value)
        return urlsplit("") if parts.port == 0 else parts
    except ValueError:  # a port that is no number, a bracket that stays open
        return urlsplit("")


def storage_urls(value: str) -> tuple[str, ...]:
    """A list of storages. A comma may be part of a name, so it separates where a space or a new scheme follows."""
    parts = re.split(r"[,;]*\s+[,;]*|[,;]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", value.strip(",; "))
    urls = tuple(_storage_url(clean(part)) for part in parts if clean(part))
    if not urls:
        raise ValueError(_STORAGES)
    if len(set(urls)) != len(urls):
        raise ValueError("write each storage once")
    return urls


_STORAGES = "write file:///dir, gs://bucket/prefix or az://container/prefix; several with spaces between"


def _storage_url(url: str) -> str:
    if (
        not url.isprintable()
        or not re.match(r"[a-z][a-z0-9+.-]*://", url)
        or re.search(r"[,;](/|$|[a-z0-9+.-]+:)", url)
    ):
        raise ValueError(_STORAGES)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(_STORAGES) from None
    outside_path = parts._replace(path="").geturl()
    # The URL is the storage's name in the catalogue, in metrics, in logs and beside each recording.
    if "@" in parts.netloc or masked(outside_path) != outside_path:
        raise ValueError(
            "write it without user, password or key: credentials go into variables of their own, which the storage's "
            "backend reads"
        )
    return url.rstrip("/") if url.count("/") > 3 else url
