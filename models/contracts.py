"""Contracts: what each kind of model offers, and the records that pass between models and those who use them.

A model in the registry meets the protocol of its kind: `AcousticModel`, `VocoderNetwork` or `AlignerNetwork`.
`tests/models/test_contracts.py` holds every registered model to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from utils.checkpoint import load_weights
from utils.errors import RecitalError
from utils.optimizer_state import OptimizerState
from utils.precision import Precision

if TYPE_CHECKING:
    from config.schema import Settings
    from models.bundle import Bundle
    from processors.alignment.phone_states import StateScores
    from processors.datasets.acoustic_data import AcousticBatch
    from processors.datasets.acoustic_example import Level
    from processors.datasets.aligner_data import AlignerBatch

# Acoustic models


class ControlError(RecitalError):
    """A control of prosody that a model does not have."""


@dataclass(frozen=True)
class PhonemeBatch:
    """Phones to synthesize.

    Attributes:
        phoneme_ids: (B, T_text) indices into the symbol table, 0 on padding.
        phoneme_lengths: (B,) real phonemes.
        speaker_ids: (B,) rows of the speaker table, from 0.
        min_durations: (B, T_text) frames that phones last at least, before the control of durations; None for none.
    """

    phoneme_ids: Tensor
    phoneme_lengths: Tensor
    speaker_ids: Tensor
    min_durations: Tensor | None = None

    @classmethod
    def from_batch(cls, batch: AcousticBatch) -> PhonemeBatch:
        """Return the phones of recordings, to synthesize them freely."""
        return cls(batch.phoneme_ids, batch.phoneme_lengths, batch.speaker_ids)


@dataclass(frozen=True)
class Prosody:
    """Factors on predicted durations, pitch and energy: a number each, or (B, T_text), one per phoneme.

    Attributes:
        duration: factor on durations; 2 speaks half as fast.
        pitch: factor on F0 in Hz.
        energy: factor on the frames' linear energy.
    """

    duration: Tensor | float = 1.0
    pitch: Tensor | float = 1.0
    energy: Tensor | float = 1.0

    def requested(self) -> tuple[str, ...]:
        """Return the names of the controls that change anything: those with a factor other than 1."""
        return tuple(each.name for each in fields(self) if not _is_one(getattr(self, each.name)))


UNCHANGED = Prosody()


def _is_one(factor: Tensor | float) -> bool:
    return bool((factor == 1).all()) if isinstance(factor, Tensor) else factor == 1


@dataclass(frozen=True)
class GeneratedSpeech:
    """Free-running (inference) outputs of an acoustic model.

    Attributes:
        mel: (B, M, T_mel) log-mel; silence on padding.
        mel_lengths: (B,) real frames.
        durations: (B, T_text) frames per phoneme, 0 on padding.
        f0_hz: (B, T_mel) F0 in Hz, interpolated where unvoiced; 0 on padding.
        energy: (B, T_mel) linear; 0 on padding; None if the model predicts none.
    """

    mel: Tensor
    mel_lengths: Tensor
    durations: Tensor
    f0_hz: Tensor
    energy: Tensor | None = None

    def contour(self, control: str) -> Tensor:
        """Return what a control of `Prosody` multiplies: `durations`, `f0_hz` or `energy`."""
        contour = {"duration": self.durations, "pitch": self.f0_hz, "energy": self.energy}[control]
        assert contour is not None, f"a model with the control {control} returns its contour"
        return contour


class AcousticModel(Protocol):
    """A network that makes mels from phones.

    Attributes:
        controls: names of the `Prosody` factors that it applies; `require_controls` refuses others.
    """

    @property
    def controls(self) -> frozenset[str]: ...

    def infer(
        self, batch: PhonemeBatch, prosody: Prosody = UNCHANGED, precision: Precision = "fp32"
    ) -> GeneratedSpeech:
        """Synthesize freely, with predicted durations, pitch and energy.

        Each factor of `prosody` multiplies its own contour and nothing that is predicted before it: durations come
        first, then pitch, then energy. Only the decoder computes in `precision`, so that it changes none of these.

        Raises:
            ValueError: an utterance comes out without a frame.
        """

    def teacher_forced(self, batch: AcousticBatch) -> Tensor:
        """Return the (B, M, T_mel) log-mel predicted with the batch's own durations, pitch and energy."""


def prosody_levels(model: Settings) -> dict[str, Level | None]:
    """Return the level (`phone` or `frame`) of a model's ground-truth pitch and energy; None for those it does not use.

    Args:
        model: the model's settings; `pitch_level` and `energy_level` among them are settings or class variables.
    """
    return {name: getattr(model, name, None) for name in ("pitch_level", "energy_level")}


def require_controls(model: AcousticModel, prosody: Prosody, name: str) -> None:
    """Raise a `ControlError` if a model lacks a requested control.

    Args:
        model: the network.
        prosody: factors, of which those other than 1 are requested.
        name: of the model, for the message.
    """
    missing = [control for control in prosody.requested() if control not in model.controls]
    if missing:
        raise ControlError(
            f"this voice's {name} has no {' and no '.join(missing)} to control; "
            f"it has: {', '.join(sorted(model.controls)) or 'none'}"
        )


# Vocoders


