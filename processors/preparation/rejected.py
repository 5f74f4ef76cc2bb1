"""Recordings that cannot be used, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from utils.errors import RecitalError

PROBLEM = "problem"
"""The feature of a store that tells why an utterance has no others."""
UNEXPECTED = "unexpected"
"""The kind of what nobody has thought of, and of processes that crash: not a fault of the utterance alone."""


class DurationError(RecitalError):
    """A recording, its list and its alignment that do not agree how long it is."""


@dataclass(frozen=True)
class Bad:
    """One recording, or line of a corpus, that was left out.

    Attributes:
        utterance_id: empty where it is not known.
        kind: for counting, e.g. `silent` or `alignment failed`.
        reason: where and what, in one line.
    """

    utterance_id: str
    kind: str
    reason: str

    def as_array(self) -> np.ndarray:
        """Give kind and reason as a feature, (bytes,) uint8."""
        return np.frombuffer(json.dumps([self.kind, self.reason], ensure_ascii=False).encode(), dtype=np.uint8)

    @classmethod
    def from_array(cls, utterance_id: str, values: np.ndarray) -> Bad:
        """Read what `as_array` gave."""
        kind, reason = json.loads(values.tobytes().decode())
        return cls(utterance_id, kind, reason)
