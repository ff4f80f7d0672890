"""The options that choose recordings: those of the page, for `flask recordings list` and `export` alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from recordings.model import State

if TYPE_CHECKING:
    from recordings.catalogue.filters import RecordingFilter

_NUMBERS = {"number": "exact", "number_starts_with": "prefix", "number_ends_with": "suffix"}
_WHEN = "2026-11-22, 2026-11-22T12:30Z, or 12h, 7d for so long ago"

_OPTIONS = (
    click.option(
        "--state",
        multiple=True,
        type=click.Choice([state.value for state in State]),
        help="Only in this state; may be given more than once.",
    ),
    click.option("--storage", metavar="URL", help="Only with a copy in this storage; --state is then that copy's."),
    click.option("--flow", help="Only of this call flow."),
    click.option("--direction", type=click.Choice(["inbound", "outbound"]), help="Only of calls in this direction."),
    click.option("--number", help="Only of calls from or to this number."),
    click.option("--number-starts-with", metavar="DIGITS", help="The same, by its first digits; 4 at least."),
    click.option("--number-ends-with", metavar="DIGITS", help="The same, by its last digits; 4 at least."),
    click.option("--conversation", metavar="ID", help="Only of this conversation."),
    click.option("--recording", "recording_uuid", metavar="ID", help="Only this recording."),
    click.option("--since", help=f"Only those that came since then: {_WHEN}."),
    click.option("--until", help="Only those that came before then; a date means the end of that day."),
    click.option("--min-seconds", metavar="SECONDS", help="Leave out those whose audio is shorter."),
    click.option("--format", type=click.Choice(["mp3", "wav", "ogg"]), help="Only in this audio format."),
    click.option("--application", metavar="ID", help="Only of this Vonage application."),
    click.option(
        "--with-transcript/--without-transcript", "has_transcript", default=None, help="By its transcription."
    ),
    click.option("--with-empty/--without-empty", default=True, help="Also those without audio, which is the default."),
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options. It gets them as keywords, and hands them on to `chosen_filter`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_filter(options: dict[str, Any]) -> RecordingFilter:
    """The filter that these options mean. Raises click's usage error, which says what to write."""
    from recordings.catalogue.filters import InvalidFilter, parse_filter

    numbers = {name: options.pop(name) for name in _NUMBERS}
    given = [(text, _NUMBERS[name]) for name, text in numbers.items() if text]
    if len(given) > 1:
        raise click.UsageError("Give only one of --number, --number-starts-with and --number-ends-with.")
    fields = {name: _as_field(value) for name, value in options.items() if value is not None}
    fields |= {"number": given[0][0], "number_match": given[0][1]} if given else {}
    try:
        return parse_filter(fields)
    except InvalidFilter as error:
        raise click.UsageError(str(error)) from None


def _as_field(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
