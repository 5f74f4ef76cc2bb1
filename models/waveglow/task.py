"""Training of WaveGlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from models.training.gan_vocoder_task import VocoderTask
from models.waveglow.network import Analysis, WaveGlow
from models.waveglow.settings import WaveGlowSettings
from utils.parameter_groups import learning_groups
from utils.task import Optimization, Sum, Term, Update

if TYPE_CHECKING:
    from config.schema import ExperimentSettings
    from processors.datasets.vocoder_data import VocoderBatch


class WaveGlowTask(VocoderTask):
    """Trains WaveGlow by maximum likelihood (arXiv:1811.00002, section 2.4).

    Args:
        settings: of the experiment.
    """

    def __init__(self, settings: WaveGlowSettings) -> None:
        super().__init__(settings, {"generator": WaveGlow.from_settings(settings)})
        self._settings = settings

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> WaveGlowTask:
        """Create the task; its data are opened on demand."""
        assert isinstance(settings, WaveGlowSettings)
        return cls(settings)

    def optimizers(self) -> Mapping[str, Optimization]:
        """Return Adam, at one learning rate throughout."""
        train = self._settings.train
        groups = learning_groups(self.modules, ("generator",), train.lr_groups, train.learning_rate)
        optimizer = torch.optim.Adam(groups, lr=train.learning_rate, betas=train.adam_betas, fused=True)
        return {"generator": Optimization(optimizer, ("generator",), ema_decay=train.ema_decay)}

    def updates(self, batch: VocoderBatch, step: int) -> Iterator[Update]:
        """Raise the likelihood of the batch."""
        yield Update("generator", {"likelihood": Term(self._loss(batch))})

    def validate(self, batch: VocoderBatch) -> Mapping[str, Sum]:
        """Measure the loss on whole recordings, and the waveforms made of their mels as for every vocoder."""
        n_frames = batch.counts["frames"]
        return {**super().validate(batch), "loss": Sum(self._loss(batch) * n_frames, n_frames)}

    def diagnose(self, losses: Mapping[str, float], step: int) -> Sequence[str]:
        """Return no warnings of its own."""
        return ()

    def _loss(self, batch: VocoderBatch) -> torch.Tensor:
        analysis: Analysis = self.modules["generator"](batch.mel, waveform=batch.waveform)
        return analysis.loss(self._settings.train.sigma)
