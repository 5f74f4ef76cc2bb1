"""Amounts of money."""

from __future__ import annotations

import re

from processors.text.number_words import MAGNITUDES, NUMBER, cardinal, decimal, whole
from processors.text.word_tables import WordTables

_TABLES = WordTables(__file__)
_MAGNITUDE_LETTERS = _TABLES.mapping("letters of magnitudes")
_CURRENCIES = {symbol: tuple(names.split(", ")) for symbol, names in _TABLES.mapping("currencies").items()}
_CODES = _TABLES.mapping("codes")
_NATIONS = {letters: f"{nation} " for letters, nation in _TABLES.mapping("nations").items()}
_SYMBOL = "[" + "".join(symbol for symbol in _CURRENCIES if len(symbol) == 1) + "]"
# "a $5 bill": before these an amount is an adjective, without plural.
_PRICED = (
    "bills?|notes?|coins?|tickets?|deals?|fees?|fines?|prizes?|checks?|loans?|tips?|bets?|gifts?|budgets?|rewards?"
)
_MONEY_RANGE = re.compile(rf"({_SYMBOL})\s?({NUMBER})(\s?)[-–]\3\1?({NUMBER})")
_MONEY = re.compile(
    rf"(?P<article>\b[Aa]n?\s+)?(?P<minus>-)?(?:\b(?P<nation>US|AU?|CA?|NZ|HK))?(?P<symbol>{_SYMBOL})\s?"
    rf"(?P<amount>{NUMBER})(?:[\s-]?(?P<magnitude>{MAGNITUDES})\b|\s?(?P<letters>bn|mn|tn|[kKmMbBtT])\b)?"
    rf"(?P<noun>[\s-]+(?:{_PRICED})\b)?"
)
_CODE = "|".join(_CODES)
_MONEY_AFTER = re.compile(rf"(?<![\w.,])(-?)({NUMBER})\s?(?:({_SYMBOL})|({_CODE})\b)|\b({_CODE})\s?({NUMBER})")
_CENTS = re.compile(rf"(?<![\d.,])({NUMBER})\s?¢")


def expand_money(text: str) -> str:
    """Spell out amounts of money: "$3.50", "£2 million", "a $5 bill", "$5-10", "20 EUR", "99¢"."""
    text = _MONEY_RANGE.sub(lambda match: f"{decimal(match[2])} to {match[1]}{match[4]}", text)
    text = _MONEY.sub(_money, text)
    text = _MONEY_AFTER.sub(_money_after, text)
    return _CENTS.sub(lambda match: f"{decimal(match[1])} {'cent' if match[1] == '1' else 'cents'}", text)


def _money(match: re.Match[str]) -> str:
    article, noun, amount = match["article"] or "", match["noun"] or "", match["amount"]
    magnitude = match["magnitude"] or _MAGNITUDE_LETTERS.get((match["letters"] or "").lower(), "")
    follows = re.match(r"[\s-]+[a-z]", match.string[match.end() :])
    as_adjective = bool(noun) or (bool(article) and bool(follows))
    sign = "minus " if match["minus"] else ""
    words = _amount(amount, magnitude, match["symbol"], _NATIONS.get(match["nation"] or "", ""), as_adjective)
    return f"{article}{sign}{words}{noun}"


def _amount(amount: str, magnitude: str, symbol: str, nation: str, as_adjective: bool = False) -> str:
    one, many, *of_hundredths = _CURRENCIES[symbol]
    integer, _, fraction = amount.partition(".")
    if magnitude or len(fraction) > 2 or not of_hundredths:
        number = f"{decimal(amount)} {magnitude}".strip()
        return f"{number} {nation}{one if as_adjective or number == 'one' else many}"
    parts = []
    if integer.strip("0,") or not fraction.strip("0"):
        parts.append(f"{whole(integer or '0')} {nation}{one if as_adjective or integer == '1' else many}")
    cents = int(fraction.ljust(2, "0")) if fraction else 0
    if cents:
        parts.append(f"{cardinal(cents)} {of_hundredths[cents > 1]}")
    return " and ".join(parts)


def _money_after(match: re.Match[str]) -> str:
    minus, before, symbol, code_after, code_before, after = match.groups()
    amount = _amount(before or after, "", symbol or _CODES[code_after or code_before], "")
    return f"{'minus ' if minus else ''}{amount}"
