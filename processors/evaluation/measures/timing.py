"""Length of the speech and of its pauses."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from processors.audio.speech_level import HOP_S
from processors.evaluation.pair import Pair
from processors.evaluation.signals import is_audible, speech_frames

_LEAST_PAUSE_S = 0.15


def speech_length(pair: Pair) -> float | None:
    """Return the seconds from first to last sound of the synthesised speech."""
    return spoken_s(pair.degraded, pair.sample_rate)[0]


def pause_length(pair: Pair) -> float | None:
    """Return the seconds of pauses of the synthesised speech."""
    return spoken_s(pair.degraded, pair.sample_rate)[1]


def duration_error(pair: Pair) -> float | None:
    """Return the difference of the lengths of speech, in percent of the recording's."""
    target, predicted = (spoken_s(each, pair.sample_rate)[0] for each in (pair.reference, pair.degraded))
    return 100 * abs(predicted - target) / target if target and predicted is not None else None


def pause_error(pair: Pair) -> float | None:
    """Return the difference of the totals of pauses in seconds."""
    target, predicted = (spoken_s(each, pair.sample_rate)[1] for each in (pair.reference, pair.degraded))
    return abs(predicted - target) if target is not None and predicted is not None else None


def spoken_s(waveform: np.ndarray, sample_rate: int) -> tuple[float, float] | tuple[None, None]:
    """Return seconds from first to last speech, and seconds of pauses of 0.15 s or more in between; None of silence."""
    if not is_audible(waveform):
        return None, None
    is_speech = speech_frames(waveform, sample_rate)
    found = np.flatnonzero(is_speech)
    if not len(found):
        return None, None
    inside = is_speech[found[0] : found[-1] + 1]
    silences = [len(list(run)) * HOP_S for spoken, run in groupby(inside) if not spoken]
    return len(inside) * HOP_S, sum(silence for silence in silences if silence >= _LEAST_PAUSE_S)
