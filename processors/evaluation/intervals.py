"""Bootstrap confidence intervals of weighted means, and of their paired differences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_RESAMPLES = 2000
_SHARE = 0.95


class Interval(NamedTuple):
    """A mean, and the interval that holds it with a confidence of 95 %."""

    mean: float
    low: float
    high: float


class Sample(NamedTuple):
    """Values with their weights, (N,) each; a mean is the weighted one."""

    values: np.ndarray
    weights: np.ndarray


def mean_interval(sample: Sample, other: Sample | None = None) -> Interval:
    """Return the interval of a mean, or of the difference of two means over the same recordings.

    The percentile bootstrap over recordings (Efron, 1979); the draws are the same on every call.

    Args:
        sample: N values.
        other: of the same N recordings in the same order; its mean is subtracted.
    """
    n = len(sample.values)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)
    means = [_means(each, np.vstack([np.ones(n), counts])) for each in (sample, other) if each is not None]
    differences = means[0] - means[1] if other is not None else means[0]
    low, high = np.nanquantile(differences[1:], [(1 - _SHARE) / 2, (1 + _SHARE) / 2])
    return Interval(float(differences[0]), float(low), float(high))


def _means(sample: Sample, counts: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # a draw without any weight
        return np.asarray((counts @ (sample.values * sample.weights)) / (counts @ sample.weights))
