"""Comparison of two alignments of one recording."""

from __future__ import annotations

from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt

from processors.alignment.intervals import Alignment, Interval


def boundary_differences(reference: Alignment, ours: Alignment) -> npt.NDArray[np.float64]:
    """Measure where phones begin in one alignment against where they begin in another.

    The two phone sequences are matched in order, without regard to stress; phones that only one of
    them has, and silences, do not count.

    Args:
        reference: the alignment to measure against.
        ours: the one to be measured.

    Returns:
        (number of matching phones,) seconds, positive where ours begins later.
    """
    of_reference, of_ours = _spoken(reference), _spoken(ours)
    matcher = SequenceMatcher(None, [_sound(each) for each in of_reference], [_sound(each) for each in of_ours], False)
    differences = [
        of_ours[match.b + offset].start_s - of_reference[match.a + offset].start_s
        for match in matcher.get_matching_blocks()
        for offset in range(match.size)
    ]
    return np.array(differences, dtype=np.float64)


def _spoken(alignment: Alignment) -> list[Interval]:
    return [phone for phone in alignment.phones if not phone.is_silence]


def _sound(phone: Interval) -> str:
    return phone.label.rstrip("012")
