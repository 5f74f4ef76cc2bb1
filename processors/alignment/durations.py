"""Conversion between durations in frames and times in seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from processors.alignment.intervals import Alignment, AlignmentError, Interval, without_gaps, words_without_gaps
from processors.text.phone_sequence import PhoneSequence


def durations_from_times(
    ends_s: Sequence[float] | npt.NDArray[np.floating],
    n_frames: int,
    hop_size: int,
    sample_rate: int,
    tolerance_s: float = 0.25,
) -> npt.NDArray[np.int32]:
    """Compute the frames of each phone, which add up to the recording's frames exactly.

    Every end is rounded to the nearest frame boundary, so that rounding errors do not accumulate.

    Args:
        ends_s: (T_text,) ends of the phones, in seconds, not decreasing.
        n_frames: T_mel, the frames of the recording.
        hop_size: samples per frame.
        sample_rate: samples per second.
        tolerance_s: largest difference between the last end and the end of the recording, which the
            last phone absorbs.

    Returns:
        (T_text,) frames per phone, int32; 0 where a phone is shorter than half a frame.

    Raises:
        AlignmentError: times decrease, or end too far from the recording's end.
    """
    ends = np.asarray(ends_s, dtype=np.float64)
    recording_s = n_frames * hop_size / sample_rate
    if ends.size == 0 or not np.isfinite(ends).all() or ends[0] < 0 or (np.diff(ends) < 0).any():
        raise AlignmentError("the alignment has no phones, or phones that end before they begin; align it again")
    if abs(ends[-1] - recording_s) > tolerance_s:
        raise AlignmentError(
            f"the alignment ends at {ends[-1]:.2f} s, the recording at {recording_s:.2f} s; "
            "align it again, or leave it out"
        )
    end_frames = np.rint(ends * sample_rate / hop_size).astype(np.int64).clip(0, n_frames)
    end_frames[-1] = n_frames
    return np.diff(end_frames, prepend=0).astype(np.int32)


def alignment_from_durations(
    sequence: PhoneSequence,
    durations: npt.NDArray[np.integer],
    *,
    frame_s: float,
    duration_s: float,
    score: float | None = None,
) -> Alignment:
    """Return the times of each word and phone, in seconds.

    Args:
        sequence: T_text phones and pauses.
        durations: (T_text,) frames of each; 0 for a pause that is skipped.
        frame_s: seconds from one frame to the next.
        duration_s: of the recording.
        score: of the alignment.
    """
    ends_s = np.clip(np.cumsum(durations) * frame_s, 0.0, duration_s)
    starts_s = np.concatenate([[0.0], ends_s[:-1]])
    phones: list[Interval] = []
    spans: dict[int, tuple[float, float]] = {}
    for label, word_index, start, end in zip(
        sequence.phones, sequence.word_indices, starts_s.tolist(), ends_s.tolist(), strict=True
    ):
        if word_index < 0 or end <= start:
            continue
        phones.append(Interval(start, end, label))
        spans[word_index] = (spans.get(word_index, (start,))[0], end)
    words = (Interval(start, end, sequence.words[word]) for word, (start, end) in spans.items())
    return Alignment(words_without_gaps(words, duration_s), without_gaps(phones, duration_s), score)
