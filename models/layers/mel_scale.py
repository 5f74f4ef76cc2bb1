"""The scale of log-mels that networks compute in."""

from __future__ import annotations

import math

from torch import Tensor

from processors.audio.mel import MEL_FLOOR

# Log-mels of speech lie round -5, give or take 2. Networks compute in these units, so that the first output is a
# plausible loudness and not what a thousand steps of Adam would be spent on.
_CENTRE, _SPREAD = -5.0, 2.0


def as_log_mel(mel: Tensor, is_padding: Tensor) -> Tensor:
    """Return the (B, M, T_mel) log-mel of a network's (B, T_mel, M) output, with silence on padding."""
    log_mel = (mel * _SPREAD + _CENTRE).masked_fill(is_padding.unsqueeze(2), math.log(MEL_FLOOR))
    return log_mel.transpose(1, 2)  # (B, T_mel, M) -> (B, M, T_mel)
