"""Alignments: records of the times of words and phones in a recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace

from utils.errors import RecitalError

SILENCE_LABELS = frozenset(
    {"", "sil", "sp", "silence", "<eps>", "pau", "ssil", "h#", "#", "_", "<p:>", "<p>", "<sil>", "<silence>", "[sil]"}
)
"""Labels that aligners write for silence, in lower case: `sil` and `sp` (MFA 1), the empty label (MFA 2 and 3), `pau`
(Festival), `h#` (TIMIT), `<p:>` (MAUS), and others."""
_UNLABELLED = frozenset({""})


class AlignmentError(RecitalError):
    """A recording that cannot be aligned with its text, or an alignment that cannot be right."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A label with its start and end in the recording, in seconds."""

    start_s: float
    end_s: float
    label: str

    @property
    def is_silence(self) -> bool:
        """Whether a phone is silence; not for words, of which "silence" is one."""
        return self.label.strip().casefold() in SILENCE_LABELS


@dataclass(frozen=True)
class Alignment:
    """Words and phones of one recording, both from its start to its end without gaps.

    Silence is an interval with the empty label in both tiers.

    Attributes:
        words: as spoken.
        phones: as spoken.
        score: how well the words fit the recording, the higher the better; None if the aligner has
            none. Only comparable between alignments of one aligner.
    """

    words: tuple[Interval, ...]
    phones: tuple[Interval, ...]
    score: float | None = None

    @property
    def end_s(self) -> float:
        """End of the last phone or silence."""
        return self.phones[-1].end_s if self.phones else 0.0

    def fitted_to(self, duration_s: float, where: str, tolerance_s: float = 0.25) -> Alignment:
        """Return the alignment with its end set to exactly that of the recording.

        Aligners round to their frames, so that their ends differ a little.

        Args:
            duration_s: length of the recording.
            where: named in errors.
            tolerance_s: largest difference of the two ends.

        Raises:
            AlignmentError: they differ by more, so this is the alignment of another recording.
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
    """Fill the gaps of a tier of words like `without_gaps`; only the empty label is silence."""
    return without_gaps(words, end_s, _UNLABELLED)


def only_words(intervals: Iterable[Interval], phones: Sequence[Interval]) -> list[Interval]:
    """Return the intervals of a tier that are words; a label such as "silence" is one if phones are spoken in it."""
    middles = [(phone.start_s + phone.end_s) / 2 for phone in phones if not phone.is_silence]
    return [
        each
        for each in intervals
        if not each.is_silence or (each.label and any(each.start_s <= middle < each.end_s for middle in middles))
    ]


def without_gaps(
    intervals: Iterable[Interval], end_s: float, silence_labels: Set[str] = SILENCE_LABELS
) -> tuple[Interval, ...]:
    """Fill the gaps before, between and after the intervals with silence, up to `end_s`.

    Silences get the empty label; adjacent ones are merged.

    Args:
        intervals: in order of time, without overlaps.
        end_s: the end of the recording; intervals that extend beyond it are kept whole.
        silence_labels: labels of silence, in lower case.

    Returns:
        Adjacent intervals from 0 on.
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
