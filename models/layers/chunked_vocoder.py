"""Vocoding of long mels in chunks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

ThisVocoder = TypeVar("ThisVocoder", bound="ChunkedVocoder")
CHUNK_FRAMES = 512
"""Frames generated at once; more are not faster."""


class ChunkedVocoder:
    """A vocoder for inference that splits mels of any length into chunks (`models.contracts.InferenceVocoder`).

    Args:
        generate: from (B, M, T_mel) log-mels to (B, T_mel * hop_size) waveforms.
        hop_size: samples per frame.
        receptive_frames: frames before and after its own that a sample depends on.
    """

    takes_f0 = False

    def __init__(self, generate: Callable[[Tensor], Tensor], *, hop_size: int, receptive_frames: int) -> None:
        self._generate, self._hop_size, self._overlap = generate, hop_size, receptive_frames

    @classmethod
    def of_network(
        cls: type[ThisVocoder], network: nn.Module, dtype: torch.dtype, *, hop_size: int, receptive_frames: int
    ) -> ThisVocoder:
        """Return a vocoder with a copy of a network under autocast to `dtype`; see the class for the rest."""
        frozen = copy.deepcopy(network).eval().requires_grad_(False)

        def generate(mel: Tensor, *others: Tensor) -> Tensor:
            with torch.autocast(mel.device.type, dtype, enabled=dtype != torch.float32):
                waveform: Tensor = frozen(mel, *others)
                return waveform

        return cls(generate, hop_size=hop_size, receptive_frames=receptive_frames)

    @torch.inference_mode()
    def waveform(self, mel: Tensor, chunk_frames: int = CHUNK_FRAMES) -> Tensor:
        """Return the waveform of a log-mel of any length, in bounded memory beside the result.

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
    def stream(
        self, mel: Tensor | Iterable[Tensor], chunk_frames: int = CHUNK_FRAMES, *, first_chunks: Sequence[int] = ()
    ) -> Iterator[Tensor]:
        """Yield the same waveform piece by piece, `chunk_frames` frames each; the last may be shorter.

        Each piece is generated with its receptive field on both sides, so that the pieces put together are the whole.

        Args:
            mel: (M, T_mel), or pieces of it in order; a chunk is yielded as soon as its overlap is available.
            chunk_frames: frames generated at once, without the overlap.
            first_chunks: the same of the first chunks.
        """
        sizes = (*first_chunks, chunk_frames)
        for chunk in overlapping_chunks([mel] if isinstance(mel, Tensor) else mel, sizes, self._overlap):
            generated = self._generate(chunk.frames[None])[0].float()
            yield generated[chunk.start * self._hop_size : chunk.stop * self._hop_size]

    @torch.inference_mode()
    def __call__(self, mel: Tensor) -> Tensor:
        """Return (B, T_mel * hop_size) float32 waveforms of (B, M, T_mel) log-mels, all at once."""
        return self._generate(mel).float()


class NumberedVocoder(ChunkedVocoder):
    """A vocoder whose network takes each frame's number beside the mel, counted from an utterance's beginning."""

    def __init__(self, generate: Callable[[Tensor, Tensor], Tensor], *, hop_size: int, receptive_frames: int) -> None:
        super().__init__(
            lambda rows: generate(rows[:, :-1], rows[:, -1].long()),
            hop_size=hop_size,
            receptive_frames=receptive_frames,
        )

    def stream(
        self, mel: Tensor | Iterable[Tensor], chunk_frames: int = CHUNK_FRAMES, *, first_chunks: Sequence[int] = ()
    ) -> Iterator[Tensor]:
        """Yield the same waveform piece by piece; see `ChunkedVocoder`."""
        return super().stream(
            _numbered([mel] if isinstance(mel, Tensor) else mel), chunk_frames, first_chunks=first_chunks
        )

    def __call__(self, mel: Tensor) -> Tensor:
        """Return (B, T_mel * hop_size) float32 waveforms of (B, M, T_mel) log-mels, all at once."""
        return super().__call__(_with_numbers(mel, 0))


def _numbered(pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    first = 0
    for piece in pieces:
        yield _with_numbers(piece, first)
        first += piece.shape[-1]


def _with_numbers(mel: Tensor, first: int) -> Tensor:
    """Append the frames' numbers to (..., M, T_mel), in float32: exact for 50 hours."""
    numbers = torch.arange(first, first + mel.shape[-1], device=mel.device, dtype=torch.float32)
    return torch.cat([mel, numbers.expand(*mel.shape[:-2], 1, -1)], dim=-2)


class Chunk(NamedTuple):
    """Frames with their overlap.

    Attributes:
        frames: (rows, T).
        start: where the chunk begins within them.
        stop: where it ends.
    """

    frames: Tensor
    start: int
    stop: int


def overlapping_chunks(pieces: Iterable[Tensor], chunk_frames: Sequence[int], overlap: int) -> Iterator[Chunk]:
    """Cut frames into chunks with an overlap on both sides, less of it at the ends; the last chunk may be shorter.

        frames         |----------------------------------------|
        chunk              |< overlap >|=== chunk ===|< overlap >|
                                       start         stop

    Args:
        pieces: (rows, T) stretches of the frames in order; a chunk is yielded as soon as its overlap is available.
        chunk_frames: frames of the first chunks, without the overlap; the last counts for all that follow, too.
        overlap: frames on each side.
    """
    held: Tensor | None = None  # from the overlap before the next chunk on
    start = 0  # of the next chunk within it
    next_sizes = chain(chunk_frames, repeat(chunk_frames[-1]))
    size = next(next_sizes)
    for piece in pieces:
        held = piece if held is None else torch.cat([held, piece], dim=1)
        while held.shape[1] >= start + size + overlap:
            yield _chunk(held, start, size, overlap)
            first = max(start + size - overlap, 0)
            held, start = held[:, first:], start + size - first
            size = next(next_sizes)
    while held is not None and start < held.shape[1]:
        yield _chunk(held, start, size, overlap)
        start, size = start + size, next(next_sizes)


def _chunk(held: Tensor, start: int, n_frames: int, overlap: int) -> Chunk:
    first, stop = max(start - overlap, 0), min(start + n_frames, held.shape[1])
    return Chunk(held[:, first : stop + overlap], start - first, stop - first)
