"""Training of DelightfulTTS."""

from __future__ import annotations

from models.delightfultts.network import DelightfulTTS, DelightfulTTSPrediction
from models.delightfultts.settings import DelightfulTTSTrainSettings
from models.delightfultts.similarity import structural_similarity
from models.layers.acoustic_network import Prediction
from models.layers.masks import masked_mean, padding_mask
from models.training.acoustic_task import AcousticTask
from processors.datasets.acoustic_data import AcousticBatch
from utils.task import Term


class DelightfulTTSTask(AcousticTask):
    """Trains DelightfulTTS."""

    network_class = DelightfulTTS

    def loss_terms(self, predicted: Prediction, target: AcousticBatch, step: int | None) -> dict[str, Term]:
        assert isinstance(predicted, DelightfulTTSPrediction)
        train = self._settings.train
        assert isinstance(train, DelightfulTTSTrainSettings)
        return super().loss_terms(predicted, target, step) | further_loss_terms(predicted, target, train)


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
