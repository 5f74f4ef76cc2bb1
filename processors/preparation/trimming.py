"""Trimming of the silence at both ends of a recording and its phones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from processors.alignment.pauses_from_alignment import AlignedPhones
from processors.audio.speech_level import FRAME_S, HOP_S, frame_levels, is_speech


def speech_span(aligned: AlignedPhones, n_samples: int, *, sample_rate: int, edge_silence_ms: float) -> tuple[int, int]:
    """Return the range of samples with speech, and some silence at both ends.

    Args:
        aligned: phones of the recording; the first and the last are silence.
        n_samples: T_wav of the recording.
        sample_rate: in Hz.
        edge_silence_ms: most silence left at each end.

    Returns:
        The first sample and the one after the last.
    """
    edge_s = edge_silence_ms / 1000
    start = round((aligned.ends_s[0] - edge_s) * sample_rate)
    stop = round((aligned.starts_s[-1] + edge_s) * sample_rate)
    return max(start, 0), min(max(stop, 0), n_samples)


def speech_span_by_level(waveform: np.ndarray, *, sample_rate: int, edge_silence_ms: float) -> tuple[int, int]:
    """Return the same range for a recording without an alignment: of the frames as loud as speech.

    Args:
        waveform: (T_wav,), the recording.
        sample_rate: in Hz.
        edge_silence_ms: most silence left at each end.
    """
    spoken = np.flatnonzero(is_speech(frame_levels(waveform - waveform.mean(dtype=np.float64), sample_rate)))
    if not len(spoken):
        return 0, len(waveform)
    edge_s = edge_silence_ms / 1000
    start = round((spoken[0] * HOP_S - edge_s) * sample_rate)
    stop = round((spoken[-1] * HOP_S + FRAME_S + edge_s) * sample_rate)
    return max(start, 0), min(stop, len(waveform))


def ends_within(aligned: AlignedPhones, start: int, stop: int, *, sample_rate: int) -> npt.NDArray[np.float64]:
    """Return the ends of phones in seconds, from sample `start`, in a recording trimmed to `start:stop`."""
    ends_s = np.asarray(aligned.ends_s) - start / sample_rate
    return np.clip(ends_s, 0.0, (stop - start) / sample_rate)
