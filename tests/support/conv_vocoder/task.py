"""Training of the convolutional vocoder."""

from __future__ import annotations

from config.schema import ExperimentSettings
from models.training.discriminators import make_discriminators
from models.training.gan_vocoder_task import GanVocoderTask
from tests.support.conv_vocoder.network import ConvVocoder
from tests.support.conv_vocoder.settings import ConvVocoderSettings


class ConvVocoderTask(GanVocoderTask):
    """Trains it against discriminators of a sixteenth of the usual channels."""

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> ConvVocoderTask:
        """Make the task; its data are opened when they are asked for."""
        assert isinstance(settings, ConvVocoderSettings)
        generator = ConvVocoder.from_settings(settings)
        periods = settings.model.periods
        return cls(
            settings, generator, make_discriminators(settings.train.discriminators, periods=periods, channel_divisor=16)
        )
