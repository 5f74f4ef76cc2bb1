"""Numbers in words of American English."""

from __future__ import annotations

_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = (
    "", "thousand", "million", "billion", "trillion", "quadrillion", "quintillion", "sextillion", "septillion",
    "octillion",
)  # fmt: skip
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip

# Written numbers: grouping commas, a decimal point. A pattern that starts with it must not match within a number, or a
# long run of digits takes quadratic time.
NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
MAGNITUDES = "hundred|thousand|million|billion|trillion|quadrillion|lakh|crore"

# Longer ones are read digit by digit: they have no familiar names.
MAX_DIGITS = 3 * len(_SCALES)


def cardinal(number: int) -> str:
    """Spell out a whole number from 0 to 10^30 - 1: 1234 as "one thousand two hundred thirty-four"."""
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_SMALL[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_SMALL[hundreds]} hundred" + (f" {cardinal(rest)}" if rest else "")
    words: list[str] = []
    for scale in _SCALES:
        number, group = divmod(number, 1000)
        if group:
            words.insert(0, f"{cardinal(group)} {scale}".strip())
    return " ".join(words)


def is_number_word(word: str) -> bool:
    """Return whether a lower-case word begins the name of a number: "twelve", "forty-two", not "forties"."""
    return word.partition("-")[0] in {*_SMALL, *_TENS}


def ordinal(number: int) -> str:
    """Spell out an ordinal: 21 as "twenty-first"."""
    words = cardinal(number)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    if last in _ORDINALS:
        return words[:cut] + _ORDINALS[last]
    return words[:-1] + "ieth" if words.endswith("y") else words + "th"


def plural(words: str) -> str:
    """Return the plural of a number in words: "nineteen twenties", "sixes"."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")


def digit_by_digit(digits: str) -> str:
    """Spell out each digit: "007" as "zero zero seven"."""
    return " ".join(_SMALL[int(digit)] for digit in digits)


def whole(digits: str) -> str:
    """Spell out a run of digits as one number, or digit by digit if it begins with 0 or is too long."""
    plain = digits.replace(",", "")
    grouped_or_round = len(plain) <= 9 or plain != digits or plain.endswith("000")
    if len(plain) > MAX_DIGITS or (plain[0] == "0" and len(plain) > 1) or not grouped_or_round:
        return digit_by_digit(plain)
    return cardinal(int(plain))


def decimal(number: str) -> str:
    """Spell out a number that may have grouping commas and a decimal point: "1,234.50", ".5"."""
    integer, point, fraction = number.partition(".")
    if not point:
        return whole(integer)
    start = f"{whole(integer)} " if integer else ""
    return f"{start}point {digit_by_digit(fraction)}"


def year(number: int) -> str:
    """Spell out a year: 1905 as "nineteen oh five", 1900 as "nineteen hundred", 2005 as "two thousand five"."""
    century, rest = divmod(number, 100)
    if number < 100 or number % 1000 < 10 or number > 9999:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def in_pairs(digits: str) -> str:
    """Spell out the number of a road, a flight or a model: 320 as "three twenty", 101 as "one oh one"."""
    number = int(digits)
    if len(digits) in (3, 4) and digits[0] != "0":
        return f"{cardinal(number // 100)} hundred" if number % 100 == 0 and number % 1000 else year(number)
    return whole(digits)
