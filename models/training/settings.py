"""Settings shared by all models of one kind."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from config.schema import Contradiction, ExperimentSettings, TrainSettings, setting
from models.layers.acoustic_settings import AcousticModelSettings

DiscriminatorName = Literal["mpd", "msd", "mrd", "mpd_small", "mrd_small"]

REFLECTED_SAMPLES = {"mrd": 904, "mrd_small": 768}
"""Samples that a discriminator reflects at each end of a segment, which has to be longer."""


def _betas(settings: TrainSettings, name: str) -> Iterator[Contradiction]:
    betas = getattr(settings, name)
    if any(not 0 <= beta < 1 for beta in betas):
        yield Contradiction((name,), f"{list(betas)} are not both from 0 to below 1")


class AdamTrainSettings(TrainSettings):
    """Training with Adam."""

    learning_rate: float = setting("peak learning rate, at the end of the warm-up", gt=0)
    adam_betas: tuple[float, float] = setting("Adam's decay of the gradients' mean and of their square")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        yield from _betas(self, "adam_betas")


class CosineTrainSettings(AdamTrainSettings):
    """Training with Adam and a schedule that may be a warm-up and a cosine."""

    warmup_steps: int = setting("optimizer steps over which the learning rate rises", ge=0)
    decay: str = setting("decay of the learning rate after the warm-up")
    decay_steps: int = setting("optimizer step at which the cosine ends, at a hundredth of learning_rate", ge=1)

    @property
    def last_decay_step(self) -> int:
        return self.decay_steps if self.decay == "cosine" else 0

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if self.decay == "cosine" and self.decay_steps <= self.warmup_steps:
            yield Contradiction(("decay_steps", "warmup_steps"), f"{self.decay_steps} is not above warmup_steps")


class AcousticTrainSettings(CosineTrainSettings):
    """Training with Adam: warm-up, a long decay, and annealing."""

    optimizer: Literal["adam", "adamw", "lamb"] = setting(
        "the network's optimizer: adam, adamw (with weight_decay), or lamb (with it too), for large batches, whose "
        "step is scaled to the size of each tensor",
        default="adam",
    )
    weight_decay: float = setting("weight decay of adamw and lamb", default=0.0, ge=0)
    adam_eps: float = setting("the optimizer's epsilon", gt=0)
    decay: Literal["inverse_sqrt", "cosine"] = setting(
        "decay of the learning rate after the warm-up: with one over the square root of the step, "
        "or along a cosine that ends at decay_steps"
    )
    anneal_steps: tuple[int, ...] = setting("optimizer steps after each of which anneal_rate is applied once more")
    anneal_rate: float = setting("factor on the learning rate at each of anneal_steps", gt=0, le=1)
    mel_loss_weight: float = setting(
        "weight of the mel's error, before and after the postnet, where there is one", default=1.0, ge=0
    )
    duration_loss_weight: float = setting("weight of the squared error of log durations", default=1.0, ge=0)
    pitch_loss_weight: float = setting("weight of the squared error of pitch", default=1.0, ge=0)
    energy_loss_weight: float = setting("weight of the squared error of energy", default=1.0, ge=0)
    mel_adversary_start_step: int = setting(
        "first step in which a discriminator scores predicted mels, so that they become as sharp as real ones; 0 for "
        "never",
        default=0,
        ge=0,
    )
    mel_adversary_condition: Literal["none", "phones"] = setting(
        "whether the discriminator sees mels alone, or each frame's phone too", default="phones"
    )
    mel_adversary_windows: tuple[int, ...] = setting(
        "lengths of the windows that it scores, in frames", default=(32, 64, 128), min_length=1
    )
    mel_adversary_channels: tuple[int, ...] = setting(
        "channels of its convolutions, each of which halves bands and frames", default=(12, 24, 24), min_length=1
    )
    mel_adversary_weight: float = setting("weight of the adversarial loss of the mel", default=0.5, ge=0)
    mel_feature_weight: float = setting(
        "weight of its feature matching loss, which is scaled to the mel's absolute error", default=1.0, ge=0
    )
    mel_adversary_learning_rate: float = setting(
        "peak learning rate of the discriminator; it falls as learning_rate does, without warm-up", default=4e-4, gt=0
    )
    mel_adversary_betas: tuple[float, float] = setting("as adam_betas, of the discriminator", default=(0.8, 0.99))

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        yield from _betas(self, "mel_adversary_betas")
        if self.weight_decay and self.optimizer == "adam":
            yield Contradiction(("weight_decay", "optimizer"), 'is not part of "adam"; choose "adamw" or "lamb", or 0')
        for name in ("mel_adversary_windows", "mel_adversary_channels"):
            if any(number < 1 for number in getattr(self, name)):
                yield Contradiction((name,), f"{list(getattr(self, name))} are not all above 0")


class LearnedDurationTrainSettings(AcousticTrainSettings):
    """Training of an acoustic model that can learn durations itself."""

    alignment_loss_weight: float = setting("weight of the aligner's forward-sum loss", ge=0)
    binarization_loss_weight: float = setting("weight of the aligner's binarization loss, at the end of its rise", ge=0)
    binarization_warmup_steps: int = setting("optimizer steps over which that weight rises from 0", ge=0)


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
        preprocess = self.preprocess
        is_mixed = preprocess.phone_extractor == "mixed"
        if is_mixed and not self.model.learns_durations and preprocess.alignment != "textgrid":
            yield Contradiction(
                ("model.durations", "preprocess.phone_extractor"),
                'durations of stage 1 for the letters of "mixed" need TextGrids of letters (preprocess.alignment '
                '"textgrid"); choose a model with learned ones, such as FastPitch',
            )
        if self.model.learns_durations and (preprocess.phrases_share or preprocess.joined_share):
            yield Contradiction(
                ("model.durations", "preprocess.phrases_share", "preprocess.joined_share"),
                "recordings are cut and joined at the times of an alignment, which learned durations do without; leave "
                "both shares at 0",
            )
        elif is_mixed and (preprocess.phrases_share or preprocess.joined_share):
            yield Contradiction(
                ("preprocess.phone_extractor", "preprocess.phrases_share", "preprocess.joined_share"),
                '"mixed" has no symbols of pauses to cut or join recordings at; leave both shares at 0',
            )


class VocoderTrainSettings(AdamTrainSettings):
    """Training on segments of recordings."""

    segment_size: int = setting("samples per segment, a multiple of hop_size; shorter recordings are left out", ge=1)
    mel_source: Literal["recorded", "predicted"] = setting(
        "train on the recordings' mels, or on mels predicted with teacher forcing by bins.predict_mels"
    )
    mel_blur_share: float = setting(
        "share of the segments whose input mel is blurred, as predicted mels are; the waveform stays as it is",
        default=0.0,
        ge=0,
        le=1,
    )

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if self.max_frames_per_batch:
            yield Contradiction(
                ("max_frames_per_batch",), "segments are all of one length: leave it at 0 and set batch_size"
            )


class GanVocoderTrainSettings(VocoderTrainSettings, CosineTrainSettings):
    """Adversarial training on segments of recordings."""

    adversarial_start_step: int = setting(
        "first steps with mel and multi-resolution STFT losses only, at a fraction of the cost; 0 as in the paper",
        ge=0,
    )
    generator_alone_steps: int = setting(
        "steps from adversarial_start_step on in which the discriminators learn, but the generator does not yet learn "
        "from them",
        default=0,
        ge=0,
    )
    discriminators: tuple[DiscriminatorName, ...] = setting(
        "which discriminators: mpd (multi-period) and msd (multi-scale) as in HiFi-GAN, mrd (multi-resolution) as in "
        "UnivNet; mpd_small and mrd_small cost a hundredth and train on CPUs",
        default=("mpd", "msd"),
        min_length=1,
    )
    mel_loss_weight: float = setting("weight of the mel's absolute error", ge=0)
    adversarial_loss_weight: float = setting(
        "weight of the generator's adversarial loss, which is a sum over discriminators", default=1.0, ge=0
    )
    feature_loss_weight: float = setting(
        "weight of the feature matching loss, a sum over all layers of all discriminators", ge=0
    )
    stft_loss_weight: float = setting(
        "weight of the multi-resolution STFT loss before the generator learns from the discriminators", ge=0
    )
    adversarial_stft_loss_weight: float = setting("weight of the same loss from then on", ge=0)
    learning_rate: float = setting("highest learning rate of the generator's optimizer", gt=0)
    discriminator_learning_rate: float = setting(
        "highest learning rate of the discriminators' optimizer; 0 for learning_rate", default=0.0, ge=0
    )
    adam_betas: tuple[float, float] = setting("AdamW's decay of the gradients' mean and of their square")
    weight_decay: float = setting("AdamW's weight decay", ge=0)
    warmup_steps: int = setting("with decay cosine, steps over which the learning rates rise", default=0, ge=0)
    decay: Literal["exponential", "cosine"] = setting(
        "decay of the learning rates: exponential, by lr_decay after each epoch, or cosine, after a warm-up and until "
        "decay_steps",
        default="exponential",
    )
    decay_steps: int = setting(
        "with decay cosine, the step at which it ends, at a hundredth of the highest learning rates", default=0, ge=0
    )
    lr_decay: float = setting("with decay exponential, the factor on both learning rates after each epoch", gt=0, le=1)

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if self.decay != "cosine" and self.warmup_steps:
            yield Contradiction(("warmup_steps", "decay"), f'{self.warmup_steps} is for decay "cosine" alone')
        if len(set(self.discriminators)) != len(self.discriminators):
            yield Contradiction(("discriminators",), f"{list(self.discriminators)} names one twice")
        reflected = max(REFLECTED_SAMPLES.get(name, 0) for name in self.discriminators)
        if self.segment_size <= reflected:
            yield Contradiction(
                ("segment_size", "discriminators"),
                f"{self.segment_size} is too short for {list(self.discriminators)}; more than {reflected} are needed",
            )


class VocoderSettings(ExperimentSettings):
    """All settings of a recipe for a vocoder that is trained on segments; a model narrows `model`."""

    train: VocoderTrainSettings = setting("training")

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

    def upsampling_contradictions(self, name: str, rates: Sequence[int]) -> Iterator[Contradiction]:
        """Yield a contradiction unless a model's upsampling rates, a setting of this name, multiply to `hop_size`."""
        product, hop_size = math.prod(rates), self.preprocess.hop_size
        if product != hop_size:
            factors = " x ".join(map(str, rates))
            yield Contradiction((name, "preprocess.hop_size"), f"{factors} is {product}, but hop_size is {hop_size}")


class GanVocoderSettings(VocoderSettings):
    """All settings of a recipe for a GAN vocoder; a model narrows `model`."""

    train: GanVocoderTrainSettings = setting("training")
