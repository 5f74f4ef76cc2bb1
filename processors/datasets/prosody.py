"""Pitch and energy: interpolation over unvoiced frames, averages per phone."""

from __future__ import annotations

import numpy as np


def interpolate_unvoiced(values: np.ndarray, is_voiced: np.ndarray) -> np.ndarray:
    """Interpolate linearly over unvoiced frames.

    Frames before the first voiced one take its value, and after the last likewise. Without voiced frames all values
    are 0, the speaker's mean of normalised values. Pass normalised (logarithmic) pitch, not Hz.

    Args:
        values: (T_mel,); ignored where unvoiced.
        is_voiced: (T_mel,) True where voiced.

    Returns:
        (T_mel,) float32.
    """
    voiced = np.flatnonzero(is_voiced)
    if len(voiced) == 0:
        return np.zeros(len(values), dtype=np.float32)
    interpolated: np.ndarray = np.interp(np.arange(len(values)), voiced, values[voiced])
    return interpolated.astype(np.float32)


def average_per_phone(values: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Average the frames of each phone.

    Args:
        values: (T_mel,) one value per frame.
        durations: (T_text,) frames per phone, adding up to T_mel.

    Returns:
        (T_text,) float32. A phone of no frames takes the value of the frame that follows it, or of the last.

    Raises:
        ValueError: the durations do not add up to the frames.
    """
    ends = np.cumsum(durations)
    n_frames = int(ends[-1]) if len(ends) else 0
    if n_frames != len(values):
        raise ValueError(f"durations add up to {n_frames} frames, the values to {len(values)}")
    if n_frames == 0:
        return np.zeros(len(durations), dtype=np.float32)
    starts = ends - durations
    sum_before = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    means = (sum_before[ends] - sum_before[starts]) / np.maximum(durations, 1)
    at_their_place = values[np.minimum(starts, n_frames - 1)]
    averages: np.ndarray = np.where(durations > 0, means, at_their_place)
    return averages.astype(np.float32)
