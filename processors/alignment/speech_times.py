"""Times of speech: when its words, phones, visemes, marks and captions begin and end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from processors.alignment.captions import Caption, caption_words, captions_of
from processors.alignment.intervals import Interval
from processors.text.phone_sequence import PhoneSequence
from processors.text.visemes import SILENT, Spelling, visemes_of_word
from processors.text.written_words import Span, WrittenText

Part = Literal["words", "phones", "visemes", "marks", "captions"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class TimedWord:
    """A spoken word.

    Attributes:
        index: in the whole text.
        word: as spoken.
        span: where it is written; "$5" is the place of both "five" and "dollars".
        written: what is written there.
        start_s, end_s: in seconds.
    """

    index: int
    word: str
    span: Span
    written: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class TimedPhone:
    """A phone of a word, or a letter, for voices that read those.

    Attributes:
        word: index of its word in the whole text.
        index: within the word.
        phone: the symbol.
        start_s, end_s: in seconds.
    """

    word: int
    index: int
    phone: str
    start_s: float
    end_s: float


@dataclass(frozen=True, eq=False)
class SpeechTimes:
    """When each part of a text, or of a piece of it, is spoken; starts and ends are those of frames, to the sample.

    Attributes:
        sequence: T_text phones, pauses included.
        durations: (T_text,) frames of each.
        frame_s: seconds from one frame to the next.
        source: the whole text as written.
        first_word: index of the first word in the whole text.
        marks: names with their times in seconds.
        spelling: what the symbols of words are.
        start_s: when the piece begins in the speech of the whole text; all times count from the beginning of that.
    """

    sequence: PhoneSequence
    durations: npt.NDArray[np.integer]
    frame_s: float
    source: WrittenText
    first_word: int = 0
    marks: tuple[tuple[str, float], ...] = ()
    spelling: Spelling = "phones"
    start_s: float = 0.0

    @property
    def end_s(self) -> float:
        """End of the speech."""
        return self._seconds(int(self.durations.sum()))

    @cached_property
    def words(self) -> tuple[TimedWord, ...]:
        """The words that last any frames."""
        found: dict[int, tuple[float, float]] = {}
        for phone in self.phones:
            found[phone.word] = found.get(phone.word, (phone.start_s,))[0], phone.end_s
        spans, words = self.source.spans, self.sequence.words
        return tuple(
            TimedWord(at, words[at - self.first_word], spans[at], self.source.written(spans[at]), *times)
            for at, times in found.items()
        )

    @cached_property
    def phones(self) -> tuple[TimedPhone, ...]:
        """The phones of words that last any frames."""
        ends = np.cumsum(self.durations)
        return tuple(
            TimedPhone(self.first_word + word, index, phone, self._seconds(first), self._seconds(end))
            for (word, index), phone, first, end in zip(
                self.sequence.places, self.sequence.phones, (ends - self.durations).tolist(), ends.tolist(), strict=True
            )
            if word >= 0 and end > first
        )

    @cached_property
    def visemes(self) -> tuple[Interval, ...]:
        """Visemes without gaps between them; those of a diphthong last equally long.

        Raises:
            VisemeError: a symbol has none.
        """
        found: list[Interval] = []

        def add(start_s: float, end_s: float, viseme: str) -> None:
            if found and found[-1].label == viseme:
                found[-1] = Interval(found[-1].start_s, end_s, viseme)
            else:
                found.append(Interval(start_s, end_s, viseme))

        of_symbols = self._visemes_of_symbols()
        reached = 0
        for visemes, n_frames in zip(of_symbols, self.durations.tolist(), strict=True):
            start_s, end_s = self._seconds(reached), self._seconds(reached + n_frames)
            reached += n_frames
            if not n_frames:
                continue
            for at, viseme in enumerate(visemes or (found[-1].label if found else SILENT,)):
                share_s = (end_s - start_s) / max(len(visemes), 1)
                add(start_s + at * share_s, end_s if at >= len(visemes) - 1 else start_s + (at + 1) * share_s, viseme)
        return tuple(found)

    @cached_property
    def captions(self) -> tuple[Caption, ...]:
        """The text as written in readable pieces."""
        first, end = self._span
        timed = [((word.span[0] - first, word.span[1] - first), word.start_s, word.end_s) for word in self.words]
        return tuple(captions_of(caption_words(self.source.text[first:end], timed)))

    def as_json(self, *parts: Part) -> dict[str, list[dict[str, Any]]]:
        """Return parts as values of JSON (see `docs/times.md`); only visemes may raise a `VisemeError`."""
        described: Mapping[Part, Callable[[], list[dict[str, Any]]]] = {
            "words": lambda: [
                {"index": each.index, "word": each.word, "written": each.written, "span": list(each.span)}
                | _times(each)
                for each in self.words
            ],
            "phones": lambda: [
                {"word": each.word, "index": each.index, "phone": each.phone} | _times(each) for each in self.phones
            ],
            "visemes": lambda: [{"viseme": each.label} | _times(each) for each in self.visemes],
            "marks": lambda: [{"name": name, "time": _rounded(time_s)} for name, time_s in self.marks],
            "captions": lambda: [{"text": each.text} | _times(each) for each in self.captions],
        }
        return {part: described[part]() for part in parts}

    def beginning_at(self, start_s: float) -> SpeechTimes:
        """Return the times of the piece, which begins so late in the speech of the whole text."""
        marks = tuple((name, time_s - self.start_s + start_s) for name, time_s in self.marks)
        return replace(self, start_s=start_s, marks=marks)

    @property
    def _span(self) -> Span:
        """The characters of the piece in the whole text."""
        spans, end = self.source.spans, self.first_word + len(self.sequence.words)
        first = spans[self.first_word][0] if self.first_word else 0
        return first, max(spans[end][0], spans[end - 1][1]) if end < len(spans) else len(self.source.text)

    def _seconds(self, frame: int) -> float:
        return self.start_s + frame * self.frame_s

    def _visemes_of_symbols(self) -> list[tuple[str, ...]]:
        """Return the visemes of each symbol; none for those that go on with the ones before."""
        found: list[tuple[str, ...]] = [(SILENT,)] * len(self.sequence.phones)
        of_words: dict[int, list[int]] = {}
        for at, word in enumerate(self.sequence.word_indices):
            if word >= 0:
                of_words.setdefault(word, []).append(at)
        for symbols in of_words.values():
            visemes = visemes_of_word([self.sequence.phones[at] for at in symbols], self.spelling)
            for at, each in zip(symbols, visemes, strict=True):
                found[at] = each
        return found


def _times(each: TimedWord | TimedPhone | Interval | Caption) -> dict[str, float]:
    return {"start": _rounded(each.start_s), "end": _rounded(each.end_s)}


def _rounded(seconds: float) -> float:
    """Return seconds to the microsecond, less than a sample."""
    return round(seconds, 6)
