"""All measures of one pair of recordings."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from processors.audio.mel import MelSpectrogram
from processors.audio.stft_distance import multi_resolution_stft
from processors.evaluation.perception import pesq, predicted_mos, stoi

# HiFi-GAN's at 22.05 kHz; other rates get frames of about as long.
_RATE, _N_FFT, _HOP_SIZE, _N_MEL = 22050, 1024, 256, 80


def judge(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Compare speech that was made with the recording that it should be, over as long as both last.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,).
        sample_rate: of both, in Hz.

    Returns:
        `spectral_convergence` and `log_magnitude` (see `multi_resolution_stft`) and, where their packages are installed
        and the recordings allow, `pesq`, `stoi` and, of the degraded alone, `mos`. What cannot be measured is not
        among them.
    """
    n_samples = min(len(reference), len(degraded))
    reference, degraded = (np.asarray(waveform[:n_samples], dtype=np.float32) for waveform in (reference, degraded))
    if not n_samples or not (np.isfinite(reference).all() and np.isfinite(degraded).all()):
        return {}
    with torch.inference_mode():
        distance = multi_resolution_stft(torch.from_numpy(degraded)[None], torch.from_numpy(reference)[None])
    measures = {
        "spectral_convergence": float(distance.spectral_convergence),
        "log_magnitude": float(distance.log_magnitude),
        "pesq": pesq(reference, degraded, sample_rate),
        "stoi": stoi(reference, degraded, sample_rate),
        "mos": predicted_mos(degraded, sample_rate),
    }
    return {name: value for name, value in measures.items() if value is not None}


def mel_error(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float | None:
    """Give the mean absolute difference of two recordings' log-mels, of 80 bins over the full band.

    Frames last about 46 ms and begin every 12 ms.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,); both are compared over as long as the shorter lasts.
        sample_rate: of both, in Hz.

    Returns:
        None where there is not one frame, or a recording holds NaN.
    """
    mel = _full_band(sample_rate)
    n_samples = min(len(reference), len(degraded))
    if n_samples < mel.hop_size:
        return None
    with torch.inference_mode():
        made, wanted = (
            mel(torch.from_numpy(np.asarray(waveform[:n_samples], dtype=np.float32)))
            for waveform in (degraded, reference)
        )
        error = float((made - wanted).abs().mean())
    return error if np.isfinite(error) else None


@lru_cache(maxsize=4)
def _full_band(sample_rate: int) -> MelSpectrogram:
    scale = 2.0 ** round(np.log2(sample_rate / _RATE))
    return MelSpectrogram(
        sample_rate=sample_rate,
        n_fft=int(_N_FFT * scale),
        hop_size=int(_HOP_SIZE * scale),
        win_size=int(_N_FFT * scale),
        n_mel=_N_MEL,
        fmin=0.0,
        fmax=sample_rate / 2,
    )
