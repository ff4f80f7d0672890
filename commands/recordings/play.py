"""`flask recordings play`: hear a recording, or write its verified bytes to a file."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol

import click

from commands.parts import with_parts

from .access_notes import note_access
from .new_file import new_file

if TYPE_CHECKING:
    from recordings.catalogue.database import Database
    from recordings.catalogue.search import RecordingRow
    from recordings.model import Copy
    from recordings.storage import StorageBackend

# What plays a file and ends with it. The first one that is installed is used. On Debian `open` is another name of
# xdg-open and knows no -W, so xdg-open comes first; macOS has no xdg-open.
_PLAYERS = (
    *(("mpv", "--no-video"), ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"), ("mplayer", "-really-quiet")),
    *(("afplay",), ("xdg-open",), ("open", "-W")),
)
_RETURNS_AT_ONCE = ("xdg-open",)


class Parts(Protocol):
    """What this command uses."""

    @property
    def database(self) -> Database: ...
    @property
    def storages(self) -> Mapping[str, StorageBackend]: ...


@click.command("play", short_help="Hear a recording, or write it to a file.")
@click.argument("recording_uuid")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it there, in place of playing it.")
@click.option("--application", metavar="ID", help="Of this Vonage application, where several share the catalogue.")
@with_parts
def command(parts: Parts, /, recording_uuid: str, out: Path | None, application: str | None) -> None:
    """Play a recording with a player of this machine (mpv, ffplay, mplayer, afplay, or what opens such files).

    The bytes are verified by their SHA-256 before they are handed out. Exit code 1 when there is no such recording, no
    good copy, or no player.
    """
    row = _chosen(parts.database, recording_uuid, application)
    if out is not None:
        _write(parts, row, out)
        return
    player = next((player for player in _PLAYERS if shutil.which(player[0])), None)
    if player is None:
        names = ", ".join(player[0] for player in _PLAYERS)
        raise click.ClickException(f"No player is installed ({names}): write the recording to a file with --out FILE.")
    _play(parts, row, player)


def _chosen(database: Database, recording_uuid: str, application: str | None) -> RecordingRow:
    from recordings.catalogue.search import RecordingFilter, walk

    filter = RecordingFilter(recording_uuid=recording_uuid, application=application)
    candidates = list(walk(database, filter))
    if not candidates:
        raise click.ClickException(f"There is no recording {recording_uuid}. See all with: flask recordings list")
    if len(candidates) > 1:
        names = ", ".join(row.recording.application_id for row in candidates)
        raise click.ClickException(f"Several applications have it: choose one with --application, of {names}.")
    return candidates[0]


def _write(parts: Parts, row: RecordingRow, out: Path) -> None:
    with new_file(out) as target:
        copy = _read(parts, row, target, "download")
    click.echo(f"{out}: {copy.size} bytes, SHA-256 {copy.sha256}.")


def _play(parts: Parts, row: RecordingRow, player: tuple[str, ...]) -> None:
    """Play it from a file of this user alone. A player that returns at once still needs the file, so it is left."""
    folder = Path(tempfile.mkdtemp(prefix="tapekeeper-"))
    left = False
    try:
        path = folder / "recording"
        with path.open("w+b") as target:
            copy = _read(parts, row, target, "play")
        path = path.rename(path.with_suffix(PurePosixPath(copy.key or "").suffix))  # players go by it
        ended = subprocess.run([*player, str(path)], check=False).returncode
        left = player[0] in _RETURNS_AT_ONCE and not ended
    finally:
        if not left:
            shutil.rmtree(folder, ignore_errors=True)
    if ended:
        raise click.ClickException(f"{player[0]} ended with exit code {ended}: try --out FILE and another player.")
    if left:
        click.echo(f"Delete it when you have heard it: {path}", err=True)


def _read(parts: Parts, row: RecordingRow, target: BinaryIO, action: str) -> Copy:
    from recordings.archive.reading import read_audio

    note_access(parts.database, action, recording_id=row.id)
    return read_audio(row.recording, parts.storages, target)
