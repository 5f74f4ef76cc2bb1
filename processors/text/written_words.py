"""Places of spoken words in the text as its user wrote it: "$5" for "five dollars"."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from processors.text.scripts import without_symbols
from processors.text.tokens import PAUSE_OF_MARK

Span = tuple[int, int]
"""First character, and the one after the last."""

# Dashes and the punctuation of scripts without spaces end a piece, too.
_ENDS = "—–，。！？；：、"
_PIECE = re.compile(rf"[^\s{_ENDS}]+[{_ENDS}”’」』》）)]*|[{_ENDS}]+")
_AROUND_WORDS = "".join(PAUSE_OF_MARK) + "\"'“”‘’«»„‚‹›*_"
_MOST_BETWEEN = 60
_LONGEST_COMMON = 3


@dataclass(frozen=True)
class WrittenPart:
    """A part of a text and its words.

    Attributes:
        text: as written.
        words: as spoken.
        read: returns the words of a text as its front end reads them; None where all words stand for the whole part.
    """

    text: str
    words: tuple[str, ...] = ()
    read: Callable[[str], Sequence[str]] | None = None


class WrittenText:
    """A text as written, and the place of each of its spoken words; computed on first use.

    Args:
        parts: in their order.
    """

    def __init__(self, parts: Sequence[WrittenPart]) -> None:
        self._parts = tuple(parts)
        self.text = "".join(part.text for part in parts)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Where each word is written, with the marks around it; words that are written as one have the same span."""
        starts = accumulate((len(part.text) for part in self._parts), initial=0)
        return tuple(
            (start + first, start + end)
            for start, part in zip(starts, self._parts, strict=False)
            for first, end in _spans_of(part)
        )

    def written(self, span: Span) -> str:
        """Return what is written in a span, without the punctuation around it."""
        inside = self.text[span[0] : span[1]]
        bare = inside.strip(_AROUND_WORDS)
        is_abbreviated = "." in bare and inside.lstrip(_AROUND_WORDS).startswith(f"{bare}.")
        return f"{bare}." if is_abbreviated and bare[-1:].isalpha() else bare or inside


def _spans_of(part: WrittenPart) -> list[Span]:
    pieces = [match.span() for match in _PIECE.finditer(part.text)]
    if part.read is None or len(pieces) < 2:
        whole = (pieces[0][0], pieces[-1][1]) if pieces else (0, len(part.text))
        return [whole] * len(part.words)
    read: dict[str, Sequence[str]] = {}
    expected: list[str] = []
    owners: list[Span] = []
    for start, end in pieces:
        written = part.text[start:end]
        if written not in read:
            read[written] = part.read(without_symbols(written, with_warning=False))
        expected += read[written]
        owners += [(start, end)] * len(read[written])
    if not expected:
        return [(pieces[0][0], pieces[-1][1])] * len(part.words)
    return [owners[at] for at in _matched(expected, list(part.words))]


def _matched(expected: list[str], spoken: list[str]) -> list[int]:
    """Return for each spoken word the index of the expected one in its place; indices never decrease.

    Words are read otherwise by themselves than in a sentence: "$5 million" is "five million dollars".
    """
    found: list[int] = []
    at = 0
    while len(found) < len(spoken):
        here = len(found)
        if at < len(expected) and expected[at] == spoken[here]:
            found.append(at)
            at += 1
            continue
        n_expected, n_spoken = _until_equal(expected[at : at + _MOST_BETWEEN], spoken[here : here + _MOST_BETWEEN])
        places = (at + each * n_expected // n_spoken if n_expected else at - 1 for each in range(n_spoken))
        found += [min(max(place, 0), len(expected) - 1) for place in places]
        at += n_expected
    return found


def _until_equal(expected: list[str], spoken: list[str]) -> tuple[int, int]:
    """Return how many words of each to pass over, as few as possible, until the next two are equal."""
    for total in range(1, len(expected) + len(spoken) + 1):
        for n_expected in range(min(total, len(expected)), max(0, total - len(spoken)) - 1, -1):
            n_spoken = total - n_expected
            left, right = expected[n_expected : n_expected + 2], spoken[n_spoken : n_spoken + 2]
            # One equal word is enough at the end, or next to the last match, unless it is one as common as "and".
            is_near = total == 1 and len("".join(left[:1])) > _LONGEST_COMMON
            n_compared = 1 if is_near or min(len(left), len(right)) < 2 else 2
            if left[:n_compared] == right[:n_compared] != []:
                return n_expected, n_spoken
    if max(len(expected), len(spoken)) < _MOST_BETWEEN:
        return len(expected), len(spoken)
    return (len(expected) + 1) // 2, (len(spoken) + 1) // 2
