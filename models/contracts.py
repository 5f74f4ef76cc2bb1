"""Contracts: what each kind of model offers, and the records that pass between models and those who use them.

It is imported without torch, for those who plan speech alone.

A model in the registry meets the protocol of its kind: `AcousticModel`, `VocoderNetwork` or `AlignerNetwork`.
`tests/models/test_contracts.py` holds every registered model to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from processors.text.pitch_targets import PitchTarget
from utils.errors import RecitalError
from utils.precision import Precision

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from config.schema import Settings
    from models.bundle import Bundle
    from processors.alignment.intervals import Alignment
    from processors.alignment.phone_states import StateScores
    from processors.datasets.acoustic_data import AcousticBatch
    from processors.datasets.aligner_data import AlignerBatch
    from processors.features import Level
    from utils.optimizer_state import OptimizerState

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
        language_ids: (B,) rows of the language table, for models that have one; None for the speakers' own languages.
        reference: (M, T_ref) log-mel of a recording whose prosody all utterances take, for models with
            `takes_reference`; None for prosody predicted from the text.
    """

    phoneme_ids: Tensor
    phoneme_lengths: Tensor
    speaker_ids: Tensor
    min_durations: Tensor | None = None
    language_ids: Tensor | None = None
    reference: Tensor | None = None

    @classmethod
    def from_batch(cls, batch: AcousticBatch) -> PhonemeBatch:
        """Return the phones of recordings, to synthesize them freely."""
        return cls(batch.phoneme_ids, batch.phoneme_lengths, batch.speaker_ids)


DurationRule: TypeAlias = "Callable[[Tensor], Tensor]"
"""From (B, T_text) predicted frames, fractions included, to the frames wanted; a 0 is obeyed."""
PitchRule: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"
"""From (B, T) F0 in Hz and the (B, T) index of each value's phoneme, to the F0 wanted."""


@dataclass(frozen=True)
class Controls:
    """Factors on predicted durations, pitch and energy: a number each, or (B, T_text), one per phoneme; or a rule.

    Attributes:
        duration: factor on durations, or a rule.
        pitch: factor on F0 in Hz, or a rule; for some models F0 is one value per phoneme, for others one per frame.
        energy: factor on the frames' linear energy.
    """

    duration: Tensor | float | DurationRule = 1.0
    pitch: Tensor | float | PitchRule = 1.0
    energy: Tensor | float = 1.0

    def requested(self) -> tuple[str, ...]:
        """Return the names of the controls that change anything: those that are rules, or factors other than 1."""
        return tuple(each.name for each in fields(self) if not _is_one(getattr(self, each.name)))


AS_PREDICTED = Controls()


def _is_one(factor: Tensor | float | DurationRule | PitchRule) -> bool:
    if isinstance(factor, int | float):
        return factor == 1
    return not callable(factor) and bool((factor == 1).all())


# Prosody, as a user asks for it

PitchFunction = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.floating]]
"""From (T_text,) F0 in Hz of a sentence's symbols, 0 where unvoiced, to the F0 wanted; ignored where unvoiced."""


@dataclass(frozen=True)
class Change:
    """How a phone, a word or a whole text is to differ from what a voice predicts.

    Changes of a text, a word and a phone combine: factors are multiplied, differences added. Pitch is changed in the
    order of the attributes, where the voice is voiced, and around the speaker's mean.

    Attributes:
        duration: factor on durations, pauses included; 2 speaks half as fast.
        pitch: factor on F0 in Hz, applied together with the shifts.
        energy: factor on the energy that the model reads, for models that read one.
        pace: factor on the speed: durations are divided by it; pauses that were asked for stay.
        pitch_flatten: whether F0 becomes the mean.
        pitch_invert: whether F0 is mirrored at the mean.
        pitch_amplify: factor on the distance of F0 from the mean.
        pitch_shift_hz: added to F0.
        pitch_shift_semitones: added to F0, after the shift in Hz.
        energy_db: added to the level of the sound.
        duration_ms: how long a phone or word lasts, in place of what is predicted; None for that. Not for a text.
        pause_before_ms: exact length of the pause before a word; None for the predicted one. Not for a text or phone.
        pause_after_ms: likewise after it.
    """

    duration: float = 1.0
    pitch: float = 1.0
    energy: float = 1.0
    pace: float = 1.0
    pitch_flatten: bool = False
    pitch_invert: bool = False
    pitch_amplify: float = 1.0
    pitch_shift_hz: float = 0.0
    pitch_shift_semitones: float = 0.0
    energy_db: float = 0.0
    duration_ms: float | None = None
    pause_before_ms: float | None = None
    pause_after_ms: float | None = None

    def then(self, further: Change) -> Change:
        """Return this change and a further one together."""
        factors = ("duration", "pitch", "energy", "pace", "pitch_amplify")
        differences = ("pitch_shift_hz", "pitch_shift_semitones", "energy_db")
        lengths = ("duration_ms", "pause_before_ms", "pause_after_ms")
        values = {name: getattr(self, name) * getattr(further, name) for name in factors}
        values |= {name: getattr(self, name) + getattr(further, name) for name in differences}
        for name in lengths:
            latest = getattr(further, name)
            values[name] = getattr(self, name) if latest is None else latest
        return Change(
            **values,
            pitch_flatten=self.pitch_flatten or further.pitch_flatten,
            pitch_invert=self.pitch_invert != further.pitch_invert,
        )


