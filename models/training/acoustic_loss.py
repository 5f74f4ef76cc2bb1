"""Training losses of acoustic models."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.layers.acoustic_network import Prediction
from models.layers.masks import masked_mean, padding_mask
from processors.datasets.acoustic_data import AcousticBatch
from processors.datasets.acoustic_example import Level
from utils.task import Term


def acoustic_loss_terms(predicted: Prediction, target: AcousticBatch, levels: Mapping[str, Level]) -> dict[str, Term]:
    """Compute the losses of predicted mels, durations, pitch and energy, over real frames and phones only.

    FastSpeech 2 (arXiv:2006.04558, section 2.2): absolute error of the mel, before and after the postnet, and squared
    errors of log durations, pitch and energy.

    Args:
        predicted: teacher-forced outputs.
        target: ground truth.
        levels: `phone` or `frame`, per predicted quantity.
    """
    is_frame_padding = padding_mask(target.mel_lengths, target.mel.shape[2])
    is_phoneme_padding = padding_mask(target.phoneme_lengths, target.phoneme_ids.shape[1])

    def mel_term(mel: Tensor) -> Term:
        error = (mel - target.mel).abs().transpose(1, 2)  # (B, M, T_mel) -> (B, T_mel, M)
        return Term(masked_mean(error, is_frame_padding), per="frames")

    def variance_term(values: Tensor, true: Tensor, level: Level) -> Term:
        squared = (values - true) ** 2
        if level == "phone":
            return Term(masked_mean(squared, is_phoneme_padding), per="phonemes")
        return Term(masked_mean(squared, is_frame_padding), per="frames")

    terms = {"mel": mel_term(predicted.mel)}
    if predicted.refined_mel is not None:
        terms["refined_mel"] = mel_term(predicted.refined_mel)
    terms["duration"] = variance_term(predicted.log_durations, torch.log1p(target.durations.float()), "phone")
    for quantity, level in levels.items():
        terms[quantity] = variance_term(predicted.values[quantity], getattr(target, quantity), level)
    return terms
