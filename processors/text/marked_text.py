"""Texts with marks on them: stretches with their style, breaks and named marks; and the light marks of plain text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from processors.text.errors import TextError, shortened
from processors.text.pitch_targets import PitchElement
from processors.text.tokens import PAUSE_OF_MARK, Pause, Token, strongest_pause

Markup = Literal["auto", "ssml", "none"]
MARKUPS = get_args(Markup)
Alphabet = Literal["ipa", "x-arpabet"]


class MarkupError(TextError):
    """Markup that cannot be understood; the message names line and column."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")


@dataclass(frozen=True)
class Style:
    """How a stretch of text is spoken, as differences from what the voice predicts.

    Attributes:
        pace: factor on the speed.
        pitch: factor on F0.
        pitch_amplify: factor on the distance of F0 from the mean.
        pitch_shift_hz, pitch_shift_semitones: added to F0.
        energy_db: added to the level.
        voice: name of the speaker; None for that of the whole text.
        language: None for that of the whole text.
        pitch_elements: those around it that set targets of pitch, the outermost first.
    """

    pace: float = 1.0
    pitch: float = 1.0
    pitch_amplify: float = 1.0
    pitch_shift_hz: float = 0.0
    pitch_shift_semitones: float = 0.0
    energy_db: float = 0.0
    voice: str | None = None
    language: str | None = None
    pitch_elements: tuple[PitchElement, ...] = ()


@dataclass(frozen=True)
class Stretch:
    """Text of one style.

    Attributes:
        text: as a front end reads it.
        style: of all its words.
        phones: in place of what the front end would return; empty for that.
        alphabet: of the phones.
        line, column: where it begins, from 1.
        written: the text that it is spoken in place of; None for `text` itself.
    """

    text: str
    style: Style
    phones: str = ""
    alphabet: Alphabet = "ipa"
    line: int = 1
    column: int = 1
    written: str | None = None


@dataclass(frozen=True)
class Break:
    """A pause of an exact length, or the end of a sentence (None), which may be that of a paragraph."""

    milliseconds: float | None
    ends_paragraph: bool = False


@dataclass(frozen=True)
class NamedMark:
    """A place in a text."""

    name: str


Part = Stretch | Break | NamedMark

_LIGHT = re.compile(
    r"\[pause:(?P<pause>[^\[\]]*)\]|\[(?P<word>[^\[\]]+)\]\(/(?P<phones>[^()/\n]*)/\)",
)
_LINE_END = r"(?:\r\n|\n|\r(?!\n))"
_BLANK_LINES = re.compile(rf"{_LINE_END}(?:[^\S\r\n]*{_LINE_END})+")
_LOST_SPEAK = re.compile(r"/?\bspeak>")
_LENGTH = re.compile(r"\s*\+?(\d+(?:\.\d+)?|\.\d+)\s*(ms|s)\s*")
_KNOWN_TAG = re.compile(
    r"</?(?:(?:speak|break|prosody|emphasis|phoneme|say-as|sub|voice|lang|mark)(?=[\s/>]|$)|[ps](?=[\s/>])[^<>]*>)",
    re.IGNORECASE,
)
TAG_WITHOUT_BEGINNING = re.compile(r"[\w\"'/-]>|\w\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*')")
"""Pattern of what remains of a tag that lost its `<`."""
LONGEST_BREAK_MS = 60_000.0
_OPENING = "¿¡([（「『《〈【"
_CLOSING_MARKS = re.escape("".join(set(PAUSE_OF_MARK) - set(_OPENING)))
_BEGINNING = re.compile(rf"[\s\"“”»{_CLOSING_MARKS}]*")
_QUOTES = " \t\r\n\"'“”’»"


def milliseconds(written: str) -> float | None:
    """Return a length such as `500ms` or `0.5s`; None for anything else, or above a minute."""
    match = _LENGTH.fullmatch(written)
    length = float(match[1]) * (1000 if match[2] == "s" else 1) if match else None
    return length if length is not None and length <= LONGEST_BREAK_MS else None


def place(text: str, at: int) -> tuple[int, int]:
    """Return line and column of a character, from 1."""
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def parts_of_plain_text(text: str) -> list[Part]:
    """Return a text's parts by its light marks `[pause:0.5s]` and `[word](/ipa/)`; a single one without them.

    Raises:
        MarkupError: a tag of SSML outside `<speak>`, or a light mark with an unusable length or without phones.
    """
    if tag := _KNOWN_TAG.search(text) or _LOST_SPEAK.search(text):
        raise MarkupError(
            f"found the tag {shortened(tag[0])}: SSML begins with <speak> and ends with </speak>; "
            "markup none reads it as plain text",
            *place(text, tag.start()),
        )
    parts: list[Part] = []
    end = 0
    for match in _LIGHT.finditer(text):
        line, column = place(text, match.start())
        if before := text[end : match.start()]:
            parts += in_paragraphs(Stretch(before, Style(), line=line, column=column))
        end = match.end()
        if match["pause"] is not None:
            length = milliseconds(match["pause"])
            if length is None:
                raise MarkupError(f"{match[0]}: expected a length up to a minute, as in [pause:0.5s]", line, column)
            parts.append(Break(length))
        elif not match["phones"].strip():
            raise MarkupError(f"{match[0]}: has no phones; expected IPA, as in [tomato](/təˈmɑtoʊ/)", line, column)
        else:
            parts.append(Stretch(match["word"], Style(), match["phones"], line=line, column=column))
    if not parts:
        return [Stretch(text, Style())]
    if rest := text[end:]:
        parts += in_paragraphs(Stretch(rest, Style(), line=place(text, end)[0], column=place(text, end)[1]))
    return parts


def in_paragraphs(stretch: Stretch) -> list[Stretch | Break]:
    """Split a stretch at its blank lines, which its paragraphs keep before and after them, since they end lines."""
    text, line, column = stretch.text, stretch.line, stretch.column
    parts: list[Stretch | Break] = []
    start = at = 0
    for blank in _BLANK_LINES.finditer(text):
        if text[at : blank.start()].strip():
            parts.append(replace(stretch, text=text[start : blank.end()], line=line, column=column))
        parts.append(Break(None, ends_paragraph=True))
        line, column = line + text.count("\n", at, blank.end()), 1
        start, at = blank.span()
    if not parts:
        return [stretch]
    if text[at:].strip():
        parts.append(replace(stretch, text=text[start:], line=line, column=column))
    return parts


def tokens_of_stretch(text: str, front_end_tokens: Callable[[str], list[Token]]) -> list[Token]:
    """Return the tokens of a part of a sentence: no pause at its end unless one is written, and those at its start.

    Args:
        text: raw; without any words there are pauses at most.
        front_end_tokens: of a front end, for whole texts.

    Raises:
        TextError: it has a word that cannot be pronounced.
    """
    start = _BEGINNING.match(text)
    end = start.end() if start else 0
    if end and text[end : end + 1].isdigit() and text[end - 1] in ".,":
        end -= 1  # ".5"
    before = strongest_pause(PAUSE_OF_MARK[each] for each in text[:end] if each in PAUSE_OF_MARK)
    found: list[Token] = [Pause(before)] if before else []
    rest = text[end:]
    try:
        tokens = front_end_tokens(rest) if rest.strip() else []
    except TextError:
        if any(each.isalnum() for each in rest):
            raise
        tokens = []
    is_closed = rest.rstrip(_QUOTES)[-1:] in PAUSE_OF_MARK
    if tokens and isinstance(tokens[-1], Pause) and not is_closed:
        tokens = tokens[:-1]
    return [*found, *tokens]