@dataclass(frozen=True)
class NvidiaPitch:
    """The pitch transforms of NVIDIA's FastPitch: on normalised pitch, of every symbol, without limits.

    Attributes:
        flatten: whether pitch becomes the mean.
        invert: whether it is mirrored at the mean.
        amplify: factor on its distance from the mean.
        shift_hz: added to it.
        custom: in place of all these: from (1, T_text) pitch in Hz and (1,) number of symbols to (1, T_text) Hz.
    """

    flatten: bool = False
    invert: bool = False
    amplify: float = 1.0
    shift_hz: float = 0.0
    custom: Callable[[Tensor, Tensor], Tensor] | None = None


@dataclass(frozen=True)
class PitchContour:
    """Pitch over the time of some words.

    Attributes:
        first_word, end_word: indices of the first word, and of the one after the last.
        targets: in order of their positions; between them pitch is interpolated, before the first and after the last it
            is as there. Relative ones beside some in Hz are relative to the mean over the words.
        mean_hz: F0 is multiplied to this mean over the words, before the targets; None for the mean that there is.
    """

    first_word: int
    end_word: int
    targets: Sequence[PitchTarget] = ()
    mean_hz: float | None = None


@dataclass(frozen=True)
class Prosody(Change):
    """The prosody asked for: of a whole text, and of its words, phones and pauses.

    Attributes:
        words: changes of single words, by their index in the text, from 0.
        phones: changes of single phones, by the indices of their word and of the phone within it.
        spans: changes of stretches of the text: the words in `text[start:stop]`, or in the first place where a string
            occurs.
        contours: pitch over the time of words, after flattening, inversion and amplification, and before the shifts.
        pauses_ms: exact lengths of pauses, each before the word of that index; after the last word, of their number.
        pitch_function: on the F0 of each sentence's symbols, after all other changes of pitch.
        nvidia_pitch: NVIDIA's transforms, in place of all other changes of pitch.
        durations_ms: of all symbols of the text, pauses included, with these symbols, before all changes; empty for
            the predicted ones.
        recording: whose prosody is taken over, before all changes; None for the predicted one.
        fade_out_ms: length of a fade at the end.
        peak_normalize: whether the waveform is scaled to a peak of 1.
    """

    words: Mapping[int, Change] = field(default_factory=dict)
    phones: Mapping[tuple[int, int], Change] = field(default_factory=dict)
    spans: Sequence[tuple[tuple[int, int] | str, Change]] = ()
    contours: Sequence[PitchContour] = ()
    pauses_ms: Mapping[int, float] = field(default_factory=dict)
    pitch_function: PitchFunction | None = None
    nvidia_pitch: NvidiaPitch | None = None
    durations_ms: Sequence[tuple[str, float]] = ()
    recording: RecordedProsody | None = None
    fade_out_ms: float = 0.0
    peak_normalize: bool = False

    def combined(self, further: Prosody) -> Prosody:
        """Return this prosody and a further one together; functions, recordings and pauses of the further one count."""

        def merged(name: str) -> dict[Any, Change]:
            found = dict(getattr(self, name))
            for place, change in getattr(further, name).items():
                found[place] = found.get(place, Change()).then(change)
            return found

        return Prosody(
            **vars(self.then(further)),
            words=merged("words"),
            phones=merged("phones"),
            spans=(*self.spans, *further.spans),
            contours=(*self.contours, *further.contours),
            pauses_ms={**self.pauses_ms, **further.pauses_ms},
            pitch_function=further.pitch_function or self.pitch_function,
            nvidia_pitch=further.nvidia_pitch or self.nvidia_pitch,
            durations_ms=further.durations_ms or self.durations_ms,
            recording=further.recording or self.recording,
            fade_out_ms=further.fade_out_ms or self.fade_out_ms,
            peak_normalize=further.peak_normalize or self.peak_normalize,
        )

    @property
    def changes(self) -> Iterator[Change]:
        """The changes of the text, its words, phones and spans."""
        yield self
        yield from self.words.values()
        yield from self.phones.values()
        yield from (change for _, change in self.spans)

    @property
    def changes_pitch(self) -> bool:
        """Return whether F0 is to differ from the predicted one."""
        of_recording = self.recording is not None and self.recording.f0_hz is not None
        if self.contours or self.pitch_function is not None or self.nvidia_pitch is not None or of_recording:
            return True
        return any(_of_pitch(change) != _of_pitch(Change()) for change in self.changes)

    @property
    def changes_level(self) -> bool:
        """Return whether the level of the sound is to differ from the predicted one."""
        of_recording = self.recording is not None and self.recording.level_db is not None
        return of_recording or any(change.energy_db for change in self.changes)

    def requested(self) -> tuple[str, ...]:
        """Return the names of the network's controls that this needs."""
        has_durations = bool(self.recording or self.durations_ms or self.pauses_ms)
        needs = {
            "duration": has_durations or any(_of_durations(each) != _of_durations(Change()) for each in self.changes),
            "pitch": self.changes_pitch,
            "energy": any(each.energy != 1.0 for each in self.changes),
        }
        return tuple(name for name, is_needed in needs.items() if is_needed)


