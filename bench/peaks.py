"""What the waveform of a long recording costs: processor time and memory, apart in the decoder's own process."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from recordings.archive.decoder import Decoder
from recordings.model import Waveform
from simulator.processes import forked_by

from . import machine
from .stage import Options
from .table import Row

MIB = 1024 * 1024
HOURS, QUICK_MINUTES = 2, 10
MOST_CPU, MOST_ADDED = 30.0, 16 * MIB
_SAMPLE = Path(__file__).resolve().parent.parent / "simulator" / "audio" / "dialogue.mp3"


@dataclass(frozen=True)
class Cost:
    """One waveform, and what its process took; `peak` in bytes, read when it asked for bytes last."""

    waveform: Waveform
    wall: float
    cpu: float
    peak: int


def run(options: Options) -> tuple[list[Row], list[str]]:
    """A stereo mp3 of two hours, made of the pretend Vonage's sample, after one of some seconds."""
    sample = _SAMPLE.read_bytes()
    short = _measure(sample, 1)
    seconds = 60 * QUICK_MINUTES if options.quick else 3600 * HOURS
    repeats = round(seconds / short.waveform.seconds)
    long = _measure(sample, repeats)
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


def _measure(sample: bytes, times: int) -> Cost:
    """Measure the sample's frames, again and again: an mp3 has no header but those of its frames."""
    began, before, peaks = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN), [0]

    def fetch(start: int, end: int) -> bytes:
        (child,) = forked_by(os.getpid())
        peaks.append(machine.peak(child))
        first = start // len(sample)
        repeated = sample * (end // len(sample) - first + 1)
        return repeated[start - first * len(sample) : end - first * len(sample)]

    waveform = Decoder().waveform(times * len(sample), fetch)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(waveform, time.monotonic() - began, cpu, max(peaks))


def _check(short: Waveform, long: Waveform, repeats: int) -> None:
    expected = repeats * short.seconds
    if long.channels != short.channels or abs(long.seconds - expected) > 0.01 * expected:
        raise RuntimeError(f"{long} was measured; {expected:.0f} s of {short.channels} channels were expected.")
