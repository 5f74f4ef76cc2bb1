"""Captions of speech: readable pieces of its text with their times, as SubRip (SRT) and WebVTT."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from processors.text.written_words import Span

LINE_WIDTH = 42
"""Most columns of a line; wide signs, as of Chinese, take two. A caption has two lines at most."""
_LONGEST_S, _SHORTEST_S = 7.0, 1.0
_LEAST_SENTENCE_PAUSE_S = 0.1
_MOST_JOINED_PAUSE_S = 0.6
_SENTENCE_END = re.compile(r"[.?!…。！？।॥؟][\"'”’»)\]」』]*$")
_PHRASE_END = re.compile(r"[,;:—–…，；：、،؛][\"'”’»)\]」』]*$")
_VTT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True)
class CaptionWord:
    """A written word with the punctuation around it, and when it is spoken.

    Attributes:
        text: without white space around it.
        start_s, end_s: in seconds.
        space: what separates it from the next: a space, or nothing, as between signs of Chinese.
    """

    text: str
    start_s: float
    end_s: float
    space: str = " "


@dataclass(frozen=True)
class Caption:
    """One or two lines of words, shown together."""

    lines: tuple[tuple[CaptionWord, ...], ...]

    @property
    def start_s(self) -> float:
        """Start of its first word, in seconds."""
        return self.lines[0][0].start_s

    @property
    def end_s(self) -> float:
        """End of its last word, in seconds."""
        return self.lines[-1][-1].end_s

    @property
    def text(self) -> str:
        """The text, its lines separated by newlines."""
        return "\n".join(map(_joined, self.lines))


def caption_words(text: str, words: Sequence[tuple[Span, float, float]]) -> list[CaptionWord]:
    """Return the words of a text as written; spoken words that are written as one become one.

    Args:
        text: as written; what is not spoken belongs to the word before it.
        words: where each spoken word is written, and its start and end in seconds, in order.
    """
    spans = list(dict.fromkeys(span for span, _, _ in words))
    cuts = [0, *(start for start, _ in spans[1:]), len(text)]
    times: dict[Span, tuple[float, float]] = {}
    for span, start_s, end_s in words:
        times[span] = times.get(span, (start_s,))[0], end_s
    found = []
    for span, first, end in zip(spans, cuts, cuts[1:], strict=False):
        written = text[first:end]
        space = " " if written[-1:].isspace() else ""
        found.append(CaptionWord(" ".join(written.split()), *times[span], space))
    return found


def captions_of(words: Sequence[CaptionWord]) -> list[Caption]:
    """Return the captions of a text: sentences, long ones cut at pauses and punctuation, very short ones joined."""
    made: list[Sequence[CaptionWord]] = []
    for sentence in _sentences(words):
        for part in _cut(sentence):
            together = [*made[-1], *part] if made else part
            is_short = made and min(_duration_s(made[-1]), _duration_s(part)) < _SHORTEST_S
            if is_short and _fits(together) and part[0].start_s - made[-1][-1].end_s <= _MOST_JOINED_PAUSE_S:
                made[-1] = together
            else:
                made.append(part)
    return [Caption(_lines(part) or (tuple(part),)) for part in made]


def srt(captions: Sequence[Caption]) -> str:
    """Return captions as a SubRip file."""
    return "\n".join(
        f"{number}\n{_clock(each.start_s, ',')} --> {_clock(each.end_s, ',')}\n{each.text.replace('-->', '→')}\n"
        for number, each in enumerate(captions, start=1)
    )


def vtt(captions: Sequence[Caption], *, with_words: bool = False) -> str:
    """Return captions as a WebVTT file.

    Args:
        captions: in order.
        with_words: whether the start of each word stands before it, so that players show which one is spoken.
    """
    cues = (
        f"{_clock(each.start_s, '.')} --> {_clock(each.end_s, '.')}\n"
        + (_with_times(each) if with_words else each.text.translate(_VTT_ESCAPES))
        for each in captions
    )
    return "\n\n".join(["WEBVTT", *cues]) + "\n"


def _with_times(caption: Caption) -> str:
    shown, end = _clock(caption.start_s, "."), _clock(caption.end_s, ".")
    lines = []
    for line in caption.lines:
        written = ""
        for word in line:
            at = _clock(word.start_s, ".")
            if shown < at < end:  # as WebVTT demands
                written += f"<{at}>"
                shown = at
            written += word.text.translate(_VTT_ESCAPES) + word.space
        lines.append(written.rstrip())
    return "\n".join(lines)


def _clock(seconds: float, point: str) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


def _sentences(words: Sequence[CaptionWord]) -> Iterator[Sequence[CaptionWord]]:
    first = 0
    for at, word in enumerate(words):
        pause_s = words[at + 1].start_s - word.end_s if at < len(words) - 1 else math.inf
        # The stop of an abbreviation is no end, since no pause follows; a heading needs none.
        is_end = pause_s >= _LEAST_SENTENCE_PAUSE_S and _SENTENCE_END.search(word.text) is not None
        if is_end or pause_s > _MOST_JOINED_PAUSE_S:
            yield words[first : at + 1]
            first = at + 1


def _cut(words: Sequence[CaptionWord]) -> list[Sequence[CaptionWord]]:
    """Cut words in two until each part fits: near the middle, where there is a pause or a mark."""
    if len(words) < 2 or _fits(words):
        return [words]
    whole = _width(words)

    def cost(at: int) -> float:
        pause_s = words[at].start_s - words[at - 1].end_s
        is_phrase = bool(_PHRASE_END.search(words[at - 1].text))
        return abs(_width(words[:at]) / whole - 0.5) - 0.2 * is_phrase - 0.5 * min(pause_s, 0.5)

    at = min(range(1, len(words)), key=cost)
    return [*_cut(words[:at]), *_cut(words[at:])]


def _fits(words: Sequence[CaptionWord]) -> bool:
    return _duration_s(words) <= _LONGEST_S and _lines(words) is not None


def _lines(words: Sequence[CaptionWord]) -> tuple[tuple[CaptionWord, ...], ...] | None:
    """Return words in one or two lines, of two as equal ones as possible; None where they need more."""
    if len(words) == 1 or _width(words) <= LINE_WIDTH:
        return (tuple(words),)
    widths = {at: max(_width(words[:at]), _width(words[at:])) for at in range(1, len(words))}
    at = min(widths, key=lambda each: widths[each])
    return (tuple(words[:at]), tuple(words[at:])) if widths[at] <= LINE_WIDTH else None


def _duration_s(words: Sequence[CaptionWord]) -> float:
    return words[-1].end_s - words[0].start_s


def _joined(words: Sequence[CaptionWord]) -> str:
    return "".join(word.text + word.space for word in words).rstrip()


def _width(words: Sequence[CaptionWord]) -> int:
    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF")
        for each in _joined(words)
    )
