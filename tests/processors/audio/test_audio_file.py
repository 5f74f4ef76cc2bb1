"""Recordings come in whole and in range, or are refused with the reason; and go out unharmed."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from processors.audio.audio_file import AudioError, audio_info, read_audio, to_int16, write_wav

RATE = 22050


def tone(seconds: float = 1.0, sample_rate: int = RATE, peak: float = 0.5) -> np.ndarray:
    times = np.arange(int(seconds * sample_rate)) / sample_rate
    return (peak * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def refused(path: Path, fault: str, *words: str, **limits: float) -> None:
    with pytest.raises(AudioError) as caught:
        read_audio(path, RATE, **limits)
    assert caught.value.fault == fault
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    for word in words:
        assert word in message


def test_sixteen_bit_samples_are_read_back_bit_equal(tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32768, 4000, dtype=np.int16)
    samples[:2] = -32768, 32767
    write_wav(tmp_path / "a.wav", samples, RATE)
    waveform = read_audio(tmp_path / "a.wav", RATE)
    assert waveform.dtype == np.float32 and waveform.shape == (4000,)
    np.testing.assert_array_equal(to_int16(waveform), samples)
    write_wav(tmp_path / "b.wav", waveform, RATE)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_loud_samples_are_clipped_and_never_wrap(tmp_path):
    np.testing.assert_array_equal(
        to_int16(np.array([1.0, 1.5, -1.0, -7.0, 0.99999])), [32767, 32767, -32768, -32768, 32767]
    )
    write_wav(tmp_path / "loud.wav", tone(peak=1.5), RATE)
    samples, _ = soundfile.read(tmp_path / "loud.wav", dtype="int16")
    steps = np.abs(np.diff(samples.astype(int)))
    assert samples.max() == 32767 and samples.min() == -32768 and steps.max() < 8000


def test_writing_refuses_nan_and_leaves_nothing(tmp_path):
    with pytest.raises(AudioError, match="NaN"):
        write_wav(tmp_path / "a.wav", np.array([0.0, np.nan]), RATE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "ending, subtype", [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16")]
)
@pytest.mark.parametrize("sample_rate", [8000, 16000, 22050, 44100, 48000])
def test_any_rate_and_format_is_resampled(tmp_path, ending, subtype, sample_rate):
    path = tmp_path / f"tone.{ending}"
    soundfile.write(path, tone(sample_rate=sample_rate), sample_rate, subtype=subtype)
    waveform = read_audio(path, RATE)
    assert abs(len(waveform) - RATE) <= 1
    middle = slice(2000, 20000)
    np.testing.assert_allclose(waveform[middle], tone()[: len(waveform)][middle], atol=2e-3)


@pytest.mark.parametrize("ending", ["ogg", "mp3"])
def test_lossy_formats_are_read(tmp_path, ending):
    path = tmp_path / f"tone.{ending}"
    soundfile.write(path, tone(3.0), RATE)
    assert abs(len(read_audio(path, RATE)) - 3 * RATE) < 0.1 * RATE


def test_stereo_is_averaged(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(), 0 * tone()], axis=1), RATE)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", RATE), tone() / 2, atol=1e-4)


def test_resampling_never_leaves_the_range(tmp_path):
    square = np.sign(tone(sample_rate=16000)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", square, 16000, subtype="FLOAT")
    waveform = read_audio(tmp_path / "a.wav", RATE)
    assert waveform.max() < 1 and waveform.min() >= -1


def test_the_header_has_rate_channels_and_length(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.stack([tone(), tone()], axis=1), RATE)
    info = audio_info(tmp_path / "a.flac")
    assert (info.sample_rate, info.channels, info.samples, info.duration_s) == (RATE, 2, RATE, 1.0)


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "a.wav", "unreadable", "no such file")


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "a.wav").mkdir()
    refused(tmp_path / "a.wav", "unreadable")


def test_a_file_of_zero_bytes_is_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    refused(tmp_path / "a.wav", "empty", "zero bytes")


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "raw"])
def test_a_text_file_is_refused(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_text("This is no sound at all.\n" * 40)
    refused(tmp_path / f"a.{ending}", "unreadable")


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
@pytest.mark.parametrize("kept", [0.5, 0.02])
def test_a_truncated_wav_is_refused(tmp_path, subtype, kept):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE, subtype=subtype)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    refused(path, "cut short", "1.00 s stated in its header")


def test_a_wav_truncated_in_its_header_is_refused(tmp_path):
    write_wav(tmp_path / "whole.wav", tone(), RATE)
    (tmp_path / "a.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:30])
    refused(tmp_path / "a.wav", "cut short")


@pytest.mark.parametrize("ending", ["flac", "mp3", "aiff"])  # Ogg states no length
def test_truncated_files_of_other_formats_are_refused(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, tone(3.0), RATE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError) as caught:
        read_audio(path, RATE)
    assert caught.value.fault in ("cut short", "unreadable")


def test_the_header_of_a_pipe_is_not_a_truncation(tmp_path):
    path = tmp_path / "a.wav"
    write_wav(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    assert len(read_audio(path, RATE)) == RATE


def test_a_header_wrong_by_some_bytes_is_not_a_truncation(tmp_path):
    path = tmp_path / "a.wav"
    write_wav(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 2 * RATE + 44)
    path.write_bytes(content)
    assert len(read_audio(path, RATE)) == RATE


def test_eight_channels_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone()] * 8, axis=1), RATE)
    refused(tmp_path / "a.wav", "channels", "8 channels")


@pytest.mark.parametrize("level", [0.0, 2e-4])
def test_a_silent_recording_is_refused(tmp_path, level):
    soundfile.write(tmp_path / "a.wav", level * tone(), RATE)
    refused(tmp_path / "a.wav", "silent")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_samples_are_refused(tmp_path, value):
    samples = tone()
    samples[500] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    refused(tmp_path / "a.wav", "not a number", "NaN")


def test_samples_in_another_unit_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", 20000 * tone(), RATE, subtype="FLOAT")
    refused(tmp_path / "a.wav", "scale", "10000")


def test_ten_minutes_are_refused_undecoded(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.flac", np.tile(tone(sample_rate=8000), 600), 8000)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("was decoded"))
    refused(tmp_path / "a.flac", "too long", "600.0 s", max_duration_s=30)


def test_a_tiny_recording_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(0.05), RATE)
    refused(tmp_path / "a.wav", "too short", "0.05 s", min_duration_s=0.3)
    assert len(read_audio(tmp_path / "a.wav", RATE)) == 1102


def test_a_recording_without_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    refused(tmp_path / "a.wav", "empty", "no samples")


def test_the_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(AudioError("a.wav: is silent", "silent")))
    assert str(error) == "a.wav: is silent" and error.fault == "silent"


def test_real_recordings_are_read(shared_data):
    for path in sorted((shared_data / "kathleen" / "wavs").iterdir())[:5]:
        waveform = read_audio(path, RATE)
        assert abs(len(waveform) / RATE - audio_info(path).duration_s) < 1e-3
