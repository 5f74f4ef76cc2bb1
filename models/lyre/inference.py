"""Lyre in use: mels of any length, in pieces, with or without F0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.layers.chunked_vocoder import ChunkedVocoder, overlapping_chunks
from models.lyre.f0_predictor import F0Predictor
from processors.audio.harmonic_source import HarmonicSource, SourceState

# Frames whose F0 is predicted and followed at once. Always the same, so that neither depends on how a mel is cut; few
# at first, so that a stream can begin.
_F0_CHUNK_FRAMES = (80, 256, 512)
# A sentence at once: at frame rate memory is small, and overlaps cost time.
_CHUNK_FRAMES = 1024
_N_ROWS = 4


class Conditions(NamedTuple):
    """All that a stretch of frames is generated from; no frame of it depends on its place in the stretch.

    Attributes:
        mel: (B, M, T_mel) log-mel.
        f0_hz: (B, T_mel), 0 where unvoiced.
        held_hz: (B, T_mel) F0 with the last voiced value where unvoiced.
        start_phase: (B, T_mel) of the harmonic source at the beginning of each frame, in cycles.
        noise_frame: (B, T_mel) row of the noise table.
    """

    mel: Tensor
    f0_hz: Tensor
    held_hz: Tensor
    start_phase: Tensor
    noise_frame: Tensor

    def as_rows(self) -> Tensor:
        """Return (B, M + 4, T_mel) float32, which can be cut and joined as mels are."""
        rows = [self.f0_hz, self.held_hz, self.start_phase, self.noise_frame]
        return torch.cat([self.mel, torch.stack([row.float() for row in rows], dim=1)], dim=1)

    @classmethod
    def from_rows(cls, rows: Tensor) -> Conditions:
        f0_hz, held_hz, start_phase, noise_frame = rows[:, -_N_ROWS:].unbind(dim=1)
        return cls(rows[:, :-_N_ROWS], f0_hz, held_hz, start_phase, noise_frame.long())


class LyreVocoder:
    """A vocoder for inference (`models.contracts.F0InferenceVocoder`).

    F0 is predicted (in float32) and its phase counted from the beginning of the utterance on; then the rest is computed
    in chunks, each with its receptive field on both sides.

    Args:
        f0_predictor: from mels.
        source: counts the phase.
        generate: from stretches of utterances to (B, T_mel * hop_size) waveforms.
        hop_size: samples per frame.
        receptive_frames: of `generate`.
        noise_frames: rows of the noise table.
    """

    takes_f0 = True

    def __init__(
        self,
        f0_predictor: F0Predictor,
        source: HarmonicSource,
        generate: Callable[[Conditions], Tensor],
        *,
        hop_size: int,
        receptive_frames: int,
        noise_frames: int,
    ) -> None:
        self._f0_predictor, self._source, self._noise_frames = f0_predictor, source, noise_frames
        self._chunked = ChunkedVocoder(
            lambda rows: generate(Conditions.from_rows(rows)).clamp(-1.0, 1.0),
            hop_size=hop_size,
            receptive_frames=receptive_frames,
        )

    @torch.inference_mode()
    def predict_f0(self, mel: Tensor) -> Tensor:
        """Return the (T_mel,) F0 in Hz that is predicted from an (M, T_mel) log-mel, 0 where unvoiced."""
        return self._predict(mel[None])[0]

    def waveform(self, mel: Tensor, f0_hz: Tensor | None = None) -> Tensor:
        """Return the (T_mel * hop_size,) waveform of a log-mel of any length.

        Args:
            mel: (M, T_mel).
            f0_hz: (T_mel,), 0 where unvoiced; None to predict it.
        """
        return torch.cat(list(self.stream(mel, f0_hz=f0_hz)))

    @torch.inference_mode()
    def stream(
        self,
        mel: Tensor | Iterable[Tensor],
        chunk_frames: int = _CHUNK_FRAMES,
        f0_hz: Tensor | Iterable[Tensor] | None = None,
        *,
        first_chunks: Sequence[int] = (),
    ) -> Iterator[Tensor]:
        """Yield the same waveform in pieces of `chunk_frames` frames; the last may be shorter.

        Args:
            mel: (M, T_mel), or pieces of it in their order.
            chunk_frames: frames generated at once.
            first_chunks: the same of the first chunks.
            f0_hz: (T_mel,), or pieces as long as those of the mel; None to predict it.
        """
        mels = [mel] if isinstance(mel, Tensor) else mel
        if f0_hz is not None:
            contours = [f0_hz] if isinstance(f0_hz, Tensor) else f0_hz
            mels = (torch.cat([mel, f0.unsqueeze(0)]) for mel, f0 in zip(mels, contours, strict=True))
        yield from self._chunked.stream(
            self._rows(mels, has_f0=f0_hz is not None), chunk_frames, first_chunks=first_chunks
        )

    @torch.inference_mode()
    def __call__(self, mel: Tensor) -> Tensor:
        """Return (B, T_mel * hop_size) float32 waveforms of (B, M, T_mel) log-mels, all at once."""
        f0_hz = self._predict(mel)
        held, frames = self._source.follow(f0_hz), torch.arange(mel.shape[2], device=mel.device)
        noise_frame = (frames % self._noise_frames).expand(len(mel), -1)
        return self._chunked(Conditions(mel, f0_hz, held.held_hz, held.start_phase, noise_frame).as_rows())

    def _predict(self, mel: Tensor) -> Tensor:
        with torch.autocast(mel.device.type, enabled=False):
            return self._f0_predictor.predict(mel)

    def _rows(self, mels: Iterable[Tensor], *, has_f0: bool) -> Iterator[Tensor]:
        """Yield `Conditions` as (M + 4, T) rows; with F0, it is the last row of the mels."""
        state: SourceState | None = None
        first_frame = 0
        overlap = 0 if has_f0 else self._f0_predictor.layers.reach_frames
        for chunk in overlapping_chunks(mels, _F0_CHUNK_FRAMES, overlap):
            mel = chunk.frames[None]
            mel, f0_hz = (mel[:, :-1], mel[:, -1]) if has_f0 else (mel, self._predict(mel))
            mel, f0_hz = mel[:, :, chunk.start : chunk.stop], f0_hz[:, chunk.start : chunk.stop]
            held_hz, start_phase, state = self._source.follow(f0_hz, state=state)
            frames = first_frame + torch.arange(mel.shape[2], device=mel.device)[None]
            yield Conditions(mel, f0_hz, held_hz, start_phase, frames % self._noise_frames).as_rows()[0]
            first_frame += mel.shape[2]
