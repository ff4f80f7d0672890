"""What the waveform of a long recording costs: processor time and memory, beside decoding alone."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recordings.archive.decoder import Decoder
from recordings.model import Waveform
from simulator.processes import forked_by

from . import machine
from .stage import Options, folder
from .table import Row, at_most, compared, spread

MIB = 1024 * 1024
MINUTES, QUICK_MINUTES = 120, 10
ROUNDS, QUICK_ROUNDS = 3, 1
MOST_CPU, MOST_ADDED = 30.0, 16.0  # seconds for two hours, and MiB
# Its start is not counted: only decoding is, as of a program that has loaded its libraries.
DECODE = """
import soundfile, sys, time
began = time.process_time()
for _ in soundfile.blocks(sys.argv[1], 65536, dtype="int16"):
    pass
print(time.process_time() - began)
"""
_SAMPLE = Path(__file__).resolve().parent.parent / "simulator" / "audio" / "dialogue.mp3"


@dataclass(frozen=True)
class Cost:
    """One waveform, and what its process took; `peak` in bytes, read when it asked for bytes last."""

    waveform: Waveform
    cpu: float
    peak: int


def run(options: Options) -> tuple[list[Row], list[str]]:
    """A stereo mp3 of two hours, made of the pretend Vonage's sample, after one of some seconds."""
    minutes, rounds = (QUICK_MINUTES, QUICK_ROUNDS) if options.quick else (MINUTES, ROUNDS)
    sample = _SAMPLE.read_bytes()
    short = _measure(sample, 1)
    repeats = round(60 * minutes / short.waveform.seconds)
    with folder() as home:
        file = home / "long.mp3"
        file.write_bytes(sample * repeats)
        costs = [(_measure(sample, repeats), _decode(file)) for _ in range(rounds)]
    ours, theirs = zip(*costs, strict=True)
    for cost in ours:
        _check(short.waveform, cost.waveform, repeats)
    return _rows(minutes, short, ours, theirs), [
        f"{rounds} rounds; ours with the start of its process, decoding alone without",
        f"a recording of {short.waveform.seconds:.0f} s takes {short.cpu:.2f} processor seconds",
        f"the decoder's process holds {max(cost.peak for cost in ours) / MIB:.0f} MiB in all, and ends with its work",
    ]


def _rows(minutes: int, short: Cost, ours: Sequence[Cost], theirs: Sequence[float]) -> list[Row]:
    title = f"the waveform of a stereo mp3 of {minutes} minutes"
    cpu, added = [cost.cpu for cost in ours], [max(0, cost.peak - short.peak) / MIB for cost in ours]
    most = MOST_CPU * minutes / MINUTES + short.cpu
    row = compared(f"{title}: processor time", cpu, "soundfile decodes alone", theirs, " s")
    return [
        replace(row, goal=at_most(round(most, 1), " s", max(cpu))),
        Row(
            f"{title}: memory more than for {short.waveform.seconds:.0f} seconds",
            spread(added, " MiB"),
            goal=at_most(MOST_ADDED, " MiB", max(added)),
        ),
    ]


def _decode(file: Path) -> float:
    """Processor seconds that it takes to decode the file and throw the samples away."""
    # mpg123 complains where one copy of the sample ends and the next begins.
    command = [sys.executable, "-c", DECODE, str(file)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return float(done.stdout)


def _measure(sample: bytes, times: int) -> Cost:
    """Measure the sample's frames, again and again: an mp3 has no header but those of its frames."""
    before, peaks = resource.getrusage(resource.RUSAGE_CHILDREN), [0]
    others = set(forked_by(os.getpid()))  # an earlier benchmark may have left a process that waits

    def fetch(start: int, end: int) -> bytes:
        (child,) = set(forked_by(os.getpid())) - others
        peaks.append(machine.peak(child))
        first = start // len(sample)
        repeated = sample * (end // len(sample) - first + 1)
        return repeated[start - first * len(sample) : end - first * len(sample)]

    waveform = Decoder().waveform(times * len(sample), fetch)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(waveform, cpu, max(peaks))


def _check(short: Waveform, long: Waveform, repeats: int) -> None:
    expected = repeats * short.seconds
    if long.channels != short.channels or abs(long.seconds - expected) > 0.01 * expected:
        raise RuntimeError(f"{long} was measured; {expected:.0f} s of {short.channels} channels were expected.")
