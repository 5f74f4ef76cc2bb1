"""Training losses of acoustic models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from models.layers.acoustic_network import Prediction
from models.layers.learned_alignment import SoftAlignment
from models.layers.masks import masked_mean, padding_mask
from models.training.settings import AcousticTrainSettings, LearnedDurationTrainSettings
from processors.datasets.acoustic_data import AcousticBatch
from processors.features import Level
from utils.task import Term

MelError = Literal["absolute", "squared"]


def acoustic_loss_terms(
    predicted: Prediction,
    target: AcousticBatch,
    levels: Mapping[str, Level],
    train: AcousticTrainSettings,
    step: int | None,
    *,
    mel_error: MelError = "absolute",
) -> dict[str, Term]:
    """Compute the losses of predicted mels, durations, pitch and energy, over real frames and phones only.

    FastSpeech 2 (arXiv:2006.04558, section 2.2): error of the mel, before and after the postnet, and squared errors of
    log durations, pitch and energy; with an aligner within the model, its losses too.

    Args:
        predicted: teacher-forced outputs.
        target: ground truth.
        levels: `phone` or `frame`, per predicted quantity.
        train: the losses' weights.
        step: optimizer steps taken, for weights that rise; None for their final values.
        mel_error: of the mel: absolute, or squared, as in FastPitch (arXiv:2006.06873, section 2.3).
    """
    is_frame_padding = padding_mask(target.mel_lengths, target.mel.shape[2])
    is_phoneme_padding = padding_mask(target.phoneme_lengths, target.phoneme_ids.shape[1])

    def mel_term(mel: Tensor) -> Term:
        error = (mel - target.mel).transpose(1, 2)  # (B, M, T_mel) -> (B, T_mel, M)
        error = error.square() if mel_error == "squared" else error.abs()
        return Term(masked_mean(error, is_frame_padding), train.mel_loss_weight, per="frames")

    def variance_term(values: Tensor, true: Tensor, level: Level, weight: float) -> Term:
        squared = (values - true) ** 2
        if level == "phone":
            return Term(masked_mean(squared, is_phoneme_padding), weight, per="phonemes")
        return Term(masked_mean(squared, is_frame_padding), weight, per="frames")

    terms = {"mel": mel_term(predicted.mel)}
    if predicted.refined_mel is not None:
        terms["refined_mel"] = mel_term(predicted.refined_mel)
    log_durations = torch.log1p(target.durations.float())
    terms["duration"] = variance_term(predicted.log_durations, log_durations, "phone", train.duration_loss_weight)
    for quantity, level in levels.items():
        weight = getattr(train, f"{quantity}_loss_weight")
        terms[quantity] = variance_term(predicted.values[quantity], getattr(target, quantity), level, weight)
    if predicted.alignment is not None:
        assert isinstance(train, LearnedDurationTrainSettings)
        terms |= _alignment_loss_terms(predicted.alignment, train, step)
    return terms


def _alignment_loss_terms(
    alignment: SoftAlignment, train: LearnedDurationTrainSettings, step: int | None
) -> dict[str, Term]:
    """Compute the losses of an aligner within the model: forward sum and binarization.

    arXiv:2108.10447, sections 2.1 and 2.3.
    """
    rise = 1.0 if step is None else min(step / max(train.binarization_warmup_steps, 1), 1.0)
    forward_sum, binarization = alignment.forward_sum_losses().mean(), alignment.binarization_loss()
    return {
        "alignment": Term(forward_sum, train.alignment_loss_weight, per="utterances"),
        "binarization": Term(binarization, rise * train.binarization_loss_weight, per="frames"),
    }
