"""Training of HiFi-GAN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.hifigan.network import Generator
from models.hifigan.settings import HiFiGANSettings
from models.training.discriminators import make_discriminators
from models.training.gan_vocoder_task import GanVocoderTask

if TYPE_CHECKING:
    from config.schema import ExperimentSettings


class HiFiGANTask(GanVocoderTask):
    """Trains HiFi-GAN (arXiv:2010.05646), by default against its multi-period and multi-scale discriminators.

    Args:
        settings: of the experiment.
    """

    def __init__(self, settings: HiFiGANSettings) -> None:
        model = settings.model
        super().__init__(
            settings,
            Generator(model, settings.preprocess.n_mel),
            make_discriminators(
                settings.train.discriminators,
                periods=model.mpd_periods,
                channel_divisor=model.discriminator_channel_divisor,
            ),
        )

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> HiFiGANTask:
        """Create the task; its data are opened on demand."""
        assert isinstance(settings, HiFiGANSettings)
        return cls(settings)