class InferenceVocoder(Protocol):
    """A vocoder prepared for inference; its weights no longer change.

    Attributes:
        takes_f0: whether it is an `F0InferenceVocoder`.
    """

    @property
    def takes_f0(self) -> bool: ...

    def waveform(self, mel: Tensor) -> Tensor:
        """Return (T_mel * hop_size,) float32 samples of an (M, T_mel) log-mel of any length, in bounded memory."""

    def stream(self, mel: Tensor | Iterable[Tensor], chunk_frames: int = ...) -> Iterator[Tensor]:
        """Yield the same samples in order, those of `chunk_frames` frames at a time; the last may be fewer.

        Args:
            mel: (M, T_mel), whole or as consecutive pieces, which are consumed only as far as the next samples need.
            chunk_frames: at least 1.
        """


class F0InferenceVocoder(InferenceVocoder, Protocol):
    """A vocoder that can be given F0 beside the mel, and predicts it from the mel where it is not."""

    def waveform(self, mel: Tensor, f0_hz: Tensor | None = None) -> Tensor:
        """Return the samples of an (M, T_mel) log-mel at (T_mel,) F0 in Hz, 0 where unvoiced."""

    def stream(
        self,
        mel: Tensor | Iterable[Tensor],
        chunk_frames: int = ...,
        f0_hz: Tensor | Iterable[Tensor] | None = None,
    ) -> Iterator[Tensor]:
        """Yield the same samples in order; F0 in pieces as long as those of the mel."""


class VocoderNetwork(Protocol):
    """A network that makes waveforms from mels."""

    @property
    def receptive_frames(self) -> int:
        """How many frames before and after its own a sample depends on."""

    def for_inference(self, dtype: torch.dtype = ...) -> InferenceVocoder:
        """Return a vocoder with the network's present weights that computes in `dtype`."""


@runtime_checkable
class HasSigma(Protocol):
    """A vocoder network that makes waveforms from noise of any standard deviation; optional.

    Attributes:
        sigma: that standard deviation, for vocoders that `for_inference` returns from then on.
    """

    sigma: float


# Aligners


class AlignerNetwork(Protocol):
    """A network that scores how well each frame of a recording matches each phone."""

    def score(self, batch: AlignerBatch) -> StateScores:
        """Return the score of each frame for each of the states that its utterance's phones pass through."""


# Training


RowKind = Literal["symbol", "speaker"]


@dataclass(frozen=True)
class EmbeddingRows:
    """The names of a table's rows.

    Attributes:
        kind: whether they are symbols or speakers.
        names: of each row.
    """

    kind: RowKind
    names: Sequence[str]


@runtime_checkable
class HasEmbeddingRows(Protocol):
    """A task with parameters that have a row per symbol or speaker; optional."""

    def embedding_rows(self) -> Mapping[str, EmbeddingRows]:
        """Return those parameters' rows by `<module>.<parameter>`."""


@runtime_checkable
class HasWeightsAddedLater(Protocol):
    """A task with parameters that older checkpoints lack; optional."""

    def weights_added_later(self) -> Sequence[str]:
        """Return those parameters, by `<module>.<parameter>`; they keep their initial values."""


@dataclass(frozen=True)
class InitialState:
    """Initial weights and optimizer state of a training: a warm start.

    Attributes:
        path: file or folder that it was read from.
        modules: the weights of each module, by its name in the task; in the order of its parameters.
        optimizers: the state of each optimizer, by its name in the task.
        step: optimizer steps that led to it; None where that is unknown.
        epoch: likewise.
        remarks: for the person who starts from it, a sentence each.
        names: of the symbols and speakers that its tables have rows for, in their order; empty where it has no such
            tables, or the names are unknown.
    """

    path: Path
    modules: Mapping[str, Mapping[str, Tensor]]
    optimizers: Mapping[str, OptimizerState] = field(default_factory=dict)
    step: int | None = None
    epoch: int | None = None
    remarks: Sequence[str] = ()
    names: Mapping[RowKind, Sequence[str]] = field(default_factory=dict)

    def load_into(self, modules: Mapping[str, nn.Module]) -> None:
        """Load the weights into modules; those without any stay as they are.

        Raises:
            CheckpointError: tensors are missing, unknown or of another shape; they are named.
        """
        for name, weights in self.modules.items():
            load_weights(modules[name], weights, f"{self.path}: the weights of {name}")

    def describe(self, modules: Sequence[str], optimizers: Sequence[str]) -> Iterator[str]:
        """Yield lines that name the loaded weights, and what starts from random ones.

        Args:
            modules: names of all that the task has.
            optimizers: likewise.
        """
        taken = f"starting with the weights of {self.path}: {', '.join(self.modules)}"
        if self.optimizers:
            known = [name for name in optimizers if name in self.optimizers]
            taken += f"; with the optimizer states of {' and '.join(known)} at step {self.step}"
        yield taken
        missing = [name for name in modules if name not in self.modules]
        missing += [f"optimizer of {name}" for name in optimizers if name not in self.optimizers]
        if missing:
            yield f"without initial state: {', '.join(missing)}"
        yield from self.remarks


class PublishedLayout(Protocol):
    """A module that reads and writes the layout in which a model's authors publish checkpoints."""

    def is_published(self, path: Path) -> bool:
        """Return whether a file or folder looks like such a checkpoint, without reading any weights."""

    def open_published(self, path: Path) -> Bundle:
        """Read what is needed to use the model."""

    def published_training(self, path: Path) -> InitialState:
        """Read the training state, by the names of the model's task."""

    def write_published(
        self, folder: Path, bundle: Bundle, training: InitialState | None, overwrite: bool = False
    ) -> Sequence[str]:
        """Write a checkpoint of this layout, with the training state if there is one; return the file names."""
