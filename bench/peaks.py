"""What the waveform of a long recording costs: processor time and memory, apart in the decoder's own process."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path

from recordings.archive.decoder import Decoder
from recordings.model import Waveform

from .table import Row

MIB = 1024 * 1024
HOURS, QUICK_MINUTES = 2, 10
MOST_CPU, MOST_ADDED = 30.0, 16 * MIB
_SAMPLE = Path(__file__).resolve().parent.parent / "simulator" / "audio" / "dialogue.mp3"


@dataclass(frozen=True)
class Cost:
    """One waveform, and what its process took; `peak` in bytes is the most that any process so far has held."""

    waveform: Waveform
    wall: float
    cpu: float
    peak: int


def run(*, quick: bool) -> tuple[list[Row], list[str]]:
    """A stereo mp3 of two hours, made of the pretend Vonage's sample, after one of some seconds."""
    sample = _SAMPLE.read_bytes()
    short = _measure(sample)
    seconds = 60 * QUICK_MINUTES if quick else 3600 * HOURS
    repeats = round(seconds / short.waveform.seconds)
    long = _measure(_repeated(sample, repeats))
    _check(short.waveform, long.waveform, repeats)
    minutes, allowed = long.waveform.seconds / 60, MOST_CPU * seconds / (3600 * HOURS) + short.cpu
    what = f"the waveform of a stereo mp3 of {minutes:.0f} minutes:"
    added = max(0, long.peak - short.peak)
    rows = [
        Row(f"{what} processor seconds", f"{long.cpu:.1f} s", "", None, f"<= {allowed:.1f} s", long.cpu <= allowed),
        Row(
            f"{what} memory more than for {short.waveform.seconds:.0f} seconds",
            f"{added / MIB:.1f} MiB",
            "",
            None,
            f"<= {MOST_ADDED // MIB} MiB",
            added <= MOST_ADDED,
        ),
    ]
    notes = [
        f"in {long.wall:.1f} s at the lowest priority; a short one takes {short.cpu:.2f} processor seconds",
        f"the decoder's process holds {long.peak / MIB:.0f} MiB in all, and ends with the recording",
    ]
    return rows, notes


def _measure(content: bytes) -> Cost:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    waveform = Decoder().waveform(len(content), lambda start, end: content[start:end])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(waveform, time.monotonic() - began, cpu, after.ru_maxrss * 1024)  # KiB: see getrusage(2)


def _repeated(sample: bytes, times: int) -> bytes:
    """The sample's frames, again and again: an mp3 has no header but those of its frames."""
    if sample[:3] == b"ID3" or b"Xing" in sample[:200] or b"Info" in sample[:200]:
        raise RuntimeError(f"{_SAMPLE} begins with something other than audio; make it anew without a tag.")
    return sample * times


def _check(short: Waveform, long: Waveform, repeats: int) -> None:
    expected = repeats * short.seconds
    if long.channels != short.channels or abs(long.seconds - expected) > 0.01 * expected:
        raise RuntimeError(f"{long} was measured; {expected:.0f} s of {short.channels} channels were expected.")
