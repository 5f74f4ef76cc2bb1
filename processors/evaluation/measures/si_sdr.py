"""Scale-invariant signal-to-distortion ratio (J. Le Roux and others, arXiv:1811.02508)."""

from __future__ import annotations

import numpy as np

from processors.evaluation.pair import Pair

_BEST_DB = 100.0


def measure(pair: Pair) -> float | None:
    """Return the ratio of a copy."""
    return si_sdr(pair.reference, pair.degraded)


def si_sdr(reference: np.ndarray, degraded: np.ndarray) -> float | None:
    """Compute the power of the part of a copy that is the recording, over that of the rest, in dB within -100 and 100.

    Sample by sample, without their means: a copy whose phase differs scores low however good it sounds.

    Args:
        reference: (T_wav,).
        degraded: (T_wav,).

    Returns:
        None if either is constant.
    """
    target, copy = (
        np.asarray(each, dtype=np.float64) - np.mean(each, dtype=np.float64) for each in (reference, degraded)
    )
    if not (np.ptp(reference) and np.ptp(degraded)):
        return None
    projected = target * (np.dot(copy, target) / np.dot(target, target))
    rest = float(np.sum((copy - projected) ** 2))
    signal = float(np.sum(projected**2))
    least = 10 ** (-_BEST_DB / 10) * (signal + rest)
    return float(10 * np.log10(max(signal, least) / max(rest, least)))
