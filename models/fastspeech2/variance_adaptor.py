"""Variance adaptor: duration, pitch and energy prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.contracts import PhonemeBatch, Prosody
from models.fastspeech2.settings import FastSpeech2ModelSettings
from models.layers.binned_embedding import BinnedEmbedding
from models.layers.length_regulator import expand, frame_index
from models.layers.variance_predictor import VariancePredictor

# Before anything is learned a phone lasts some 6 frames, a usual length at 86 frames per second.
_TYPICAL_LOG_DURATION = 1.9
# No phone of speech comes near it; it keeps a network that has learned nothing from asking for all memory.
_LONGEST_DURATION = 1000.0


@dataclass(frozen=True)
class SpeakerScales:
    """What lies between physical units and the normalised ones that the network thinks in.

    Attributes:
        pitch_mean: (n_speakers,) mean of log F0, F0 in Hz.
        pitch_std: (n_speakers,) its standard deviation.
        energy_mean: (n_speakers,) mean energy.
        energy_std: (n_speakers,) its standard deviation.
    """

    pitch_mean: Tensor
    pitch_std: Tensor
    energy_mean: Tensor
    energy_std: Tensor


@dataclass(frozen=True)
class Variances:
    """What the adaptor predicts, and the frames it makes.

    Attributes:
        frames: (B, T_mel, D) the decoder's input.
        is_padding: (B, T_mel).
        log_durations: (B, T_text) log(frames + 1).
        pitch: (B, T_text) or, at frame level, (B, T_mel); normalised, before any control.
        energy: likewise.
    """

    frames: Tensor
    is_padding: Tensor
    log_durations: Tensor
    pitch: Tensor
    energy: Tensor


@dataclass(frozen=True)
class InferredVariances:
    """Variances for inference, controls applied.

    Attributes:
        frames: (B, T_mel, D) the decoder's input.
        is_padding: (B, T_mel).
        durations: (B, T_text) whole frames, 0 on padding.
        f0_hz: (B, T_mel) pitch, through unvoiced stretches and pauses too; 0 on padding.
        energy: (B, T_mel) linear; 0 on padding.
    """

    frames: Tensor
    is_padding: Tensor
    durations: Tensor
    f0_hz: Tensor
    energy: Tensor


class VarianceAdaptor(nn.Module):
    """Predicts durations, pitch and energy, and brings them into the hidden sequence.

    FastSpeech 2 (arXiv:2006.04558, section 2.3); pitch and energy are per phoneme by default, which FastPitch
    (arXiv:2006.06873) found to be enough and easier to steer. In training the sequence goes on with the true values,
    in speaking with the predicted ones.

    Args:
        settings: of the model.
        is_pause: (n_symbols,) symbols that may last no frame at all.
        scales: one row per speaker.
    """

    is_pause: Tensor
    pitch_mean: Tensor
    pitch_std: Tensor
    energy_mean: Tensor
    energy_std: Tensor

    def __init__(self, settings: FastSpeech2ModelSettings, *, is_pause: Tensor, scales: SpeakerScales) -> None:
        super().__init__()
        self._levels = {"pitch": settings.pitch_level, "energy": settings.energy_level}
        self.predictors = nn.ModuleDict(
            {
                name: VariancePredictor(
                    settings.hidden_size,
                    filter_size=settings.predictor_filter_size,
                    kernel_size=settings.predictor_kernel_size,
                    dropout=settings.predictor_dropout,
                    typical=_TYPICAL_LOG_DURATION if name == "duration" else 0.0,
                )
                for name in ("duration", "pitch", "energy")
            }
        )
        self.embeddings = nn.ModuleDict(
            {name: BinnedEmbedding(settings.n_bins, settings.hidden_size) for name in ("pitch", "energy")}
        )
        # Not among the weights: they follow from the symbol table and the statistics, which every bundle holds.
        self.register_buffer("is_pause", is_pause, persistent=False)
        for name, scale in vars(scales).items():
            self.register_buffer(name, scale.float(), persistent=False)

    def forward(
        self, hidden: Tensor, is_padding: Tensor, *, durations: Tensor, pitch: Tensor, energy: Tensor, longest: int
    ) -> Variances:
        """Predict, and go on with the true values.

        Args:
            hidden: (B, T_text, D).
            is_padding: (B, T_text).
            durations: (B, T_text) true frames per phoneme, 0 on padding.
            pitch: (B, T_text) or, at frame level, (B, T_mel); true, normalised.
            energy: likewise.
            longest: T_mel.
        """
        chosen: Mapping[str, Callable[[Tensor], Tensor]] = {"pitch": lambda _: pitch, "energy": lambda _: energy}
        log_durations = self.predictors["duration"](hidden, is_padding)
        hidden, per_phone = self._vary("phone", hidden, is_padding, chosen)
        is_frame_padding = frame_index(durations, longest)[1]
        frames, per_frame = self._vary("frame", expand(hidden, durations, longest), is_frame_padding, chosen)
        return Variances(frames, is_frame_padding, log_durations, **per_phone, **per_frame)

    def infer(self, hidden: Tensor, is_padding: Tensor, batch: PhonemeBatch, prosody: Prosody) -> InferredVariances:
        """Predict, apply the controls, and go on with that.

        Args:
            hidden: (B, T_text, D).
            is_padding: (B, T_text).
            batch: phonemes and speakers.
            prosody: factors on what is predicted.

        Raises:
            ValueError: an utterance has no phone but pauses, and those last no frame.
        """
        speaker_ids = batch.speaker_ids
        durations = self._durations(hidden, is_padding, batch.phoneme_ids, prosody.duration)
        index, is_frame_padding = frame_index(durations)

        def per_frame(control: Tensor | float) -> Tensor | float:
            return control.gather(1, index) if isinstance(control, Tensor) else control

        def chosen(level: str) -> dict[str, Callable[[Tensor], Tensor]]:
            place = per_frame if level == "frame" else lambda control: control
            return {
                "pitch": lambda pitch: self._raise_pitch(pitch, speaker_ids, place(prosody.pitch)),
                "energy": lambda energy: self._raise_energy(energy, speaker_ids, place(prosody.energy)),
            }

        hidden, values = self._vary("phone", hidden, is_padding, chosen("phone"))
        values = {name: chosen("phone")[name](value).gather(1, index) for name, value in values.items()}
        frames, frame_values = self._vary(
            "frame", expand(hidden, durations, index.shape[1]), is_frame_padding, chosen("frame")
        )
        values |= {name: chosen("frame")[name](value) for name, value in frame_values.items()}
        f0_hz = torch.exp(values["pitch"] * self.pitch_std[speaker_ids, None] + self.pitch_mean[speaker_ids, None])
        energy = values["energy"] * self.energy_std[speaker_ids, None] + self.energy_mean[speaker_ids, None]
        return InferredVariances(
            frames=frames,
            is_padding=is_frame_padding,
            durations=durations,
            f0_hz=f0_hz.masked_fill(is_frame_padding, 0.0),
            energy=energy.clamp(min=0.0).masked_fill(is_frame_padding, 0.0),
        )

    def _vary(
        self, level: str, hidden: Tensor, is_padding: Tensor, chosen: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict what is predicted at this level, and add the vectors of what `chosen` makes of it."""
        predicted = {}
        for name, its_level in self._levels.items():
            if its_level == level:
                predicted[name] = self.predictors[name](hidden, is_padding)
                hidden = hidden + self.embeddings[name](chosen[name](predicted[name]))
        return hidden, predicted

    def _durations(self, hidden: Tensor, is_padding: Tensor, phoneme_ids: Tensor, control: Tensor | float) -> Tensor:
        frames = torch.expm1(self.predictors["duration"](hidden, is_padding)).clamp(max=_LONGEST_DURATION) * control
        fewest = (~self.is_pause[phoneme_ids]).to(frames.dtype)
        return torch.maximum(frames.round(), fewest).masked_fill(is_padding, 0.0).long()

    def _raise_pitch(self, pitch: Tensor, speaker_ids: Tensor, factor: Tensor | float) -> Tensor:
        # Pitch is normalised in the logarithm, where a factor is a shift.
        shift = torch.as_tensor(factor, dtype=pitch.dtype, device=pitch.device).log()
        return pitch + shift / self.pitch_std[speaker_ids, None]

    def _raise_energy(self, energy: Tensor, speaker_ids: Tensor, factor: Tensor | float) -> Tensor:
        mean_in_stds = (self.energy_mean / self.energy_std)[speaker_ids, None]
        return (energy + mean_in_stds) * factor - mean_in_stds
