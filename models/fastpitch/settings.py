"""Settings of FastPitch and its training."""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import Contradiction, setting
from models.layers.acoustic_settings import BlockSettings, LearnedDurationSettings
from models.training.settings import AcousticSettings, LearnedDurationTrainSettings


class FastPitchModelSettings(BlockSettings, LearnedDurationSettings):
    """The network."""

    head_size: int = setting("width of an attention head in Transformer blocks", ge=1)
    conv_kernel_size: int = setting("kernel size of the two convolutions of a Transformer block; odd", ge=1)
    dropout: float = setting(
        "dropout in encoder and decoder, in Transformer blocks of the weights of attention, too", ge=0, lt=1
    )
    predictor_filter_size: int = setting("channels of the duration, pitch and energy predictors", ge=1)
    predictor_kernel_size: int = setting("kernel size of the predictors' convolutions; odd", ge=1)
    predictor_dropout: float = setting("dropout in the predictors", ge=0, lt=1)
    embedding_kernel_size: int = setting("kernel size of the convolutions that embed pitch and energy; odd", ge=1)
    energy: bool = setting("whether energy is predicted too: the length of the log-mel frame, per symbol")
    speaker_weight: float = setting("factor on the speaker's vector", ge=0)

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        for name in ("conv_kernel_size", "predictor_kernel_size", "embedding_kernel_size"):
            if getattr(self, name) % 2 == 0:
                yield Contradiction((name,), f"{getattr(self, name)} is not an odd number")


class FastPitchSettings(AcousticSettings):
    """All settings of a FastPitch recipe."""

    model: FastPitchModelSettings = setting("the network")
    train: LearnedDurationTrainSettings = setting("how the network is trained")
