"""Monotonic alignment search (Viterbi)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

_IMPOSSIBLE = np.float32(-1e30)


def best_durations(
    log_probabilities: npt.NDArray[np.float32],
    phoneme_lengths: npt.NDArray[np.integer],
    mel_lengths: npt.NDArray[np.integer],
    is_optional: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int32]:
    """Compute the likeliest durations of each utterance's phones, some of which may be skipped.

    The monotonic alignment search of Glow-TTS (arXiv:2005.11129, section 3.2), here with optional phones; compiled on
    the first call, which takes a second. 100 phones and 800 frames take 0.1 ms. The aligner passes the states of its
    phones in place of phones (see `PhoneStates`).

    Args:
        log_probabilities: (B, T_mel, T_text) of each phone at each frame; anything finite on padding.
        phoneme_lengths: (B,) real phones.
        mel_lengths: (B,) real frames.
        is_optional: (B, T_text) phones that may be skipped; no two adjacent ones.

    Returns:
        (B, T_text) frames per phone: 1 or more except for optional phones, 0 on padding. A row adds up to its
        `mel_lengths`; to 0 if there are fewer frames than phones.
    """
    durations = np.zeros(is_optional.shape, dtype=np.int32)
    _compiled()(
        np.ascontiguousarray(log_probabilities, dtype=np.float32),
        np.ascontiguousarray(phoneme_lengths, dtype=np.int64),
        np.ascontiguousarray(mel_lengths, dtype=np.int64),
        np.ascontiguousarray(is_optional, dtype=np.bool_),
        durations,
    )
    return durations


@cache
def _compiled() -> Callable[..., None]:
    import numba  # imports slowly, and only here is it needed

    scores, lengths, marks, found = (
        numba.float32[:, :, ::1],
        numba.int64[::1],
        numba.boolean[:, ::1],
        numba.int32[:, ::1],
    )
    compiled: Callable[..., None] = numba.njit(numba.void(scores, lengths, lengths, marks, found), nogil=True)(_search)
    return compiled


def _search(scores: Any, phoneme_lengths: Any, mel_lengths: Any, is_optional: Any, durations: Any) -> None:
    """Write the durations; in the subset of Python that numba compiles."""
    for row in range(scores.shape[0]):
        n_phones, n_frames = phoneme_lengths[row], mel_lengths[row]
        if n_phones == 0 or n_frames == 0:
            continue
        best = np.full(n_phones, _IMPOSSIBLE, dtype=np.float32)  # score of the best path to each phone at this frame
        steps = np.zeros((n_frames, n_phones), dtype=np.uint8)  # how many phones back that path was a frame before
        best[0] = scores[row, 0, 0]
        if n_phones > 1 and is_optional[row, 0]:
            best[1] = scores[row, 0, 1]
        for frame in range(1, n_frames):
            # From the last phone to the first: the values of earlier phones are still those of the previous frame.
            for phone in range(n_phones - 1, -1, -1):
                value, step = best[phone], 0
                if phone > 0 and best[phone - 1] > value:
                    value, step = best[phone - 1], 1
                if phone > 1 and is_optional[row, phone - 1] and best[phone - 2] > value:
                    value, step = best[phone - 2], 2
                best[phone] = value + scores[row, frame, phone]
                steps[frame, phone] = step
        phone = n_phones - 1
        if n_phones > 1 and is_optional[row, phone] and best[phone - 1] > best[phone]:
            phone -= 1
        if best[phone] <= _IMPOSSIBLE / 2:
            continue
        for frame in range(n_frames - 1, -1, -1):
            durations[row, phone] += 1
            phone -= steps[frame, phone]
