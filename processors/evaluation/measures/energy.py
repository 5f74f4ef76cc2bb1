"""Level of synthesised speech against its recording's, frame by frame."""

from __future__ import annotations

import numpy as np

from processors.evaluation.pair import HOP_SIZE, N_FFT, Pair

_RANGE_DB = 60.0  # below the recording's loudest frame; what is quieter in either counts as this
_MIN_FRAMES = 10


def rmse(pair: Pair) -> float | None:
    """Return the root mean square error of the level in dB; None for too few frames, or a silent recording."""
    levels = _levels(pair)
    return None if levels is None else float(np.sqrt(np.mean((levels[0] - levels[1]) ** 2)))


def correlation(pair: Pair) -> float | None:
    """Return the correlation of the levels in dB; None of a constant level."""
    levels = _levels(pair)
    if levels is None or not all(np.ptp(each) for each in levels):
        return None
    return float(np.corrcoef(*levels)[0, 1])


def frame_levels_db(waveform: np.ndarray) -> np.ndarray:
    """Return the root mean squares of frames of 1024 samples around the centres of the mel's, in dB of full scale.

    Args:
        waveform: (T_wav,) at 22.05 kHz.

    Returns:
        (T_wav // 256,), at least -120.
    """
    n_frames = len(waveform) // HOP_SIZE
    side = (N_FFT - HOP_SIZE) // 2
    padded = np.pad(np.asarray(waveform, dtype=np.float64), (side, N_FFT))
    energy = np.concatenate([[0.0], np.cumsum(padded**2)])
    starts = np.arange(n_frames) * HOP_SIZE
    return np.asarray(10 * np.log10(np.maximum((energy[starts + N_FFT] - energy[starts]) / N_FFT, 1e-12)))


def _levels(pair: Pair) -> tuple[np.ndarray, np.ndarray] | None:
    if pair.frames is None or len(pair.frames.reference) < _MIN_FRAMES:
        return None
    target, predicted = (frame_levels_db(each) for each in pair.resampled)
    floor = float(target.max()) - _RANGE_DB
    if floor <= -120:
        return None
    return np.maximum(target, floor)[pair.frames.reference], np.maximum(predicted, floor)[pair.frames.degraded]
