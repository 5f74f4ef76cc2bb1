"""Versions of the front ends, to recognise voices and features from before a correction of pronunciation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

FRONT_END = "front_end"
"""The name under which bundles and feature stores keep the version."""


@dataclass(frozen=True)
class FrontEndVersion:
    """A number per part of the front ends, raised when a correction changes its output.

    Attributes:
        normaliser: words for numbers, dates and abbreviations.
        lexicon: phones of words, unknown ones included, and the choice among several.
        tones: tones of tonal languages.
        pauses: pauses for punctuation.
    """

    normaliser: int = 1
    lexicon: int = 1
    tones: int = 1
    pauses: int = 1

    def as_dict(self) -> dict[str, int]:
        """Return the numbers by name, as saved."""
        return asdict(self)

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> FrontEndVersion:
        """Return the version saved in a bundle or feature store; 1 for missing parts, as before there were versions.

        Args:
            kept: numbers by name under `FRONT_END`, beside others.

        Raises:
            ValueError: these are no such numbers.
        """
        found = kept.get(FRONT_END, {})
        numbers = {each.name: found.get(each.name, 1) if isinstance(found, dict) else 0 for each in fields(cls)}
        if any(type(number) is not int or number < 1 for number in numbers.values()):
            raise ValueError(f"{FRONT_END} must hold numbers from 1 on, found {found}")
        return cls(**numbers)

    @classmethod
    def oldest(cls, versions: Iterable[FrontEndVersion]) -> FrontEndVersion:
        """Return the least number of each part; 1 for all if there are no versions."""
        return cls(*map(min, zip(*map(astuple, versions), strict=True)))


FRONT_END_VERSION = FrontEndVersion(normaliser=3, lexicon=3, tones=3, pauses=3)
"""The present version: raise a number in the commit that changes the output."""
