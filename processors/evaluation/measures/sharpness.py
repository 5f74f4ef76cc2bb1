"""Sharpness of log-mels: how much detail they have over time and over the bands."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from processors.evaluation.pair import Pair


@dataclass(frozen=True)
class Sharpness:
    """Detail of a log-mel, in natural logarithms of magnitude.

    Predicted mels are averages of what could be said, and averages are smooth: all three are below those of recordings,
    and the distance follows what listeners dislike more closely than the mel's error does.

    Attributes:
        deviation: standard deviation over time, mean over the bands.
        change: mean absolute difference of neighbouring frames.
        curvature: mean absolute second difference over the bands, where the harmonics are.
    """

    deviation: float
    change: float
    curvature: float


SHARPNESS_NAMES = tuple(field.name for field in fields(Sharpness))


def sharpness(mel: Tensor) -> Sharpness | None:
    """Measure an (M, T_mel) log-mel of 3 bands and 2 frames at least; None if it is smaller."""
    if mel.shape[0] < 3 or mel.shape[1] < 2:
        return None
    mel = mel.float()
    return Sharpness(
        deviation=float(mel.std(dim=1, correction=0).mean()),
        change=float(mel.diff(dim=1).abs().mean()),
        curvature=float(mel.diff(n=2, dim=0).abs().mean()),
    )


def deviation(pair: Pair) -> float | None:
    """Return the deviation over time of the synthesised speech's mel."""
    return _of(pair, "deviation")


def change(pair: Pair) -> float | None:
    """Return the change from frame to frame of the synthesised speech's mel."""
    return _of(pair, "change")


def curvature(pair: Pair) -> float | None:
    """Return the second difference over the bands of the synthesised speech's mel."""
    return _of(pair, "curvature")


def _of(pair: Pair, name: str) -> float | None:
    found = None if pair.mel is None else sharpness(torch.from_numpy(pair.mel))
    return None if found is None else float(getattr(found, name))
