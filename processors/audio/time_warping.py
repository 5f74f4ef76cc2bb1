"""Dynamic time warping of two mels."""

from __future__ import annotations

import numpy as np


def warp(mel: np.ndarray, other: np.ndarray, *, is_centred: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames of two recordings of the same words that belong together.

    Args:
        mel: (M, T_mel) log-mel.
        other: (M, T_other).
        is_centred: whether the difference of their means, of mels the level, is left out.

    Returns:
        Two (N,) arrays of frame numbers, neither of which decreases, from the first frames to the last.
    """
    import librosa  # imports slowly

    # Levels may differ; a frame's spectral shape says more about the sound.
    centred = [each - each.mean() if is_centred else each for each in (mel, other)]
    _, path = librosa.sequence.dtw(*centred, metric="euclidean")
    return path[::-1, 0], path[::-1, 1]
