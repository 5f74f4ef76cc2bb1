"""Blurred mels, as acoustic models that minimise an average error predict them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

# Standard deviations between which predicted mels look like; beyond the ends the outermost values are repeated.
_SIGMA_BINS, _SIGMA_FRAMES = (0.5, 1.4), (0.6, 2.2)


def blur_mel(mel: np.ndarray, *, sigma_bins: float, sigma_frames: float) -> np.ndarray:
    """Return a (T_mel, M) log-mel under a Gaussian over bins and frames; its standard deviations are given."""
    blurred: np.ndarray = gaussian_filter(mel, (sigma_frames, sigma_bins), mode="nearest")
    return blurred


def randomly_blurred(mel: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a (T_mel, M) log-mel blurred by 0.5 to 1.4 bins and 0.6 to 2.2 frames."""
    sigma_bins, sigma_frames = generator.uniform(*_SIGMA_BINS), generator.uniform(*_SIGMA_FRAMES)
    return blur_mel(mel, sigma_bins=sigma_bins, sigma_frames=sigma_frames)
