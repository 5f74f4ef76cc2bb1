"""Speech Synthesis Markup Language: a strict reader of the elements that a voice follows."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import InputSource

from processors.text.errors import TextError, shortened
from processors.text.marked_text import (
    MARKUPS,
    TAG_WITHOUT_BEGINNING,
    Alphabet,
    Break,
    Markup,
    MarkupError,
    NamedMark,
    Part,
    Stretch,
    Style,
    milliseconds,
    parts_of_plain_text,
)
from processors.text.pitch_targets import PitchElement, PitchTarget
from utils.suggestions import did_you_mean

MOST_BYTES = 1_000_000
DEEPEST = 10

# Element to its attributes; those with a star are required.
_ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "speak": ("version", "xml:lang", "xmlns", "xmlns:xsi", "xsi:schemaLocation"),
    "p": ("xml:lang",),
    "s": ("xml:lang",),
    "break": ("time", "strength"),
    "prosody": ("rate", "pitch", "contour", "range", "volume"),
    "emphasis": ("level",),
    "phoneme": ("alphabet", "*ph"),
    "say-as": ("*interpret-as", "format"),
    "sub": ("*alias",),
    "voice": ("*name",),
    "lang": ("*xml:lang",),
    "mark": ("*name",),
}
_EMPTY = ("break", "mark")
_TEXT_ONLY = ("phoneme", "say-as", "sub")
_SENTENCES = ("p", "s")
_BREAKS = {"none": 0.0, "x-weak": 100.0, "weak": 200.0, "medium": 400.0, "strong": 700.0, "x-strong": 1000.0}
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.6}
_PITCHES = {"x-low": -6.0, "low": -3.0, "medium": 0.0, "default": 0.0, "high": 3.0, "x-high": 6.0}
_PITCH_RANGES = {"x-low": 0.25, "low": 0.5, "medium": 1.0, "default": 1.0, "high": 1.5, "x-high": 2.0}
_VOLUMES = {
    "silent": -60.0, "x-soft": -12.0, "soft": -6.0, "medium": 0.0, "default": 0.0, "loud": 6.0, "x-loud": 12.0,
}  # fmt: skip
_EMPHASES: Mapping[str, tuple[float, float, float]] = {  # pace, semitones, dB
    "strong": (0.85, 2.0, 4.0),
    "moderate": (0.92, 1.0, 2.0),
    "none": (1.0, 0.0, 0.0),
    "reduced": (1.1, -1.0, -3.0),
}
_AS_WRITTEN = ("cardinal", "number", "date", "time", "telephone", "currency", "unit", "fraction")
_SPELLED = ("characters", "spell-out", "verbatim")
_SAY_AS = (*_AS_WRITTEN, *_SPELLED, "digits", "ordinal")
_LOWEST_HZ, _HIGHEST_HZ = 20.0, 2000.0
_CONTOUR = re.compile(r"\s*\(\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*%\s*,\s*([^()\s]+)\s*\)")
_NUMBER = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(%|st|hz|db|)", re.IGNORECASE)


def parts_of(text: str, markup: Markup) -> list[Part]:
    """Return the parts of a text.

    Args:
        text: a document, or plain text.
        markup: `ssml` and `none` state which; `auto` takes what begins with `<speak` or `<?xml` for a document, and
            reads light marks in plain text.

    Raises:
        MarkupError: see `read_ssml` and `parts_of_plain_text`.
        TextError: there is no such markup.
    """
    if markup not in MARKUPS:
        raise TextError(f"markup {markup!r}: expected {', '.join(MARKUPS)}")
    if markup == "ssml" or (markup == "auto" and text.lstrip("\ufeff \t\r\n").startswith(("<speak", "<?xml"))):
        return read_ssml(text)
    return parts_of_plain_text(text) if markup == "auto" else [Stretch(text, Style())]


def read_ssml(document: str) -> list[Part]:
    """Return the parts of a document in their order.

    Raises:
        MarkupError: it is not well-formed, has an unknown element, attribute or value, a DTD or an entity, more than
            10 levels, or more than 1 MB.
    """
    from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
    from defusedxml.expatreader import DefusedExpatParser  # type: ignore[import-untyped]

    content = document.encode("utf-8", errors="surrogatepass")
    if len(content) > MOST_BYTES:
        raise MarkupError(f"{len(content):,} bytes of markup; at most {MOST_BYTES:,} are read", 1, 1)
    reader = _Reader()
    parser = DefusedExpatParser(forbid_dtd=True, forbid_entities=True, forbid_external=True)
    parser.setContentHandler(reader)
    source = InputSource()
    source.setByteStream(io.BytesIO(content))
    source.setEncoding("utf-8")
    try:
        parser.parse(source)
    except SAXParseException as error:
        line, column = error.getLineNumber() or 1, (error.getColumnNumber() or 0) + 1
        raise MarkupError(f"not well-formed: {error.getMessage()}", line, column) from None
    except DefusedXmlException:
        raise MarkupError("document types and entities are not read", *reader.place) from None
    return reader.parts


class _Reader(ContentHandler):
    """Collects the parts of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[Part] = []
        self._open: list[tuple[str, Mapping[str, str], Style]] = []
        self._text: list[str] = []
        self._text_place = (1, 1)
        self._locator: Any = None

    @property
    def place(self) -> tuple[int, int]:
        """Line and column that the parser has come to, from 1."""
        if self._locator is None:
            return 1, 1
        return self._locator.getLineNumber() or 1, (self._locator.getColumnNumber() or 0) + 1

    def setDocumentLocator(self, locator: Any) -> None:  # noqa: N802 (its name in xml.sax)
        """Keep the source of places."""
        self._locator = locator

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802 (its name in xml.sax)
        """Check an element, and change the style by it."""
        attributes = {key: str(attrs[key]) for key in attrs.getNames()}
        self._check(name, attributes)
        self._end_text()
        style = self._open[-1][2] if self._open else Style()
        if name in _SENTENCES:
            self.parts.append(Break(None, ends_paragraph=name == "p"))
        elif name == "break":
            self.parts.append(Break(self._break_ms(attributes)))
        elif name == "mark":
            self.parts.append(NamedMark(attributes["name"]))
        self._open.append((name, attributes, self._styled(name, attributes, style)))

    def endElement(self, name: str) -> None:  # noqa: N802 (its name in xml.sax)
        """Add what an element held."""
        self._end_text()
        self._open.pop()
        if name in _SENTENCES:
            self.parts.append(Break(None, ends_paragraph=name == "p"))

    def characters(self, content: str) -> None:
        """Collect text."""
        if self._open[-1][0] in _EMPTY and content.strip():
            raise self._error(f"<{self._open[-1][0]}> holds no text")
        if not self._text:
            self._text_place = self.place
        self._text.append(content)

    def processingInstruction(self, target: str, data: str) -> None:  # noqa: N802 (its name in xml.sax)
        """Refuse instructions."""
        raise self._error(f"<?{target}?> is not read")

    def _check(self, name: str, attributes: Mapping[str, str]) -> None:
        if name not in _ELEMENTS:
            raise self._error(f"unknown element <{shortened(name)}>{did_you_mean(name, _ELEMENTS)}")
        if bool(self._open) == (name == "speak"):
            raise self._error("<speak> must be the outermost element, and the only one of its name")
        if len(self._open) >= DEEPEST:
            raise self._error(f"<{name}> lies deeper than {DEEPEST} levels")
        if self._open and (around := self._open[-1][0]) in (*_EMPTY, *_TEXT_ONLY):
            raise self._error(f"<{around}> holds no elements; found <{name}>")
        known = [each.removeprefix("*") for each in _ELEMENTS[name]]
        for key in attributes:
            if key not in known:
                raise self._error(f"<{name}> has no attribute {shortened(key)}; known: {', '.join(known)}")
        for each in _ELEMENTS[name]:
            if each.startswith("*") and not attributes.get(each[1:], "").strip():
                raise self._error(f"<{name}> needs the attribute {each[1:]}")

    def _break_ms(self, attributes: Mapping[str, str]) -> float:
        if "time" in attributes:
            length = milliseconds(attributes["time"])
            if length is None:
                raise self._value_error("break", "time", attributes["time"], "up to a minute, as in 500ms or 0.5s")
            return length
        return self._named("break", "strength", attributes.get("strength", "medium"), _BREAKS)

    def _styled(self, name: str, attributes: Mapping[str, str], style: Style) -> Style:
        """Return the style within an element."""
        if "xml:lang" in attributes:
            style = replace(style, language=attributes["xml:lang"].strip())
        if name == "voice":
            style = replace(style, voice=attributes["name"].strip())
        elif name == "emphasis":
            level = attributes.get("level", "moderate")
            if level not in _EMPHASES:
                raise self._value_error(name, "level", level, ", ".join(_EMPHASES))
            pace, semitones, db = _EMPHASES[level]
            style = replace(
                style,
                pace=style.pace * pace,
                pitch_shift_semitones=style.pitch_shift_semitones + semitones,
                energy_db=style.energy_db + db,
            )
        elif name == "prosody":
            changes: Mapping[str, Callable[[Style, str], Style]] = {
                "rate": self._with_rate,
                "pitch": self._with_pitch,
                "contour": self._with_contour,
                "range": self._with_range,
                "volume": self._with_volume,
            }
            for attribute, value in attributes.items():
                changed = changes[attribute](style, value.strip())
                if attribute not in ("pitch", "range") or "contour" not in attributes:  # which takes their place
                    style = changed
        elif name == "phoneme" and attributes.get("alphabet", "ipa") not in ("ipa", "x-arpabet"):
            raise self._value_error(name, "alphabet", attributes["alphabet"], "ipa, x-arpabet")
        elif name == "say-as" and attributes["interpret-as"] not in _SAY_AS:
            raise self._value_error(name, "interpret-as", attributes["interpret-as"], ", ".join(sorted(_SAY_AS)))
        return style

    def _with_rate(self, style: Style, value: str) -> Style:
        if value in _RATES:
            factor = _RATES[value]
        else:
            expected = f"{', '.join(_RATES)}, a factor from 0.1 to 10, or a percentage as in 80% or +10%"
            sign, number, unit = self._number("rate", value, expected)
            is_usable = unit in ("", "%") and (unit == "%" or not sign)
            factor = _factor(sign, number) if unit == "%" else number
            if not is_usable or not 0.1 <= factor <= 10:
                raise self._value_error("prosody", "rate", value, expected)
        return replace(style, pace=style.pace * factor)

    def _with_pitch(self, style: Style, value: str) -> Style:
        expected = f"{', '.join(_PITCHES)}, a change as in +2st, -10Hz or +10%, or Hz as in 220Hz"
        target = self._pitch_target("pitch", value, 0.0, expected)
        if value.endswith("%"):
            sign, percent, _ = self._number("pitch", value, expected)
            return replace(style, pitch=style.pitch * _factor(sign, percent))
        if target.hz is None:
            return _shifted(style, target)
        element = PitchElement(self.place, mean_hz=target.hz)
        return replace(_without_shifts(style), pitch_elements=(*style.pitch_elements, element))

    def _with_contour(self, style: Style, value: str) -> Style:
        expected = "pairs of a time in % and a pitch, as in (0%,+2st) (50%,220Hz) (100%,-10%)"
        rest, pairs = _CONTOUR.sub("", value), _CONTOUR.findall(value)
        targets = [self._pitch_target("contour", pitch, float(at) / 100, expected) for at, pitch in pairs]
        targets = sorted((each for each in targets if 0 <= each.position <= 1), key=lambda each: each.position)
        if rest.strip() or not targets:
            raise self._value_error("prosody", "contour", value, expected)
        if any(each.hz is not None for each in targets):
            # Those in Hz stay as they are; what elements around change moves the others alone.
            targets = [each if each.hz else _moved(each, style) for each in targets]
            style = _without_shifts(style)
        return replace(style, pitch_elements=(*style.pitch_elements, PitchElement(self.place, tuple(targets))))

    def _pitch_target(self, attribute: str, value: str, position: float, expected: str) -> PitchTarget:
        if value in _PITCHES:
            return PitchTarget(position, semitones=_PITCHES[value])
        sign, number, unit = self._number(attribute, value, expected)
        signed = -number if sign == "-" else number
        if sign and unit == "st" and number <= 48:
            return PitchTarget(position, semitones=signed)
        if sign and unit == "hz" and number <= 1000:
            return PitchTarget(position, shift_hz=signed)
        if sign and unit == "%" and 0.1 <= (factor := _factor(sign, number)) <= 10:
            return PitchTarget(position, semitones=12 * math.log2(factor))
        if not sign and unit == "hz" and _LOWEST_HZ <= number <= _HIGHEST_HZ:
            return PitchTarget(position, hz=number)
        raise self._value_error("prosody", attribute, value, expected)

    def _with_range(self, style: Style, value: str) -> Style:
        if value in _PITCH_RANGES:
            return replace(style, pitch_amplify=style.pitch_amplify * _PITCH_RANGES[value])
        expected = f"{', '.join(_PITCH_RANGES)}, or a change as in +20%"
        sign, number, unit = self._number("range", value, expected)
        if not sign or unit != "%" or not 0 <= (factor := _factor(sign, number)) <= 10:
            raise self._value_error("prosody", "range", value, expected)
        return replace(style, pitch_amplify=style.pitch_amplify * factor)

    def _with_volume(self, style: Style, value: str) -> Style:
        if value in _VOLUMES:
            return replace(style, energy_db=max(style.energy_db + _VOLUMES[value], -60.0))
        expected = f"{', '.join(_VOLUMES)}, or a change as in +6dB"
        sign, number, unit = self._number("volume", value, expected)
        signed = -number if sign == "-" else number
        if not sign or unit != "db" or not -60 <= signed <= 30:
            raise self._value_error("prosody", "volume", value, expected)
        return replace(style, energy_db=style.energy_db + signed)

    def _number(self, attribute: str, value: str, expected: str) -> tuple[str, float, str]:
        """Return sign, size and unit of a number."""
        match = _NUMBER.fullmatch(value)
        if match is None:
            raise self._value_error("prosody", attribute, value, expected)
        return match[1], float(match[2]), match[3].lower()

    def _named(self, element: str, attribute: str, value: str, values: Mapping[str, float]) -> float:
        if value not in values:
            raise self._value_error(element, attribute, value, ", ".join(values))
        return values[value]

    def _end_text(self) -> None:
        """Add the text since the last tag."""
        text, self._text = "".join(self._text), []
        if not self._open:
            return
        name, attributes, style = self._open[-1]
        if not text and name not in ("phoneme", "sub"):
            return
        line, column = self._text_place if text else self.place
        if rest := TAG_WITHOUT_BEGINNING.search(text):
            raise MarkupError(
                f"found {rest[0]} in the text: a tag without its <? Text has a space before >", line, column
            )
        written = text
        if name == "sub":
            text = attributes["alias"]
        elif name == "say-as":
            text = self._spoken_as(attributes["interpret-as"], text)
        phones = attributes["ph"] if name == "phoneme" else ""
        alphabet = cast(Alphabet, attributes.get("alphabet", "ipa"))
        self.parts.append(Stretch(text, style, phones, alphabet, line, column, written if written != text else None))

    def _spoken_as(self, kind: str, text: str) -> str:
        written = text.strip()
        if kind in _SPELLED:
            return " ".join(each.upper() for each in written if not each.isspace())
        if kind == "digits":
            if not re.fullmatch(r"[\d\s-]+", written):
                raise self._value_error("say-as", "interpret-as", kind, f"digits in it, not {shortened(written)}")
            return " ".join(each for each in written if each.isdigit())
        if kind == "ordinal" and written.isascii() and written.isdigit():
            last, tens = written[-1], written[-2:-1] == "1"
            return written + ("th" if tens else {"1": "st", "2": "nd", "3": "rd"}.get(last, "th"))
        return text

    def _value_error(self, element: str, attribute: str, value: str, expected: str) -> MarkupError:
        return self._error(f'<{element} {attribute}="{shortened(value)}">: expected {expected}')

    def _error(self, message: str) -> MarkupError:
        return MarkupError(message, *self.place)


def _factor(sign: str, percent: float) -> float:
    """Return a percentage as a factor, relative to 1 where it has a sign."""
    return percent / 100 if not sign else 1 + (-percent if sign == "-" else percent) / 100


def _shifted(style: Style, target: PitchTarget) -> Style:
    """Return a style with a change of pitch."""
    return replace(
        style,
        pitch_shift_semitones=style.pitch_shift_semitones + target.semitones,
        pitch_shift_hz=style.pitch_shift_hz + target.shift_hz,
    )


def _without_shifts(style: Style) -> Style:
    return replace(style, pitch=1.0, pitch_shift_semitones=0.0, pitch_shift_hz=0.0)


def _moved(target: PitchTarget, style: Style) -> PitchTarget:
    """Return a target with the changes of pitch around it."""
    semitones = target.semitones + style.pitch_shift_semitones + 12 * math.log2(style.pitch)
    return replace(target, semitones=semitones, shift_hz=target.shift_hz + style.pitch_shift_hz)
