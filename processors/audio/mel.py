"""Mel spectrogram: the one definition for extraction, vocoder losses and metrics."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config.schema import PreprocessSettings
from processors.audio.mel_settings import MEL_SETTINGS
from utils.errors import RecitalError

MEL_FLOOR = 1e-5
"""Mel magnitudes are clamped to it, so that silence has a finite logarithm."""


class MelError(RecitalError):
    """Settings that describe no useful mel spectrogram."""


class MelSpectrogram(nn.Module):
    """Computes log-mel spectrograms of waveforms; differentiable, on any device, in float32 at least.

    HiFi-GAN's definition (arXiv:2010.05646, its published code): the waveform is padded by reflection so that each
    `hop_size` samples are one frame with the same centre: frame i is centred at sample (i + 0.5) * hop_size. Periodic
    Hann window, magnitudes, Slaney's filters, natural logarithm with a floor of 1e-5. If n_fft - hop_size is odd, the
    right side is padded by one sample more, to keep the frames aligned.

    Args:
        sample_rate: in Hz.
        n_fft: samples per transform, at least `win_size`.
        hop_size: samples per frame.
        win_size: samples under the window.
        n_mel: filters.
        fmin: lower edge of the lowest filter in Hz.
        fmax: upper edge of the highest filter in Hz; half of `sample_rate` by default.

    Raises:
        MelError: a filter would cover no frequency of the transform.
    """

    window: Tensor
    filter_bank: Tensor

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        hop_size: int,
        win_size: int,
        n_mel: int,
        fmin: float = 0.0,
        fmax: float | None = None,
    ) -> None:
        super().__init__()
        self.sample_rate, self.hop_size, self.n_mel = sample_rate, hop_size, n_mel
        self.n_fft, self.win_size = n_fft, win_size
        self.left_padding = (n_fft - hop_size) // 2
        bank = torch.tensor(mel_filter_bank(sample_rate, n_fft, n_mel, fmin, fmax))
        # Computed from the settings, so not saved in checkpoints.
        self.register_buffer("window", torch.hann_window(win_size), persistent=False)
        self.register_buffer("filter_bank", bank, persistent=False)
        if not bank.any(dim=1).all():
            raise MelError(
                f"n_mel {n_mel} is too many for n_fft {n_fft} at {sample_rate} Hz: some mel filters lie between two "
                "frequencies of the transform and would always be zero; lower n_mel or raise n_fft"
            )
        # The bins above the last filter are multiplied by 0.
        self.n_bins_used = int(bank.any(dim=0).nonzero().max()) + 1

    @classmethod
    def from_settings(cls, settings: PreprocessSettings) -> MelSpectrogram:
        """Construct the definition that the settings of stage 1 describe."""
        return cls(**{name: getattr(settings, name) for name in MEL_SETTINGS})

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the log-mel spectrogram of each waveform.

        Args:
            waveform: (..., T_wav) in [-1, 1].

        Returns:
            (..., n_mel, T_mel) with T_mel = T_wav // hop_size.

        Raises:
            ValueError: the waveform is shorter than one frame.
        """
        return self.mel_and_energy(waveform)[0]

    def mel_and_energy(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the log-mel spectrogram and the energy of each waveform, from one Fourier transform.

        Energy is the L2 norm of a frame's magnitude spectrum (FastSpeech 2, arXiv:2006.04558, section 2.3).

        Args:
            waveform: (..., T_wav) in [-1, 1].

        Returns:
            (..., n_mel, T_mel) log-mel and (..., T_mel) energy.

        Raises:
            ValueError: the waveform is shorter than one frame.
        """
        # float32: in half precision the 1e-9 is 0, and sqrt(0) has no finite gradient.
        with torch.autocast(waveform.device.type, enabled=False):
            power = self._power(waveform)
            energy = power.sum(dim=-1).sqrt()
            magnitude = power[..., : self.n_bins_used].sqrt()
            mel = magnitude @ self.filter_bank[:, : self.n_bins_used].T.to(power.dtype)
            log_mel = mel.clamp(min=MEL_FLOOR).log()
        return log_mel.transpose(-1, -2), energy  # (..., T_mel, n_mel) -> (..., n_mel, T_mel)

    def _power(self, waveform: Tensor) -> Tensor:
        """Compute the power spectrum of every frame, (..., T_mel, n_fft // 2 + 1), plus 1e-9."""
        if waveform.dtype not in (torch.float32, torch.float64):
            waveform = waveform.float()
        *batch, n_samples = waveform.shape
        flat = self.pad(waveform.reshape(-1, n_samples))
        spectrum = torch.stft(
            flat,
            self.n_fft,
            hop_length=self.hop_size,
            win_length=self.win_size,
            window=self.window.to(waveform.dtype),
            center=False,
            return_complex=True,
        )
        power = spectrum.real**2 + spectrum.imag**2 + 1e-9
        return power.transpose(-1, -2).reshape(*batch, power.shape[2], power.shape[1])

    def pad(self, waveform: Tensor) -> Tensor:
        """Pad (B, T_wav) waveforms by reflection so that frame i covers n_fft samples from i * hop_size on.

        Returns:
            (B, T_wav + n_fft - hop_size), beginning `left_padding` samples before the waveform.

        Raises:
            ValueError: the waveform is shorter than one frame.
        """
        n_samples = waveform.shape[-1]
        if n_samples < self.hop_size:
            raise ValueError(f"{n_samples} samples are shorter than one frame of {self.hop_size}")
        left, right = self.left_padding, self.n_fft - self.hop_size - self.left_padding
        if n_samples > right:
            return F.pad(waveform, (left, right), mode="reflect")
        # Padding as long as the waveform must be reflected again, which torch does not support.
        period = max(2 * (n_samples - 1), 1)
        index = torch.arange(-left, n_samples + right, device=waveform.device).abs() % period
        return waveform[..., torch.minimum(index, period - index)]


@lru_cache(maxsize=16)
def mel_filter_bank(
    sample_rate: int, n_fft: int, n_mel: int, fmin: float = 0.0, fmax: float | None = None
) -> np.ndarray:
    """Compute triangular filters of equal area, evenly spaced on Slaney's mel scale.

    M. Slaney, Auditory Toolbox, technical report 1998-010, Interval Research: linear below 1 kHz, logarithmic above.

    Args:
        sample_rate: in Hz.
        n_fft: samples per transform.
        n_mel: filters.
        fmin: lower edge of the lowest filter in Hz.
        fmax: upper edge of the highest filter in Hz; half of `sample_rate` by default.

    Returns:
        (n_mel, n_fft // 2 + 1) float32.
    """
    bin_hz = np.linspace(0.0, sample_rate / 2, n_fft // 2 + 1)
    lowest, highest = _mel_of_hz(np.array([fmin, sample_rate / 2 if fmax is None else fmax]))
    edge_hz = _hz_of_mel(np.linspace(lowest, highest, n_mel + 2))
    left, centre, right = edge_hz[:-2, None], edge_hz[1:-1, None], edge_hz[2:, None]
    rising = (bin_hz - left) / (centre - left)
    falling = (right - bin_hz) / (right - centre)
    bank: np.ndarray = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (right - left)
    bank = bank.astype(np.float32)
    bank.setflags(write=False)  # shared by all callers
    return bank


_LINEAR_HZ_PER_MEL = 200.0 / 3
_LOG_START_HZ = 1000.0
_LOG_START_MEL = _LOG_START_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _mel_of_hz(hz: np.ndarray) -> np.ndarray:
    above = _LOG_START_MEL + np.log(np.maximum(hz, _LOG_START_HZ) / _LOG_START_HZ) / _LOG_STEP
    return np.where(hz < _LOG_START_HZ, hz / _LINEAR_HZ_PER_MEL, above)


def _hz_of_mel(mel: np.ndarray) -> np.ndarray:
    above = _LOG_START_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _LOG_START_MEL) - _LOG_START_MEL))
    return np.where(mel < _LOG_START_MEL, mel * _LINEAR_HZ_PER_MEL, above)
