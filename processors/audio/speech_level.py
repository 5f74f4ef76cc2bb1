"""Level of a recording over time, and where it has speech."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FRAME_S, HOP_S = 0.025, 0.010
"""Length of the frames of which the level is measured, and their distance."""
QUIETEST_DB = -100.0
# A frame counts as speech if it is within this range of the loud ones; quiet parts of phones are.
_SPEECH_RANGE_DB = 35.0
SPEECH_OVER_NOISE_DB = 6.0
"""Least level of speech above the recording's quiet frames."""


def frame_levels(waveform: np.ndarray, sample_rate: int) -> npt.NDArray[np.float64]:
    """Return the levels of frames in dBFS; the waveform has no offset."""
    frame, hop = max(int(FRAME_S * sample_rate), 1), max(int(HOP_S * sample_rate), 1)
    padded = np.pad(waveform, (0, max(frame - len(waveform), 0)))
    energy = np.concatenate([[0.0], np.cumsum(padded**2)])
    starts = np.arange(0, len(padded) - frame + 1, hop)
    power = (energy[starts + frame] - energy[starts]) / frame
    return np.asarray(np.maximum(10 * np.log10(np.maximum(power, 1e-12)), QUIETEST_DB))


def is_speech(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which frames are about as loud as speech, by the levels of all frames of a recording."""
    loud, quiet = np.percentile(levels, 90), np.percentile(levels, 10)
    limit = max(loud - _SPEECH_RANGE_DB, min(quiet + SPEECH_OVER_NOISE_DB, loud - SPEECH_OVER_NOISE_DB))
    return np.asarray(levels > limit)
