"""Tokens, prosody and speakers of texts with marks on them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

from models.contracts import UNCHANGED, Change, PitchContour, Prosody
from processors.text.arpabet import PHONES
from processors.text.ipa import STRESSES, ipa_of_arpabet, phones_from_ipa, symbols_of_phone
from processors.text.marked_text import Break, MarkupError, NamedMark, Part, Stretch, Style
from processors.text.pitch_targets import PitchElement
from processors.text.punctuation import with_single_pauses
from processors.text.symbols import describe_unknown_phone
from processors.text.tokens import Pause, Pronunciation, Token, Word
from processors.text.written_words import WrittenPart, WrittenText

_STYLES = tuple(each.name for each in fields(Style) if each.name not in ("voice", "language", "pitch_elements"))


@dataclass(frozen=True)
class Run:
    """Tokens of one speaker in one paragraph.

    Attributes:
        speaker: None for that of the whole text.
        tokens: words and pauses; the last is a pause.
        ends_paragraph: whether another paragraph follows.
    """

    speaker: str | None
    tokens: list[Token]
    ends_paragraph: bool = False


@dataclass(frozen=True)
class MarkedTokens:
    """A text as its front ends return it.

    Attributes:
        runs: in their order.
        prosody: that the marks ask for.
        marks: names, each with the index of the word after it; after the last word, their number.
        source: the text as written, and where each word is.
    """

    runs: Sequence[Run]
    source: WrittenText
    prosody: Prosody = UNCHANGED
    marks: tuple[tuple[str, int], ...] = ()

    @property
    def tokens(self) -> list[Token]:
        """The tokens of the whole text."""
        return [token for run in self.runs for token in run.tokens]


def marked_tokens(
    parts: Iterable[Part],
    tokens_of: Callable[[Stretch], Iterable[Token]],
    words_of: Callable[[Stretch], Callable[[str], Sequence[str]]],
) -> MarkedTokens:
    """Return the tokens of a text's parts, with the prosody of their marks.

    Args:
        parts: of the text.
        tokens_of: tokens of a stretch, of symbols that the voice has.
        words_of: what reads the words of pieces of a stretch.
    """
    runs: list[Run] = []
    changes: list[Change] = []
    pauses_ms: dict[int, float] = {}
    marks: list[tuple[str, int]] = []
    written: list[WrittenPart] = []
    contours: dict[PitchElement, tuple[int, int]] = {}
    for part in parts:
        if not isinstance(part, Stretch) and written and not written[-1].text[-1:].isspace():
            written.append(WrittenPart(" "))
        if isinstance(part, NamedMark):
            marks.append((part.name, len(changes)))
        elif isinstance(part, Break):
            if part.milliseconds is not None:
                pauses_ms[len(changes)] = pauses_ms.get(len(changes), 0.0) + part.milliseconds
            elif runs:
                runs[-1].tokens.append(Pause("."))
                runs[-1] = replace(runs[-1], ends_paragraph=runs[-1].ends_paragraph or part.ends_paragraph)
        else:
            change = Change(**{name: getattr(part.style, name) for name in _STYLES})
            tokens = list(tokens_of(part))
            written.append(_written(part, tokens, words_of(part)))
            for token in tokens:
                if isinstance(token, Word):
                    for element in part.style.pitch_elements:
                        contours[element] = contours.get(element, (len(changes),))[0], len(changes) + 1
                    changes.append(change)
                    if not runs or runs[-1].ends_paragraph or runs[-1].speaker != part.style.voice:
                        if runs and isinstance(runs[-1].tokens[-1], Word):
                            runs[-1].tokens.append(Pause(","))
                        runs.append(Run(part.style.voice, []))
                if runs:
                    runs[-1].tokens.append(token)
    joined = [replace(run, tokens=with_single_pauses(run.tokens)) for run in runs]
    if len(set(changes)) == 1:  # of the whole text, its pauses included
        prosody = Prosody(**vars(changes[0]), pauses_ms=pauses_ms)
    else:
        words = {index: change for index, change in enumerate(changes) if change != Change()}
        prosody = Prosody(words=words, pauses_ms=pauses_ms)
    if contours:
        made = (PitchContour(*span, each.targets, each.mean_hz) for each, span in contours.items())
        prosody = replace(prosody, contours=tuple(made))
    return MarkedTokens(joined, WrittenText(written), prosody, tuple(marks))


def words_among(tokens: Iterable[Token]) -> tuple[str, ...]:
    """Return the texts of the words among tokens."""
    return tuple(token.text for token in tokens if isinstance(token, Word))


def _written(stretch: Stretch, tokens: Iterable[Token], words_of: Callable[[str], Sequence[str]]) -> WrittenPart:
    """Return a stretch as written, with single spaces for white space."""
    text = stretch.text if stretch.written is None else stretch.written
    is_whole = stretch.written is not None or stretch.phones
    return WrittenPart(re.sub(r"\s+", " ", text), words_among(tokens), None if is_whole else words_of)


def pronounced_as_marked(stretch: Stretch, known: Sequence[str]) -> Word:
    """Return the word of a stretch with phones.

    Args:
        stretch: with phones.
        known: symbols of the voice, of ARPAbet or IPA.

    Raises:
        MarkupError: a phone is none of its alphabet, or the voice lacks it; names the nearest that it has.
    """
    at = stretch.line, stretch.column
    symbols: list[str] = []
    for phone in _ipa(stretch):
        near, is_same = symbols_of_phone(phone, known)
        if not is_same:
            nearest = f"; the nearest it has: {' '.join(near)}" if near else ""
            raise MarkupError(f"the voice lacks the phone {phone!r} of {stretch.phones!r}{nearest}", *at)
        symbols += near
    return Word(" ".join(stretch.text.lower().split()) or stretch.phones, (tuple(symbols),))


def _ipa(stretch: Stretch) -> Pronunciation:
    at = stretch.line, stretch.column
    if stretch.alphabet == "ipa":
        phones = tuple(phones_from_ipa(stretch.phones))
        strange = [phone for phone in phones if not phone.strip(STRESSES)[:1].isalpha()]
        if strange or not phones:
            found = f"{strange[0]!r} is no phone of IPA" if strange else "no phones of IPA"
            raise MarkupError(f"{stretch.phones!r}: {found}", *at)
        return phones
    written = stretch.phones.upper().split()
    for phone in written:
        if phone not in PHONES:
            raise MarkupError(describe_unknown_phone(phone, PHONES, "ARPAbet"), *at)
    return tuple(map(ipa_of_arpabet, written))
