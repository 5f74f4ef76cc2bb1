"""Cuts of a long recording: which pauses separate utterances, and what of the text lies between them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from processors.segmenting.pauses import Pause
from processors.segmenting.text_words import ReadWord, TextWords
from processors.segmenting.word_alignment import UNMATCHED

# A pause is cut at if it lasts so many seconds, by what separates the words around it: none, comma, clause, sentence.
# Within what is written as one word, only where nothing else is left.
_CUT_FROM_S = (0.8, 0.55, 0.45, 0.12)
# Of a transcript, whose punctuation is less sure: recognisers write commas, or nothing, where sentences end.
_CUT_TRANSCRIPT_FROM_S = (0.45, 0.45, 0.45, 0.12)
_CUT_WITHIN_WORD_FROM_S = 3.0
_TOO_SHORT_COST = 1.0
# So many words of the text, beyond those that were recognised in another form, are not in the recording.
_SKIPPED_WORDS = 6


class Gap(NamedTuple):
    """The words around a pause.

    Attributes:
        left_end: word of the text after the last before the pause.
        right_start: first word of the text after the pause; larger where the recording leaves words out.
        strength: how strongly the text separates them; see `TextWords.strength_before`.
    """

    left_end: int
    right_start: int
    strength: int


class Cut(NamedTuple):
    """An utterance to be.

    Attributes:
        before: the pause before it.
        after: the pause after it.
        first_word: of the text.
        end_word: the word after its last.
    """

    before: Pause
    after: Pause
    first_word: int
    end_word: int

    def span(self, edge_s: float) -> tuple[float, float]:
        """Return start and end in seconds, with silence at the edges, up to the middle of the pauses."""
        start = max(self.before.middle_s, self.before.end_s - edge_s)
        return start, min(self.after.middle_s, self.after.start_s + edge_s)


@dataclass(frozen=True)
class Lengths:
    """Bounds of utterances, in seconds.

    Attributes:
        shortest_s: of the speech, from the pause before to the one after.
        longest_s: of the utterance, with the silence at its edges.
        edge_s: most silence left at each edge.
    """

    shortest_s: float = 1.0
    longest_s: float = 15.0
    edge_s: float = 0.2


def spoken_times(words: Sequence[ReadWord], pauses: Sequence[Pause]) -> npt.NDArray[np.float64]:
    """Return a time of each recognised word at which it is spoken: recognisers extend words into pauses."""
    ends, starts = [pause.end_s for pause in pauses], [pause.start_s for pause in pauses]
    times = []
    for word in words:
        first = max(bisect_right(ends, word.start_s) - 1, 0)  # the speech behind pause `first`
        best, longest = (word.start_s + word.end_s) / 2, -1.0
        for number in range(first, len(pauses) - 1):
            begin, end = max(word.start_s, ends[number]), min(word.end_s, starts[number + 1])
            if end - begin > longest:
                best, longest = (begin + end) / 2, end - begin
            if starts[number + 1] >= word.end_s:
                break
        times.append(best)
    return np.maximum.accumulate(np.array(times)) if times else np.zeros(0)


def gaps_at(
    pauses: Sequence[Pause], times: npt.NDArray[np.float64], matches: npt.NDArray[np.int64], text: TextWords
) -> list[Gap]:
    """Return the words around each pause.

    Args:
        pauses: of the recording.
        times: when each recognised word is spoken, as of `spoken_times`.
        matches: word of the text for each recognised one, as of `align_words`.
        text: the text.
    """
    # The last matched word before, and the first one after, each place between recognised words.
    last = np.concatenate([[-1], np.maximum.accumulate(matches)]) if len(matches) else np.array([-1])
    later = np.where(matches == UNMATCHED, len(text.keys), matches)
    first = np.concatenate([np.minimum.accumulate(later[::-1])[::-1], [len(text.keys)]])
    matched = [-1, *np.flatnonzero(matches != UNMATCHED).tolist(), len(matches)]
    gaps = []
    for place in np.searchsorted(times, [pause.middle_s for pause in pauses]).tolist():
        left, right = int(last[place]) + 1, int(first[place])
        here = bisect_left(matched, place)
        n_left, n_right = place - matched[here - 1] - 1, matched[here] - place  # recognised words that the text lacks
        is_edge = place in (0, len(matches))  # the text may begin before the recording, and end after it
        if is_edge or right - left > n_left + n_right + _SKIPPED_WORDS:
            left_end = min(left + n_left, right)
            gaps.append(Gap(left_end, max(right - n_right, left_end), text.strength_before(left_end)))
            continue
        share = n_left / (n_left + n_right) if n_left + n_right else 0.5
        middle = left + share * (right - left)
        best = max(range(left, right + 1), key=lambda at: (text.strength_before(at), -abs(at - middle)))
        gaps.append(Gap(best, best, text.strength_before(best)))
    return gaps


def choose_cuts(
    pauses: Sequence[Pause], gaps: Sequence[Gap], lengths: Lengths, *, is_transcript: bool = False
) -> list[Cut]:
    """Return the utterances between the pauses that separate the text best, no longer than allowed where pauses permit.

    By dynamic programming over the pauses: those that are long for their punctuation are gains, others losses.

    Args:
        pauses: of the recording.
        gaps: the words around each.
        lengths: bounds of the utterances.
        is_transcript: whether the text, and so its punctuation, was recognised.
    """
    cut_from_s = _CUT_TRANSCRIPT_FROM_S if is_transcript else _CUT_FROM_S
    costs = [_cost(pause, gap, cut_from_s) for pause, gap in zip(pauses, gaps, strict=True)]
    best = [0.0, *([float("inf")] * (len(pauses) - 1))]
    came_from = [0] * len(pauses)
    for here in range(1, len(pauses)):
        for there in range(here - 1, -1, -1):
            speech_s = pauses[here].start_s - pauses[there].end_s
            if speech_s + 2 * lengths.edge_s > lengths.longest_s and there < here - 1:
                break
            cost = best[there] + costs[here] + _TOO_SHORT_COST * (speech_s < lengths.shortest_s)
            if cost < best[here]:
                best[here], came_from[here] = cost, there
    chosen = [len(pauses) - 1]
    while chosen[-1]:
        chosen.append(came_from[chosen[-1]])
    chosen.reverse()
    return [
        Cut(pauses[a], pauses[b], gaps[a].right_start, max(gaps[b].left_end, gaps[a].right_start))
        for a, b in pairwise(chosen)
    ]


def _cost(pause: Pause, gap: Gap, cut_from_s: Sequence[float]) -> float:
    from_s = _CUT_WITHIN_WORD_FROM_S if gap.strength < 0 else cut_from_s[gap.strength]
    return from_s - min(pause.duration_s, 2.0)
