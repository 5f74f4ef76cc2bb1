"""Spelling out of numbers in languages other than English, by num2words."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from processors.text.errors import TextError
from processors.text.language_codes import ORDINAL_STOP

_COMMA_IS_DECIMAL = {
    "de", "nl", "fr", "es", "it", "pt", "da", "sv", "nb", "no", "fi", "is", "pl", "cs", "sk", "sl", "hr", "sr", "hu",
    "ro", "ru", "uk", "be", "bg", "lt", "lv", "et", "tr", "id", "el", "ca", "vi", "az", "kk",
}  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.,:/])[-−]?\d+(?:[.,'’\u00a0\u202f]\d+)*(?![\w:/])")
_ORDINAL = re.compile(r"(?<![\w.,:/-])(\d{1,2})\.(?=\s+[^\W\d_])")
# Where the mark is a comma, but num2words' word is that of a point.
_POINTS = {"es": "coma", "ca": "coma"}
# Longer numbers are read figure by figure: converters take up to 0.2 s for 40 figures, Amharic's for ever for 7.
_MAX_DIGITS = 15
_MAX_DIGITS_OF = {"am": 6}
# num2words has one converter per language, which keeps the number of decimals of what it converts.
_ONE_AT_A_TIME = threading.Lock()


def number_speaker(language: str) -> Callable[[str], str] | None:
    """Return a function that spells out the numbers of a text; None for a language that num2words does not support.

    A spelled number is taken only where it keeps the value: neighbouring numbers, which differ in one figure, must have
    other words, minus must change the words, and the figures behind the decimal mark, those with leading zeros and
    those of long numbers are said one by one. What fails is left as written, for espeak-ng to read.

    Whole numbers, decimals with the language's decimal mark, thousands with the other mark, minus, and ordinals marked
    by a full stop (`3. Mai`). Dates in digits, times, money and units are left as written. If the comma is the decimal
    mark, `1.234` has thousands and `1.5` is a decimal.

    Raises:
        TextError: num2words is not installed.
    """
    try:
        from num2words import CONVERTER_CLASSES, num2words
    except ImportError as error:
        raise TextError(
            "normalizer 'num2words' is not installed; run `pip install -r requirements/num2words.txt`, or use 'rules'"
        ) from error
    code = language.replace("-", "_")
    primary = code.split("_")[0].lower()
    named: dict[str, Any] = {name.lower(): name for name in CONVERTER_CLASSES}
    found = named.get(code.lower()) or named.get({"nb": "no"}.get(primary, primary))
    if found is None:
        return None
    decimal_mark = "," if primary in _COMMA_IS_DECIMAL else "."

    point = _POINTS.get(primary) or getattr(CONVERTER_CLASSES[found], "pointword", None)
    names = _Names(
        lambda value, to: str(num2words(value, lang=found, to=to)).strip(),
        point,
        _MAX_DIGITS_OF.get(primary, _MAX_DIGITS),
    )

    def spelled(match: re.Match[str], to: str = "cardinal") -> str:
        number = _parsed(match[1] if to == "ordinal" else match[0], decimal_mark)
        if number is not None:
            # Converters have different limits of size and fractions; what fails is left as written.
            with suppress(Exception), _ONE_AT_A_TIME:
                return names.spelled(*number, to)
        return match[0]

    def speak(text: str) -> str:
        if primary in ORDINAL_STOP:
            text = _ORDINAL.sub(lambda match: spelled(match, "ordinal"), text)
        return " ".join(_NUMBER.sub(spelled, text).split())

    return speak


class _Names:
    """Names of numbers in one language, refused where they do not keep the value.

    Args:
        name: returns num2words' name of a value as `cardinal` or `ordinal`.
        point: the word for the decimal mark, if there is one in num2words.
        most_digits: longer numbers are read figure by figure.
    """

    def __init__(self, name: Callable[[Any, str], str], point: object, most_digits: int) -> None:
        self._name = name
        self._most_digits = most_digits
        self._figure = lru_cache(lambda figure: self._whole(int(figure), "cardinal"))
        self._point = point if isinstance(point, str) and point.isalpha() else self._point_between_figures()

    def spelled(self, minus: bool, whole: str, fraction: str, to: str) -> str:
        """Return the words of a number in figures.

        Raises:
            ValueError: the words do not keep the value.
        """
        by_figures = (len(whole) > 1 and whole[0] == "0") or len(whole) > self._most_digits
        words = self._figures(whole) if by_figures else self._whole(int(whole), to)
        if fraction:
            if not self._point:
                raise ValueError("no word for the decimal mark")
            words = f"{words} {self._point} {self._figures(fraction)}"
        return f"{self._minus()} {words}" if minus else words

    def _figures(self, figures: str) -> str:
        return " ".join(map(self._figure, figures))

    def _whole(self, value: int, to: str) -> str:
        words = self._name(value, to)
        if not words or any(map(str.isdigit, words)) or any(self._name(near, to) == words for near in _near(value)):
            raise ValueError(f"{words!r} is not the name of {value} alone")
        return words

    def _minus(self) -> str:
        """Return the word before the number in the name of -5, which some converters leave out."""
        five, minus_five = self._name(5, "cardinal"), self._name(-5, "cardinal")
        minus = minus_five.removesuffix(five).strip()
        if minus_five == minus or not minus.replace(" ", "").isalpha():
            raise ValueError("no word for minus")
        return minus

    def _point_between_figures(self) -> str:
        """Return the word between the figures in the name of 3.5; empty where there is none."""
        with suppress(Exception):
            three, five, both = (self._name(value, "cardinal") for value in (3, 5, 3.5))
            point = both.removeprefix(three).removesuffix(five).strip()
            if both.startswith(three) and both.endswith(five) and point.isalpha():
                return point
        return ""


def _near(value: int) -> set[int]:
    """Return numbers that differ from a value in one figure, or lack one of its ends."""
    figures = str(value)
    changed = {
        int(figures[:place] + str((int(figure) + 1) % 10) + figures[place + 1 :])
        for place, figure in enumerate(figures)
    }
    cut = {int(figures[:-3] or 0), int(figures[1:] or 0), int(figures[-3:])}
    return (changed | cut) - {value}


def _parsed(written: str, decimal_mark: str) -> tuple[bool, str, str] | None:
    """Return sign, whole part and decimals of a number in figures; None for what is none, such as a date."""
    plain = re.sub("['’\u00a0\u202f]", "", written.replace("−", "-"))
    minus, plain = plain.startswith("-"), plain.removeprefix("-")
    grouping = "." if decimal_mark == "," else ","
    whole, mark, fraction = plain.partition(decimal_mark)
    parts = whole.split(grouping)
    if len(parts) > 1 and (len(parts[0]) > 3 or any(len(part) != 3 for part in parts[1:])):
        if len(parts) != 2 or mark:
            return None
        whole, fraction = parts  # decimals with the decimal mark of other languages
        parts = [whole]
    if decimal_mark in fraction or grouping in fraction:
        return None
    return minus, "".join(parts), fraction
