"""Checks at the end that every acknowledged recording is stored once, byte for byte, and that there is no other file.

The application's own command and the folder say what is stored; the pretend Vonage says what should be. Where a
deployment has further storages, only its folder is looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recordings.care.nightly import is_list
from simulator.application import Checkout
from simulator.shelf import sized_file
from tests.chaos.caller import Announced
from tests.chaos.deployment import Deployment


@dataclass
class Account:
    """How many recordings were acknowledged, stored, lost, stored twice, and stored wrongly or left lying about.

    `overlaps` counts transfers of one file by two living workers at once.
    """

    acknowledged: int
    stored: int
    lost: int
    doubled: int
    partial: int
    overlaps: int
    details: list[str]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.partial or self.overlaps)


def audit(deployment: Deployment, announced: Announced) -> Account:
    """Compare what was promised with what is there."""
    listed = [_in_folder(row, deployment) for row in Checkout().list_recordings(deployment.env, 300)]
    files = {path.relative_to(deployment.storage).as_posix(): path for path in _files(deployment.storage)}
    known = announced.acknowledged | announced.refused
    times = Counter(row["recording_uuid"] for row in listed)
    stored = {row["recording_uuid"]: row for row in listed if _is_stored(row)}
    lost = [recording for recording in announced.acknowledged if recording not in stored]
    doubled = [recording for recording, count in times.items() if count > 1] + _twice(known, files)
    wrong = [recording for recording, row in stored.items() if not _same(row, known[recording], files)]
    strays = sorted(files.keys() - {name for row in stored.values() for name in _names(row)})
    # Each storage fetches for itself, so only where there is one may no file be fetched by two workers at once.
    overlaps = [] if deployment.further_storages else deployment.files.overlaps()
    faults = {"lost": lost, "doubled": doubled, "wrong": wrong, "stray": strays}
    return Account(
        acknowledged=len(announced.acknowledged),
        stored=len(announced.acknowledged) - len(lost),
        lost=len(lost),
        doubled=len(doubled),
        partial=len(wrong) + len(strays),
        overlaps=len(overlaps),
        details=[f"{fault} {name}" for fault, names in faults.items() for name in names] + overlaps,
    )


def _in_folder(row: Mapping[str, Any], deployment: Deployment) -> dict[str, Any]:
    """The recording's row with its copy in the deployment's folder alone."""
    return {**row, "copies": [copy for copy in row["copies"] if copy["storage"] == deployment.folder_storage]}


def _is_stored(row: Mapping[str, Any]) -> bool:
    return any(copy["state"] == "stored" for copy in row["copies"])


def _files(folder: Path) -> list[Path]:
    """All but the nightly lists of the catalogue, which a run beyond midnight gets."""
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    return [path for path in files if not is_list(path.relative_to(folder).as_posix())]


def _names(row: Mapping[str, Any]) -> list[str]:
    key = row["copies"][0]["key"]
    return [key, f"{key}.json"]


def _twice(known: Mapping[str, str], files: Mapping[str, Path]) -> list[str]:
    audio = Counter(Path(name).stem for name in files if not name.endswith(".json"))
    return [recording for recording in known if audio[recording] > 1]


def _same(row: Mapping[str, Any], file_id: str, files: Mapping[str, Path]) -> bool:
    """The bytes in the folder are those that the pretend Vonage serves, and the catalogue and the sidecar say so."""
    served, (copy,) = sized_file(file_id), row["copies"]
    audio, sidecar = _names(row)
    if served is None or audio not in files or sidecar not in files:
        return False
    content = files[audio].read_bytes()
    written = json.loads(files[sidecar].read_text())
    same_bytes = content == served.content
    digests = {hashlib.sha256(content).hexdigest(), copy["sha256"]}
    return same_bytes and len(digests) == 1 and copy["size"] == served.size and bool(written)
