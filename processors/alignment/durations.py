"""From times in seconds to frames per phone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from processors.alignment.intervals import AlignmentError


def durations_from_times(
    ends_s: Sequence[float] | npt.NDArray[np.floating],
    n_frames: int,
    hop_size: int,
    sample_rate: int,
    tolerance_s: float = 0.25,
) -> npt.NDArray[np.int32]:
    """Count the frames of each phone so that they add up to the recording's frames exactly.

    Every phone's end is rounded to the nearest frame boundary by itself, so that no rounding
    error is handed on from phone to phone.

    Args:
        ends_s: (T_text,) where each phone ends, in seconds, never falling.
        n_frames: T_mel, the frames of the recording.
        hop_size: samples per frame.
        sample_rate: samples per second.
        tolerance_s: how far the last end may lie from the end of the recording; within it the last
            phone takes up the difference.

    Returns:
        (T_text,) frames per phone, int32; 0 where a phone is shorter than half a frame.

    Raises:
        AlignmentError: times fall, or they end too far from the recording's end.
    """
    ends = np.asarray(ends_s, dtype=np.float64)
    recording_s = n_frames * hop_size / sample_rate
    if ends.size == 0 or not np.isfinite(ends).all() or ends[0] < 0 or (np.diff(ends) < 0).any():
        raise AlignmentError("the alignment has no phones, or phones that end before they begin; align it again")
    if abs(ends[-1] - recording_s) > tolerance_s:
        raise AlignmentError(
            f"the alignment ends at {ends[-1]:.2f} s, the recording at {recording_s:.2f} s; "
            f"align it again, or leave it out"
        )
    end_frames = np.rint(ends * sample_rate / hop_size).astype(np.int64).clip(0, n_frames)
    end_frames[-1] = n_frames
    return np.diff(end_frames, prepend=0).astype(np.int32)
