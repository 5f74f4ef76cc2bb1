"""Cutting the silence at both ends of a recording, with its phones kept in step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from processors.alignment.pauses_from_alignment import AlignedPhones


def speech_span(aligned: AlignedPhones, n_samples: int, *, sample_rate: int, edge_silence_ms: float) -> tuple[int, int]:
    """Give the samples between which a recording speaks, with some silence left at both ends.

    Args:
        aligned: phones of the recording, of which the first and the last are its edges' silence.
        n_samples: T_wav of the recording.
        sample_rate: in Hz.
        edge_silence_ms: how much silence may stay at each end.

    Returns:
        The first sample and the one after the last.
    """
    edge_s = edge_silence_ms / 1000
    start = round((aligned.ends_s[0] - edge_s) * sample_rate)
    stop = round((aligned.starts_s[-1] + edge_s) * sample_rate)
    return max(start, 0), min(max(stop, 0), n_samples)


def ends_within(aligned: AlignedPhones, start: int, stop: int, *, sample_rate: int) -> npt.NDArray[np.float64]:
    """Give where each phone ends, in seconds, counted from sample `start` of a recording cut at `stop`."""
    ends_s = np.asarray(aligned.ends_s) - start / sample_rate
    return np.clip(ends_s, 0.0, (stop - start) / sample_rate)
