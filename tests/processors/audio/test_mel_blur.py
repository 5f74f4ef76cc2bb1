"""Blurred mels."""

from __future__ import annotations

import numpy as np
import pytest

from processors.audio.mel_blur import blur_mel, randomly_blurred


def test_a_point_spreads_by_the_standard_deviations():
    mel = np.zeros((101, 81), np.float32)
    mel[50, 40] = 1.0
    blurred = blur_mel(mel, sigma_bins=1.2, sigma_frames=2.0)
    assert blurred.sum() == pytest.approx(1.0, abs=1e-4) and blurred.dtype == np.float32
    frames, bins = np.arange(101) - 50, np.arange(81) - 40
    assert np.sqrt((blurred.sum(axis=1) * frames**2).sum()) == pytest.approx(2.0, rel=0.02)
    assert np.sqrt((blurred.sum(axis=0) * bins**2).sum()) == pytest.approx(1.2, rel=0.02)


def test_levels_stay_at_the_edges():
    assert blur_mel(np.full((8, 8), -3.0), sigma_bins=1.4, sigma_frames=2.2) == pytest.approx(np.full((8, 8), -3.0))


def test_one_seed_blurs_alike_and_each_call_anew():
    mel = np.random.default_rng(0).normal(size=(40, 80)).astype(np.float32)
    generator = np.random.default_rng(1)
    first, second = randomly_blurred(mel, generator), randomly_blurred(mel, generator)
    assert np.array_equal(first, randomly_blurred(mel, np.random.default_rng(1)))
    assert not np.array_equal(first, second) and first.std() < mel.std()
