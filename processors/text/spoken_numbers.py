"""Numbers without units: fractions, ranges, ordinals, years, versions, models, and all others."""

from __future__ import annotations

import re

from processors.text.number_words import (
    MAGNITUDES,
    NUMBER,
    cardinal,
    decimal,
    digit_by_digit,
    in_pairs,
    ordinal,
    plural,
    whole,
    year,
)

_FRACTION = re.compile(r"(?<![\w./,-])(?:(\d+)(?:\s+|-))?(\d+)\s?/\s?(\d+)(?:ths?|rds?|nds?)?(?![\w/])")
_SET_PHRASES = {
    "24/7": "twenty-four seven", "9/11": "nine eleven", "50/50": "fifty fifty", "20/20": "twenty twenty",
    "911": "nine one one", "b4": "before", "w8": "wait", "m8": "mate", "l8": "late",
    "l8r": "later", "gr8": "great", "2day": "today", "2nite": "tonight", "2night": "tonight", "2moro": "tomorrow",
    "50-50": "fifty fifty",
    "24-7": "twenty-four seven",
}  # fmt: skip
_SET_PHRASE = re.compile(rf"(?<![\w/.,-])(?:{'|'.join(_SET_PHRASES)})(?![\w/-]|[.,]\d)")
_RANGE = re.compile(
    rf"(?<![\w.,-])((?:{NUMBER})(?:st|nd|rd|th|%|°[CF]?)?)(\s?)[-–]\2((?:{NUMBER})(?:st|nd|rd|th)?)(?![-–]?\d|/\d)"
)
_THOUSANDS_GROUPED_BY_SPACES = re.compile(r"(?<![\w.,-])(?<!\d )[1-9]\d{0,2}(?: 000)+(?![\d.,]*\d)")
_TIMES_POWER = re.compile(r"(?<=\d)\s?x\s?(?=10\^)")
_WHOLE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_RATIO = re.compile(rf"(?<![\w:.,])({_WHOLE}):(?={_WHOLE}(?![\w:]))")
_TIMES = re.compile(r"(?<=[\d)])\s?\*\s?(?=[\d(])")
_SAME_UNIT = re.compile(rf"(?<![\w.,-])((?:{NUMBER})(\s?[A-Za-zμ°%]{{1,4}}))(\s?)[-–]\3(?=(?:{NUMBER})\2(?!\w))")
_CLAUSES = re.compile(r"(?<=\))\s?[-–]\s?(?=\([a-z0-9]{1,4}\))")
_FROM_FRACTION = re.compile(r"(?<![\w/.,])(\d{1,3}/\d{1,3})\s?[-–]\s?(?=\d)")
_SWISS = re.compile(r"(?<![\w.,'])\d{1,3}(?:'\d{3})+(?![\w']|[.,]\d{3})")
_MILLIONS = re.compile(r"(?<![\w.,])[1-9]\d{0,2}\.\d{3}\.\d{3}(?![\w]|[.,]\d)")
_INDIAN = re.compile(r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?![\d]|,\d)")
_EUROPEAN = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})+,\d{1,2}(?![\d]|[.,]\d)")
_DIMENSIONS = re.compile(rf"(?<![\d.,])({NUMBER})((?:\s?[A-Za-z]{{1,2}})?)(\s?)[xX]\3(?={NUMBER})")
# "2 x 400g": pieces, not the sides of something.
_PIECES = re.compile(
    rf"(?<![\w.,])(\d+)\s?[xX]\s?(?=(?:{NUMBER})(?:\s?(?:k?g|mg|ml|cl|[lL]|oz|lbs?|pk|pack)\b|-[a-z]))"
)
# "3x faster", "eggs x2", but "y = 3x".
_TIMES_OVER = re.compile(
    rf"(?<![\w.,])(?<![=+*/^(-])(?<![=+*/^(-] )({NUMBER})(?:\s?x|X)(?=\s+[A-Za-z]{{2}}|\s+a\b|[,.;:!?)]|$)"
)
_TIMES_COUNT = re.compile(r"(?<=[a-z]{2} )x(?=\d{1,2}(?:[,.;:!?)]|$))")
_MAGNITUDE_RANGE = re.compile(
    rf"(?<![\w.,])((?:{NUMBER})\s(?:{MAGNITUDES}))\s?[-–]\s?(?=(?:{NUMBER})\s(?:{MAGNITUDES})\b)"
)
_SCIENTIFIC = re.compile(rf"(?<![\w.,])({NUMBER})(?:e\+?|E\+|[eE](-))(\d{{1,3}})\b(?![.,]\d)")
_HAS_EXPONENT = re.compile(r"\d[eE][-+\d]")
# "4'x8'"
_SIDE_IN_FEET = re.compile(r"(?<=\d)'(?=\s?[xX]\s?\d)")
_LAST_SIDE_IN_FEET = re.compile(r"(?<=\d)(\s?[xX]\s?\d+)'(?!\w)")
_MINUS_TERM = re.compile(r"(?<=\d[a-z]|\^\d|[\s(][knxyz])\s-\s(?=\d)")
_FOLLOWING = re.compile(r"(?<=\d)\s?ff\b\.?")
_YEAR_OF_CENTURY = re.compile(r"(?<![\w'])'0(\d)\b(?!')")
_ORDINAL = re.compile(r"(?<!\w)(?<!\d\.)((?:\d{1,3}(?:,\d{3})+|\d+))(?:st|nd|rd|th|ST|ND|RD|TH)\b")
_COUNTED = re.compile(r"(?:#|\bNo\s)\s?(?=\d)")
_POWER = re.compile(r"(?<=[\w)])\^(-?)(\d+)")
_DIGITS_POINTS = re.compile(r"(?<![\d.])\d+(?:\.\d+){2,}(?!\w)")
_MINUS = re.compile(r"(?<![\w)%])-(?=\.?\d)")
_SEVERAL = re.compile(
    r"(?<=[A-Za-z]-)(\d{1,3})s\b|(?<=[Uu]nder )(\d\d)s\b|(?<=[Oo]ver )(\d\d)s\b|(?<![\w.,$£€'-])(\d{3})s\b"
)
_ABOUT = re.compile(r"~\s?(?=\d)")
_PLAIN = re.compile(rf"(?<![\d.,])({NUMBER})|(?:{NUMBER})")
_NUMBERED_THING = re.compile(
    r"\b([Ff]light|[Rr]oute|[Rr]oom|[Hh]ighway|[Ii]nterstate|Boeing|Airbus|[Bb]us|[Tt]rain|[Aa]rea|[Ss]uite)\s+"
    r"(\d{3,4})(?![\d,.:]\d|\w)"
)
_MODEL = re.compile(r"(?<![\w])([A-Za-z]{1,4})-?(\d{3,4})(?![\d.,]\d|\d)")


