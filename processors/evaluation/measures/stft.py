"""Multi-resolution STFT distance; see `processors.audio.stft_distance`."""

from __future__ import annotations

import torch

from processors.audio.stft_distance import StftDistance, multi_resolution_stft
from processors.evaluation.pair import Pair


def convergence(pair: Pair) -> float | None:
    """Return the spectral convergence of a copy."""
    return float(_distance(pair).spectral_convergence)


def log_magnitude(pair: Pair) -> float | None:
    """Return the mean absolute difference of a copy's log magnitudes."""
    return float(_distance(pair).log_magnitude)


def _distance(pair: Pair) -> StftDistance:
    with torch.inference_mode():
        return multi_resolution_stft(torch.from_numpy(pair.degraded)[None], torch.from_numpy(pair.reference)[None])
