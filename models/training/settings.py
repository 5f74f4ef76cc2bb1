"""Settings shared by all models of one kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from config.schema import Contradiction, ExperimentSettings, TrainSettings, setting
from models.layers.acoustic_settings import AcousticModelSettings


class AdamTrainSettings(TrainSettings):
    """Training with Adam."""

    learning_rate: float = setting("peak learning rate, at the end of the warm-up", gt=0)
    adam_betas: tuple[float, float] = setting("Adam's decay of the gradients' mean and of their square")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if any(not 0 <= beta < 1 for beta in self.adam_betas):
            yield Contradiction(("adam_betas",), f"{list(self.adam_betas)} are not both from 0 to below 1")


class AcousticTrainSettings(AdamTrainSettings):
    """Training with Adam: warm-up, a long decay, and annealing."""

    adam_eps: float = setting("Adam's epsilon", gt=0)
    warmup_steps: int = setting("optimizer steps over which the learning rate rises", ge=0)
    decay: Literal["inverse_sqrt", "cosine"] = setting(
        "decay of the learning rate after the warm-up: with one over the square root of the step, "
        "or along a cosine that ends at decay_steps"
    )
    decay_steps: int = setting("optimizer step at which the cosine ends, at a hundredth of learning_rate", ge=1)
    anneal_steps: tuple[int, ...] = setting("optimizer steps after each of which anneal_rate is applied once more")
    anneal_rate: float = setting("factor on the learning rate at each of anneal_steps", gt=0, le=1)

    @property
    def last_decay_step(self) -> int:
        return self.decay_steps if self.decay == "cosine" else 0

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if self.decay == "cosine" and self.decay_steps <= self.warmup_steps:
            yield Contradiction(("decay_steps", "warmup_steps"), f"{self.decay_steps} is not above warmup_steps")


class AcousticSettings(ExperimentSettings):
    """All settings of a recipe for an acoustic model; a model narrows `model`."""

    model: AcousticModelSettings = setting("the network")
    train: AcousticTrainSettings = setting("training")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if self.model.speaker_conditioning == "encoder" and self.preprocess.speaker_encoder == "none":
            yield Contradiction(
                ("model.speaker_conditioning", "preprocess.speaker_encoder"),
                '"encoder" needs a preprocess.speaker_encoder, such as "statistics"',
            )


class GanVocoderTrainSettings(AdamTrainSettings):
    """Adversarial training on segments of recordings."""

    segment_size: int = setting("samples per segment, a multiple of hop_size; shorter recordings are left out", ge=1)
    mel_source: Literal["recorded", "predicted"] = setting(
        "train on the recordings' mels, or on mels predicted with teacher forcing by bins.predict_mels"
    )
    adversarial_start_step: int = setting(
        "first steps with mel and multi-resolution STFT losses only, at a fraction of the cost; 0 as in the paper",
        ge=0,
    )
    mel_loss_weight: float = setting("weight of the mel's absolute error", ge=0)
    feature_loss_weight: float = setting("weight of the feature matching loss", ge=0)
    stft_loss_weight: float = setting("weight of the multi-resolution STFT loss before adversarial_start_step", ge=0)
    adversarial_stft_loss_weight: float = setting("weight of the same loss from adversarial_start_step on", ge=0)
    learning_rate: float = setting("initial learning rate of both optimizers", gt=0)
    adam_betas: tuple[float, float] = setting("AdamW's decay of the gradients' mean and of their square")
    weight_decay: float = setting("AdamW's weight decay", ge=0)
    lr_decay: float = setting("factor on both learning rates after each epoch", gt=0, le=1)

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if self.max_frames_per_batch:
            yield Contradiction(
                ("max_frames_per_batch",), "segments are all of one length: leave it at 0 and set batch_size"
            )


class GanVocoderSettings(ExperimentSettings):
    """All settings of a recipe for a GAN vocoder; a model narrows `model`."""

    train: GanVocoderTrainSettings = setting("training")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        hop_size = self.preprocess.hop_size
        if self.train.segment_size % hop_size:
            yield Contradiction(
                ("train.segment_size", "preprocess.hop_size"),
                f"{self.train.segment_size} is not a multiple of hop_size ({hop_size})",
            )
        if self.train.segment_size <= self.preprocess.n_fft - hop_size:
            yield Contradiction(
                ("train.segment_size", "preprocess.n_fft"),
                f"{self.train.segment_size} is too short for n_fft ({self.preprocess.n_fft}): half a window is "
                "reflected at each end",
            )
