"""Variance adaptor: duration, pitch and energy prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.contracts import Controls, DurationRule, PhonemeBatch
from models.layers.length_regulator import expand, frame_index
from models.layers.variance_predictor import VariancePredictor
from processors.datasets.acoustic_data import AcousticBatch
from processors.features import Level
from processors.speakers.statistics import SpeakerStatistics

# Initial log(frames + 1): some 6 frames, a usual duration at 86 frames per second.
_TYPICAL_LOG_DURATION = 1.9
# Far above any phone of speech; keeps an untrained network from running out of memory.
MAX_DURATION = 1000.0


@dataclass(frozen=True)
class SpeakerScales:
    """Each speaker's mean and standard deviation of pitch and energy, for (de)normalisation.

    Attributes:
        pitch_mean: (n_speakers,) mean of log F0, F0 in Hz; or of F0 itself.
        pitch_std: (n_speakers,) its standard deviation.
        energy_mean: (n_speakers,) mean energy.
        energy_std: (n_speakers,) its standard deviation.
        is_log_pitch: whether pitch is normalised in the logarithm.
    """

    pitch_mean: Tensor
    pitch_std: Tensor
    energy_mean: Tensor
    energy_std: Tensor
    is_log_pitch: bool = True

    @classmethod
    def from_statistics(cls, speakers: Mapping[str, int], statistics: Mapping[str, SpeakerStatistics]) -> SpeakerScales:
        """Return the scales of speakers in the order of their rows."""
        spreads = [statistics[name] for name in sorted(speakers, key=lambda name: speakers[name])]
        return cls(
            pitch_mean=torch.tensor([spread.pitch.mean for spread in spreads]),
            pitch_std=torch.tensor([spread.pitch.std for spread in spreads]),
            energy_mean=torch.tensor([spread.energy.mean for spread in spreads]),
            energy_std=torch.tensor([spread.energy.std for spread in spreads]),
            is_log_pitch=all(spread.pitch_scale == "log" for spread in spreads),
        )


@dataclass(frozen=True)
class Variances:
    """Predicted variances, and the frames computed with the ground truth.

    Attributes:
        frames: (B, T_mel, D) the decoder's input.
        is_padding: (B, T_mel).
        log_durations: (B, T_text) log(frames + 1).
        values: by quantity, (B, T_text) or, at frame level, (B, T_mel); normalised, before any control.
    """

    frames: Tensor
    is_padding: Tensor
    log_durations: Tensor
    values: Mapping[str, Tensor]


@dataclass(frozen=True)
class InferredVariances:
    """Variances for inference, controls applied.

    Attributes:
        frames: (B, T_mel, D) the decoder's input.
        is_padding: (B, T_mel).
        durations: (B, T_text) whole frames, 0 on padding.
        f0_hz: (B, T_mel) pitch, through unvoiced stretches and pauses too; 0 on padding.
        energy: (B, T_mel) linear; 0 on padding; None without energy.
    """

    frames: Tensor
    is_padding: Tensor
    durations: Tensor
    f0_hz: Tensor
    energy: Tensor | None


class VarianceAdaptor(nn.Module):
    """Predicts durations, pitch and optionally energy, and adds their embeddings to the hidden sequence.

    FastSpeech 2 (arXiv:2006.04558, section 2.3). Training embeds the ground truth, inference the predictions. Pitch is
    normalised in the logarithm, or in Hz (see `SpeakerScales`), energy linearly.

    Args:
        hidden_size: D.
        levels: whether each quantity is predicted per phone or per frame, in the order of prediction: pitch, and
            energy if it is predicted.
        embed: returns a quantity's embedding, a module from (B, T) normalised values, 0 on padding, to (B, T, D).
        filter_size: width of the predictors.
        kernel_size: of the predictors, odd.
        dropout: probability, in the predictors.
        is_pause: (n_symbols,) symbols that may last 0 frames.
        scales: one row per speaker.
        max_duration: of a phone, in frames, before any control.
        predictor: class of the predictors.
        is_duration_detached: whether the hidden sequence does not learn from durations.
    """

    is_pause: Tensor
    pitch_mean: Tensor
    pitch_std: Tensor
    energy_mean: Tensor
    energy_std: Tensor

    def __init__(
        self,
        hidden_size: int,
        levels: Mapping[str, Level],
        embed: Callable[[str], nn.Module],
        *,
        filter_size: int,
        kernel_size: int,
        dropout: float,
        is_pause: Tensor,
        scales: SpeakerScales,
        max_duration: float = MAX_DURATION,
        predictor: type[VariancePredictor] = VariancePredictor,
        is_duration_detached: bool = False,
    ) -> None:
        super().__init__()
        self.levels = dict(levels)
        self.max_duration, self.is_log_pitch = max_duration, scales.is_log_pitch
        self.is_duration_detached = is_duration_detached
        self.predictors = nn.ModuleDict(
            {
                name: predictor(
                    hidden_size,
                    filter_size=filter_size,
                    kernel_size=kernel_size,
                    dropout=dropout,
                    initial_value=_TYPICAL_LOG_DURATION if name == "duration" else 0.0,
                )
                for name in ("duration", *levels)
            }
        )
        self.embeddings = nn.ModuleDict({name: embed(name) for name in levels})
        # Not saved: they follow from the symbol table and the statistics, which every bundle holds.
        self.register_buffer("is_pause", is_pause, persistent=False)
        for name, scale in vars(scales).items():
            if isinstance(scale, Tensor):
                self.register_buffer(name, scale.float(), persistent=False)

    def forward(self, hidden: Tensor, is_padding: Tensor, batch: AcousticBatch) -> Variances:
        """Predict variances, and embed the ground truth.

        Args:
            hidden: (B, T_text, D).
            is_padding: (B, T_text).
            batch: holds the ground truth.
        """
        longest = batch.mel.shape[2]

        def true(name: str, predicted: Tensor) -> Tensor:
            value: Tensor = getattr(batch, name)
            return value

        before = hidden.detach() if self.is_duration_detached else hidden
        log_durations = self.predictors["duration"](before, is_padding)
        hidden, per_phone, _ = self._vary("phone", hidden, is_padding, true)
        is_frame_padding = frame_index(batch.durations, longest)[1]
        frames = expand(hidden, batch.durations, longest)
        frames, per_frame, _ = self._vary("frame", frames, is_frame_padding, true)
        return Variances(frames, is_frame_padding, log_durations, per_phone | per_frame)

    def infer(self, hidden: Tensor, is_padding: Tensor, batch: PhonemeBatch, prosody: Controls) -> InferredVariances:
        """Predict variances, apply the controls, and embed the result.

        Args:
            hidden: (B, T_text, D).
            is_padding: (B, T_text).
            batch: phonemes and speakers.
            prosody: controls of what is predicted.

        Raises:
            ValueError: an utterance consists of pauses that last 0 frames.
        """
        durations = self._durations(hidden, is_padding, batch, prosody.duration)
        index, is_frame_padding = frame_index(durations)

        def controlled(name: str, predicted: Tensor) -> Tensor:
            control = getattr(prosody, name)
            is_of_frames = self.levels[name] == "frame"
            if callable(control):
                places = index if is_of_frames else torch.arange(predicted.shape[1], device=index.device)
                wanted_hz = control(self.in_hz(predicted, batch.speaker_ids), places.expand(predicted.shape))
                changed = self.with_f0(predicted, batch.speaker_ids, wanted_hz)
            else:
                factor = control.gather(1, index) if is_of_frames and isinstance(control, Tensor) else control
                changed = self.scaled(name, predicted, batch.speaker_ids, factor)
            return changed.masked_fill(is_frame_padding if is_of_frames else is_padding, 0.0)

        hidden, _, per_phone = self._vary("phone", hidden, is_padding, controlled)
        frames = expand(hidden, durations, index.shape[1])
        frames, _, per_frame = self._vary("frame", frames, is_frame_padding, controlled)
        values = {name: value.gather(1, index) for name, value in per_phone.items()} | per_frame
        contours = {
            name: self._denormalised(name, value, batch.speaker_ids).masked_fill(is_frame_padding, 0.0)
            for name, value in values.items()
        }
        return InferredVariances(
            frames, is_frame_padding, durations, f0_hz=contours["pitch"], energy=contours.get("energy")
        )

    def _vary(
        self, level: Level, hidden: Tensor, is_padding: Tensor, choose: Callable[[str, Tensor], Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Predict the quantities of this level, and add the embeddings of the values that `choose` returns.

        Returns:
            The hidden sequence, the predicted values, and the chosen ones.
        """
        predicted, chosen = {}, {}
        for name, its_level in self.levels.items():
            if its_level == level:
                predicted[name] = self.predictors[name](hidden, is_padding)
                chosen[name] = choose(name, predicted[name])
                hidden = hidden + self.embeddings[name](chosen[name])
        return hidden, predicted, chosen

    def predicted_frames(self, hidden: Tensor, is_padding: Tensor) -> Tensor:
        """Return the (B, T_text) durations predicted from (B, T_text, D), in frames and fractions of them."""
        return torch.expm1(self.predictors["duration"](hidden, is_padding)).clamp(max=self.max_duration)

    def _durations(
        self, hidden: Tensor, is_padding: Tensor, batch: PhonemeBatch, control: Tensor | float | DurationRule
    ) -> Tensor:
        frames = self.predicted_frames(hidden, is_padding)
        if batch.min_durations is not None:
            frames = torch.maximum(frames, batch.min_durations.to(frames.dtype))
        at_least = (~self.is_pause[batch.phoneme_ids]).to(frames.dtype)
        if callable(control):
            frames = control(frames)
            at_least = at_least.masked_fill(frames == 0, 0.0)
        else:
            frames = frames * control
        return torch.maximum(frames.round(), at_least).masked_fill(is_padding, 0.0).long()

    def scaled(self, name: str, value: Tensor, speaker_ids: Tensor, factor: Tensor | float) -> Tensor:
        """Return the normalised value whose physical quantity is `factor` times that of `value`."""
        if name == "pitch" and self.is_log_pitch:  # a factor is a shift
            shift = torch.as_tensor(factor, dtype=value.dtype, device=value.device).log()
            return value + shift / self.pitch_std[speaker_ids, None]
        mean, std = self._scale(name, speaker_ids)
        mean_in_stds = mean / std
        return (value + mean_in_stds) * factor - mean_in_stds

    def in_hz(self, pitch: Tensor, speaker_ids: Tensor) -> Tensor:
        """Return the F0 of (B, T) normalised pitch."""
        mean, std = self._scale("pitch", speaker_ids)
        pitch = pitch * std + mean
        return pitch.exp() if self.is_log_pitch else pitch

    def with_f0(self, pitch: Tensor, speaker_ids: Tensor, wanted_hz: Tensor) -> Tensor:
        """Return (B, T) normalised pitch that has another F0; the same bits where that is its own."""
        mean, std = self._scale("pitch", speaker_ids)
        changed = ((wanted_hz.log() if self.is_log_pitch else wanted_hz) - mean) / std
        return torch.where(wanted_hz == self.in_hz(pitch, speaker_ids), pitch, changed)

    def _denormalised(self, name: str, value: Tensor, speaker_ids: Tensor) -> Tensor:
        mean, std = self._scale(name, speaker_ids)
        physical = value * std + mean
        return physical.exp() if name == "pitch" and self.is_log_pitch else physical.clamp(min=0.0)

    def _scale(self, name: str, speaker_ids: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (self.get_buffer(f"{name}_{part}")[speaker_ids, None] for part in ("mean", "std"))
        return mean, std
