"""Bandwidth of recordings: where their spectrum ends, whatever sample rate their files have."""

from __future__ import annotations

import numpy as np
import scipy.signal

# At a resampler's cutoff the spectrum falls by this much within one band, and nothing is above it.
_BAND_HZ = 250.0
_CUTOFF_DB = 20.0
_MIN_CUTOFF_HZ = 2000.0
_SPECTRUM_SIZE = 1024

NARROWER_BAND = 0.85
"""A bandwidth below this share of the expected one is too small."""


def power_spectrogram(
    waveform: np.ndarray, sample_rate: int, hop_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frequencies (in Hz), times (in s) and (frequencies, times) power of a waveform."""
    padded = np.pad(waveform, (0, max(_SPECTRUM_SIZE - len(waveform), 0)))
    hop = max(int(hop_s * sample_rate), 1)
    overlap = max(_SPECTRUM_SIZE - hop, 0)
    frequencies, times, power = scipy.signal.spectrogram(
        padded, sample_rate, "hann", nperseg=_SPECTRUM_SIZE, noverlap=overlap, detrend=False
    )
    return frequencies, times, power


def bandwidth(frequencies: np.ndarray, spectrogram: np.ndarray, sample_rate: int) -> float:
    """Return the cutoff of the mean spectrum that a resampler left, in Hz; half the sample rate if there is none."""
    mean = spectrogram.mean(axis=1)
    n_bands = int(sample_rate / 2 // _BAND_HZ)
    bands = np.minimum((frequencies / _BAND_HZ).astype(int), n_bands - 1)
    power = np.bincount(bands, weights=mean, minlength=n_bands) / np.maximum(np.bincount(bands, minlength=n_bands), 1)
    levels = 10 * np.log10(power + 1e-20)
    for band in range(int(_MIN_CUTOFF_HZ / _BAND_HZ), n_bands - 2):
        before = levels[band - 2 : band + 1].mean()
        if before - levels[band + 2 :].max() > _CUTOFF_DB:
            return (band + 1) * _BAND_HZ
    return sample_rate / 2
