"""Global alignment of recognised words with those of a text, which may be a whole book.

Runs of words that occur once on both sides are anchors, as in the alignment of long audio (Moreno et al. 1998) and in
patience diff; between neighbouring anchors shorter runs are looked for, and at last Needleman and Wunsch's algorithm
decides. Time and memory grow with the number of words, not with its square.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_RUNS = (5, 3, 2)
"""Lengths of anchors, tried in this order."""
_MOST_CELLS = 400_000
_WORDS_AT_ENDS = 40
UNMATCHED = -1

Numbers = npt.NDArray[np.int64]


class _Range(NamedTuple):
    """Words of both sides between two anchors, and whether the text may go on before and after them."""

    left: tuple[int, int]
    right: tuple[int, int]
    is_first: bool
    is_last: bool


def align_words(read: Sequence[str], text: Sequence[str]) -> Numbers:
    """Align recognised words with a text, of which they are a part.

    Args:
        read: recognised words, as keys.
        text: words of the text, as keys; before the first and after the last match it may go on for long.

    Returns:
        (number of recognised words,) the word of the text that each equals or stands in place of, ever later ones;
        `UNMATCHED` for those that the text lacks.
    """
    numbers: dict[str, int] = {}
    left = np.array([numbers.setdefault(word, len(numbers)) for word in read], dtype=np.int64)
    right = np.array([numbers.setdefault(word, len(numbers)) for word in text], dtype=np.int64)
    found = np.full(len(read), UNMATCHED, dtype=np.int64)
    _align(left, right, found, _Range((0, len(left)), (0, len(right)), True, True), _RUNS)
    return found


def _align(left: Numbers, right: Numbers, found: Numbers, within: _Range, sizes: Sequence[int]) -> None:
    """Align two ranges of words, and note the matches."""
    (left_first, left_end), (right_first, right_end) = within.left, within.right
    n_left, n_right = left_end - left_first, right_end - right_first
    if n_left <= 0 or n_right <= 0:
        return
    here, there = left[left_first:left_end], right[right_first:right_end]
    if not sizes:
        if n_left * n_right <= _MOST_CELLS:
            for at, place in best_path(here, there, free=(within.is_first, within.is_last)):
                found[left_first + at] = right_first + place
        return
    anchors = _anchors(here, there, sizes[0])
    if not anchors:
        _align(left, right, found, within, sizes[1:])
        return
    for at, place in anchors:
        found[left_first + at] = right_first + place
    ends = [(-1, -1), *anchors, (n_left, n_right)]
    for number, ((left_before, right_before), (left_after, right_after)) in enumerate(pairwise(ends)):
        first, end = right_before + 1, right_after
        room = 2 * (left_after - left_before) + _WORDS_AT_ENDS
        is_first, is_last = within.is_first and number == 0, within.is_last and number == len(ends) - 2
        if is_first:
            first = max(first, end - room)
        if is_last:
            end = min(end, first + room)
        inner = _Range(
            (left_first + left_before + 1, left_first + left_after),
            (right_first + first, right_first + end),
            is_first,
            is_last,
        )
        _align(left, right, found, inner, sizes[1:])


def _anchors(left: Numbers, right: Numbers, size: int) -> list[tuple[int, int]]:
    """Return pairs of equal words that lie in a run of words unique on both sides, both increasing."""
    here, there = (_unique_runs(words, size) for words in (left, right))
    pairs = sorted((at, there[run]) for run, at in here.items() if run in there)
    chain: list[tuple[int, int]] = []
    for index in _longest_increasing([place for _, place in pairs]):
        at, place = pairs[index]
        for offset in range(size):  # overlapping runs repeat words
            if not chain or (at + offset > chain[-1][0] and place + offset > chain[-1][1]):
                chain.append((at + offset, place + offset))
    return chain


def _unique_runs(words: Numbers, size: int) -> dict[tuple[int, ...], int]:
    found: dict[tuple[int, ...], int] = {}
    values = words.tolist()
    for at in range(len(values) - size + 1):
        run = tuple(values[at : at + size])
        found[run] = -1 if run in found else at
    return {run: at for run, at in found.items() if at >= 0}


def _longest_increasing(values: Sequence[int]) -> list[int]:
    """Return the indices of a longest increasing subsequence."""
    tails: list[int] = []
    tail_indices: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        place = bisect_left(tails, value)
        before.append(tail_indices[place - 1] if place else -1)
        tails[place : place + 1] = [value]
        tail_indices[place : place + 1] = [index]
    chain: list[int] = []
    index = tail_indices[-1] if tail_indices else -1
    while index >= 0:
        chain.append(index)
        index = before[index]
    return chain[::-1]


def best_path(left: Numbers, right: Numbers, *, free: tuple[bool, bool] = (False, False)) -> Iterator[tuple[int, int]]:
    """Yield the pairs of words, equal or one in place of another, of an alignment with the fewest errors.

    Args:
        left: (n,) numbers of words.
        right: (m,) likewise.
        free: whether words of the right side before the first pair, and after the last, are no errors.
    """
    n, m = len(left), len(right)
    columns = np.arange(m + 1)
    cost = np.zeros(m + 1) if free[0] else columns.astype(float)
    moves = np.zeros((n + 1, m + 1), dtype=np.int8)  # 0 both, 1 left alone, 2 right alone
    moves[0] = 2
    for row in range(1, n + 1):
        both = np.concatenate([[np.inf], cost[:-1] + 1.001 * (right != left[row - 1])])
        alone = cost + 1.0
        best = np.minimum(both, alone)
        passing = np.minimum.accumulate(best - columns) + columns
        moves[row] = np.where(passing < best - 1e-9, 2, np.where(both <= alone, 0, 1))
        cost = passing
    row, column = n, int(np.argmin(cost)) if free[1] else m
    pairs = []
    while row and column:
        move = moves[row, column]
        if move == 0:
            pairs.append((row - 1, column - 1))
        row, column = row - (move != 2), column - (move != 1)
    yield from reversed(pairs)
