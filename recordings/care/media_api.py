"""An experiment: compares the files that Vonage's media API lists with the calls whose recording is missing.

Vonage documents this API as beta, for uploads, and contradicts itself on who may use it. Nobody has shown that it lists
recordings of calls, or that a recording's file has the same id here and in its `recording_url`. So this module lists
and compares, and a person decides.
https://github.com/Nexmo/api-specification/blob/master/definitions/media.yml
https://github.com/Vonage/vonage-dotnet-sdk/issues/628
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from recordings.catalogue import listing
from recordings.catalogue.database import Database
from recordings.clock import iso_utc
from recordings.errors import SourceError
from recordings.model import Announcement, Call, Delivery

DEFAULT_BASE = "https://api.nexmo.com"
ORIGIN = "media"  # of a recording that was announced by hand

_PAGE = 100
_LATE = timedelta(minutes=10)  # a file may be made up to so long after its call's end

# Bytes a second and channel of the widest format, 16-bit PCM at 16 kHz.
# https://developer.vonage.com/en/voice/voice-api/guides/recording
_WIDEST = 32_000


class MediaUnusable(SourceError):
    """The media API refused, or its answer does not have the shape that its specification gives."""

    retryable = False


class Documents(Protocol):
    """Gets JSON documents with our token: `recordings.archive.fetch.Fetcher`."""

    def document(self, url: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Media:
    """One file as the API lists it; `size` in bytes; `fields` is the API's whole item."""

    id: str
    name: str
    mime_type: str
    size: int | None
    created: datetime | None
    fields: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file, whether a recording with its id is known already, and the missing calls that it could belong to."""

    media: Media
    known: bool
    calls: tuple[Call, ...]


class MediaLibrary:
    """The media API at `base`. The requests go through `documents`, which gives the token to allowed hosts alone."""

    def __init__(self, documents: Documents, base: str = DEFAULT_BASE) -> None:
        self._documents = documents
        self.base = base.rstrip("/")

    def listing(self, since: datetime, until: datetime) -> Iterator[Media]:
        """Every file made in between, oldest first, a page at a time. Raises `MediaUnusable`."""
        seen: set[str] = set()
        for index in range(10_000):
            query = {"order": "ascending", "page_size": _PAGE, "page_index": index}
            query |= {"start_time": _time(since), "end_time": _time(until)}
            page = [_media(item) for item in _items(self._get(f"/v3/media?{urlencode(query)}"))]
            fresh = [media for media in page if media.id not in seen]
            yield from fresh
            if not fresh:  # also where a server ignores page_index
                return
            seen = {media.id for media in page}

    def find(self, media_id: str) -> Media:
        """One file by its id. Raises `MediaUnusable`."""
        return _media(self._get(f"/v3/media/{quote(media_id, safe='')}/info"))

    def recording_url(self, media: Media) -> str:
        """Where a recording with this id would be served. It is an assumption that both ids are the same."""
        return f"{self.base}/v1/files/{quote(media.id, safe='')}"

    def _get(self, path: str) -> Any:
        try:
            return self._documents.document(self.base + path)
        except SourceError as error:
            raise MediaUnusable(f"Vonage's media API gave no answer that can be used. {error}") from error


def candidates(database: Database, files: Iterator[Media], missing: Sequence[Call]) -> Iterator[Candidate]:
    """Each file with what is known of it. That time and size fit is a hint, no proof."""
    for media in files:
        known = _known(database, media)
        yield Candidate(media, known, () if known else tuple(call for call in missing if fits(media, call)))


def fits(media: Media, call: Call) -> bool:
    """Whether the file was made during the call or soon after it, and is no larger than a call of its length can be."""
    answered, ended = _moment(call["answered_at"]), _moment(call["completed_at"])
    if media.created is None or answered is None or not answered <= media.created <= (ended or answered) + _LATE:
        return False
    largest = ((call["seconds"] or 0) + 5) * _WIDEST * (call.channels or 2)
    return media.size is None or 0 < media.size <= largest


def announcement(library: MediaLibrary, media: Media, conversation_uuid: str, call: Call | None) -> Announcement:
    """This file as a recording of a conversation. Its true recording_uuid is unknown: the file's id takes its place."""
    return Announcement(
        recording_uuid=media.id,
        conversation_uuid=conversation_uuid,
        recording_url=library.recording_url(media),
        size=media.size,
        start_time=_moment(call["answered_at"]) if call else None,
        end_time=media.created,
        timestamp=media.created,
        origin=ORIGIN,
        flow=call.flow if call else None,
        format=None,  # the bytes will show it
        channels=call.channels if call else None,
    )


def delivery(media: Media, application_id: str) -> Delivery:
    """The API's item as a raw delivery, for the inbox."""
    body = json.dumps(dict(media.fields)).encode()
    return Delivery(ORIGIN, "GET", "", "application/json", body, application_id, signed=False)


def _known(database: Database, media: Media) -> bool:
    """Whether a recording of the days around the file has its id in the URL."""
    since = media.created - timedelta(days=1) if media.created else None
    return listing.has_url_ending(database, media.id, since)


def _items(page: Any) -> list[Any]:
    embedded = page.get("_embedded") if isinstance(page, dict) else None
    items = embedded.get("media") if isinstance(embedded, dict) else None
    if not isinstance(items, list):
        raise MediaUnusable(
            "Vonage's media API answered, but without the list of media that its specification promises."
        )
    return items


def _media(item: Any) -> Media:
    media_id = item.get("id") if isinstance(item, dict) else None
    if not isinstance(media_id, str) or not 0 < len(media_id) <= 255 or not media_id.isprintable():
        raise MediaUnusable("Vonage's media API answered with an item that has no usable id.")
    size = item.get("media_size")
    return Media(
        id=media_id,
        name=str(item.get("original_file_name") or "")[:255],
        mime_type=str(item.get("mime_type") or "")[:255],
        size=size if type(size) is int and size >= 0 else None,
        created=_moment(item.get("time_created")),
        fields=item,
    )


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _time(moment: datetime) -> str:
    return iso_utc(moment.replace(microsecond=0))
