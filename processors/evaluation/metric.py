"""A metric as registered, and its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from processors.evaluation.packages import are_installed
from processors.evaluation.pair import Input, Pair


class Measurement(NamedTuple):
    """The value of a metric for one recording, and its weight in the mean over recordings."""

    value: float
    weight: float


def weighted_mean(figures: Sequence[Measurement]) -> float:
    """Return the mean over recordings."""
    return sum(value * weight for value, weight in figures) / sum(weight for _, weight in figures)


@dataclass(frozen=True)
class Metric:
    """A metric of synthesised speech.

    Attributes:
        name: its key in reports.
        unit: of its values; empty for a bare number.
        better: which values are better; `near`: those near to the recordings' own.
        meaning: what it measures, for the reader of a table.
        measure: returns the value of a pair; None if it is undefined.
        takes: what of a pair it needs beside the synthesised speech: "recording", "equal timing" (speech that is a
            copy of the recording frame for frame, not free speech), "text".
        packages: what must be installed, by the names they are imported by.
        weight: of a pair in the mean over recordings.
    """

    name: str
    unit: str
    better: Literal["less", "more", "near"]
    meaning: str
    measure: Callable[[Pair], float | None]
    takes: tuple[Input, ...] = ()
    packages: tuple[str, ...] = ()
    weight: Callable[[Pair], float] = lambda pair: 1.0

    @property
    def needs_equal_timing(self) -> bool:
        """Return whether it is meaningless for free speech."""
        return "equal timing" in self.takes

    @property
    def is_installed(self) -> bool:
        """Return whether the packages that it needs are installed."""
        return are_installed(self.packages)

    @property
    def direction(self) -> str:
        """Return which values are better, for a table."""
        return "near the recordings' is better" if self.better == "near" else f"{self.better} is better"