def expand_numbers(text: str) -> str:
    """Spell out all remaining numbers: fractions, ordinals, versions, years, models, plain numbers."""
    text = _COUNTED.sub("number ", text)
    if "'0" in text or "ff" in text:
        text = _FOLLOWING.sub(" and following", _YEAR_OF_CENTURY.sub(r"oh \1", text))
    if _HAS_EXPONENT.search(text):
        text = _SCIENTIFIC.sub(lambda match: f"{match[1]} times 10^{match[2] or ''}{match[3]}", text)
    if "/" in text:
        text = _FRACTION.sub(_fraction, text)
    text = _DIGITS_POINTS.sub(_digits_points, text)
    text = _ORDINAL.sub(lambda match: _ordinal(match[1]), text)
    if "^" in text:
        text = _POWER.sub(_power, text)
    text = _NUMBERED_THING.sub(lambda match: f"{match[1]} {in_pairs(match[2])}", text)
    text = _MODEL.sub(lambda match: f"{match[1]} {in_pairs(match[2])}{_gap(match)}", text)
    text = _ABOUT.sub("about ", _MINUS.sub(" minus ", text))
    return _PLAIN.sub(_plain_number, text)


def _gap(match: re.Match[str]) -> str:
    return " " if match.string[match.end() : match.end() + 1].isalnum() else ""


def unify_grouping(text: str) -> str:
    """Write numbers grouped as in India ("1,00,000") or on the continent of Europe ("1.234,56") the American way."""
    if "'" in text:
        text = _SWISS.sub(lambda match: match[0].replace("'", ","), text)
    text = _MILLIONS.sub(lambda match: match[0].replace(".", ","), text)
    if "," not in text:
        return text
    text = _INDIAN.sub(lambda match: f"{int(match[0].replace(',', '')):,}", text)
    return _EUROPEAN.sub(lambda match: match[0].replace(".", " ").replace(",", ".").replace(" ", ","), text)


def expand_ranges(text: str) -> str:
    """Write "to" in ranges ("5-10", "1914-18") and ratios ("2:1") and "by" in dimensions ("2x4"), keeping digits.

    Also spells out what these rules would break: set phrases ("24/7"), plurals of numbers ("B-52s", "747s").
    """
    text = _SET_PHRASE.sub(lambda match: _SET_PHRASES[match[0]], text)
    text = _THOUSANDS_GROUPED_BY_SPACES.sub(lambda match: match[0].replace(" ", ""), text)
    text = _SEVERAL.sub(lambda match: plural(in_pairs(match[match.lastindex or 0])), text)
    if "*" in text:
        text = _TIMES.sub(" times ", text)
    if "'" in text:
        text = _LAST_SIDE_IN_FEET.sub(r"\1 feet", _SIDE_IN_FEET.sub("", text))
    if "x" in text or "X" in text:
        text = _TIMES_POWER.sub(" times ", text)
        text = _PIECES.sub(r"\1 times ", text)
        text = _DIMENSIONS.sub(r"\1\2 by ", text)
        text = _TIMES_COUNT.sub("times ", _TIMES_OVER.sub(r"\1 times", text))
    if ":" in text:
        text = _RATIO.sub(r"\1 to ", text)
    if "-" not in text and "–" not in text:
        return text
    if " - " in text:
        text = _MINUS_TERM.sub(" minus ", text)
    if "illion" in text or "thousand" in text:
        text = _MAGNITUDE_RANGE.sub(r"\1 to ", text)
    if "(" in text:
        text = _CLAUSES.sub(" to ", text)
    text = _FROM_FRACTION.sub(r"\1 to ", _SAME_UNIT.sub(r"\1 to ", text))
    return _RANGE.sub(_range, text)


