"""Mean absolute difference of log-mels."""

from __future__ import annotations

import numpy as np
import torch

from processors.evaluation.pair import Pair, mel_spectrogram


def measure(pair: Pair) -> float | None:
    """Return the mel error of a copy."""
    return mel_error(*pair.signals)


def mel_error(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float | None:
    """Compute the mean absolute difference of the log-mels of two waveforms, of 80 bins over the full band.

    Frames last about 46 ms and begin every 12 ms.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,); both are compared over the length of the shorter.
        sample_rate: of both, in Hz.

    Returns:
        None if there is no frame, or a waveform holds NaN.
    """
    mel = mel_spectrogram(sample_rate, sample_rate / 2)
    n_samples = min(len(reference), len(degraded))
    if n_samples < mel.hop_size:
        return None
    with torch.inference_mode():
        predicted, target = (
            mel(torch.from_numpy(np.asarray(waveform[:n_samples], dtype=np.float32)))
            for waveform in (degraded, reference)
        )
        error = float((predicted - target).abs().mean())
    return error if np.isfinite(error) else None
