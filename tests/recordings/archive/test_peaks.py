"""What is measured from audio: of every format that Vonage makes, of cut and false files, and with little memory."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from recordings.archive.decoder import Decoder, DecoderEnded
from recordings.archive.peaks import POINTS, Meter, Unreadable, measure
from recordings.archive.seekable import SeekableAudio

SAMPLES = Path(__file__).resolve().parents[3] / "simulator" / "audio"
RATE = 16_000


def in_memory(content, **options):
    """The content as a seekable file; its `asked` lists the ranges that were fetched."""
    asked = []

    def fetch(start, end):
        asked.append((start, end))
        return content[start:end]

    audio = SeekableAudio(len(content), fetch, **options)
    audio.asked = asked
    return audio


def encoded(samples, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, **options)
    return file.getvalue()


def channels_of(waveform):
    return np.frombuffer(waveform.peaks, np.int8).reshape(waveform.channels, waveform.points)


@pytest.fixture(scope="module")
def two_tones():
    """Four seconds: the left channel is loud in the first half, the right one less loud in the second half."""
    tone = np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)
    first = np.arange(4 * RATE) < 2 * RATE
    return np.column_stack([0.8 * tone * first, 0.4 * tone * ~first])


@pytest.mark.parametrize("name", ["dialogue", "voicemail"])
@pytest.mark.parametrize("ext", ["mp3", "ogg", "wav"])
def test_the_samples_are_as_long_as_their_decoder_says(name, ext):
    content = (SAMPLES / f"{name}.{ext}").read_bytes()
    decoded, rate = soundfile.read(io.BytesIO(content), always_2d=True)
    waveform = measure(in_memory(content))
    assert waveform.seconds == pytest.approx(len(decoded) / rate)
    assert (waveform.channels, waveform.sample_rate) == (decoded.shape[1], RATE)
    assert channels_of(waveform).max(axis=1) == pytest.approx(np.minimum(np.abs(decoded).max(axis=0), 1) * 127, abs=1)
    assert POINTS // 2 < waveform.points <= POINTS
    assert len(waveform.peaks) == waveform.channels * waveform.points


@pytest.mark.parametrize(
    "options",
    [
        {"format": "MP3"},
        {"format": "OGG", "subtype": "VORBIS"},
        {"format": "OGG", "subtype": "OPUS"},
        {"format": "WAV", "subtype": "PCM_16"},
        {"format": "WAV", "subtype": "FLOAT"},
    ],
    ids=lambda options: "-".join(options.values()),
)
def test_the_channels_stay_apart_and_in_time(two_tones, options):
    left, right = channels_of(waveform := measure(in_memory(encoded(two_tones, **options))))
    assert waveform.seconds == pytest.approx(4, abs=0.15)
    third, twice = waveform.points // 3, 2 * waveform.points // 3
    assert np.median(left[:third]) == pytest.approx(0.8 * 127, rel=0.1)
    assert np.median(right[twice:]) == pytest.approx(0.4 * 127, rel=0.1)
    assert left[twice:].max() < 4
    assert right[:third].max() < 4


@given(
    samples=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=400),
    announced=st.one_of(st.integers(0, 10**6), st.just(2**63 - 1)),
    repeated=st.integers(1, 300),
    block=st.integers(1, 70_000),
)
def test_the_points_hold_the_loudest_samples_however_long_the_file_said_it_is(samples, announced, repeated, block):
    whole = np.repeat(np.array(samples, np.float32), repeated)[:, None]
    meter = Meter(1, announced)
    for start in range(0, len(whole), block):
        meter.add(whole[start : start + block])
    points, peaks = meter.peaks()
    values = np.frombuffer(peaks, np.int8)
    assert meter.frames == len(whole)
    assert len(values) == points <= POINTS
    assert values.max() == round(float(whole.max()) * 127)


@pytest.mark.parametrize("frames", [1, 1999, 2000, 2001, 15_999, 16_000, 16_001, 123_457])
def test_each_point_is_the_loudest_sample_of_its_stretch(frames):
    whole = np.random.default_rng(frames).random((frames, 2), np.float32)
    meter = Meter(2, frames)
    meter.add(whole)
    points, peaks = meter.peaks()
    fine = math.ceil(frames / 16_000)
    stretch = fine * math.ceil(math.ceil(frames / fine) / POINTS)
    expected = [np.rint(whole[start : start + stretch].max(axis=0) * 127) for start in range(0, frames, stretch)]
    assert np.frombuffer(peaks, np.int8).reshape(2, points).T.tolist() == np.array(expected).tolist()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!doctype html><title>Not found</title>" * 20, "Format not recognised"),
        (b"", "cannot be decoded"),
        (b"\0" * 5000, "Format not recognised"),
        (encoded(np.zeros((0, 1)), format="WAV"), "no sound in it"),
        (encoded(np.zeros((10, 33)), format="WAV"), "33 channels"),
    ],
    ids=["page", "nothing", "zeros", "no frames", "too many channels"],
)
def test_what_is_no_audio_is_called_unreadable(content, reason):
    with pytest.raises(Unreadable, match=reason):
        measure(in_memory(content))


def test_a_file_that_was_cut_has_the_length_of_what_is_there():
    content = (SAMPLES / "voicemail.mp3").read_bytes()
    assert measure(in_memory(content[: len(content) // 2])).seconds == pytest.approx(8.53 / 2, abs=0.1)


def test_a_float_wav_with_numbers_that_are_none_and_too_loud_is_measured():
    samples = np.array([np.nan, np.inf, -7.0, 0.5] * 1000)
    left = channels_of(measure(in_memory(encoded(samples, format="WAV", subtype="FLOAT"))))[0]
    assert left.min() >= 0
    assert left.max() == 127


def test_a_store_that_fails_is_not_taken_for_the_end_of_the_audio():
    content = encoded(np.zeros(RATE * 60), format="WAV", subtype="PCM_16")

    def fetch(start, end):
        if start > len(content) // 2:
            raise ConnectionResetError("on purpose")
        return content[start:end]

    with pytest.raises(ConnectionResetError, match="on purpose"):
        Decoder().waveform(len(content), fetch)


def test_a_store_that_gives_too_little_is_not_taken_for_the_end_of_the_audio():
    content = (SAMPLES / "dialogue.wav").read_bytes()
    with pytest.raises(EOFError, match="the store gave 100 of the bytes from 0"):
        measure(SeekableAudio(len(content), lambda start, end: content[start : start + 100]))


# --- The file ---------------------------------------------------------------------------------------------------------


@given(
    content=st.binary(min_size=1, max_size=500),
    steps=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 600)), max_size=20),
    read_ahead=st.integers(1, 300),
)
def test_it_reads_as_a_file_does(content, steps, read_ahead):
    audio, file = in_memory(content, read_ahead=read_ahead), io.BytesIO(content)
    for position, count in steps:
        assert audio.seek(position) == file.seek(position)
        assert audio.read(count) == file.read(count)
        assert audio.tell() == file.tell() or position > len(content)
    for offset in (0, -1, -len(content)):
        assert audio.seek(offset, io.SEEK_END) == file.seek(offset, io.SEEK_END)
        assert audio.seek(1, io.SEEK_CUR) == file.seek(1, io.SEEK_CUR)


def test_a_range_is_asked_for_once_where_it_is_read_in_small_pieces():
    audio = in_memory(bytes(600 * 1024))
    while audio.read(100):
        pass
    assert audio.asked == [(0, 262_144), (262_144, 524_288), (524_288, 614_400)]


# --- The process ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dialogue.mp3", "voicemail.ogg", "dialogue.wav"])
def test_another_process_measures_the_same_and_prints_nothing(name, capfd):
    content = (SAMPLES / name).read_bytes()
    damaged = content[:9000] + b"\xff" * 500 + content[9500:]
    for audio in (content, damaged):
        waveform = Decoder().waveform(len(audio), lambda start, end, audio=audio: audio[start:end])
        assert capfd.readouterr() == ("", "")  # libmpg123 complains of a damaged frame on stderr
        assert waveform == measure(in_memory(audio))
        capfd.readouterr()


def test_what_another_process_cannot_read_is_unreadable():
    with pytest.raises(Unreadable, match="Format not recognised"):
        Decoder().waveform(5000, lambda start, end: bytes(end - start))


def silence(seconds):
    """A WAV of so many seconds, made as it is read: its size, and the function that gives its ranges."""
    size = 2 * RATE * seconds
    fields = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    sizes = [struct.pack("<I", min(n, 2**32 - 1)) for n in (36 + size, size)]
    header = b"RIFF" + sizes[0] + b"WAVEfmt " + fields + b"data" + sizes[1]
    return len(header) + size, lambda start, end: (header if start == 0 else b"").ljust(end - start, b"\0")


def test_what_goes_wrong_in_another_process_is_said_here():
    with pytest.raises(DecoderEnded, match=r"failed\. EOFError: the store gave 9 of the bytes from 0 up to 5000"):
        Decoder().waveform(5000, lambda start, end: bytes(9))


def test_a_long_recording_is_asked_for_piece_by_piece_and_once():
    size, read = silence(600)
    asked = []

    def fetch(start, end):
        asked.append(end - start)
        return read(start, end)

    assert Decoder().waveform(size, fetch).seconds == 600
    assert max(asked) == 256 * 1024
    assert size <= sum(asked) <= size + 256 * 1024


def test_the_time_for_one_recording_is_bounded():
    with pytest.raises(DecoderEnded, match="took more than 1 s"):
        Decoder(seconds=1).waveform(*silence(30 * 3600))


def test_a_decoder_that_was_stopped_measures_no_more():
    decoder = Decoder()

    def fetch(start, end):
        decoder.stop()
        return bytes(end - start)

    for reason in ("ended with status", "stops"):
        with pytest.raises(DecoderEnded, match=reason):
            decoder.waveform(10**9, fetch)
