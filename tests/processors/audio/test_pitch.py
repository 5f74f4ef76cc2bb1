"""Every extractor finds the true pitch at the centre of each mel frame, whatever the rate, the hop and the range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from processors.audio.pitch import PITCH_EXTRACTORS, PitchError, extract_pitch

RANGE = {"f0_min": 65.0, "f0_max": 600.0}
FAST_EXTRACTORS = [name for name in PITCH_EXTRACTORS if name != "pyin"]
# Rates, and hops that are large, small, odd and no power of two.
GRIDS = [(22050, 256), (24000, 300), (16000, 160), (44100, 441), (48000, 1024)]


def voice(sample_rate: int, duration_s: float, start_hz: float, end_hz: float | None = None) -> np.ndarray:
    """A glide with eight harmonics, exponential in time."""
    time_s = np.arange(int(sample_rate * duration_s)) / sample_rate
    rate = np.log((end_hz or start_hz) / start_hz) / duration_s
    cycles = start_hz * (np.expm1(rate * time_s) / rate if rate else time_s)
    return 0.2 * sum(np.sin(2 * np.pi * n * cycles) / n for n in range(1, 9)).astype(np.float32)


def frame_times(n_frames: int, sample_rate: int, hop_size: int) -> np.ndarray:
    return (np.arange(n_frames) + 0.5) * hop_size / sample_rate


@pytest.mark.parametrize(("sample_rate", "hop_size"), GRIDS)
@pytest.mark.parametrize("extractor", FAST_EXTRACTORS)
def test_a_steady_tone_has_its_pitch(extractor: str, sample_rate: int, hop_size: int):
    for f0_hz in (90.0, 210.0, 420.0):
        waveform = voice(sample_rate, 0.5, f0_hz)
        found = extract_pitch(waveform, sample_rate=sample_rate, hop_size=hop_size, **RANGE, extractor=extractor)
        assert found.shape == (len(waveform) // hop_size,) and found.dtype == np.float32
        assert (found > 0).mean() > 0.85
        inner = found[2:-2]
        np.testing.assert_allclose(inner[inner > 0], f0_hz, rtol=0.01)


@pytest.mark.parametrize(("sample_rate", "hop_size"), GRIDS)
@pytest.mark.parametrize("extractor", FAST_EXTRACTORS)
def test_a_glide_is_followed_without_delay(extractor: str, sample_rate: int, hop_size: int):
    waveform = voice(sample_rate, 0.8, 120.0, 240.0)
    found = extract_pitch(waveform, sample_rate=sample_rate, hop_size=hop_size, **RANGE, extractor=extractor)
    inner = slice(len(found) // 10 + 1, -len(found) // 10 - 1)
    true_hz = 120.0 * 2.0 ** (frame_times(len(found), sample_rate, hop_size) / 0.8)
    np.testing.assert_allclose(found[inner], true_hz[inner], rtol=0.01)
    octaves_late = np.median(np.log2(true_hz[inner] / found[inner]))
    assert abs(octaves_late * 0.8 * sample_rate / hop_size) < 0.1  # in hops


@pytest.mark.slow
@pytest.mark.parametrize(("sample_rate", "hop_size"), [(22050, 256), (16000, 200)])
def test_pyin_follows_a_glide_without_delay(sample_rate: int, hop_size: int):
    pytest.importorskip("librosa")
    waveform = voice(sample_rate, 0.8, 120.0, 240.0)
    found = extract_pitch(waveform, sample_rate=sample_rate, hop_size=hop_size, **RANGE, extractor="pyin")
    assert found.shape == (len(waveform) // hop_size,)
    inner = slice(len(found) // 10 + 1, -len(found) // 10 - 1)
    true_hz = 120.0 * 2.0 ** (frame_times(len(found), sample_rate, hop_size) / 0.8)
    np.testing.assert_allclose(found[inner], true_hz[inner], rtol=0.01)
    octaves_late = np.median(np.log2(true_hz[inner] / found[inner]))
    assert abs(octaves_late * 0.8 * sample_rate / hop_size) < 0.5


@pytest.mark.parametrize("extractor", FAST_EXTRACTORS)
def test_voicing_begins_and_ends_with_the_tone(extractor: str):
    waveform = np.zeros(256 * 80, dtype=np.float32)
    tone = voice(22050, 256 * 40 / 22050, 200.0)
    waveform[256 * 20 : 256 * 60] = tone
    waveform += np.random.default_rng(0).normal(0, 1e-5, len(waveform)).astype(np.float32)
    found = extract_pitch(waveform, sample_rate=22050, hop_size=256, **RANGE, extractor=extractor)
    begin, end = np.flatnonzero(np.abs(found - 200.0) < 4.0)[[0, -1]]
    assert abs(begin - 20) <= 1 and abs(end - 59) <= 1


@pytest.mark.parametrize("extractor", FAST_EXTRACTORS)
def test_pitch_outside_the_range_is_unvoiced(extractor: str):
    for f0_hz in (70.0, 100.0, 350.0):
        waveform = voice(22050, 0.4, f0_hz)
        found = extract_pitch(
            waveform, sample_rate=22050, hop_size=256, f0_min=120.0, f0_max=300.0, extractor=extractor
        )
        assert ((found == 0) | ((found >= 120.0) & (found <= 300.0))).all()
        assert not np.isclose(found, f0_hz, rtol=0.02).any()


@pytest.mark.parametrize("extractor", PITCH_EXTRACTORS)
def test_silence_is_unvoiced(extractor: str):
    found = extract_pitch(np.zeros(22050), sample_rate=22050, hop_size=256, **RANGE, extractor=extractor)
    assert found.shape == (86,) and not found.any()


@pytest.mark.parametrize("extractor", FAST_EXTRACTORS)
def test_a_constant_is_unvoiced(extractor: str):
    found = extract_pitch(np.full(8192, 0.1), sample_rate=22050, hop_size=256, **RANGE, extractor=extractor)
    assert not found[8:-8].any()


@pytest.mark.parametrize("extractor", FAST_EXTRACTORS)
def test_very_short_input_gives_its_frames(extractor: str):
    for n_samples in (0, 1, 255, 256, 300, 600, 1024):
        waveform = voice(22050, 1.0, 200.0)[:n_samples]
        found = extract_pitch(waveform, sample_rate=22050, hop_size=256, **RANGE, extractor=extractor)
        assert found.shape == (n_samples // 256,) and np.isfinite(found).all()


def test_a_hop_longer_than_the_window_still_gives_every_frame():
    # A short analysis window beside a long hop leaves nothing to pad.
    waveform = voice(16000, 1.0, 500.0)
    found = extract_pitch(waveform, sample_rate=16000, hop_size=800, f0_min=400.0, f0_max=700.0)
    np.testing.assert_allclose(found, 500.0, rtol=0.01)
    assert found.shape == (20,)


def test_extractors_agree_on_speech(shared_data: Path):
    import soundfile

    waveform, _ = soundfile.read(shared_data / "ljspeech_mini/LJSpeech-1.1/wavs/LJ001-0002.wav", dtype="float32")
    praat, dio = (
        extract_pitch(waveform, sample_rate=22050, hop_size=256, **RANGE, extractor=name)
        for name in ("parselmouth", "dio")
    )
    both = (praat > 0) & (dio > 0)
    assert both.mean() > 0.6
    assert np.median(np.abs(praat[both] / dio[both] - 1)) < 0.01


def test_an_unknown_extractor_lists_the_known():
    with pytest.raises(PitchError, match="no 'crepe'; known are parselmouth, dio, harvest, pyin"):
        extract_pitch(np.ones(512), sample_rate=22050, hop_size=256, **RANGE, extractor="crepe")


@pytest.mark.parametrize(("f0_min", "f0_max"), [(0.0, 600.0), (600.0, 65.0), (65.0, 11025.0)])
def test_an_impossible_range_is_refused(f0_min: float, f0_max: float):
    with pytest.raises(PitchError, match="f0_min"):
        extract_pitch(np.ones(512), sample_rate=22050, hop_size=256, f0_min=f0_min, f0_max=f0_max)