UNCHANGED = Prosody()


def _of_pitch(change: Change) -> tuple[float, ...]:
    return (
        change.pitch,
        change.pitch_flatten,
        change.pitch_invert,
        change.pitch_amplify,
        change.pitch_shift_hz,
        change.pitch_shift_semitones,
    )


def _of_durations(change: Change) -> tuple[float | None, ...]:
    return (change.duration, change.pace, change.duration_ms, change.pause_before_ms, change.pause_after_ms)


@dataclass(frozen=True)
class RecordedProsody:
    """When the words and phones of a text are spoken, and at which pitch and level.

    Attributes:
        alignment: the words' and phones' times.
        where: its file, for messages.
        f0_hz: (T_mel,) F0, 0 where unvoiced, at the voice's hop size; None to predict it.
        level_db: (T_mel,) level of each frame; None to predict it.
    """

    alignment: Alignment
    where: str
    f0_hz: npt.NDArray[np.float32] | None = None
    level_db: npt.NDArray[np.float32] | None = None


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
        """Return what a control of `Controls` multiplies: `durations`, `f0_hz` or `energy`."""
        contour = {"duration": self.durations, "pitch": self.f0_hz, "energy": self.energy}[control]
        assert contour is not None, f"a model with the control {control} returns its contour"
        return contour


@dataclass(frozen=True)
class SpeechInParts:
    """Free-running outputs for one utterance, whose mel is computed as it is read.

    Attributes:
        mels: (M, T) log-mels of consecutive frames.
        durations: (T_text,) frames per phoneme.
        f0_hz: (T_mel,) F0 in Hz, interpolated where unvoiced.
    """

    mels: Iterator[Tensor]
    durations: Tensor
    f0_hz: Tensor


class AcousticModel(Protocol):
    """A network that makes mels from phones.

    Attributes:
        controls: names of the `Controls` that it applies; `require_controls` refuses others.
        takes_reference: whether it takes the prosody of a reference recording (`PhonemeBatch.reference`).
    """

    @property
    def controls(self) -> frozenset[str]: ...

    @property
    def takes_reference(self) -> bool: ...

    def infer(
        self, batch: PhonemeBatch, prosody: Controls = AS_PREDICTED, precision: Precision = "fp32"
    ) -> GeneratedSpeech:
        """Synthesize freely, with predicted durations, pitch and energy.

        Each control of `prosody` changes its own contour and nothing that is predicted before it: durations come
        first, then pitch, then energy. Only the decoder computes in `precision`, so that it changes none of these.

        Raises:
            ValueError: an utterance comes out without a frame.
        """

    def infer_in_parts(
        self, batch: PhonemeBatch, prosody: Controls = AS_PREDICTED, precision: Precision = "fp32"
    ) -> SpeechInParts:
        """Synthesize a batch of one utterance; the parts of its mel together are, to the bit, that of `infer`."""

    def teacher_forced(self, batch: AcousticBatch) -> Tensor:
        """Return the (B, M, T_mel) log-mel predicted with the batch's own durations, pitch and energy."""


