"""Embedding of quantised values."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BinnedEmbedding(nn.Module):
    """Quantise a normalised value and look up the vector of its bin.

    FastSpeech 2 (arXiv:2006.04558, section 2.3). Bins have equal widths; values out of range fall into the first or the
    last one.

    Args:
        n_bins: number of bins.
        hidden_size: D.
        reach: limit of the range, in standard deviations on both sides of the mean.
    """

    edges: Tensor

    def __init__(self, n_bins: int, hidden_size: int, reach: float = 4.0) -> None:
        super().__init__()
        self.register_buffer("edges", torch.linspace(-reach, reach, n_bins + 1)[1:-1], persistent=False)
        self.vectors = nn.Embedding(n_bins, hidden_size)
        with torch.no_grad():
            self.vectors.weight.copy_(_smooth_rows(n_bins, hidden_size))

    def forward(self, values: Tensor) -> Tensor:
        """Return the (B, T, D) vectors of (B, T) normalised values."""
        embedded: Tensor = self.vectors(torch.bucketize(values.detach(), self.edges))
        return embedded


def _smooth_rows(n_bins: int, hidden_size: int) -> Tensor:
    """Return random rows that vary smoothly, so that bins without training data resemble their neighbours."""
    centres = torch.linspace(-1.0, 1.0, n_bins).unsqueeze(1)
    frequencies = torch.arange(1, 9)
    waves = torch.cat(
        [(frequencies * centres * torch.pi / 2).sin(), (frequencies * centres * torch.pi / 2).cos()], dim=1
    )
    rows: Tensor = waves @ torch.randn(waves.shape[1], hidden_size) / waves.shape[1] ** 0.5
    return rows
