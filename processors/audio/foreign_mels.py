"""Mels that other programs computed: their axes, and the scale of their values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np

from processors.audio.mel import MEL_FLOOR
from utils.errors import RecitalError

MelScale = Literal["natural", "log10", "log2", "linear"]
MEL_SCALES: tuple[MelScale, ...] = get_args(MelScale)
"""Scales that `as_natural` converts: logarithms of magnitudes by their base, and magnitudes."""

_LOG_FLOOR = math.log(MEL_FLOOR)
# In 322 recordings of speech, the lowest value was always at the floor or less than 2 above it, mostly in a pause. Mels
# of log10 have their floor at -5; those normalised, or scaled to +-4 or 0 to 1, do not go lower either.
_NO_PAUSE, _NO_NATURAL_LOG, _NO_LOG_10 = -9.7, -5.1, -4.5
_BELOW_FLOOR = 0.5
_MAX_LOG = 10.0
_LOWEST_DECIBELS = -20.0

_TO_NATURAL: Mapping[MelScale, Callable[[np.ndarray], np.ndarray]] = {
    "natural": lambda mel: mel,
    "log10": lambda mel: mel * math.log(10.0),
    "log2": lambda mel: mel * math.log(2.0),
    "linear": lambda mel: np.log(np.maximum(mel, MEL_FLOOR)),
}


class MelScaleError(RecitalError):
    """A mel whose shape or values are not those of a log-mel."""


def as_natural(mel: np.ndarray, scale: MelScale) -> np.ndarray:
    """Convert a mel to natural logarithms of magnitudes, not below the floor of ours."""
    natural: np.ndarray = np.maximum(_TO_NATURAL[scale](mel), np.float32(_LOG_FLOOR))
    return natural


def require_log_range(lowest: float, highest: float) -> None:
    """Raise a `MelScaleError` if values lie where natural logarithms of speech never do, with what they may be."""
    if lowest < _LOG_FLOOR - _BELOW_FLOOR or highest > _MAX_LOG:
        is_decibels = lowest < _LOWEST_DECIBELS or highest > _MAX_LOG
        raise MelScaleError(f"{_described(lowest, highest)}: {'decibels' if is_decibels else 'logarithms to base 2'}?")


def doubt(lowest: float, highest: float) -> str:
    """Judge the range of a mel, or of all mels of a folder, that should be natural logarithms.

    Args:
        lowest: their least value; a clip without a pause does not go as low as many clips together.
        highest: their greatest.

    Returns:
        A remark if the least value is higher than in nearly all speech; empty if all is as expected.

    Raises:
        MelScaleError: these are no natural logarithms, with what they may be.
    """
    require_log_range(lowest, highest)
    if lowest > _NO_NATURAL_LOG:
        if lowest >= 0:
            guess = "magnitudes (linear), or scaled to 0 to 1?"
        else:
            guess = "logarithms to base 10 (log10)?" if lowest < _NO_LOG_10 else "normalised, or scaled?"
        raise MelScaleError(f"{_described(lowest, highest)}: {guess}")
    return f"{_described(lowest, highest)}: is there no pause, or another scale?" if lowest > _NO_PAUSE else ""


def _described(lowest: float, highest: float) -> str:
    return (
        f"values from {lowest:.4g} to {highest:.4g}; expected natural logarithms of magnitudes, from "
        f"{_LOG_FLOOR:.1f} in pauses to about 2"
    )


def with_bands_first(mel: np.ndarray, n_mel: int) -> np.ndarray:
    """Return a mel as (M, T_mel), from that, (T_mel, M), or either with an axis of 1 before it.

    Where both axes are M long, bands are those in which speech differs: it has less energy at high frequencies, and
    changes more from band to band than from frame to frame.

    Raises:
        MelScaleError: no axis has M bands.
    """
    plane = mel[0] if mel.ndim == 3 and len(mel) == 1 else mel
    if plane.ndim != 2 or n_mel not in plane.shape:
        raise MelScaleError(f"found shape {mel.shape}; expected ({n_mel}, frames) or (frames, {n_mel})")
    if plane.shape == (n_mel, n_mel):
        return plane if _evidence(plane) >= _evidence(plane.T) else plane.T
    return plane if plane.shape[0] == n_mel else plane.T


def _evidence(mel: np.ndarray) -> float:
    """Return how much the first axis looks like one of bands, to compare with that of the transposed mel."""
    profile = mel.mean(axis=1)
    slope = -np.corrcoef(profile, np.arange(len(profile)))[0, 1] if profile.std() > 0 else 0.0
    bends, steps = (float(np.abs(np.diff(mel, n=2, axis=axis)).mean()) for axis in (0, 1))
    return float(slope) + 2.0 * bends / (bends + steps + 1e-12)
