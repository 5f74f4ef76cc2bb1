"""Settings of FastPitch and its training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from config.schema import Contradiction, setting
from models.layers.acoustic_settings import AcousticModelSettings
from models.training.settings import AcousticSettings, AcousticTrainSettings
from processors.datasets.acoustic_example import Level


class FastPitchModelSettings(AcousticModelSettings):
    """The network."""

    # Of the dataset: the network averages over symbols itself, since it may find their durations itself.
    pitch_level: ClassVar[Level] = "frame"

    durations: Literal["learned", "stored"] = setting(
        "whose durations the model learns from: learned: those of an aligner within it, as in FastPitch 1.1; stored: "
        "those of stage 1, as in the paper"
    )
    alignment_prior: Literal["paper", "transposed"] = setting(
        "the aligner's beta-binomial prior: over symbols for each frame, as in the paper, or transposed: over frames "
        "for each symbol, as NVIDIA's checkpoints were trained"
    )
    n_heads: int = setting("attention heads", ge=1)
    head_size: int = setting("width of an attention head", ge=1)
    encoder_layers: int = setting("Transformer blocks over symbols", ge=1)
    decoder_layers: int = setting("Transformer blocks over frames", ge=1)
    conv_filter_size: int = setting("channels between the two convolutions of a Transformer block", ge=1)
    conv_kernel_size: int = setting("kernel size of the two convolutions of a block; odd", ge=1)
    dropout: float = setting("dropout in encoder and decoder, the weights of attention included", ge=0, lt=1)
    predictor_filter_size: int = setting("channels of the duration, pitch and energy predictors", ge=1)
    predictor_kernel_size: int = setting("kernel size of the predictors' convolutions; odd", ge=1)
    predictor_dropout: float = setting("dropout in the predictors", ge=0, lt=1)
    embedding_kernel_size: int = setting("kernel size of the convolutions that embed pitch and energy; odd", ge=1)
    energy: bool = setting("whether energy is predicted too: the length of the log-mel frame, per symbol")
    speaker_weight: float = setting("factor on the speaker's vector", ge=0)

    def contradictions(self) -> Iterator[Contradiction]:
        if self.hidden_size % 2:
            yield Contradiction(("hidden_size",), f"{self.hidden_size} is not an even number")
        for name in ("conv_kernel_size", "predictor_kernel_size", "embedding_kernel_size"):
            if getattr(self, name) % 2 == 0:
                yield Contradiction((name,), f"{getattr(self, name)} is not an odd number")


class FastPitchTrainSettings(AcousticTrainSettings):
    """Training with weighted losses."""

    duration_loss_weight: float = setting("weight of the squared error of log durations", ge=0)
    pitch_loss_weight: float = setting("weight of the squared error of pitch", ge=0)
    energy_loss_weight: float = setting("weight of the squared error of energy", ge=0)
    alignment_loss_weight: float = setting("weight of the aligner's forward-sum loss", ge=0)
    binarization_loss_weight: float = setting("weight of the aligner's binarization loss, at the end of its rise", ge=0)
    binarization_warmup_steps: int = setting("optimizer steps over which that weight rises from 0", ge=0)


class FastPitchSettings(AcousticSettings):
    """All settings of a FastPitch recipe."""

    model: FastPitchModelSettings = setting("the network")
    train: FastPitchTrainSettings = setting("how the network is trained")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        preprocess = self.preprocess
        is_mixed = preprocess.phone_extractor == "mixed"
        if is_mixed and self.model.durations == "stored" and preprocess.alignment != "textgrid":
            yield Contradiction(
                ("model.durations", "preprocess.phone_extractor"),
                '"stored" with the letters of "mixed" needs TextGrids of letters (preprocess.alignment "textgrid"); '
                'choose "learned"',
            )
        if is_mixed and (preprocess.phrases_share or preprocess.joined_share):
            yield Contradiction(
                ("preprocess.phone_extractor", "preprocess.phrases_share", "preprocess.joined_share"),
                '"mixed" has no symbols of pauses to cut or join recordings at; leave both shares at 0',
            )
