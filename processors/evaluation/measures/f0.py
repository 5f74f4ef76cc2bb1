"""Fundamental frequency of synthesised speech against its recording's, by Praat's tracker."""

from __future__ import annotations

import numpy as np

from processors.evaluation.pair import Pair

_CENTS_PER_OCTAVE = 1200
# Over fewer frames a correlation is meaningless.
_MIN_VOICED = 10


def rmse(pair: Pair) -> float | None:
    """Return the root mean square error of F0 in cents; None for too few frames."""
    if (octaves := _both_voiced(pair)) is None:
        return None
    return float(_CENTS_PER_OCTAVE * np.sqrt(np.mean((octaves[1] - octaves[0]) ** 2)))


def correlation(pair: Pair) -> float | None:
    """Return the correlation of log F0; None of a constant pitch, or for too few frames."""
    octaves = _both_voiced(pair)
    if octaves is None or not all(np.ptp(each) for each in octaves):
        return None
    return float(np.corrcoef(*octaves)[0, 1])


def voicing_f1(pair: Pair) -> float | None:
    """Return the harmonic mean of precision and recall of voiced frames; None if the recording has too few."""
    f0_hz = _aligned(pair)
    if f0_hz is None:
        return None
    target, predicted = (each > 0 for each in f0_hz)
    if np.count_nonzero(target) < _MIN_VOICED:
        return None
    return float(2 * np.count_nonzero(target & predicted) / (np.count_nonzero(target) + np.count_nonzero(predicted)))


def _aligned(pair: Pair) -> tuple[np.ndarray, np.ndarray] | None:
    if pair.frames is None:
        return None
    target, predicted = pair.f0_hz
    return target[pair.frames.reference], predicted[pair.frames.degraded]


def _both_voiced(pair: Pair) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the (N,) F0 of both in octaves, of frames in which both are voiced; None for too few."""
    f0_hz = _aligned(pair)
    if f0_hz is None:
        return None
    target, predicted = f0_hz
    is_voiced = (target > 0) & (predicted > 0)
    if np.count_nonzero(is_voiced) < _MIN_VOICED:
        return None
    return np.log2(target[is_voiced]), np.log2(predicted[is_voiced])
