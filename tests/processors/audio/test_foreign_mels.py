"""Mels of other programs are turned and converted, or refused with what they may be."""

from __future__ import annotations

import numpy as np
import pytest

from processors.audio.foreign_mels import MelScaleError, as_natural, doubt, with_bands_first
from processors.audio.mel import MEL_FLOOR, MelSpectrogram

FLOOR = float(np.log(MEL_FLOOR))


@pytest.fixture(scope="module")
def speech_like() -> np.ndarray:
    """An (80, 240) log-mel of tones that glide and stop, with less energy above."""
    import torch

    seconds = np.arange(240 * 256) / 22050
    f0_hz = 120 + 40 * np.sin(2 * np.pi * seconds)
    phase = 2 * np.pi * np.cumsum(f0_hz) / 22050
    tones = sum(np.sin(k * phase) / k**1.2 for k in range(1, 40))
    envelope = np.clip(np.sin(2 * np.pi * 3 * seconds) + 0.3, 0, 1)
    mel = MelSpectrogram(sample_rate=22050, n_fft=1024, hop_size=256, win_size=1024, n_mel=80, fmin=0, fmax=8000)
    return mel(torch.from_numpy((0.1 * tones * envelope).astype(np.float32))).numpy()


def test_bands_are_found_on_either_axis_and_by_evidence_where_both_fit(speech_like):
    for start in range(0, 160, 16):
        square = speech_like[:, start : start + 80]
        for given in (square, square.T, square[None], square.T[None]):
            assert np.array_equal(with_bands_first(given, 80), square)
    assert np.array_equal(with_bands_first(speech_like.T, 80), speech_like)
    for shape in ((79, 10), (80,), (2, 80, 10)):
        with pytest.raises(MelScaleError, match="expected \\(80, frames\\) or \\(frames, 80\\)"):
            with_bands_first(np.zeros(shape), 80)


def test_scales_are_converted_and_nothing_lies_below_the_floor(speech_like):
    for scale, mel in (
        ("natural", speech_like),
        ("log10", speech_like / np.log(10)),
        ("log2", speech_like / np.log(2)),
        ("linear", np.exp(speech_like)),
    ):
        np.testing.assert_allclose(as_natural(mel, scale), speech_like, atol=1e-4)
    assert as_natural(np.array([-13.0, 0.0]), "natural").min() == pytest.approx(FLOOR)
    assert as_natural(np.array([0.0, 1.0]), "linear").tolist() == pytest.approx([FLOOR, 0.0])


@pytest.mark.parametrize(
    ("lowest", "highest", "guess"),
    [
        (-100, 0, "decibels"),
        (-16.6, 2.9, "base 2"),
        (-5.0, 0.9, "base 10"),
        (-4.0, 4.0, "normalised"),
        (0.0, 1.0, "0 to 1"),
        (0.0, 40.0, "decibels"),
    ],
)
def test_a_range_that_no_log_mel_has_is_named(lowest, highest, guess):
    with pytest.raises(MelScaleError, match=guess):
        doubt(lowest, highest)


def test_a_range_that_speech_rarely_has_is_doubted():
    assert doubt(FLOOR, 2.0) == doubt(-9.7, 1.0) == doubt(FLOOR - 0.5, 2.0) == ""
    assert "is there no pause" in doubt(-9.6, 1.0) and "is there no pause" in doubt(-5.1, 1.0)


def test_every_mel_of_the_recordings_passes_and_is_found_turned(shared_data):
    import torch

    from processors.audio.audio_file import read_audio

    definition = MelSpectrogram(sample_rate=22050, n_fft=1024, hop_size=256, win_size=1024, n_mel=80, fmin=0, fmax=8000)
    wavs = sorted((shared_data / "ljspeech_mini" / "LJSpeech-1.1" / "wavs").iterdir())
    assert wavs
    for path in wavs:
        mel = definition(torch.from_numpy(read_audio(path, 22050))).numpy()
        assert doubt(float(mel.min()), float(mel.max())) == ""
        square = mel[:, 20:100]
        assert np.array_equal(with_bands_first(square.T, 80), square), path
