"""From audio to its waveform: decoded block by block, so that memory does not grow with the recording.

numpy and soundfile are imported where they are used: they are large, and only the decoder's process needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recordings.model import Waveform

from .seekable import SeekableAudio

if TYPE_CHECKING:
    import numpy as np

POINTS = 2000  # the most points of one channel: more than a wide screen shows
LOUDEST = 127
_STRETCHES = 8 * POINTS  # the finer resolution that is measured in: a file may be longer or shorter than it says
_BLOCK = 65_536  # frames that are decoded at once
_MOST_CHANNELS = 32  # Vonage records no more: https://developer.vonage.com/en/voice/voice-api/ncco-reference#record
_MOST_FRAMES = 2**40  # soundfile says 2**63 - 1 where a file does not tell its length


class Unreadable(Exception):
    """This is no audio that can be decoded; another attempt would find the same."""


def measure(audio: SeekableAudio) -> Waveform:
    """The waveform of this audio: mp3, wav, ogg. Raises `Unreadable`, or what the audio's own reading raised."""
    import soundfile

    try:
        with soundfile.SoundFile(audio) as sound:
            waveform = _measure(sound)
    except (soundfile.LibsndfileError, Unreadable) as problem:
        if audio.error is None:
            reason = getattr(problem, "error_string", str(problem))
            raise Unreadable(f"It cannot be decoded: {reason.rstrip('.')}.") from None
    if audio.error is not None:
        raise audio.error
    return waveform


def _measure(sound: Any) -> Waveform:
    import numpy as np

    if sound.channels > _MOST_CHANNELS:
        raise Unreadable(f"It has {sound.channels} channels, more than {_MOST_CHANNELS}")
    meter = Meter(sound.channels, sound.frames)
    block = np.empty((_BLOCK, sound.channels), np.float32)
    while len(part := sound.read(out=block)):
        meter.add(np.abs(part, out=part))
    if not meter.frames:
        raise Unreadable("There is no sound in it")
    points, peaks = meter.peaks()
    return Waveform(meter.frames / sound.samplerate, sound.channels, sound.samplerate, points, peaks)


class Meter:
    """Keeps the loudest sample of each stretch. The stretches become longer when the audio is longer than it said."""

    def __init__(self, channels: int, frames: int) -> None:
        """`frames`: how long the audio says that it is."""
        import numpy as np

        self.frames = 0  # that were added
        self._stretch = max(1, -(-frames // _STRETCHES)) if frames < _MOST_FRAMES else 1  # in frames
        self._loudest = np.zeros((_STRETCHES, channels), np.float32)

    def add(self, block: np.ndarray) -> None:
        """Take in a block of absolute samples: a row for each frame, a column for each channel."""
        import numpy as np

        end = self.frames + len(block)
        while end > self._stretch * _STRETCHES:
            self._lengthen()
        first = self.frames // self._stretch
        starts = np.arange((first + 1) * self._stretch - self.frames, len(block), self._stretch)
        loudest = np.maximum.reduceat(block, np.concatenate(([0], starts)), axis=0)
        rows = self._loudest[first : first + len(loudest)]
        np.maximum(rows, loudest, out=rows)
        self.frames = end

    def peaks(self) -> tuple[int, bytes]:
        """How many points a channel there are, and the points, one channel after the other."""
        import numpy as np

        rows = self._loudest[: -(-self.frames // self._stretch)]
        together = -(-len(rows) // POINTS)
        points = np.maximum.reduceat(rows, np.arange(0, len(rows), together), axis=0)
        whole = np.rint(np.clip(np.nan_to_num(points), 0, 1) * LOUDEST).astype(np.int8)
        return len(whole), whole.T.tobytes()

    def _lengthen(self) -> None:
        import numpy as np

        pairs = np.maximum(self._loudest[0::2], self._loudest[1::2])
        self._loudest[: len(pairs)] = pairs
        self._loudest[len(pairs) :] = 0
        self._stretch *= 2
