"""Short-time Fourier transform on the frames of the mel, and its inverse by overlap-add."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class FrameTransform:
    """Spectra of frames centred as those of `MelSpectrogram` are, with zeros beyond both ends.

    Args:
        n_fft: samples per transform and window, a multiple of `hop_size`, an even number of samples longer.
        hop_size: samples per frame.
    """

    def __init__(self, n_fft: int, hop_size: int) -> None:
        assert n_fft % hop_size == 0 and (n_fft - hop_size) % 2 == 0, "the settings have been checked"
        self.n_fft, self.hop_size = n_fft, hop_size
        self._padding = (n_fft - hop_size) // 2
        self._window = torch.hann_window(n_fft)

    @property
    def reach_frames(self) -> int:
        """How many frames before and after its own a frame's spectrum, or a sample, depends on."""
        return -(-self._padding // self.hop_size)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the (B, T_mel, n_fft // 2 + 1) spectra of (B, T_mel * hop_size) waveforms."""
        frames = F.pad(waveform, (self._padding, self._padding)).unfold(1, self.n_fft, self.hop_size)
        spectra: Tensor = torch.fft.rfft(frames * self._window.to(waveform.device), dim=2)
        return spectra

    def inverse(self, spectra: Tensor) -> Tensor:
        """Return the (B, T_mel * hop_size) waveforms of (B, T_mel, n_fft // 2 + 1) spectra.

        Overlap-add with the same window, divided by the sum of squared windows of the frames that there are: of all
        waveforms the one whose spectra are nearest (D. Griffin, J. Lim, IEEE Trans. ASSP-32, 1984, equation 6).
        """
        window = self._window.to(spectra.device)
        frames = torch.fft.irfft(spectra, n=self.n_fft, dim=2) * window
        weight = self._overlap_add(window.square().expand(1, spectra.shape[1], -1))
        return self._overlap_add(frames) / weight.clamp(min=1e-3)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        n_rows, n_frames, _ = frames.shape
        n_parts = self.n_fft // self.hop_size
        parts = frames.unflatten(2, (n_parts, self.hop_size))
        total = frames.new_zeros(n_rows, n_frames + n_parts - 1, self.hop_size)
        for part in range(n_parts):
            total[:, part : part + n_frames] += parts[:, :, part]
        return total.flatten(1)[:, self._padding : self._padding + n_frames * self.hop_size]
