"""Removal of the constant sound that a vocoder adds to everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.chunked_vocoder import overlapping_chunks

# Of the short-time Fourier transform, in samples: as published, whatever the sample rate.
_N_FFT, _HOP_SIZE = 1024, 256
_CHUNK_SIZE = 64 * _HOP_SIZE
BIAS_FRAMES = 88
"""Frames of zeros that the vocoder's bias is measured with."""


class Denoiser:
    """Subtracts a spectrum from the magnitudes of waveforms, and keeps their phases.

    As NVIDIA published it with WaveGlow: the spectrum is the first one of what the vocoder makes of a mel of zeros. A
    waveform is transformed in chunks whose overlap covers all frames that reach into them, so that pieces of a stream
    are those of the whole.

    Args:
        biased: (T_wav,) the vocoder's waveform of `BIAS_FRAMES` frames of zeros, at least 513 samples.
        strength: factor on the spectrum that is subtracted.
    """

    def __init__(self, biased: Tensor, strength: float) -> None:
        self._window = torch.hann_window(_N_FFT, device=biased.device)
        self._bias = strength * self._spectra(biased)[:, :1].abs()

    @torch.inference_mode()
    def stream(self, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the denoised waveform of (T_wav,) pieces in order, each as soon as the samples after it are there."""
        for chunk in overlapping_chunks((piece[None] for piece in pieces), (_CHUNK_SIZE,), _N_FFT):
            yield self._denoised(chunk.frames[0])[chunk.start : chunk.stop]

    def _denoised(self, waveform: Tensor) -> Tensor:
        missing = max(_N_FFT // 2 + 1 - len(waveform), 0)  # for the edges to be reflected
        spectra = self._spectra(F.pad(waveform, (0, missing)))
        magnitudes = spectra.abs()
        share = (magnitudes - self._bias).clamp(min=0) / magnitudes.clamp(min=torch.finfo(magnitudes.dtype).tiny)
        return torch.istft(spectra * share, _N_FFT, _HOP_SIZE, window=self._window, length=len(waveform))

    def _spectra(self, waveform: Tensor) -> Tensor:
        """Return (bins, T)."""
        return torch.stft(waveform, _N_FFT, _HOP_SIZE, window=self._window, pad_mode="reflect", return_complex=True)
