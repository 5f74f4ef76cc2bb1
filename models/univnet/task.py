"""Training of UnivNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.layers.frame_noise import utterance_numbers
from models.training.discriminators import make_discriminators
from models.training.gan_vocoder_task import GanVocoderTask, Generated
from models.univnet.network import UnivNet
from models.univnet.settings import UnivNetSettings

if TYPE_CHECKING:
    from config.schema import ExperimentSettings
    from processors.datasets.vocoder_data import VocoderBatch


class UnivNetTask(GanVocoderTask):
    """Trains UnivNet (arXiv:2106.07889, section 2.3), by default against its two sets of discriminators.

    The generator acts before the discriminators, on the same fakes, and spectra of its loss reflect the edges: as in
    the published code.
    """

    generator_first = True
    stft_padding = "reflect"

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> UnivNetTask:
        """Create the task; its data are opened on demand."""
        assert isinstance(settings, UnivNetSettings)
        model = settings.model
        discriminators = make_discriminators(
            settings.train.discriminators,
            periods=model.mpd_periods,
            period_channels=model.mpd_channels,
            period_slope=model.discriminator_slope,
            resolution_channels=model.mrd_channels,
            resolution_slope=model.mrd_slope,
            has_resolution_window=model.mrd_window == "hann",
        )
        return cls(settings, UnivNet.from_settings(settings), discriminators)

    def generate(self, batch: VocoderBatch) -> Generated:
        """Return the waveforms, of noise that depends on each utterance and on the frames' places within it."""
        steps = torch.arange(batch.mel.shape[2], device=batch.mel.device)
        frames = batch.first_frame.unsqueeze(1) + steps
        utterances = utterance_numbers(batch.ids, batch.mel.device)
        return Generated(self.modules["generator"](batch.mel, frames, utterances), {})
