"""Spelling out of Roman numerals, recognised by their context."""

from __future__ import annotations

import re

from processors.text.number_words import cardinal, ordinal, year
from processors.text.word_tables import WordTables

_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_SHAPE = r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_SMALL_SHAPE = "x{0,3}(?:ix|iv|v?i{0,3})"
_NUMERAL = re.compile(_SHAPE)

# "Chapter IV", "World War II", "Type I": plain numbers. After a lower-case word only numerals of two letters or more:
# "part I" may be "the part I play".
_TABLES = WordTables(__file__)
_NUMBERED = _TABLES.alternatives("numbered things")
_NO_MORE = r"\b(?!\.\w|['’](?!s\b)\w)"
_AFTER_THING = re.compile(
    rf"\b((?:{_NUMBERED})s?|(?i:{_NUMBERED})s?(?=\s+[IVXLC]{{2}}))(\s+)(?=[IVXLC])({_SHAPE})"
    rf"(?:\s?[-–]\s?(?=[IVXLC])({_SHAPE}))?{_NO_MORE}"
)
_SMALL = "one|two|three|four|five|six|seven|eight|nine|ten"
_SMALL_AFTER_THING = re.compile(rf"\b((?:{_NUMBERED}|page)s?)(\s+)(?=[ivx]{{2}})({_SMALL_SHAPE})\b", re.IGNORECASE)
_AND_ANOTHER = re.compile(
    rf"\b((?:{_NUMBERED})s\s+(?:{_SMALL})\s+(?:and|to|or)\s+)(?=[IVX])({_SHAPE})\b", re.IGNORECASE
)

_TITLES = _TABLES.alternatives("titles of rulers")
_RULERS = _TABLES.alternatives("names of rulers")
_RULER = re.compile(rf"\b((?:{_RULERS}))(\s+)(?=[IVX])({_SHAPE}){_NO_MORE}")
_TITLED = re.compile(rf"\b((?:{_TITLES})\s+[A-Z]\w+)(\s+)(?=[IVX])({_SHAPE})\b")
_HEIR = re.compile(r"\b([A-Z][a-z]+\s+(?:[A-Z]\.?\s+)?[A-Z][a-z]+)(,?\s+)(II|III|IV)\b")
_CENTURY = re.compile(rf"\b(?=[IVX])({_SHAPE})(?:st|nd|rd|th)?(?=\s+[Cc]entur)")
_WITH_ENDING = re.compile(rf"\b(?=[IVXLCDM]{{2}}|V|Ist)({_SHAPE})(?:st|nd|rd|th)\b")
# "(ii)"; "(i)" and "(v)" only beside others.
_IN_BRACKETS = re.compile(r"(?<=\()([ivx]{2,5})(?=\))")
_LETTER_IN_BRACKETS = re.compile(r"(?<=\()([ivx])(?=\))")
_YEAR = re.compile(rf"\b(?=M[MDCLXVI]{{3}})({_SHAPE})\b")
_LONE = re.compile(rf"\b(II|III|VI|VII|VIII|IX|XI|XII|XIII|XIV|XV|XVI|XVII|XVIII|XIX|XX|XXI|XXX){_NO_MORE}")
_ANY_SHAPE = re.compile(r"\b(?:[IVXLCDM]+(?:\b|(?=st|nd|rd|th))|[ivx]{2,}\b)")
_FIRST_OF_RULER = re.compile(rf"\b((?:{_RULERS})) I(?=(?:'s)?(?:,| of\b| and the\b))")


def roman_value(numeral: str) -> int:
    """Return the value of a well-formed Roman numeral, 0 for anything else."""
    numeral = numeral.upper()
    if not numeral or not _NUMERAL.fullmatch(numeral):
        return 0
    values = [_VALUES[letter] for letter in numeral]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < following else value for value, following in pairs)


def expand_roman_numerals(text: str) -> str:
    """Spell out Roman numerals: "Henry VIII" as "the eighth", "Chapter IV" as "four", "the XIX century", "MCMXCIV".

    The pronoun "I", words such as "MIX", and letters such as the "V" of "V-neck" are kept.
    """
    if not _ANY_SHAPE.search(text):
        return text
    if "(" in text:
        if "(ii)" in text:
            text = _LETTER_IN_BRACKETS.sub(_item, text)
        text = _IN_BRACKETS.sub(_item, text)
    text = _CENTURY.sub(lambda match: ordinal(roman_value(match[1])), text)
    text = _WITH_ENDING.sub(lambda match: ordinal(roman_value(match[1])) if match[1] else match[0], text)
    text = _TITLED.sub(_rank, text)
    text = _RULER.sub(lambda match: match[0] if match[3] in ("I", "X") else _rank(match), text)
    text = _FIRST_OF_RULER.sub(r"\1 the first", text)
    text = _AFTER_THING.sub(_count_or_range, text)
    text = _SMALL_AFTER_THING.sub(_count, text)
    text = _AND_ANOTHER.sub(lambda match: f"{match[1]}{cardinal(roman_value(match[2]))}", text)
    text = _HEIR.sub(lambda match: f"{match[1]} the {ordinal(roman_value(match[3]))}", text)
    text = _YEAR.sub(_year, text)
    return _LONE.sub(lambda match: cardinal(roman_value(match[1])), text)


def _item(match: re.Match[str]) -> str:
    return cardinal(roman_value(match[1])) if roman_value(match[1]) else match[0]


def _rank(match: re.Match[str]) -> str:
    return f"{match[1]} the {ordinal(roman_value(match[3]))}" if match[3] else match[0]


def _count(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}{cardinal(roman_value(match[3]))}" if match[3] else match[0]


def _count_or_range(match: re.Match[str]) -> str:
    return _count(match) + (f" to {cardinal(roman_value(match[4]))}" if match[3] and match[4] else "")


def _year(match: re.Match[str]) -> str:
    value = roman_value(match[1])
    return year(value) if 1000 < value < 2100 else match[0]
