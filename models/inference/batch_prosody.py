"""Prosody of a batch: the controls of its acoustic model, and the F0 and levels of its frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.contracts import AS_PREDICTED, Controls, GeneratedSpeech, Prosody
from models.inference.prosody_rules import (
    NEPERS_PER_DB,
    PitchScale,
    SymbolPitch,
    changes_levels,
    level_changes_db,
    sets_frames,
    wanted_frames,
)
from models.inference.symbol_prosody import SymbolProsody
from processors.audio.mel import MEL_FLOOR


class BatchProsody:
    """The prosody of the rows of a batch.

    Args:
        prosodies: of the rows' texts.
        symbols: of the rows' symbols.
        scales: of the rows' speakers.
        device: of the controls.
    """

    def __init__(
        self,
        prosodies: Sequence[Prosody],
        symbols: Sequence[SymbolProsody],
        scales: Sequence[PitchScale],
        device: torch.device,
    ) -> None:
        self._symbols, self._device = symbols, device
        self._frames: Tensor | None = None
        self._pitches = [
            SymbolPitch(*row) if row[0].changes_pitch else None for row in zip(prosodies, symbols, scales, strict=True)
        ]

    @property
    def changes_pitch(self) -> bool:
        """Return whether a row's F0 is to differ from the predicted one."""
        return any(pitch is not None for pitch in self._pitches)

    def controls(self) -> Controls:
        """Return the controls of the network."""
        duration, energy = self._rows("duration", 1.0), self._rows("energy", 1.0)
        return Controls(
            self._durations if any(map(sets_frames, self._symbols)) else duration,
            self._pitch if self.changes_pitch else AS_PREDICTED.pitch,
            energy,
        )

    def _rows(self, name: str, padding: float) -> Tensor:
        rows = [torch.from_numpy(getattr(each, name)) for each in self._symbols]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding).to(self._device)

    def _durations(self, predicted: Tensor) -> Tensor:
        """Return the frames wanted of predicted ones (`models.contracts.DurationRule`)."""
        frames = predicted.clone()
        for row, symbols in enumerate(self._symbols):
            n_symbols = len(symbols.frames)
            wanted = wanted_frames(symbols, predicted[row, :n_symbols].cpu().numpy())
            frames[row, :n_symbols] = torch.from_numpy(wanted).to(predicted)
        self._frames = frames.round()
        return frames

    def _pitch(self, f0_hz: Tensor, places: Tensor) -> Tensor:
        """Return the F0 wanted of predicted F0 (`models.contracts.PitchRule`)."""
        wanted = f0_hz.clone()
        for row, pitch in enumerate(self._pitches):
            if pitch is not None:
                frames = None if self._frames is None else self._frames[row].cpu().numpy()
                changed = pitch.wanted(f0_hz[row].cpu().numpy(), places[row].cpu().numpy(), frames)
                wanted[row] = torch.from_numpy(changed).to(f0_hz)
        return wanted

    @property
    def n_limited(self) -> int:
        """How many values of F0 were limited to the voice's range."""
        return sum(pitch.n_limited for pitch in self._pitches if pitch is not None)

    def frame_f0(self, row: int, base_hz: Tensor, predicted: GeneratedSpeech, wanted: GeneratedSpeech) -> Tensor:
        """Return the (T_mel,) F0 of a row for a vocoder; see `SymbolPitch.of_frames`."""
        pitch, n_frames = self._pitches[row], len(base_hz)
        if pitch is None:
            return base_hz
        found = pitch.of_frames(
            base_hz.cpu().numpy(),
            predicted.f0_hz[row, :n_frames].cpu().numpy(),
            wanted.f0_hz[row, :n_frames].cpu().numpy(),
            wanted.durations[row, : len(self._symbols[row].frames)].cpu().numpy(),
        )
        return torch.from_numpy(found).to(base_hz)


def with_levels(mel: Tensor, symbols: SymbolProsody, durations: npt.NDArray[np.integer]) -> Tensor:
    """Return an (M, T_mel) log-mel with the levels asked for.

    Args:
        mel: as predicted.
        symbols: of its chunk.
        durations: (T_text,) frames.
    """
    if not changes_levels(symbols):
        return mel
    db = torch.from_numpy(level_changes_db(symbols, durations, frame_levels_db(mel).cpu().numpy()))
    louder = mel + NEPERS_PER_DB * db.to(mel)
    return torch.maximum(louder, mel.clamp(max=math.log(MEL_FLOOR)))


def frame_levels_db(mel: Tensor) -> Tensor:
    """Return the (T_mel,) level of each frame of an (M, T_mel) log-mel."""
    return 10 * (2 * mel).exp().mean(dim=0).log10()
