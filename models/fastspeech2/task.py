"""Training of FastSpeech 2."""

from __future__ import annotations

from models.fastspeech2.network import FastSpeech2
from models.training.acoustic_task import AcousticTask


class FastSpeech2Task(AcousticTask):
    """Trains FastSpeech 2."""

    network_class = FastSpeech2
