"""Training of the convolutional acoustic model."""

from __future__ import annotations

from models.training.acoustic_task import AcousticTask
from tests.support.conv_acoustic.network import ConvAcoustic


class ConvAcousticTask(AcousticTask):
    """Trains it."""

    network_class = ConvAcoustic
