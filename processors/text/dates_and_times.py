"""Dates, decades and times of day."""

from __future__ import annotations

import re

from processors.text.number_words import cardinal, decimal, ordinal, plural, year

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_MONTH = "|".join(_MONTHS)
_ISO = re.compile(r"(?<![\w-])(\d{4})-(\d{1,2})-(\d{1,2})(?![\w-])")
_ISO_TIME = re.compile(r"(?<![\w-])(\d{4}-\d\d-\d\d)T(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z?)(?![\w:])")
# Day and month where the day comes first, as 25/12; fractions with such denominators are improper.
_DAY_FIRST = re.compile(r"(?<![\w/.,-])(1[3-9]|2\d|3[01])/(1[0-2])(?![\w/]|[.,]\d)")
_NUMERIC = re.compile(r"(?<![\w/.-])(\d{1,2})(?:([/.])(\d{1,2})\2(\d{4}|\d{2})|-(\d{1,2})-(\d{4}))(?![\w/-]|\.\d)")
_ON_DAY = re.compile(r"(?<=\b[Oo]n )(\d{1,2})/(\d{1,2})(?![\w/])")
_MONTH_DAY = re.compile(
    rf"\b({_MONTH})\s+(\d{{1,2}})(?:st|nd|rd|th)?(?:(\s*[-–]\s*|\s+to\s+)(\d{{1,2}})(?:st|nd|rd|th)?)?"
    rf"(?:(,?)\s+(\d{{4}})(?!\d))?(?![\d:/]|[.,]\d|\w)"
)
_DAY_MONTH = re.compile(
    rf"(?<![\w.,/$£€])(the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})\b"
    rf"(?:,?\s+(\d{{4}})(?![\d:]|[.,]\d|\w))?",
    re.IGNORECASE,
)
_MONTH_YEAR = re.compile(rf"\b({_MONTH}),?\s+(?:of\s+)?(\d{{4}})(?![\d:]|[.,]\d|\w)")
_ERA = re.compile(r"(?<![\w.,])(?:(AD|A D|CE|BC)\s+)?(\d{1,4})(?:\s+(AD|BC|BCE|CE|A D|B C|B C E|C E)\b)?")
_DECADE = re.compile(r"(?<![\w.,$£€])(?:'?(\d0)|(\d{3}0))'?s\b")
_TIME = re.compile(
    r"(?<![\w:.,])(\d{1,2})(?:[:.](\d{2}))?(?::(\d{2}))?\s?([AaPp])\s?[Mm]\b|(?<![\w:.,])(\d{1,2}):(\d{2})(?::(\d{2}))?(?![\w:]|[.,]\d)"
)
_MAY_LACK_COLON = re.compile(r"\d\s?h\s?\d|\bh(?:ou)?rs\b|o'clock|departs|arrives")
# "0615 hrs", "departs York 0934", "18h30", "7.30, 9.00 & 13.45 hrs".
_TIME_WITHOUT_COLON = re.compile(
    r"(?<![\w.:,-])(0\d)([0-5]\d)(?=\s?h(?:ou)?rs\b)"
    r"|(?<![\w.:,-])([01]?\d|2[0-4])h([0-5]\d)\b"
    r"|\b((?i:departs|arrives)(?:\s[A-Z][\w'’]+,?){0,3}\s)([01]\d|2[0-3])([0-5]\d)(?![\w:]|[.,]\d)"
)
_DOTTED_TIMES = re.compile(
    r"(?<![\w.:])(?:\d{1,2}\.[0-5]\d(?:,\s?|\s?[-–&]\s?|\s(?:and|or|to)\s)){0,9}\d{1,2}\.[0-5]\d(?=\s?(?:hrs|hours|o'clock)\b)"
)
_DURATION = re.compile(r"(?<![\w.:])(\d{1,3})\s?h\s?(\d{1,2})\s?m(?:in)?\b")
_RACE = re.compile(r"(?<![\w.:])(\d{1,2}):([0-5]\d\.\d{1,3})(?![\w:])")
_DOTTED_OF_DAY = re.compile(r"(?<=day )(\d{1,2})\.([0-5]\d)(\s?[-–]\s?)(\d{1,2})\.([0-5]\d)(?!\d)")
_MINUTES_RANGE = re.compile(
    r"(?<=\d[:.]\d{2})\s?[-–]\s?(?=\d{1,2}[:.]\d{2}\s?[AaPp]\s?[Mm]\b)|(?<=\d:\d{2})\s?[-–]\s?(?=\d)"
)
_TIME_RANGE = re.compile(r"(\d|\b[AaPp]\s?[Mm]|\d[AaPp]\s?[Mm])\s?[-–]\s?(?=\d{1,2}:\d{2}|\d{1,2}\s?[AaPp]\s?[Mm]\b)")
_OCLOCK = re.compile(r"\b(\d{1,2})\s+o'clock\b", re.IGNORECASE)


