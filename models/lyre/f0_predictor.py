"""F0 and voicing from a mel."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.convnext import ConvNeXtStack
from models.layers.mel_scale import from_log_mel

_N_BINS, _MIN_HZ, _MAX_HZ = 256, 50.0, 1100.0
_BIN_SIZE = math.log(_MAX_HZ / _MIN_HZ) / (_N_BINS - 1)
# CREPE's blur of the target, 25 cents, and its mean over 9 bins of 20 cents; here a bin has 21 cents.
_BLUR_BINS = 1.2
_MEAN_BINS = 4  # on each side of the best


class F0Logits(NamedTuple):
    """Logits of F0 and voicing.

    Attributes:
        bins: (B, T_mel, 256) of F0 from 50 to 1100 Hz, evenly spaced on a logarithmic scale.
        voicing: (B, T_mel).
    """

    bins: Tensor
    voicing: Tensor


class F0Losses(NamedTuple):
    """Means over all frames, each (); unvoiced frames count as 0 in `bins`."""

    bins: Tensor
    voicing: Tensor


class F0Predictor(nn.Module):
    """Classifies F0 on a logarithmic scale, as CREPE does from waveforms (arXiv:1802.06182, section 2).

    Args:
        n_mel: mel bins M.
        hidden_size: channels of its ConvNeXt blocks.
        inner_size: channels within their perceptrons.
        n_blocks: how many.
    """

    def __init__(self, n_mel: int, hidden_size: int, inner_size: int, n_blocks: int) -> None:
        super().__init__()
        self.layers = ConvNeXtStack(n_mel, hidden_size, inner_size, n_blocks)
        self.head = nn.Linear(hidden_size, _N_BINS + 1)

    def forward(self, mel: Tensor) -> F0Logits:
        """Classify each frame of (B, M, T_mel) log-mels."""
        x = self.layers(from_log_mel(mel))
        logits = self.head(x).float()
        return F0Logits(logits[:, :, :_N_BINS], logits[:, :, _N_BINS])

    def predict(self, mel: Tensor) -> Tensor:
        """Return the (B, T_mel) F0 of (B, M, T_mel) log-mels, in Hz, 0 where unvoiced."""
        return decoded_f0(self(mel))


def f0_losses(logits: F0Logits, f0_hz: Tensor) -> F0Losses:
    """Return the cross-entropies of F0 and of voicing.

    Args:
        logits: of the mels.
        f0_hz: (B, T_mel), 0 where unvoiced.
    """
    is_voiced = (f0_hz > 0).float()
    log_hz = f0_hz.clamp(_MIN_HZ, _MAX_HZ).log().unsqueeze(2)
    distance = (_bin_log_hz(f0_hz.device) - log_hz) / (_BLUR_BINS * _BIN_SIZE)
    blurred = torch.softmax(-distance.square() / 2, dim=2)
    of_bins = -(blurred * F.log_softmax(logits.bins, dim=2)).sum(dim=2)
    of_voicing = F.binary_cross_entropy_with_logits(logits.voicing, is_voiced)
    return F0Losses((of_bins * is_voiced).mean(), of_voicing)


def decoded_f0(logits: F0Logits) -> Tensor:
    """Return (B, T_mel) F0 in Hz, 0 where unvoiced: the mean of log F0 over the bins round the likeliest one."""
    best = logits.bins.argmax(dim=2, keepdim=True)
    offsets = torch.arange(-_MEAN_BINS, _MEAN_BINS + 1, device=best.device)
    places = (best + offsets).clamp(0, _N_BINS - 1)
    weights = logits.bins.gather(2, places).softmax(dim=2)
    f0_hz = (weights * _bin_log_hz(best.device)[places]).sum(dim=2).exp()
    return f0_hz * (logits.voicing > 0)


def _bin_log_hz(device: torch.device) -> Tensor:
    return math.log(_MIN_HZ) + _BIN_SIZE * torch.arange(_N_BINS, device=device)
