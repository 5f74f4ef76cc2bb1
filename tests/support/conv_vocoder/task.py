"""Training of the convolutional vocoder."""

from __future__ import annotations

from config.schema import ExperimentSettings
from models.layers.period_discriminator import MultiPeriodDiscriminator
from models.training.gan_vocoder_task import GanVocoderTask
from tests.support.conv_vocoder.network import ConvVocoder
from tests.support.conv_vocoder.settings import ConvVocoderSettings


class ConvVocoderTask(GanVocoderTask):
    """Trains it against a multi-period discriminator."""

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> ConvVocoderTask:
        """Make the task; its data are opened when they are asked for."""
        assert isinstance(settings, ConvVocoderSettings)
        discriminator = MultiPeriodDiscriminator(settings.model.periods, channels=(4, 8, 8), leaky_slope=0.2)
        return cls(settings, ConvVocoder.from_settings(settings), {"mpd": discriminator})
