"""Settings of a convolutional vocoder."""

from __future__ import annotations

from config.schema import Settings, setting
from models.training.settings import GanVocoderSettings


class ConvVocoderModelSettings(Settings):
    """Generator and discriminator."""

    channels: int = setting("channels of the generator", ge=1)
    periods: tuple[int, ...] = setting("periods of the discriminator, in samples", min_length=1)


class ConvVocoderSettings(GanVocoderSettings):
    """Everything a recipe of it could set."""

    model: ConvVocoderModelSettings = setting("generator and discriminator")
