"""Sharpness of log-mels: how much detail they have over time and over the bands."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor


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