def expand_dates(text: str) -> str:
    """Spell out dates: "2024-01-15", "1/15/2024", "January 15, 2024", "15 January", "44 B C", "the 1920s".

    With slashes the month comes first unless that is impossible; with dots the day does. Days become ordinals:
    "January fifteenth".
    """
    if "-" in text:
        text = _ISO_TIME.sub(lambda match: f"{match[1]} {match[2]}{' UTC' if match[3] else ''}", text)
        text = _ISO.sub(lambda match: _date(match, int(match[1]), int(match[2]), int(match[3])), text)
    text = _NUMERIC.sub(_numeric_date, text)
    if "/" in text:
        text = _DAY_FIRST.sub(lambda match: f"{_MONTHS[int(match[2]) - 1]} {ordinal(int(match[1]))}", text)
        text = _ON_DAY.sub(_on_day, text)
    text = _MONTH_DAY.sub(_month_day, text)
    text = _DAY_MONTH.sub(_day_month, text)
    text = _MONTH_YEAR.sub(lambda match: f"{match[1]} {year(int(match[2]))}", text)
    text = _ERA.sub(_era, text)
    return _DECADE.sub(_decade, text)


def expand_times(text: str) -> str:
    """Spell out times of day: "3:05 P M" as "three oh five P M", "5:00" as "five o'clock"."""
    if ":" in text:
        text = _RACE.sub(lambda match: f"{cardinal(int(match[1]))} {decimal(match[2])}", text)
    if "day " in text:
        text = _DOTTED_OF_DAY.sub(r"\1:\2\3\4:\5", text)
    if _MAY_LACK_COLON.search(text):
        text = _DURATION.sub(lambda match: f"{_several(match[1], 'hour')} {_several(match[2], 'minute')}", text)
        text = _TIME_WITHOUT_COLON.sub(
            lambda match: f"{match[5] or ''}{match[1] or match[3] or match[6]}:{match[2] or match[4] or match[7]}", text
        )
        text = _DOTTED_TIMES.sub(lambda match: match[0].replace(".", ":"), text)
    text = _TIME.sub(_time, _TIME_RANGE.sub(r"\1 to ", _MINUTES_RANGE.sub(" to ", text)))
    return _OCLOCK.sub(lambda match: f"{cardinal(int(match[1]))} o'clock", text)


def _several(number: str, what: str) -> str:
    return f"{cardinal(int(number))} {what}{'' if int(number) == 1 else 's'}"


def _date(match: re.Match[str], year_number: int, month: int, day: int, comma: str = ",") -> str:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f"{_MONTHS[month - 1]} {ordinal(day)}{comma} {year(year_number)}"


def _numeric_date(match: re.Match[str]) -> str:
    first, second = int(match[1]), int(match[3] or match[5])
    year_number = int(match[4] or match[6])
    if match[4] and len(match[4]) == 2:
        if match[2] == ".":  # "1.2.10" is a version more often than a date
            return match[0]
        year_number += 1900 if year_number > 30 else 2000
    month, day = (second, first) if match[2] == "." or first > 12 else (first, second)
    return _date(match, year_number, month, day)


def _on_day(match: re.Match[str]) -> str:
    month, day = int(match[1]), int(match[2])
    return f"{_MONTHS[month - 1]} {ordinal(day)}" if 1 <= month <= 12 and 1 <= day <= 31 else match[0]


def _month_day(match: re.Match[str]) -> str:
    month, day, _, last, comma, year_number = match.groups()
    if not 1 <= int(day) <= 31 or (last and not 1 <= int(last) <= 31):
        return match[0]
    days = ordinal(int(day)) + (f" to {ordinal(int(last))}" if last else "")
    return f"{month} {days}" + (f"{comma} {year(int(year_number))}" if year_number else "")


def _day_month(match: re.Match[str]) -> str:
    the, day, month, year_number = match.groups()
    if not 1 <= int(day) <= 31 or (month.islower() and month in ("may", "march")):
        return match[0]
    return f"{the or 'the '}{ordinal(int(day))} of {month}" + (f" {year(int(year_number))}" if year_number else "")


def _era(match: re.Match[str]) -> str:
    before, number, after = match.groups()
    if not (before or after):
        return match[0]
    parts = [" ".join(before.replace(" ", "")) if before else "", year(int(number))]
    return " ".join(part for part in (*parts, " ".join(after.replace(" ", "")) if after else "") if part)


def _decade(match: re.Match[str]) -> str:
    return plural(year(int(match[2])) if match[2] else cardinal(int(match[1])) if match[1] != "00" else "hundred")


def _time(match: re.Match[str]) -> str:
    hour, minute, second, am_pm, plain_hour, plain_minute, plain_second = match.groups()
    hours, minutes, seconds = int(hour or plain_hour), minute or plain_minute, second or plain_second
    if hours > 24 or int(minutes or 0) > 59 or int(seconds or 0) > 59:
        return f"{cardinal(hours)} {_minutes(minutes)}" if minutes else match[0]
    words = cardinal(hours)
    if minutes and (int(minutes) or seconds):
        words += f" {_minutes(minutes)}"
    elif minutes and not am_pm:
        words += " o'clock" if 0 < hours < 13 else " hundred"
    if seconds:
        words += f" and {cardinal(int(seconds))} second{'' if int(seconds) == 1 else 's'}"
    return words + (f" {am_pm.upper()} M" if am_pm else "")


def _minutes(minutes: str) -> str:
    if minutes == "00":
        return "hundred"
    return f"oh {cardinal(int(minutes))}" if minutes[0] == "0" else cardinal(int(minutes))
