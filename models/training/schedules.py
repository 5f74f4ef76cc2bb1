"""The learning rate of FastSpeech 2 over the steps of training."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable

from models.fastspeech2.settings import FastSpeech2TrainSettings

# Where a cosine ends: not at 0, so that whoever trains on still learns.
_LOWEST_SHARE = 0.01


def learning_rate_share(settings: FastSpeech2TrainSettings) -> Callable[[int], float]:
    """Give the function from optimizer steps done to the share of the highest learning rate.

    A linear warm-up, then the decay; with `inverse_sqrt` this is the schedule of the Transformer (arXiv:1706.03762,
    section 5.3), and `anneal_steps` drop it further, as FastSpeech 2 is commonly trained.
    """
    warmup, end = settings.warmup_steps, settings.decay_steps

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        annealed = settings.anneal_rate ** bisect.bisect_right(settings.anneal_steps, step)
        if settings.decay == "inverse_sqrt":
            return annealed * math.sqrt(max(warmup, 1) / (step + 1))
        progress = min((step - warmup) / (end - warmup), 1.0)
        return annealed * (_LOWEST_SHARE + (1.0 - _LOWEST_SHARE) * (1.0 + math.cos(math.pi * progress)) / 2.0)

    return share
