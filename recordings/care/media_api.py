"""Files that Vonage's media API lists, held against the calls whose recording is missing. An experiment.

Vonage documents this API as beta, for uploads, with contradicting words on who may ask it; nobody has shown that it
lists recordings of calls, or that a recording's file has the same id here and in its `recording_url`. So this lists and
compares; what becomes of it, a person decides.
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

from sqlalchemy import select

from recordings.catalogue.database import Database
from recordings.catalogue.tables import recordings
from recordings.errors import SourceError
from recordings.model import Announcement, Call, Delivery

DEFAULT_BASE = "https://api.nexmo.com"
ORIGIN = "media"  # of a recording that was announced by hand

_PAGE = 100
_LATE = timedelta(minutes=10)  # a file may be made so long after its call's end

# Bytes a second and channel of the widest format, 16-bit PCM at 16 kHz.
# https://developer.vonage.com/en/voice/voice-api/guides/recording
_WIDEST = 32_000


class MediaUnusable(SourceError):
    """The media API refused, or answered in no shape that its specification knows."""

    retryable = False


class Documents(Protocol):
    """Whoever may show our token at Vonage: `recordings.archive.fetch.Fetcher`."""

    def document(self, url: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Media:
    """One file as the API lists it; `size` in bytes; `told` is all of it."""

    id: str
    name: str
    mime_type: str
    size: int | None
    created: datetime | None
    told: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file, whether a recording with its id is known already, and the missing calls that it could belong to."""

    media: Media
    known: bool
    calls: tuple[Call, ...]


class MediaLibrary:
    """The media API at `base`, asked through `documents`, which lets the token go to allowed hosts alone."""

    def __init__(self, documents: Documents, base: str = DEFAULT_BASE) -> None:
        self._documents = documents
        self.base = base.rstrip("/")

    def listing(self, since: datetime, until: datetime) -> Iterator[Media]:
        """Every file made in between, oldest first, a page at a time. Raises `MediaUnusable`."""
        seen: set[str] = set()
        for index in range(10_000):
            asked = {"order": "ascending", "page_size": _PAGE, "page_index": index}
            asked |= {"start_time": _time(since), "end_time": _time(until)}
            page = [_media(item) for item in _items(self._ask(f"/v3/media?{urlencode(asked)}"))]
            fresh = [media for media in page if media.id not in seen]
            yield from fresh
            if not fresh:  # also where a server pays no heed to page_index
                return
            seen = {media.id for media in page}

    def find(self, media_id: str) -> Media:
        """One file by its id. Raises `MediaUnusable`."""
        return _media(self._ask(f"/v3/media/{quote(media_id, safe='')}/info"))

    def recording_url(self, media: Media) -> str:
        """Where a recording of this id would be served; that the two ids are one is an assumption."""
        return f"{self.base}/v1/files/{quote(media.id, safe='')}"

    def _ask(self, path: str) -> Any:
        try:
            return self._documents.document(self.base + path)
        except SourceError as error:
            raise MediaUnusable(f"Vonage's media API gave no answer that can be used. {error}") from error


def candidates(database: Database, found: Iterator[Media], missing: Sequence[Call]) -> Iterator[Candidate]:
    """Each file with what is known of it. Fitting by time and size is a hint, no proof."""
    for media in found:
        known = _known(database, media)
        yield Candidate(media, known, () if known else tuple(call for call in missing if fits(media, call)))


def fits(media: Media, call: Call) -> bool:
    """Whether the file was made during the call or soon after it, and is not larger than its seconds can be."""
    answered, ended = _moment(call["answered_at"]), _moment(call["completed_at"])
    if media.created is None or answered is None or not answered <= media.created <= (ended or answered) + _LATE:
        return False
    most = ((call["seconds"] or 0) + 5) * _WIDEST * (call.channels or 2)
    return media.size is None or 0 < media.size <= most


def announcement(library: MediaLibrary, media: Media, conversation_uuid: str, call: Call | None) -> Announcement:
    """This file as the recording of a conversation. Its true recording_uuid is not known: the file's id stands in."""
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
        format=None,  # the bytes will tell
        channels=call.channels if call else None,
    )


def delivery(media: Media, application_id: str) -> Delivery:
    """The raw words that the announcement rests on, for the inbox."""
    body = json.dumps(dict(media.told)).encode()
    return Delivery(ORIGIN, "GET", "", "application/json", body, application_id, signed=False)


def _known(database: Database, media: Media) -> bool:
    """Looked for among the recordings of the days around it: a URL has no index."""
    query = select(recordings.c.id).where(recordings.c.recording_url.endswith(media.id, autoescape=True))
    if media.created is not None:
        query = query.where(recordings.c.received_at >= media.created - timedelta(days=1))
    with database.read() as connection:
        return connection.execute(query.limit(1)).first() is not None


def _items(page: Any) -> list[Any]:
    embedded = page.get("_embedded") if isinstance(page, dict) else None
    items = embedded.get("media") if isinstance(embedded, dict) else None
    if not isinstance(items, list):
        raise MediaUnusable("Vonage's media API answered, but not with a list of media as its specification has it.")
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
        told=item,
    )


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
