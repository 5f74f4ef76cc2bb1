"""Scale of log-mels within networks."""

from __future__ import annotations

import math

from torch import Tensor

from processors.audio.mel import MEL_FLOOR

# Mean and standard deviation of log-mels of speech. In these units an untrained network's output has a plausible
# loudness, which would otherwise take a thousand steps of Adam to learn.
_MEAN, _STD = -5.0, 2.0


def as_log_mel(mel: Tensor, is_padding: Tensor) -> Tensor:
    """Return the (B, M, T_mel) log-mel of a network's (B, T_mel, M) output, with silence on padding."""
    log_mel = (mel * _STD + _MEAN).masked_fill(is_padding.unsqueeze(2), math.log(MEL_FLOOR))
    return log_mel.transpose(1, 2)  # (B, T_mel, M) -> (B, M, T_mel)


def from_log_mel(mel: Tensor) -> Tensor:
    """Return (B, M, T_mel) log-mels as a network's (B, T_mel, M) input."""
    return (mel.transpose(1, 2) - _MEAN) / _STD


def clamped(mel: Tensor) -> Tensor:
    """Return log-mels without values below the floor of recordings, which no vocoder has met."""
    return mel.clamp(min=math.log(MEL_FLOOR))
