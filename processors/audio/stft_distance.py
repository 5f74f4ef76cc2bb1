"""Multi-resolution STFT distance of two waveforms."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from processors.audio.mel_settings import STFT_RESOLUTIONS

Padding = Literal["constant", "reflect"]
_FLOOR = 1e-7  # of the power: 70 dB below a full-scale sine's
_QUIETEST = 0.01  # of full scale: as a share of a quieter target's norm, the difference would be unbounded


class StftDistance(NamedTuple):
    """Means over resolutions and waveforms, each ().

    Attributes:
        spectral_convergence: norm of the difference of the magnitudes, as a share of the target's norm.
        log_magnitude: mean absolute difference of the magnitudes' natural logarithms.
    """

    spectral_convergence: Tensor
    log_magnitude: Tensor


def multi_resolution_stft(predicted: Tensor, target: Tensor, padding: Padding = "constant") -> StftDistance:
    """Compare waveforms by their short-time Fourier transforms of three sizes; differentiable.

    R. Yamamoto and others, Parallel WaveGAN (arXiv:1910.11480), section 2.2; but spectral convergence is computed per
    waveform, so that the mean over a batch does not depend on its composition, and with the norm of a target at least
    that of noise at -40 dB of full scale, since a silent segment would otherwise outweigh all others.

    Args:
        predicted: (B, T_wav) in [-1, 1].
        target: (B, T_wav), without a gradient.
        padding: of the edges; reflecting them needs more than 1024 samples.
    """
    convergences, logs = [], []
    # float32: a spectrum spans more than half precision holds.
    with torch.autocast(predicted.device.type, enabled=False):
        for n_fft, hop_size, win_size in STFT_RESOLUTIONS:
            window = torch.hann_window(win_size, device=predicted.device)
            power = _power(predicted.float(), n_fft, hop_size, window, padding)
            with torch.no_grad():
                target_power = _power(target.float(), n_fft, hop_size, window, padding)
                target_magnitude, target_log = target_power.sqrt(), target_power.log()
                quietest = _QUIETEST * (target_power[0].numel() * window.square().sum()).sqrt()  # of such noise
                norm = torch.linalg.vector_norm(target_magnitude, dim=(1, 2)).maximum(quietest)
            difference = torch.linalg.vector_norm(power.sqrt() - target_magnitude, dim=(1, 2))
            convergences.append((difference / norm).mean())
            logs.append((power.log() - target_log).abs().mean() / 2)  # the logarithm of the power is twice as large
    return StftDistance(torch.stack(convergences).mean(), torch.stack(logs).mean())


def _power(waveform: Tensor, n_fft: int, hop_size: int, window: Tensor, padding: Padding) -> Tensor:
    spectrum = torch.stft(waveform, n_fft, hop_size, len(window), window, pad_mode=padding, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=_FLOOR)
