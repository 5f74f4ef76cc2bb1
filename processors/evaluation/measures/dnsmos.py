"""Predicted mean opinion score by DNSMOS P.835 (arXiv:2110.01763), by the package speechmos."""

from __future__ import annotations

import numpy as np

from processors.evaluation.packages import are_installed
from processors.evaluation.pair import Pair
from processors.evaluation.signals import NETWORK_RATE, at_16_khz, finite, is_audible

PACKAGES = ("speechmos", "onnxruntime", "requests")


def measure(pair: Pair) -> float | None:
    """Return the score of the synthesised speech."""
    return dnsmos(pair.degraded, pair.sample_rate)


def measure_recording(pair: Pair) -> float | None:
    """Return the score of the recording."""
    return None if pair.recording is None else dnsmos(pair.recording, pair.sample_rate)


def dnsmos(waveform: np.ndarray, sample_rate: int) -> float | None:
    """Predict the overall mean opinion score, from 1 to 5, by DNSMOS P.835 (arXiv:2110.01763).

    Args:
        waveform: (T_wav,) in [-1, 1]; there is no reference.
        sample_rate: in Hz; resampled to 16 kHz.

    Returns:
        None if a package is missing, or the waveform is silent.
    """
    if not are_installed(PACKAGES) or not is_audible(waveform):
        return None
    from speechmos import dnsmos as networks

    return finite(networks.run(at_16_khz(waveform, sample_rate), NETWORK_RATE)["ovrl_mos"])
