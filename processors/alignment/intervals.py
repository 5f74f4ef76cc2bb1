"""The records that say where the words and phones of a recording lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace

from utils.errors import RecitalError

SILENCE_LABELS = frozenset({"", "sil", "sp", "silence", "<eps>"})
"""What aligners write where nobody speaks: `sil` and `sp` (MFA 1), nothing (MFA 2 and 3), and kin."""
_UNLABELLED = frozenset({""})


class AlignmentError(RecitalError):
    """A recording and its words that could not be brought together, or an alignment that cannot be right."""


@dataclass(frozen=True)
class Interval:
    """One label and the stretch of the recording that it holds for, in seconds."""

    start_s: float
    end_s: float
    label: str

    @property
    def is_silence(self) -> bool:
        """Whether nobody speaks here; to be asked of phones, for "silence" is a word as well."""
        return self.label.strip().casefold() in SILENCE_LABELS


@dataclass(frozen=True)
class Alignment:
    """Words and phones of one recording, both from its first to its last moment without gaps.

    Silence is an interval with the empty label in both tiers, so that neighbours always touch.

    Attributes:
        words: the words as they were heard.
        phones: the phones as they were heard.
        score: how well the words suit the recording, the higher the better; None where the aligner
            gives none. Only comparable between alignments of one aligner.
    """

    words: tuple[Interval, ...]
    phones: tuple[Interval, ...]
    score: float | None = None

    @property
    def end_s(self) -> float:
        """Where the last phone or silence ends."""
        return self.phones[-1].end_s if self.phones else 0.0

    def fitted_to(self, duration_s: float, where: str, tolerance_s: float = 0.25) -> Alignment:
        """Give the same alignment up to exactly the end of its recording.

        Aligners round to their frames, so that their ends lie a little before or behind it.

        Args:
            duration_s: length of the recording.
            where: what an error names.
            tolerance_s: how far the two ends may lie apart.

        Raises:
            AlignmentError: they lie further apart, so this is the alignment of another recording.
        """
        if abs(self.end_s - duration_s) > tolerance_s:
            raise AlignmentError(
                f"{where}: ends at {self.end_s:.2f} s, the recording at {duration_s:.2f} s; align it again"
            )
        words, phones = (
            [replace(each, end_s=min(each.end_s, duration_s)) for each in tier if each.start_s < duration_s]
            for tier in (self.words, self.phones)
        )
        return replace(self, words=words_without_gaps(words, duration_s), phones=without_gaps(phones, duration_s))


def words_without_gaps(words: Iterable[Interval], end_s: float) -> tuple[Interval, ...]:
    """Fill up a tier of words as `without_gaps` does, whatever they are called: only the empty label is silence."""
    return without_gaps(words, end_s, _UNLABELLED)


def only_words(intervals: Iterable[Interval], phones: Sequence[Interval]) -> list[Interval]:
    """Give the intervals of a tier of words that are words: "silence" may be one, if phones are spoken in it."""
    middles = [(phone.start_s + phone.end_s) / 2 for phone in phones if not phone.is_silence]
    return [
        each
        for each in intervals
        if not each.is_silence or (each.label and any(each.start_s <= middle < each.end_s for middle in middles))
    ]


def without_gaps(
    intervals: Iterable[Interval], end_s: float, silence_labels: Set[str] = SILENCE_LABELS
) -> tuple[Interval, ...]:
    """Fill what lies between, before and behind the intervals with silence, up to `end_s`.

    Silences get the empty label and neighbouring ones become one.

    Args:
        intervals: in order of time, without overlaps.
        end_s: the end of the recording; intervals that reach beyond it are kept whole.
        silence_labels: what silences are called, in lower case.

    Returns:
        Touching intervals that begin at 0.
    """
    filled: list[Interval] = []

    def append(interval: Interval) -> None:
        if interval.label.strip().casefold() not in silence_labels:
            filled.append(interval)
        elif filled and not filled[-1].label:
            filled[-1] = Interval(filled[-1].start_s, interval.end_s, "")
        else:
            filled.append(Interval(interval.start_s, interval.end_s, ""))

    reached_s = 0.0
    for interval in intervals:
        if interval.start_s > reached_s:
            append(Interval(reached_s, interval.start_s, ""))
        append(interval)
        reached_s = interval.end_s
    if end_s > reached_s:
        append(Interval(reached_s, end_s, ""))
    return tuple(filled)
