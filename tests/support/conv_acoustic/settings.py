"""Settings of a convolutional acoustic model."""

from __future__ import annotations

from typing import ClassVar

from config.schema import setting
from models.layers.acoustic_settings import AcousticModelSettings
from models.training.settings import AcousticSettings
from processors.features import Level


class ConvAcousticModelSettings(AcousticModelSettings):
    """The network."""

    pitch_level: ClassVar[Level] = "phone"
    n_layers: int = setting("convolutions over phones, and as many over frames", ge=1)
    dropout: float = setting("dropout in the predictors", ge=0, lt=1)


class ConvAcousticSettings(AcousticSettings):
    """Everything a recipe of it could set."""

    model: ConvAcousticModelSettings = setting("the network")
