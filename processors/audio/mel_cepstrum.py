"""Mel-cepstra of WORLD's spectral envelope."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_PERIOD_MS = 5.0
_F0_MIN, _F0_MAX = 60.0, 600.0


def mel_cepstrum(waveform: np.ndarray, sample_rate: int, order: int) -> np.ndarray:
    """Compute the mel-cepstra of a waveform, a frame every 5 ms.

    The envelope is CheapTrick's (Morise, Speech Communication 67, 2015) with F0 by DIO and StoneMask; its cepstrum is
    warped by the all-pass filter whose factor `all_pass_factor` fits to the mel scale.

    Args:
        waveform: (T_wav,) in [-1, 1].
        sample_rate: in Hz.
        order: of the last cepstrum.

    Returns:
        (order + 1, frames), in nepers of amplitude, c0 first.
    """
    import pyworld

    samples = np.ascontiguousarray(waveform, dtype=np.float64)
    f0_hz, times = pyworld.dio(samples, sample_rate, f0_floor=_F0_MIN, f0_ceil=_F0_MAX, frame_period=_PERIOD_MS)
    f0_hz = pyworld.stonemask(samples, f0_hz, times, sample_rate)
    power = pyworld.cheaptrick(samples, f0_hz, times, sample_rate)  # (frames, bins)
    n_cepstra = power.shape[1]
    cepstra = np.fft.irfft(np.log(power), axis=1)[:, :n_cepstra]
    cepstra[:, 0] /= 2
    cepstra[:, -1] /= 2  # at the middle of the cepstrum, which is not mirrored
    return np.asarray(_warping(all_pass_factor(sample_rate), n_cepstra, order) @ cepstra.T)


@lru_cache(maxsize=8)
def all_pass_factor(sample_rate: int) -> float:
    """Return the factor, to thousandths, that fits the all-pass filter's phase to the mel scale best.

    0.312 at 8 kHz, 0.41 at 16, 0.455 at 22.05, 0.466 at 24, 0.544 at 44.1 and 0.554 at 48 kHz; the mel scale is
    1000 log2(1 + f / 1000).
    """
    share = np.linspace(0, 1, 1001)[1:-1]
    mel = np.log1p(share * sample_rate / 2000) / np.log1p(sample_rate / 2000)
    factors = np.arange(0, 1, 0.001)
    omega = np.pi * share
    warped = omega + 2 * np.arctan2(
        factors[:, None] * np.sin(omega), 1 - factors[:, None] * np.cos(omega)
    )  # (factors, bins)
    return float(factors[np.square(warped / np.pi - mel).mean(axis=1).argmin()])


@lru_cache(maxsize=8)
def _warping(alpha: float, n_cepstra: int, order: int) -> np.ndarray:
    """Return the (order + 1, n_cepstra) matrix of the frequency transformation (Oppenheim and Johnson, 1972)."""
    warped = np.zeros((order + 1, n_cepstra))
    for place in reversed(range(n_cepstra)):
        before = warped.copy()
        warped[0] = alpha * before[0]
        warped[0, place] += 1
        if order:
            warped[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for row in range(2, order + 1):
            warped[row] = before[row - 1] + alpha * (before[row] - warped[row - 1])
    return warped
