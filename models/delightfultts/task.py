"""Training of DelightfulTTS."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from models.delightfultts.network import DelightfulTTS, DelightfulTTSPrediction
from models.delightfultts.settings import DelightfulTTSSettings, DelightfulTTSTrainSettings
from models.delightfultts.similarity import structural_similarity
from models.layers.acoustic_network import Prediction
from models.layers.masks import masked_mean, padding_mask
from models.training.acoustic_loss import acoustic_loss_terms, alignment_loss_terms
from models.training.acoustic_task import AcousticTask
from processors.datasets.acoustic_data import AcousticBatch, Voice, open_voice
from utils.task import Term

if TYPE_CHECKING:
    from config.schema import ExperimentSettings


class DelightfulTTSTask(AcousticTask):
    """Trains DelightfulTTS with one optimizer (`utils.task.Task`).

    Args:
        settings: of the experiment.
        voice: symbols, speakers and statistics of its data.
    """

    def __init__(self, settings: DelightfulTTSSettings, voice: Voice) -> None:
        network = DelightfulTTS.untrained(
            settings, voice.symbols, voice.speakers, voice.statistics, voice.embeddings, voice.languages
        )
        super().__init__(settings, voice, network)
        self._train = settings.train

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> DelightfulTTSTask:
        """Create the task from the files of stage 1 in `processed_dir`.

        Raises:
            DataError: stage 1 has not been run, or its files are damaged.
        """
        assert isinstance(settings, DelightfulTTSSettings)
        return cls(settings, open_voice(settings.preprocess.processed_path, settings.dataset))

    def loss_terms(self, predicted: Prediction, target: AcousticBatch, step: int | None) -> dict[str, Term]:
        assert isinstance(predicted, DelightfulTTSPrediction)
        terms = acoustic_loss_terms(predicted, target, self._levels)
        for name in ("duration", "pitch", "energy"):
            terms[name] = replace(terms[name], weight=getattr(self._train, f"{name}_loss_weight"))
        terms |= further_loss_terms(predicted, target, self._train)
        if predicted.alignment is not None:
            terms |= alignment_loss_terms(predicted.alignment, self._train, step)
        return terms


def further_loss_terms(
    predicted: DelightfulTTSPrediction, target: AcousticBatch, train: DelightfulTTSTrainSettings
) -> dict[str, Term]:
    """Compute the losses of the mel's structure and of predicted prosody, over real frames and phones only.

    The prosody of recordings is no target that could move: only the predictions learn here.

    Args:
        predicted: teacher-forced outputs.
        target: ground truth.
        train: the losses' weights.
    """
    similarity = structural_similarity(predicted.mel, target.mel, target.mel_lengths)
    reference, of_text = predicted.reference_prosody, predicted.predicted_prosody
    no_phoneme = padding_mask(target.phoneme_lengths, target.phoneme_ids.shape[1])
    utterance = (of_text.utterance - reference.utterance.detach()).abs().mean()
    phonemes = masked_mean((of_text.phonemes - reference.phonemes.detach()).abs(), no_phoneme)
    weight = train.prosody_loss_weight
    return {
        # The published code has 1 where similarity is below 0.
        "similarity": Term((1.0 - similarity).clamp(max=1.0).mean(), train.similarity_loss_weight, per="utterances"),
        "utterance_prosody": Term(utterance, weight, per="utterances"),
        "phoneme_prosody": Term(phonemes, weight, per="phonemes"),
    }
