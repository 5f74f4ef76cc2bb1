"""Mel-cepstral distortion (R. Kubichek, 1993), of WORLD's spectral envelope and after dynamic time warping."""

from __future__ import annotations

import numpy as np

from processors.audio.mel_cepstrum import mel_cepstrum
from processors.audio.time_warping import warp
from processors.evaluation.pair import Pair
from processors.evaluation.signals import is_audible, speech_span

_ORDER = 24
_TO_DB = 10 * np.sqrt(2) / np.log(10)
_LEAST_S = 0.05


def measure(pair: Pair) -> float | None:
    """Return the distortion of copy or free speech."""
    return mel_cepstral_distortion(*pair.signals)


def mel_cepstral_distortion(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float | None:
    """Compute the mean over warped frames of 10 sqrt(2) / ln 10 times the distance of 24 mel-cepstra, in dB.

    Without c0, hence without the level; the silence at the edges of each is left out.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,).
        sample_rate: of both, in Hz; the warping of frequencies depends on it, hence the distortion too.

    Returns:
        None for a waveform of less than 50 ms, or a silent one.
    """
    if not (is_audible(reference) and is_audible(degraded)):
        return None
    spoken = [each[speech_span(each, sample_rate)] for each in (reference, degraded)]
    if min(len(each) for each in spoken) < _LEAST_S * sample_rate:
        return None
    cepstra = [mel_cepstrum(each, sample_rate, _ORDER)[1:] for each in spoken]
    frames, others = warp(*cepstra, is_centred=False)
    difference = cepstra[0][:, frames] - cepstra[1][:, others]
    return float(_TO_DB * np.sqrt((difference**2).sum(axis=0)).mean())
