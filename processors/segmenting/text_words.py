"""Words of a text with their places in it, and how strongly punctuation separates them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from processors.evaluation.measures.word_errors import is_written_without_spaces, normalised_words

Break = Literal["none", "comma", "clause", "sentence"]

_CLOSING = "\"'”’»)]*_"
# The full stop of a title or an initial ends no sentence.
_NO_END = re.compile(r"(?:^|[^\w])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Messrs|Mme|Mlle|Prof|Rev|Hon|Capt|Col|Gen|Lt|Sgt|vs|No)\.$")
_MARKS: tuple[tuple[str, Break], ...] = ((".!?。！？…।؟", "sentence"), (";:；：—–", "clause"), (",，、،", "comma"))


@dataclass(frozen=True)
class TextWords:
    """A text word by word.

    Attributes:
        text: as written, white space as single spaces.
        keys: the words as two texts are compared by: without case and punctuation, numbers spelled out.
        spans: first character of each and the one after the last; words that are written as one have the same.
        breaks: what separates each word from the next.
    """

    text: str
    keys: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    breaks: tuple[Break, ...]

    @classmethod
    def of(cls, text: str, language: str) -> TextWords:
        """Split a text in a language, as a code, into its words."""
        is_paragraph_end = _paragraph_ends(text)
        text = " ".join(text.split())
        pattern = r"\S" if is_written_without_spaces(language) else r"\S+"
        keys: list[str] = []
        spans: list[tuple[int, int]] = []
        breaks: list[Break] = []
        for match in re.finditer(pattern, text):
            written = match.group()
            found = normalised_words(written, language)
            if not found and keys:  # a dash or a mark of its own belongs to the word before
                spans[-1] = (spans[-1][0], match.end())
                breaks[-1] = max(breaks[-1], _break_after(written), key=_STRENGTH.__getitem__)
                continue
            keys += found
            spans += [match.span()] * len(found)
            within: list[Break] = ["none"] * (len(found) - 1)
            breaks += [*within, _break_after(written)] if found else []
            if found and match.end() in is_paragraph_end:
                breaks[-1] = "sentence"
        return cls(text, tuple(keys), tuple(spans), tuple(breaks))

    def written(self, first: int, end: int) -> str:
        """Return the text of a range of words as written."""
        return self.text[self.spans[first][0] : self.spans[end - 1][1]] if first < end else ""

    def strength_before(self, index: int) -> int:
        """Return how strongly a word is separated from the one before: 0 to 3; -1 within what is written as one."""
        if not 0 < index < len(self.keys):
            return _STRENGTH["sentence"]
        if self.spans[index] == self.spans[index - 1]:
            return -1
        return _STRENGTH[self.breaks[index - 1]]


_STRENGTH: dict[Break, int] = {"none": 0, "comma": 1, "clause": 2, "sentence": 3}


def _break_after(written: str) -> Break:
    bare = written.rstrip(_CLOSING)
    for marks, kind in _MARKS:
        if bare.endswith(tuple(marks)):
            return "none" if _NO_END.search(bare) else kind
    return "none"


def _paragraph_ends(text: str) -> set[int]:
    """Return where paragraphs end in the text whose white space is single spaces."""
    ends, reached = set(), -1
    for paragraph in re.split(r"\n\s*\n", text):
        if size := len(" ".join(paragraph.split())):
            reached += size + 1
            ends.add(reached)
    return ends


@dataclass(frozen=True, slots=True)
class ReadWord:
    """A recognised word.

    Attributes:
        text: as written by the recogniser, the space before it included.
        start_s, end_s: in the recording, in seconds.
    """

    text: str
    start_s: float
    end_s: float


def joined(words: Iterable[ReadWord]) -> str:
    """Return recognised words as a text."""
    return "".join(word.text for word in words).strip()


def keys_of(words: Sequence[ReadWord], language: str) -> tuple[list[str], list[int]]:
    """Return the keys of recognised words, and the index of the word that each belongs to."""
    keys: list[str] = []
    owners: list[int] = []
    for index, word in enumerate(words):
        found = normalised_words(word.text, language)
        keys += found
        owners += [index] * len(found)
    return keys, owners
