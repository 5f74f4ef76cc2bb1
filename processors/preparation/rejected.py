"""Rejected recordings and the reasons."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from utils.errors import RecitalError

UNEXPECTED = "unexpected"
"""Kind of unexpected exceptions; not stored, so that the next run tries again."""


class DurationError(RecitalError):
    """A recording whose length disagrees with its list or its alignment."""


@dataclass(frozen=True)
class Rejected:
    """A recording, or a line of a corpus, that cannot be used.

    Attributes:
        utterance_id: empty if unknown.
        kind: for counting, e.g. `silent` or `alignment failed`.
        reason: where and what, in one line.
    """

    utterance_id: str
    kind: str
    reason: str

    def as_array(self) -> np.ndarray:
        """Return kind and reason as the store keeps them, (bytes,) uint8."""
        return np.frombuffer(json.dumps([self.kind, self.reason], ensure_ascii=False).encode(), dtype=np.uint8)

    @classmethod
    def from_array(cls, utterance_id: str, values: np.ndarray) -> Rejected:
        """Return the rejection that `as_array` packed."""
        kind, reason = json.loads(values.tobytes().decode())
        return cls(utterance_id, kind, reason)
