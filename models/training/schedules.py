"""Learning rate schedules."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from typing import Literal

Decay = Literal["inverse_sqrt", "cosine"]

# Share at the end of a cosine: not 0, so that longer training still has an effect.
_MIN_SHARE = 0.01


def learning_rate_share(
    *,
    warmup_steps: int,
    decay: Decay,
    decay_steps: int,
    anneal_steps: Sequence[int] = (),
    anneal_rate: float = 1.0,
) -> Callable[[int], float]:
    """Return the function from optimizer steps done to the share of the peak learning rate.

    A linear warm-up, then the decay; with `inverse_sqrt` this is the schedule of the Transformer (arXiv:1706.03762,
    section 5.3), and `anneal_steps` drop it further, as FastSpeech 2 is commonly trained.

    Args:
        warmup_steps: optimizer steps over which the learning rate rises.
        decay: how it falls afterwards.
        decay_steps: optimizer step at which the cosine ends, beyond `warmup_steps`; `inverse_sqrt` has no end.
        anneal_steps: ascending; from each on, `anneal_rate` is applied once more.
        anneal_rate: factor on the learning rate.
    """

    def share(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        annealed = anneal_rate ** bisect.bisect_right(anneal_steps, step)
        if decay == "inverse_sqrt":
            return annealed * math.sqrt(max(warmup_steps, 1) / (step + 1))
        progress = min((step - warmup_steps) / (decay_steps - warmup_steps), 1.0)
        return annealed * (_MIN_SHARE + (1.0 - _MIN_SHARE) * (1.0 + math.cos(math.pi * progress)) / 2.0)

    return share
