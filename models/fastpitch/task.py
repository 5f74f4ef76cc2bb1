"""Training of FastPitch."""

from __future__ import annotations

from models.fastpitch.network import FastPitch
from models.training.acoustic_task import AcousticTask


class FastPitchTask(AcousticTask):
    """Trains FastPitch."""

    network_class = FastPitch
    mel_error = "squared"
