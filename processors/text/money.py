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
_SIGNS = sorted((sign for sign in _CURRENCIES if not sign.isalpha()), key=len, reverse=True)
_SYMBOL = rf"(?:{'|'.join(map(re.escape, _SIGNS))})"
_NATION = "|".join(sorted(_NATIONS, key=len, reverse=True))
_CODE = "|".join(_CODES)
_SIGN = rf"(?:(?:\b(?:{_NATION}))?{_SYMBOL}|\b(?:{_CODE})(?![A-Za-z]))"
_MAGNITUDE = rf"(?:[\s-]?(?:{MAGNITUDES})\b|\s?(?:{'|'.join(_MAGNITUDE_LETTERS)}|[KMBT])\b)"
# "a $5 bill": before these an amount is an adjective, without plural.
_PRICED = (
    "bills?|notes?|coins?|tickets?|deals?|fees?|fines?|prizes?|checks?|loans?|tips?|bets?|gifts?|budgets?|rewards?"
)
_MONEY = re.compile(
    rf"(?P<article>\b[Aa]n?\s+)?(?P<minus>-)?(?<!\d)(?P<sign>{_SIGN})\s?(?P<minus_after>-)?"
    rf"(?P<amount>{NUMBER})(?P<magnitude>{_MAGNITUDE})?"
    rf"(?:(?P<gap>\s?)[-–](?P=gap)(?P=sign)?\s?(?P<amount_2>{NUMBER})(?P<magnitude_2>{_MAGNITUDE})?(?![%\d]|[-–/,.]\d))?"
    rf"(?P<pence>p\b)?(?P<noun>[\s-]+(?:{_PRICED})\b)?"
)
_MONEY_AFTER = re.compile(
    rf"(?<![\w.,])(?P<minus>-)?(?P<amount>{NUMBER})(?P<magnitude>{_MAGNITUDE})?"
    rf"(?:(?:\s?(?P<sign_1>{_SYMBOL}|(?:{_CODE})\b))?(?P<gap>\s?)[-–](?P=gap)"
    rf"(?P<amount_2>{NUMBER})(?P<magnitude_2>{_MAGNITUDE})?)?\s?(?P<sign>{_SYMBOL}|(?:{_CODE})\b)(?!\d)"
)
_RANGE_BEFORE_SIGN = re.compile(rf"(?<![\w.,$£€¥₹₩₽₺₪₴₫₿])(?<!\b[A-Z]{{3}} )({NUMBER})(\s?)[-–]\2(?={_SIGN}\s?\d)")
_HAS_MONEY = re.compile(rf"[{''.join(sign for sign in _SIGNS if len(sign) == 1)}¢]|\dp\b|{_CODE}")
_CENTS = re.compile(rf"(?<![\d.,])({NUMBER})\s?¢")
_PENCE = re.compile(r"(?<![\w.,])(\d{1,2}|\d{1,4}\.\d{1,2})p\b(?![.]?\d)")
_EURO_THOUSANDS = re.compile(r"€\s?\d{1,3}\.\d{3}(?![\d.,]*\d)|(?<![\d.,])\d{1,3}\.\d{3}(?=\s?€)")
_SEVERAL_FOR = re.compile(rf"(?<![\w.,/$£€])(\d{{1,2}})/(?={_SIGN}\d)")
_DECIMAL_COMMA = re.compile(
    rf"((?:{_SIGN})\s?\d+),(?=\d\d(?![\d.,]*\d))|(?<![\d.,])(\d+),(?=\d\d\s?(?:{_SYMBOL}|EUR\b))"
)


def expand_money(text: str) -> str:
    """Spell out amounts of money: "$3.50", "£2 million", "a $5 bill", "$5m-$10m", "20 EUR", "99¢", "50p"."""
    if not _HAS_MONEY.search(text):
        return text
    if "€" in text:
        text = _EURO_THOUSANDS.sub(lambda match: match[0].replace(".", ","), text)
    text = _SEVERAL_FOR.sub(r"\1 for ", text)
    text = _DECIMAL_COMMA.sub(lambda match: f"{match[1] or match[2]}.", text)
    text = _RANGE_BEFORE_SIGN.sub(r"\1 to ", text)
    text = _MONEY.sub(_money, text)
    text = _MONEY_AFTER.sub(_money, text)
    text = _PENCE.sub(lambda match: f"{decimal(match[1])} {'penny' if match[1] == '1' else 'pence'}", text)
    return _CENTS.sub(lambda match: f"{decimal(match[1])} {'cent' if match[1] == '1' else 'cents'}", text)


def _money(match: re.Match[str]) -> str:
    found = match.groupdict()
    article, noun = found.get("article") or "", found.get("noun") or ""
    follows = re.match(r"[\s-]+[a-z]", match.string[match.end() :])
    as_adjective = bool(noun) or (bool(article) and bool(follows))
    nation, symbol = _currency(found["sign"])
    magnitude, last_magnitude = _spoken_magnitude(found["magnitude"]), _spoken_magnitude(found["magnitude_2"])
    amount, last = found["amount"], found["amount_2"]
    words = _amount(last or amount, last_magnitude if last else magnitude, symbol, nation, as_adjective)
    if last and magnitude in ("", last_magnitude) and (last_magnitude or "." not in amount + last):
        words = f"{f'{decimal(amount)} {magnitude}'.strip()} to {words}"
    elif last:
        words = f"{_amount(amount, magnitude, symbol, nation, as_adjective)} to {words}"
    minus = "minus " if found["minus"] or found.get("minus_after") else ""
    # "ZZ$5": letters of an unknown country.
    gap = " " if not article and match.string[match.start() - 1 : match.start()].isalnum() else ""
    pence = found.get("pence") if symbol != "£" else None
    before = match.string[match.end() : match.end() + 1]
    return f"{gap}{article}{minus}{words}{f' {pence}' if pence else ''}{noun}{' ' if before.isalnum() else ''}"


def _currency(sign: str) -> tuple[str, str]:
    """Return the nation, with a space, and the symbol of a sign: "US$", "€" or "CAD"."""
    sign = _CODES.get(sign, sign)
    symbol = next(known for known in (*_SIGNS, sign) if sign.endswith(known))
    return _NATIONS.get(sign.removesuffix(symbol), ""), symbol


def _spoken_magnitude(written: str | None) -> str:
    plain = (written or "").strip(" -")
    return _MAGNITUDE_LETTERS.get(plain.lower(), plain)


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
