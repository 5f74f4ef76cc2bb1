"""Training of the convolutional acoustic model."""

from __future__ import annotations

from config.schema import ExperimentSettings
from models.training.acoustic_task import AcousticTask
from processors.datasets.acoustic_data import open_voice
from tests.support.conv_acoustic.network import ConvAcoustic
from tests.support.conv_acoustic.settings import ConvAcousticSettings


class ConvAcousticTask(AcousticTask):
    """Trains it."""

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> ConvAcousticTask:
        """Make the task from what stage 1 left in `processed_dir`."""
        assert isinstance(settings, ConvAcousticSettings)
        voice = open_voice(settings.preprocess.processed_path, settings.dataset)
        network = ConvAcoustic.untrained(settings, voice.symbols, voice.speakers, voice.statistics, voice.embeddings)
        return cls(settings, voice, network)
