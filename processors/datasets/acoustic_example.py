"""One utterance as acoustic models see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processors.datasets.utterance_data import UtteranceExample


@dataclass(frozen=True)
class AcousticExample(UtteranceExample):
    """One utterance of an `AcousticBatch`, without padding.

    Attributes:
        speaker_id: row of the speaker table.
        durations: (T_text,) frames per phone.
        pitch: (T_text,) or, at frame level, (T_mel,); None if the model has none.
        energy: likewise.
    """

    speaker_id: int
    durations: np.ndarray
    pitch: np.ndarray | None
    energy: np.ndarray | None
