"""Training of Lyre."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from config.schema import ExperimentSettings
from models.lyre.f0_predictor import f0_losses
from models.lyre.network import Lyre, LyreOutput
from models.lyre.settings import LyreSettings
from models.training.discriminators import make_discriminators
from models.training.gan_vocoder_task import GanVocoderTask, Generated
from processors.datasets.vocoder_data import VocoderBatch
from processors.features import F0_VOCODER_FEATURES
from utils.task import Sum, Term

_GROSS_ERROR = 0.2  # of the true F0


class LyreTask(GanVocoderTask):
    """Trains Lyre's generator on true F0, and its F0 predictor on the same mels."""

    features = F0_VOCODER_FEATURES

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> LyreTask:
        """Return the task; its data is opened on demand."""
        assert isinstance(settings, LyreSettings)
        return cls(settings, Lyre.from_settings(settings), make_discriminators(settings.train.discriminators))

    def generate(self, batch: VocoderBatch) -> Generated:
        """Return the waveforms at the true F0, and the losses of the F0 predictor."""
        assert batch.f0_hz is not None
        output: LyreOutput = self.modules["generator"](batch.mel, batch.f0_hz, batch.first_frame)
        losses = f0_losses(output.f0_logits, batch.f0_hz)
        return Generated(output.waveform, {"f0": Term(losses.bins), "voicing": Term(losses.voicing)})

    def validate(self, batch: VocoderBatch) -> Mapping[str, Sum]:
        """Measure as for every vocoder, at the true F0, and how well F0 is predicted.

        `f0_error` is the mean absolute error of log F0 where both are voiced, `f0_gross_errors` the share of these
        frames that are off by more than 20 %, `voicing_errors` the share of all frames.
        """
        assert batch.f0_hz is not None
        true_hz, predicted_hz = batch.f0_hz, cast(Lyre, self.modules["generator"]).f0_predictor.predict(batch.mel)
        both = (true_hz > 0) & (predicted_hz > 0)
        ratio = predicted_hz[both] / true_hz[both]
        n_voiced = int(both.sum())
        return {
            **super().validate(batch),
            "f0_error": Sum(ratio.log().abs().sum(), n_voiced),
            "f0_gross_errors": Sum(((ratio - 1.0).abs() > _GROSS_ERROR).sum(), n_voiced),
            "voicing_errors": Sum(((true_hz > 0) != (predicted_hz > 0)).sum(), true_hz.numel()),
        }
