"""Spelling out of numbers in languages other than English, by num2words."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

from processors.text.errors import TextError

_COMMA_IS_DECIMAL = {
    "de", "nl", "fr", "es", "it", "pt", "da", "sv", "nb", "no", "fi", "is", "pl", "cs", "sk", "sl", "hr", "sr", "hu",
    "ro", "ru", "uk", "be", "bg", "lt", "lv", "et", "tr", "id", "el", "ca", "vi", "az", "kk",
}  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.,:/])[-−]?\d+(?:[.,'’\u00a0\u202f]\d+)*(?![\w:/])")
# In these a number with a full stop before another word is an ordinal: am 3. Mai.
_ORDINAL_STOP = {"de", "da", "nb", "no", "fi", "is", "cs", "sk", "sl", "sr", "hu", "lv", "tr"}
_ORDINAL = re.compile(r"(?<![\w.,:/-])(\d{1,2})\.(?=\s+[^\W\d_])")
# num2words has one converter per language, which keeps the number of decimals of what it converts.
_ONE_AT_A_TIME = threading.Lock()


def number_speaker(language: str) -> Callable[[str], str] | None:
    """Return a function that spells out the numbers of a text; None for a language that num2words does not support.

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

    def spelled(match: re.Match[str], to: str = "cardinal") -> str:
        value = _value(match[1] if to == "ordinal" else match[0], decimal_mark)
        if value is not None:
            # Converters have different limits of size and fractions; what fails is left as written.
            with suppress(Exception), _ONE_AT_A_TIME:
                return str(num2words(value, lang=found, to=to)).strip()
        return match[0]

    def speak(text: str) -> str:
        if primary in _ORDINAL_STOP:
            text = _ORDINAL.sub(lambda match: spelled(match, "ordinal"), text)
        return " ".join(_NUMBER.sub(spelled, text).split())

    return speak


def _value(written: str, decimal_mark: str) -> int | Decimal | None:
    """Parse a written number; None for what is not a single number, such as a date."""
    plain = re.sub("['’\u00a0\u202f]", "", written.replace("−", "-"))
    grouping = "." if decimal_mark == "," else ","
    whole, mark, fraction = plain.partition(decimal_mark)
    parts = whole.split(grouping)
    if len(parts) > 1 and (len(parts[0].lstrip("-")) > 3 or any(len(part) != 3 for part in parts[1:])):
        if len(parts) != 2 or mark:
            return None
        whole, fraction = parts  # decimals with the decimal mark of other languages
        parts = [whole]
    if decimal_mark in fraction or grouping in fraction:
        return None
    with suppress(InvalidOperation):
        digits = "".join(parts)
        return Decimal(f"{digits}.{fraction}") if fraction else int(digits)
    return None
