"""Fingerprints of the inputs of an utterance's features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.fingerprint import NOTHING, STAMP_BYTES


@dataclass(frozen=True)
class Fingerprints:
    """Stamps of all inputs of one utterance's features.

    Attributes:
        audio: the recording.
        text: the text and the user's lexicon; `NOTHING` if features need no text.
        textgrid: the file that the durations come from; `NOTHING` if there is none (yet).
        limits: of duration; compared for rejected recordings only.
    """

    audio: bytes
    text: bytes = NOTHING
    textgrid: bytes = NOTHING
    limits: bytes = NOTHING

    def as_array(self) -> np.ndarray:
        """Return the stamps as the store keeps them, (4, 8) uint8."""
        stamps = b"".join((self.audio, self.text, self.textgrid, self.limits))
        return np.frombuffer(stamps, dtype=np.uint8).reshape(4, STAMP_BYTES)

    @classmethod
    def from_array(cls, stamps: np.ndarray) -> Fingerprints:
        """Return the fingerprints that `as_array` packed."""
        return cls(*(row.tobytes() for row in stamps))

    def match(self, other: Fingerprints, *, with_text: bool) -> bool:
        """Return whether features with fingerprints `other` are up to date."""
        if self.audio != other.audio:
            return False
        return not with_text or (self.text, self.textgrid) == (other.text, other.textgrid)
