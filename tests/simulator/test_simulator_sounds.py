"""The audio is what it claims to be, each served file differs, and the shipped files stay small."""

from __future__ import annotations

import hashlib
import io
import wave

import pytest

from simulator import speech
from simulator.sounds import AUDIO, FRAME_SIZE, Synthetic, _ogg_crc


def mp3_channels(content: bytes) -> set[int]:
    """Walks MPEG-2 layer III frames of 16 kHz and 32 kbit/s, every one; the channel counts that they declare."""
    body = content[:-128] if content[-128:-125] == b"TAG" else content
    assert len(body) % FRAME_SIZE == 0
    frames = [body[at : at + 4] for at in range(0, len(body), FRAME_SIZE)]
    assert all(frame[:2] == b"\xff\xf3" and frame[2] >> 2 == 0x48 >> 2 for frame in frames)
    return {1 if frame[3] >> 6 == 3 else 2 for frame in frames}


@pytest.mark.parametrize("label", ["", "a-recording"])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_is_16_khz_cbr_with_the_channels_asked_for(channels, label):
    sound = speech("mp3", channels, label)
    assert sound.content_type == "audio/mpeg"
    assert mp3_channels(sound.content) == {channels}
    assert sound.seconds == pytest.approx(len(sound.content) / 4000, abs=0.2)


@pytest.mark.parametrize("label", ["", "a-recording", "odd"])
@pytest.mark.parametrize("channels", [1, 2, 3, 32])
def test_wav_is_16_bit_16_khz_with_the_channels_asked_for(channels, label):
    content = speech("wav", channels, label).content
    with wave.open(io.BytesIO(content)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (channels, 2, 16000)
        assert reader.getnframes() > 16000
    assert int.from_bytes(content[4:8], "little") == len(content) - 8


def test_split_wav_has_one_voice_on_each_side():
    with wave.open(io.BytesIO(speech("wav", 2).content)) as reader:
        frames = reader.readframes(reader.getnframes())
    samples = memoryview(frames).cast("h")
    first_second = [sum(map(abs, samples[channel:32000:2])) for channel in (0, 1)]
    assert first_second[0] > 1000 * (first_second[1] + 1)
    assert any(samples[1::2])


@pytest.mark.parametrize("label", ["", "a-recording"])
@pytest.mark.parametrize("channels", [1, 2])
def test_ogg_is_vorbis_with_valid_page_checksums(channels, label):
    content = speech("ogg", channels, label).content
    assert content[28:35] == b"\x01vorbis"
    assert content[39] == channels
    at = 0
    while at < len(content):
        assert content[at : at + 4] == b"OggS"
        segments = content[at + 26]
        end = at + 27 + segments + sum(content[at + 27 : at + 27 + segments])
        page = content[at : at + 22] + bytes(4) + content[at + 26 : end]
        assert int.from_bytes(content[at + 22 : at + 26], "little") == _ogg_crc(page)
        at = end


@pytest.mark.parametrize("format", ["mp3", "wav", "ogg"])
def test_two_labels_give_two_files_and_one_label_the_same(format):
    assert speech(format, 1, "a").content != speech(format, 1, "b").content
    assert speech(format, 1, "a").content == speech(format, 1, "a").content


def test_a_format_that_vonage_does_not_speak_is_refused():
    with pytest.raises(ValueError, match="mp3, wav and ogg, not 'flac'"):
        speech("flac")


@pytest.mark.parametrize("size", [0, 1, 144, 64_799, 64_800, 200_000, 1_440_000])
def test_synthetic_audio_has_its_size_and_is_the_same_each_time(size):
    stream = b"".join(Synthetic(size, "one").chunks())
    assert len(stream) == size
    assert Synthetic(size, "one").sha256() == hashlib.sha256(stream).hexdigest()
    if size % FRAME_SIZE == 0 and size:
        assert mp3_channels(stream) == {1}


def test_synthetic_blocks_and_seeds_all_differ():
    blocks = [*Synthetic(648_000, "one").chunks(), *Synthetic(648_000, "two").chunks()]
    assert len(set(blocks)) == len(blocks) == 20


def test_the_shipped_audio_is_below_one_mebibyte():
    assert sum(path.stat().st_size for path in AUDIO.iterdir()) < 1024 * 1024
