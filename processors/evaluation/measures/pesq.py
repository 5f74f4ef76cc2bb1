"""PESQ (ITU-T P.862.2), by the package of that name."""

from __future__ import annotations

import numpy as np

from processors.evaluation.packages import are_installed
from processors.evaluation.pair import Pair
from processors.evaluation.signals import NETWORK_RATE, comparable_at_16_khz, finite, is_audible

PACKAGES = ("pesq",)
# The reference code supports a limited number of utterances, which long recordings would exceed.
_LONGEST_S = 20


def measure(pair: Pair) -> float | None:
    """Return the PESQ of a copy."""
    return pesq(*pair.signals)


def pesq(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float | None:
    """Compute the wide-band PESQ (ITU-T P.862.2), from 1 to 4.64, at 16 kHz.

    Of a long recording it is the mean over segments, which departs from the recommendation.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,).
        sample_rate: of both, in Hz.

    Returns:
        None if the package is missing, or finds no speech to compare.
    """
    if not are_installed(PACKAGES):
        return None
    from pesq import PesqError
    from pesq import pesq as rate

    resampled = comparable_at_16_khz(reference, degraded, sample_rate)
    n_segments = max(1, -(-len(resampled[0]) // (_LONGEST_S * NETWORK_RATE)))
    scores = []
    for clean, noisy in zip(*(np.array_split(waveform, n_segments) for waveform in resampled), strict=True):
        if not (is_audible(clean) and is_audible(noisy)):
            continue
        try:
            scores.append(float(rate(NETWORK_RATE, clean, noisy, "wb")))
        except (PesqError, ValueError):  # too short, or without speech
            continue
    return finite(float(np.mean(scores))) if scores else None