def _range(match: re.Match[str]) -> str:
    if "=" in match.string[match.end() : match.end() + 3]:
        return f"{match[1]} minus {match[3]}"
    return f"{match[1]} to {match[3]}"


def mixed_number(number: str, fraction: str | None = None) -> str:
    """Spell out a number that a fraction may follow: "3" and " 1/4" as "three and a quarter"."""
    return _FRACTION.sub(_fraction, number + fraction) if fraction else decimal(number)


def _fraction(match: re.Match[str]) -> str:
    integer, numerator, denominator = match.groups()
    if max(len(numerator), len(denominator)) > 6 or int(denominator) < 2:
        return f"{whole(integer) + ' ' if integer else ''}{whole(numerator)} over {whole(denominator)}"
    top, bottom = int(numerator), int(denominator)
    if top >= 100 and bottom <= 10 and not integer:  # a score: 397/4
        return f"{cardinal(top)} over {cardinal(bottom)}"
    if top == bottom and not integer:
        return f"{cardinal(top)} out of {cardinal(bottom)}"
    if not integer and top + bottom == 100 and top % 5 == 0:
        return f"{cardinal(top)} {cardinal(bottom)}"  # "a 60/40 split"
    if integer and top == 1 and bottom in (2, 4):
        return f"{whole(integer)} and a {'half' if bottom == 2 else 'quarter'}"
    if bottom not in (*range(2, 11), 12, 16, 20, 32, 64, 100, 1000):
        part = f"{cardinal(top)} over {cardinal(bottom)}"
    else:
        name = {2: "half", 4: "quarter"}.get(bottom, ordinal(bottom))
        part = f"{cardinal(top)} {name if top == 1 else 'halves' if bottom == 2 else name + 's'}"
    return f"{whole(integer)} and {part}" if integer else part


def _ordinal(digits: str) -> str:
    plain = digits.replace(",", "")
    return ordinal(int(plain)) if len(plain) <= 15 else digit_by_digit(plain)


def _digits_points(match: re.Match[str]) -> str:
    parts = match[0].split(".")
    gap = " " if match.string[match.start() - 1 : match.start()].isalpha() else ""
    if len(parts) == 4:  # an address on the internet
        return gap + " dot ".join(digit_by_digit(part) for part in parts)
    return gap + " point ".join(whole(part) for part in parts)


def _power(match: re.Match[str]) -> str:
    minus, power = match.groups()
    before = re.search(r"([A-Za-z]*)$", match.string[: match.start()])
    if before and len(before[1]) > 2:  # a footnote mark after a word
        return ""
    if not minus and power in ("2", "3"):
        return " squared" if power == "2" else " cubed"
    return f" to the power of {'minus ' if minus else ''}{whole(power)}"


# After these a number of four digits is a year even before a plural: "in 1914 thousands left".
_SURELY_YEAR = re.compile(r"\b(?:in|since|year|circa|during|until)\s+$", re.IGNORECASE)
_PERHAPS_YEAR = re.compile(r"\b(?:from|till|by|of|around|about|before|after|to|and|early|late)\s+$", re.IGNORECASE)
_PEOPLE = re.compile(r"\s+(?:people|men|women)\b")
_PLURAL = re.compile(
    r"\s+(?:[a-z]+\s)?(?!(?:was|is|has|as|this|its|his|thus|plus|yes|us|versus|does|across|unless|perhaps|always)\b)"
    r"[a-z]+s\b"
)


def _plain_number(match: re.Match[str]) -> str:
    number = match[0]
    spoken = year(int(number)) if len(number) == 4 and number.isdigit() and _is_year(match) else decimal(number)
    before = match.string[match.start() - 1 : match.start()]
    after = match.string[match.end() : match.end() + 1]
    # "MP3", "3D", "COVID-19": a number attached to letters becomes a separate word.
    return (" " if before.isalpha() else "") + spoken + (" " if after.isalpha() or after == "^" else "")


def _is_year(match: re.Match[str]) -> bool:
    """Return whether a number is read as a year: 1455 ("fourteen fifty-five"), not 1455 soldiers; 1500 in any case."""
    number = int(match[0])
    before = match.string[max(0, match.start() - 12) : match.start()]
    if not 1000 <= number < 2100 or _PEOPLE.match(match.string, match.end()):
        return 1100 <= number < 2000 and number % 100 == 0
    if _SURELY_YEAR.search(before):
        return True
    counts_things = number % 100 and _PLURAL.match(match.string, match.end())
    return not counts_things and (number >= 1100 or _PERHAPS_YEAR.search(before) is not None)
