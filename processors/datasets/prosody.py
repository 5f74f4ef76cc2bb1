"""Pitch and energy between the frames they are measured in and the phones they are said in."""

from __future__ import annotations

import numpy as np


def interpolate_unvoiced(values: np.ndarray, is_voiced: np.ndarray) -> np.ndarray:
    """Draw a line through the unvoiced frames, from the last voiced value to the next.

    Before the first voiced frame its value holds, after the last one likewise. Without any voiced frame everything
    is 0, which is a speaker's mean where the values are normalised. A line in the logarithm sounds even, so take
    normalised pitch, not Hz.

    Args:
        values: (T_mel,); ignored where unvoiced.
        is_voiced: (T_mel,) True where a value means something.

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
        (T_text,) float32. A phone of no frames has the value of the frame at its place: the one that follows it,
        or the last.

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
