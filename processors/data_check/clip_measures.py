"""Measures of single recordings: level, noise, clipping, silence, bandwidth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from processors.audio.bandwidth import bandwidth, power_spectrogram
from processors.audio.speech_level import FRAME_S, HOP_S, QUIETEST_DB, SPEECH_OVER_NOISE_DB, frame_levels, is_speech

# Louder than breath, room and the ends of words.
_LOUD_RANGE_DB = 15.0
# Least length and greatest deviation of a flat top. Unclipped signals touch their peak for one or two samples.
_FLAT_SAMPLES = 4
_FLATNESS = 2e-4
_FINGERPRINT_TIMES, _FINGERPRINT_BANDS = 24, 16


@dataclass(frozen=True)
class ClipMeasures:
    """Measures of one recording.

    Attributes:
        duration_s: its length.
        sample_rate: of the file, in Hz.
        level_dbfs: root mean square of the speech; 0 for a square wave at full scale.
        peak_dbfs: of the largest sample.
        clipped_share: share of samples on flat tops at the peak.
        dc_offset: the mean, as a share of full scale.
        snr_db: 90 % quantile of the frames' levels above the 10 % quantile; an estimate, better with pauses.
        leading_silence_s: before speech.
        trailing_silence_s: after speech.
        bandwidth_hz: highest frequency of the spectrum, at most half the sample rate.
        fingerprint: (24 * 16,) unit vector: the shape of the spectrogram, independent of level and sample rate.
        scaled_by: factor by which the recording was scaled down to full scale; 1 for most.
    """

    duration_s: float
    sample_rate: int
    level_dbfs: float
    peak_dbfs: float
    clipped_share: float
    dc_offset: float
    snr_db: float
    leading_silence_s: float
    trailing_silence_s: float
    bandwidth_hz: float
    fingerprint: np.ndarray
    scaled_by: float = 1.0

    @property
    def speech_s(self) -> float:
        """Length without silence at both ends, in seconds."""
        return max(self.duration_s - self.leading_silence_s - self.trailing_silence_s, 0.0)


def measure_clip(waveform: np.ndarray, sample_rate: int) -> ClipMeasures:
    """Measure a recording.

    Args:
        waveform: (T_wav,) in [-1, 1], at its file's sample rate: resampling would hide its bandwidth.
        sample_rate: in Hz.
    """
    waveform = np.asarray(waveform, dtype=np.float64)
    dc_offset = float(waveform.mean())
    centred = waveform - dc_offset
    levels = frame_levels(centred, sample_rate)
    loud, quiet = np.percentile(levels, 90), np.percentile(levels, 10)
    has_speech = is_speech(levels)
    spoken = np.flatnonzero(has_speech)
    duration_s = len(waveform) / sample_rate
    first, last = (spoken[0], spoken[-1]) if len(spoken) else (len(levels), -1)
    frequencies, times, spectrogram = power_spectrogram(centred, sample_rate, HOP_S)
    return ClipMeasures(
        duration_s=duration_s,
        sample_rate=sample_rate,
        level_dbfs=_decibels(float(np.mean(10 ** (levels[has_speech] / 10)))) if len(spoken) else QUIETEST_DB,
        peak_dbfs=2 * _decibels(float(np.abs(waveform).max())),
        clipped_share=_clipped_share(waveform),
        dc_offset=dc_offset,
        snr_db=float(loud - quiet),
        leading_silence_s=float(min(first * HOP_S, duration_s)),
        trailing_silence_s=float(max(duration_s - (last * HOP_S + FRAME_S), 0.0)) if len(spoken) else 0.0,
        bandwidth_hz=bandwidth(frequencies, spectrogram, sample_rate),
        fingerprint=_fingerprint(frequencies, spectrogram[:, _within(times, first * HOP_S, last * HOP_S)]),
    )


def loud_seconds(waveform: np.ndarray, sample_rate: int, spans: Iterable[tuple[float, float]]) -> float:
    """Return the seconds, within some spans of a recording, that are about as loud as its speech."""
    levels = frame_levels(waveform - waveform.mean(dtype=np.float64), sample_rate)
    loud, quiet = np.percentile(levels, 90), np.percentile(levels, 10)
    is_loud = levels > max(loud - _LOUD_RANGE_DB, quiet + SPEECH_OVER_NOISE_DB)
    middles = np.arange(len(levels)) * HOP_S + FRAME_S / 2
    chosen = np.zeros_like(is_loud)
    for start_s, end_s in spans:
        chosen |= (middles >= start_s) & (middles < end_s)
    return float(HOP_S * np.count_nonzero(is_loud & chosen))


def _decibels(power: float) -> float:
    return max(10 * math.log10(max(power, 1e-12)), QUIETEST_DB)


def _clipped_share(waveform: np.ndarray) -> float:
    peak = float(np.abs(waveform).max())
    if peak == 0.0:
        return 0.0
    clipped = 0
    for side in (waveform, -waveform):
        is_top = side >= peak * (1 - _FLATNESS)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], is_top, [False]]).astype(np.int8)))
        lengths = edges[1::2] - edges[::2]
        clipped += int(lengths[lengths >= _FLAT_SAMPLES].sum())
    return clipped / len(waveform)


def _within(times: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    chosen = (times >= start_s) & (times <= end_s)
    return chosen if chosen.any() else np.ones_like(chosen)


def _fingerprint(frequencies: np.ndarray, spectrogram: np.ndarray) -> np.ndarray:
    """Return the normalised log spectrogram, averaged over equal spans of time and bands up to 3.5 kHz."""
    edges = np.geomspace(150.0, 3500.0, _FINGERPRINT_BANDS + 1)
    rows = [_mean_of(spectrogram, (frequencies >= low) & (frequencies < high)) for low, high in pairwise(edges)]
    times = np.array_split(np.stack(rows), _FINGERPRINT_TIMES, axis=1)
    grid = np.stack([part.mean(axis=1) if part.size else np.zeros(len(rows)) for part in times])
    levels: np.ndarray = np.log(grid + 1e-4 * grid.max() + 1e-20)
    levels -= levels.mean()
    return (levels / max(float(np.linalg.norm(levels)), 1e-9)).astype(np.float32).ravel()


def _mean_of(spectrogram: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return spectrogram[rows].mean(axis=0) if rows.any() else np.zeros(spectrogram.shape[1])