def prosody_levels(model: Settings) -> dict[str, Level | None]:
    """Return the level (`phone` or `frame`) of a model's ground-truth pitch and energy; None for those it does not use.

    Args:
        model: the model's settings; `pitch_level` and `energy_level` among them are settings or class variables.
    """
    return {name: getattr(model, name, None) for name in ("pitch_level", "energy_level")}


def require_controls(controls: Collection[str], prosody: Controls | Prosody, name: str) -> None:
    """Raise a `ControlError` if a model lacks a requested control.

    Args:
        controls: that the model has.
        prosody: what is requested.
        name: of the model, for the message.
    """
    missing = [control for control in prosody.requested() if control not in controls]
    if missing:
        raise ControlError(
            f"this voice's {name} has no {' and no '.join(missing)} to control; "
            f"it has: {', '.join(sorted(controls)) or 'none'}"
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

    def stream(
        self, mel: Tensor | Iterable[Tensor], chunk_frames: int = ..., *, first_chunks: Sequence[int] = ()
    ) -> Iterator[Tensor]:
        """Yield the same samples in order, those of `chunk_frames` frames at a time; the last may be fewer.

        Args:
            mel: (M, T_mel), whole or as consecutive pieces, which are consumed only as far as the next samples need.
            chunk_frames: at least 1.
            first_chunks: frames of the first chunks, in place of `chunk_frames`.
        """


class F0InferenceVocoder(InferenceVocoder, Protocol):
    """A vocoder that can be given F0 beside the mel, and predicts it from the mel where it is not."""

    def predict_f0(self, mel: Tensor) -> Tensor:
        """Return the (T_mel,) F0 in Hz that it predicts from an (M, T_mel) log-mel, 0 where unvoiced."""

    def waveform(self, mel: Tensor, f0_hz: Tensor | None = None) -> Tensor:
        """Return the samples of an (M, T_mel) log-mel at (T_mel,) F0 in Hz, 0 where unvoiced."""

    def stream(
        self,
        mel: Tensor | Iterable[Tensor],
        chunk_frames: int = ...,
        f0_hz: Tensor | Iterable[Tensor] | None = None,
        *,
        first_chunks: Sequence[int] = (),
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


RowKind = Literal["symbol", "speaker", "language"]


@dataclass(frozen=True)
class EmbeddingRows:
    """The names of a table's rows.

    Attributes:
        kind: whether they are symbols, speakers or languages.
        names: of each row.
    """

    kind: RowKind
    names: Sequence[str]


@runtime_checkable
class HasEmbeddingRows(Protocol):
    """A task with parameters that have a row per symbol, speaker or language; optional."""

    def embedding_rows(self) -> Mapping[str, EmbeddingRows]:
        """Return those parameters' rows by `<module>.<parameter>`."""


@runtime_checkable
class HasWeightsAddedLater(Protocol):
    """A task with parameters that older checkpoints lack; optional."""

    def weights_added_later(self) -> Sequence[str]:
        """Return those parameters, by `<module>.<parameter>`; they keep their initial values."""


@runtime_checkable
class HasDiscriminators(Protocol):
    """A task with networks that serve training alone; optional."""

    def discriminators(self) -> Sequence[str]:
        """Return their names among `Task.modules`; where initial weights do not fit them, they begin at random."""


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
        names: of the symbols, speakers and languages that its tables have rows for, in their order; empty where it has
            no such tables, or the names are unknown.
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
        from utils.checkpoint import load_weights

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
    """A module that reads and writes the layout in which a model's authors publish checkpoints.

    `models.bundles.layouts` finds the file.
    """

    def open_published(self, path: Path) -> Bundle:
        """Read from a file what is needed to use the model."""

    def published_training(self, path: Path) -> InitialState:
        """Read the training state of a file, by the names of the model's task."""

    def write_published(
        self, folder: Path, bundle: Bundle, training: InitialState | None, overwrite: bool = False
    ) -> Sequence[str]:
        """Write a checkpoint of this layout, with the training state if there is one; return the file names."""
