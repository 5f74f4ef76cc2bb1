"""Shares of the work that several machines divide among themselves."""

from __future__ import annotations

from dataclasses import dataclass

from utils.fingerprint import stamp


@dataclass(frozen=True)
class Share:
    """The share of one of several machines, `number` of `count`, counted from 1."""

    number: int
    count: int

    def has(self, item_id: str) -> bool:
        """Return whether an item, such as an utterance, belongs to the share, which depends on its id alone."""
        return int.from_bytes(stamp(item_id), "big") % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
