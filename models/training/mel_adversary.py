"""Adversary of acoustic models: a discriminator of mels, and the losses against it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.adversarial_loss import adversarial_loss, discriminator_loss
from models.layers.discriminator import DiscriminatorOutput
from models.layers.length_regulator import frame_index
from models.layers.masks import padding_mask
from models.layers.mel_discriminator import MelDiscriminator, MelWindows
from models.training.settings import AcousticTrainSettings
from models.training.utterance_draws import utterance_draws
from processors.datasets.acoustic_data import AcousticBatch
from utils.task import Term

ADVERSARY = "mel_adversary"
# A discriminator that cannot distinguish real from predicted mels has a loss of 0.5.
_SATURATED, _UNSTABLE = 0.02, 0.8
# Steps after the start without warnings: at first its scores are random, and logged losses are means over many steps.
_SETTLING_STEPS = 500


class MelAdversary:
    """Trains an acoustic model's teacher-forced mels to be taken for real ones.

    Least squares, and feature matching at the scale of the reconstruction loss, as GANSpeech (arXiv:2106.15153, section
    2.3); the scale is each utterance's own, so that a step does not depend on how it is split into micro-batches.
    In every step the discriminator scores one random window of each length per utterance.

    Args:
        train: settings of the training.
    """

    def __init__(self, train: AcousticTrainSettings) -> None:
        self._train = train

    def make_discriminator(self, n_mel: int, n_symbols: int) -> MelDiscriminator:
        """Return the discriminator with random weights."""
        train = self._train
        return MelDiscriminator(
            len(train.mel_adversary_windows),
            n_mel=n_mel,
            channels=train.mel_adversary_channels,
            n_symbols=n_symbols if train.mel_adversary_condition == "phones" else 0,
        )

    def acts_at(self, step: int) -> bool:
        """Return whether it takes part in the step after `step` steps."""
        return step + 1 >= self._train.mel_adversary_start_step

    def windows(self, batch: AcousticBatch, step: int) -> list[MelWindows]:
        """Draw the windows of a step, one per length and utterance."""
        lengths = self._train.mel_adversary_windows
        draws = utterance_draws(batch.ids, len(lengths), self._train.seed, step, ADVERSARY).to(batch.mel.device)
        frame_phonemes = batch.phoneme_ids.gather(1, frame_index(batch.durations, batch.mel.shape[2])[0])
        return [
            MelWindows.draw(draws[:, number], batch.mel_lengths, frame_phonemes, length)
            for number, length in enumerate(lengths)
        ]

    def discriminator_terms(
        self, discriminator: nn.Module, windows: Sequence[MelWindows], real: Tensor, fake: Tensor
    ) -> dict[str, Term]:
        """Compute the discriminator's loss over real and predicted (B, M, T_mel) mels."""
        outputs = discriminator(
            [torch.cat([each.cut(real), each.cut(fake.detach())]) for each in windows],
            [torch.cat([each.phoneme_ids, each.phoneme_ids]) for each in windows],
        )
        return {"adversarial": Term(discriminator_loss(outputs) / len(windows), per="utterances")}

    def network_terms(
        self, discriminator: nn.Module, windows: Sequence[MelWindows], batch: AcousticBatch, fake: Tensor
    ) -> dict[str, Term]:
        """Compute the acoustic model's losses against the discriminator.

        Args:
            discriminator: which has acted.
            windows: of this step.
            batch: with the real mels.
            fake: (B, M, T_mel) predicted with teacher forcing.
        """
        phoneme_ids = [each.phoneme_ids for each in windows]
        with torch.no_grad():
            of_real = discriminator([each.cut(batch.mel) for each in windows], phoneme_ids)
        of_fake = discriminator([each.cut(fake) for each in windows], phoneme_ids)
        distances = _feature_distances(of_real, of_fake)
        is_padding = padding_mask(batch.mel_lengths, batch.mel.shape[2])
        errors = (fake - batch.mel).detach().abs().mean(dim=1).masked_fill(is_padding, 0.0).sum(1) / batch.mel_lengths
        scale = errors / distances.detach().clamp(min=1e-6)
        train = self._train
        return {
            "mel_adversarial": Term(
                adversarial_loss(of_fake) / len(windows), train.mel_adversary_weight, per="utterances"
            ),
            "mel_feature": Term((scale * distances).mean(), train.mel_feature_weight, per="utterances"),
            "mel_feature_distance": Term(distances.detach().mean(), 0.0, per="utterances"),
        }

    def diagnose(self, loss: float | None, step: int) -> tuple[str, ...]:
        """Return a warning if the discriminator has saturated or is unstable; `loss` is the mean of its loss."""
        if loss is None or step < self._train.mel_adversary_start_step + _SETTLING_STEPS:
            return ()
        if loss < _SATURATED:
            return (
                "the loss of the mel's discriminator is near 0: it has saturated and gives no useful gradient; lower "
                "train.mel_adversary_learning_rate",
            )
        if loss > _UNSTABLE:
            return (
                "the mel's discriminator is worse than chance: the training is unstable; lower "
                "train.mel_adversary_weight or train.mel_adversary_learning_rate",
            )
        return ()


def _feature_distances(real: Sequence[DiscriminatorOutput], fake: Sequence[DiscriminatorOutput]) -> Tensor:
    """Return (B,) absolute differences of the discriminators' features, summed over all layers."""
    return torch.stack(
        [
            (predicted - target).float().abs().flatten(1).mean(dim=1)
            for of_real, of_fake in zip(real, fake, strict=True)
            for target, predicted in zip(of_real.features, of_fake.features, strict=True)
        ]
    ).sum(dim=0)
