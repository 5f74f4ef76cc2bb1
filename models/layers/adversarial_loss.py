"""Adversarial losses: least squares and feature matching (HiFi-GAN, arXiv:2010.05646, section 2.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.layers.discriminator import DiscriminatorOutput


def discriminator_loss(outputs: Sequence[DiscriminatorOutput]) -> Tensor:
    """Return how far discriminators are from scoring 1 on real and 0 on fake waveforms (equations 1 and 7).

    Args:
        outputs: of batches whose first half is real, the second fake.

    Returns:
        () the sum over discriminators; one that cannot distinguish them adds 0.5.
    """
    losses = []
    for output in outputs:
        real, fake = output.score.float().chunk(2)
        losses.append((1.0 - real).square().mean() + fake.square().mean())
    return torch.stack(losses).sum()


def adversarial_loss(outputs: Sequence[DiscriminatorOutput]) -> Tensor:
    """Return how far the fakes are from being taken for real (equation 2), () summed over discriminators."""
    return torch.stack([(1.0 - output.score.float()).square().mean() for output in outputs]).sum()


def feature_matching_loss(real: Sequence[DiscriminatorOutput], fake: Sequence[DiscriminatorOutput]) -> Tensor:
    """Return the absolute difference of the discriminators' features (equation 5), () summed over all layers."""
    losses = []
    for of_real, of_fake in zip(real, fake, strict=True):
        for target, predicted in zip(of_real.features, of_fake.features, strict=True):
            # Adding up in float32 without a copy in float32; the millions of a plane in two steps, to lose no digits.
            dims = (2, 3) if target.ndim == 4 else None
            total = torch.linalg.vector_norm(predicted - target, ord=1, dim=dims, dtype=torch.float32).sum()
            losses.append(total / target.numel())
    return torch.stack(losses).sum()
