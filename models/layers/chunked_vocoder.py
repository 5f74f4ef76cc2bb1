"""Vocoding of long mels in chunks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

CHUNK_FRAMES = 512
"""Frames generated at once; more would not be faster."""


class ChunkedVocoder:
    """A vocoder for inference that cuts mels of any length into chunks (`models.contracts.InferenceVocoder`).

    Args:
        generate: from (B, M, T_mel) log-mels to (B, T_mel * hop_size) waveforms.
        hop_size: samples per frame.
        receptive_frames: frames before and after its own that a sample depends on.
    """

    def __init__(self, generate: Callable[[Tensor], Tensor], *, hop_size: int, receptive_frames: int) -> None:
        self._generate, self._hop_size, self._overlap = generate, hop_size, receptive_frames

    @classmethod
    def of_network(
        cls, network: nn.Module, dtype: torch.dtype, *, hop_size: int, receptive_frames: int
    ) -> ChunkedVocoder:
        """Return a vocoder with a copy of a network, whose layers compute in `dtype`; see the class for the rest."""
        frozen = copy.deepcopy(network).eval().requires_grad_(False)

        def generate(mel: Tensor) -> Tensor:
            with torch.autocast(mel.device.type, dtype, enabled=dtype != torch.float32):
                waveform: Tensor = frozen(mel)
                return waveform

        return cls(generate, hop_size=hop_size, receptive_frames=receptive_frames)

    @torch.inference_mode()
    def waveform(self, mel: Tensor, chunk_frames: int = CHUNK_FRAMES) -> Tensor:
        """Return the waveform of a log-mel of any length, in memory that does not grow with it but for the result.

        Args:
            mel: (M, T_mel).
            chunk_frames: frames generated at once.

        Returns:
            (T_mel * hop_size,) float32 in [-1, 1].
        """
        samples = torch.empty(mel.shape[1] * self._hop_size, device=mel.device)
        start = 0
        for chunk in self.stream(mel, chunk_frames):
            samples[start : start + len(chunk)] = chunk
            start += len(chunk)
        return samples

    @torch.inference_mode()
    def stream(self, mel: Tensor, chunk_frames: int = CHUNK_FRAMES) -> Iterator[Tensor]:
        """Yield the same waveform piece by piece, `chunk_frames` frames each; the last may be shorter.

        Each piece is generated with its receptive field on both sides, so that the pieces put together are the whole:

            mel            |----------------------------------------|
            generated          |< overlap >|=== chunk ===|< overlap >|
            yielded                        |=============|
        """
        n_frames = mel.shape[1]
        for start in range(0, n_frames, chunk_frames):
            stop = min(start + chunk_frames, n_frames)
            first, last = max(start - self._overlap, 0), min(stop + self._overlap, n_frames)
            generated = self(mel[None, :, first:last])[0]
            yield generated[(start - first) * self._hop_size : (stop - first) * self._hop_size]

    @torch.inference_mode()
    def __call__(self, mel: Tensor) -> Tensor:
        """Return (B, T_mel * hop_size) float32 waveforms of (B, M, T_mel) log-mels, all at once."""
        return self._generate(mel).float()
