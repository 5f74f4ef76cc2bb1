"""Targets of pitch over the time of a stretch of words, as SSML's `pitch` and `contour` set them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PitchTarget:
    """The pitch at a place in the time of a stretch.

    Attributes:
        position: from 0, the beginning of the stretch, to 1, its end.
        hz: F0; None for the predicted one, to which the others are added.
        semitones, shift_hz: changes, as in `models.contracts.Change`.
    """

    position: float
    hz: float | None = None
    semitones: float = 0.0
    shift_hz: float = 0.0


@dataclass(frozen=True)
class PitchElement:
    """The pitch that one element of a text sets.

    Attributes:
        place: line and column of the element, which is that of no other.
        targets: in order of their positions; empty for none.
        mean_hz: the mean F0 over the element; None for that which comes of all else.
    """

    place: tuple[int, int]
    targets: tuple[PitchTarget, ...] = ()
    mean_hz: float | None = None
