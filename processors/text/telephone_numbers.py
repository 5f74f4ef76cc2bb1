"""Spelling out of telephone and social security numbers."""

from __future__ import annotations

import re

from processors.text.number_words import cardinal, digit_by_digit

_PHONE = re.compile(
    r"(?<![\w.,/-])(?:(\+?\d{1,3})[-. ]|(\+)(\d{1,3}))?(?:\((\d{3})\)\s?|(\d{3})[-. ])(\d{3})[-. ](\d{4})(?![\w-]|\.\d)"
    r"|(?<![\w.,/-])(\d{3})-(\d{4})(?![\w-]|\.\d)|(?<![\w.,/-])(\d{3})-(\d{2})-(\d{4})(?![\w-]|\.\d)"
)
_SPACED_PHONE = re.compile(r"(?<![\w.,-])(?<!\d )0\d{2,4}(?: \d{3,4}){1,3}(?![\w-]|[.,]\d)")
_VANITY_PHONE = re.compile(r"(?<![\w-])1-(8\d\d)-(?=[A-Z\d])")
_ZIP_CODE = re.compile(r"(?:(?<=, [A-Z]{2} )|(?<=, D C ))(\d{5})(?:-(\d{4}))?\b(?![.,]\d)")
_LONG_CODE = re.compile(r"(?<![\w.,-])\d{3,4}(?: \d{3,4}){2,5}(?![\w-]|[.,]\d| \d)")
_INTERNATIONAL_PHONE = re.compile(r"(?<!\w)\+(\d[\d ()-]{6,}\d)(?!\w)")


def expand_phone_numbers(text: str) -> str:
    """Spell out telephone, social security and postal numbers digit by digit, with commas between groups."""
    if ", " in text:
        text = _ZIP_CODE.sub(lambda match: ", ".join(digit_by_digit(group) for group in match.groups() if group), text)
    text = _PHONE.sub(_phone, text)
    text = _SPACED_PHONE.sub(lambda match: ", ".join(map(digit_by_digit, match[0].split())), text)
    text = _LONG_CODE.sub(_long_code, text)
    text = _VANITY_PHONE.sub(lambda match: f"one {_phone_group(match[1])} ", text)
    return _INTERNATIONAL_PHONE.sub(_international, text)


def _long_code(match: re.Match[str]) -> str:
    """Spell out a number in groups as on cards; "100 000 000" is one number."""
    groups = match[0].split()
    return match[0] if all(len(group) == 3 for group in groups) else ", ".join(map(digit_by_digit, groups))


def _international(match: re.Match[str]) -> str:
    return "plus " + ", ".join(digit_by_digit(group) for group in re.findall(r"\d+", match[1]))


def _phone(match: re.Match[str]) -> str:
    groups = [group for group in match.groups() if group]
    if len(groups) == 2 and all(group.endswith("0") for group in groups):
        return match[0]  # "500-1000" is a range
    return ", ".join("plus" if group == "+" else _phone_group(group) for group in groups).replace("plus, ", "plus ")


def _phone_group(group: str) -> str:
    if group.startswith("+"):
        return "plus " + digit_by_digit(group[1:])
    return f"{cardinal(int(group[0]))} hundred" if re.fullmatch("[1-9]00", group) else digit_by_digit(group)
