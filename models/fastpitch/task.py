"""Training of FastPitch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.fastpitch.network import FastPitch
from models.fastpitch.settings import FastPitchSettings, FastPitchTrainSettings
from models.layers.acoustic_network import Prediction
from models.layers.masks import masked_mean, padding_mask
from models.training.acoustic_loss import alignment_loss_terms
from models.training.acoustic_task import AcousticTask
from processors.datasets.acoustic_data import AcousticBatch, Voice, open_voice
from utils.task import Term

if TYPE_CHECKING:
    from config.schema import ExperimentSettings


class FastPitchTask(AcousticTask):
    """Trains FastPitch with one optimizer (`utils.task.Task`).

    Args:
        settings: of the experiment.
        voice: symbols, speakers and statistics of its data.
    """

    def __init__(self, settings: FastPitchSettings, voice: Voice) -> None:
        network = FastPitch.untrained(settings, voice.symbols, voice.speakers, voice.statistics, voice.embeddings)
        super().__init__(settings, voice, network)
        self._train = settings.train

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> FastPitchTask:
        """Create the task from the files of stage 1 in `processed_dir`.

        Raises:
            DataError: stage 1 has not been run, or its files are damaged.
        """
        assert isinstance(settings, FastPitchSettings)
        return cls(settings, open_voice(settings.preprocess.processed_path, settings.dataset))

    def loss_terms(self, predicted: Prediction, target: AcousticBatch, step: int | None) -> dict[str, Term]:
        return fastpitch_loss_terms(predicted, target, self._train, step)


def fastpitch_loss_terms(
    predicted: Prediction, target: AcousticBatch, train: FastPitchTrainSettings, step: int | None
) -> dict[str, Term]:
    """Compute the losses over real frames and symbols only.

    Squared errors of the mel, log durations, pitch and energy (arXiv:2006.06873, section 2.3); the aligner's losses.

    Args:
        predicted: teacher-forced outputs.
        target: ground truth, per symbol.
        train: the losses' weights.
        step: optimizer steps taken, for the weight that rises; None for its final value.
    """
    no_frame = padding_mask(target.mel_lengths, target.mel.shape[2])
    no_symbol = padding_mask(target.phoneme_lengths, target.phoneme_ids.shape[1])
    squared = (predicted.mel - target.mel).square().transpose(1, 2)  # (B, M, T_mel) -> (B, T_mel, M)
    terms = {"mel": Term(masked_mean(squared, no_frame), per="frames")}
    quantities = {"duration": (predicted.log_durations, target.durations.float().log1p(), train.duration_loss_weight)}
    for name, weight in (("pitch", train.pitch_loss_weight), ("energy", train.energy_loss_weight)):
        if name in predicted.values:
            quantities[name] = (predicted.values[name], getattr(target, name), weight)
    for name, (values, true, weight) in quantities.items():
        terms[name] = Term(masked_mean((values - true).square(), no_symbol), weight, per="phonemes")
    if predicted.alignment is not None:
        terms |= alignment_loss_terms(predicted.alignment, train, step)
    return terms
