"""Training of FastSpeech 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.fastspeech2.network import FastSpeech2
from models.fastspeech2.settings import FastSpeech2Settings
from models.training.acoustic_task import AcousticTask
from processors.datasets.acoustic_data import Voice, open_voice

if TYPE_CHECKING:
    from config.schema import ExperimentSettings


class FastSpeech2Task(AcousticTask):
    """Trains FastSpeech 2 with one optimizer (`utils.task.Task`).

    Args:
        settings: of the experiment.
        voice: symbols, speakers and statistics of its data.
    """

    def __init__(self, settings: FastSpeech2Settings, voice: Voice) -> None:
        network = FastSpeech2.untrained(settings, voice.symbols, voice.speakers, voice.statistics, voice.embeddings)
        super().__init__(settings, voice, network)

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> FastSpeech2Task:
        """Create the task from the files of stage 1 in `processed_dir`.

        Raises:
            DataError: stage 1 has not been run, or its files are damaged.
        """
        assert isinstance(settings, FastSpeech2Settings)
        return cls(settings, open_voice(settings.preprocess.processed_path, settings.dataset))
