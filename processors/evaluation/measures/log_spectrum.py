"""Log-spectral distance (Gray and Markel, IEEE Trans. ASSP 24, 1976)."""

from __future__ import annotations

import numpy as np
import torch

from processors.evaluation.pair import Pair

_WINDOW_S, _HOPS = 0.046, 4
_RANGE_DB = 80.0  # below the recording's strongest bin; what is weaker in either counts as this


def measure(pair: Pair) -> float | None:
    """Return the distance of a copy."""
    return log_spectral_distance(*pair.signals)


def log_spectral_distance(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float | None:
    """Compute the root mean square over the bins of the difference in dB, and its mean over frames.

    Frames last about 46 ms with a hop of a quarter, under a Hann window.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,), of equal timing.
        sample_rate: of both, in Hz.

    Returns:
        None for less than a frame, or a silent recording.
    """
    n_fft = 2 ** round(np.log2(_WINDOW_S * sample_rate))
    if len(reference) < n_fft or not reference.any():
        return None
    window = torch.hann_window(n_fft, dtype=torch.float64)
    powers = [
        torch.stft(
            torch.from_numpy(np.asarray(each, dtype=np.float64)),
            n_fft,
            n_fft // _HOPS,
            window=window,
            center=False,
            return_complex=True,
        )
        .abs()
        .square()
        for each in (reference, degraded)
    ]
    floor = powers[0].max() * 10 ** (-_RANGE_DB / 10)
    levels = [10 * torch.log10(power.clamp(min=floor)) for power in powers]
    return float((levels[0] - levels[1]).square().mean(dim=0).sqrt().mean())
