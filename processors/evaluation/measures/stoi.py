"""Short-time objective intelligibility, by the package pystoi."""

from __future__ import annotations

import warnings

import numpy as np

from processors.evaluation.packages import are_installed
from processors.evaluation.pair import Pair
from processors.evaluation.signals import NETWORK_RATE, comparable_at_16_khz, finite, is_audible

PACKAGES = ("pystoi",)


def measure(pair: Pair) -> float | None:
    """Return the STOI of a copy."""
    return stoi(*pair.signals)


def stoi(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float | None:
    """Compute the short-time objective intelligibility (Taal and others, 2011), up to 1, at 16 kHz.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,).
        sample_rate: of both, in Hz.

    Returns:
        None if the package is missing, or the reference holds too little speech.
    """
    if not are_installed(PACKAGES) or not is_audible(reference):
        return None
    from pystoi import stoi as rate

    clean, noisy = comparable_at_16_khz(reference, degraded, sample_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns of meaningless values
        try:
            return finite(rate(clean.astype(np.float64), noisy.astype(np.float64), NETWORK_RATE))
        except (RuntimeWarning, ValueError, IndexError):
            return None
