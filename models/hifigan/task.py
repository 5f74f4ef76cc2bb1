"""Training of HiFi-GAN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.hifigan.network import Generator
from models.hifigan.settings import HiFiGANSettings
from models.layers.period_discriminator import MultiPeriodDiscriminator
from models.layers.scale_discriminator import MultiScaleDiscriminator
from models.training.gan_vocoder_task import GanVocoderTask

if TYPE_CHECKING:
    from config.schema import ExperimentSettings


class HiFiGANTask(GanVocoderTask):
    """Trains HiFi-GAN (arXiv:2010.05646) against its multi-period and multi-scale discriminators.

    Args:
        settings: of the experiment.
    """

    def __init__(self, settings: HiFiGANSettings) -> None:
        model, divisor = settings.model, settings.model.discriminator_channel_divisor
        super().__init__(
            settings,
            Generator(model, settings.preprocess.n_mel),
            {
                "mpd": MultiPeriodDiscriminator(model.mpd_periods, channel_divisor=divisor),
                "msd": MultiScaleDiscriminator(channel_divisor=divisor),
            },
        )

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> HiFiGANTask:
        """Create the task; its data are opened on demand."""
        assert isinstance(settings, HiFiGANSettings)
        return cls(settings)
