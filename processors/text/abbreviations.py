"""Expansion of abbreviations and initials, whose dots may also end a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from processors.text.word_tables import WordTables

_TABLES = WordTables(__file__)
_SENTENCE_STARTERS = _TABLES.words("sentence starters")
_TITLES = _TABLES.mapping("titles")
_ALONE = ("Mr", "Mrs", "Dr", "Prof", "Messrs")
_WITHOUT_DOT = ("Mr", "Mrs", "Dr", "St", "Prof", "Mt", "Sgt", "Capt", "Lt")
_AFTER_NAMES = _TABLES.mapping("behind names")
_ANYWHERE = _TABLES.mapping("anywhere")
_MAY_END_SENTENCE = ("etc", "&c", "et al", "inc", "ltd", "hols", "ea")
_ANNOUNCES = ("e.g", "i.e", "vs", "viz", "cf", "approx", "incl", "esp", "attn", "tel")
_BEFORE_NUMBERS = _TABLES.mapping("before numbers")
_STATES = _TABLES.mapping("states")
_DAYS = _TABLES.mapping("days")
MONTHS = _TABLES.mapping("months")
_SLASHED = {
    "w/o": "without",
    "w/": "with ",
    "b/c": "because",
    "c/o": "care of",
    "w/e": "whatever",
    "and/or": "and or",
    "n/a": "N A",
}


def _any_of(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


_NAME = r"[A-Z][\w'’-]*"
_TITLE = re.compile(
    rf"\b({_any_of(_TITLES)})\.\s+(?=[A-Z])|\b({_any_of(_ALONE)})\.\s+(?=[a-z])"
    rf"|\b({_any_of(_WITHOUT_DOT)})\s+(?=[A-Z][a-z]|[A-Z]\.)"
)
_AFTER_NAME = re.compile(rf"(?<=[A-Za-z0-9&),] )({_any_of(_AFTER_NAMES)})\.")
# Without a dot: after an ordinal, or a name that no further one follows ("42nd St", "Oak Rd", but "Mt St Helens").
_BARE_AFTER_NAME = re.compile(
    r"(?:(?<=\dst )|(?<=\dnd )|(?<=\drd )|(?<=\dth )|(?<=[a-z] ))(Blvd|Ave|Hwy|Rd|Ln|Ct|Pl|Sq|St|Dr|Jr|Sr)\b(?![.'’-])"
)
_MAY_BE_BARE = re.compile(" [BAHRLCPSDJ](?:lvd|ve|wy|[dntlqr])\\b")
_BARE_CLEAR = ("Blvd", "Hwy", "Rd", "Jr")
_ANY = re.compile(rf"(?<![\w.])({_any_of(_ANYWHERE)})\.", re.IGNORECASE)
# A dot before a capital, a figure or a Roman numeral.
_INNER_DOT = re.compile(r"\.\s*\(?[#\dA-Zivx]")
_NUMBERED = re.compile(
    rf"(?<![\w.])(?!(?<=\d )(?:min|s))({_any_of(_BEFORE_NUMBERS)})\.\s*(?=#?\d|[A-Z]-?\d|[ivxIVX]+\b)", re.IGNORECASE
)
_STATE = re.compile(rf"(?<=[a-z], )({_any_of(_STATES)})\.")
_DAY = re.compile(
    rf"\b({_any_of(_DAYS)})\.(?=,|\s+(?:{_any_of(MONTHS)}|[A-Z][a-z]+ \d|\d|-"
    r"|[a-z]))"
)
_DAY_OR_MONTH = re.compile(rf"\b(?:{_any_of([*_DAYS, *MONTHS])})\b")
# "Tue, 5 Mar", "on Tues."
_BARE_DAY = re.compile(
    rf"\b({_any_of(_DAYS)})(?=,\s+\d|\s+\d{{1,2}}(?:st|nd|rd|th)?\s+(?:{_any_of(MONTHS)}|May))"
    rf"|(?:(?<=\b[oO]n )|(?<=\bby )|(?<=\b[eE]very )|(?<=next )|(?<=last )|(?<=until ))({_any_of(_DAYS)})\."
)
_DAYS_JOINED = re.compile(rf"\b({_any_of(_DAYS)})\.?(\s?[-–]\s?|/)({_any_of(_DAYS)})\b\.?(?=\W|$)")
_MONTH = re.compile(rf"\b({_any_of(MONTHS)})\.(?=,?\s*(?:\d|to\b|and\b|of\b|through\b|-)|\s+[a-z])")
_BARE_MONTH = re.compile(rf"\b({_any_of(MONTHS)})\b(?=\s+\d)|(?<=\d )({_any_of(MONTHS)})\b\.?")
_SLASH = re.compile(rf"(?<![\w/])(?<!\d )({_any_of(_SLASHED)})(?![/\d])", re.IGNORECASE)
_DOTTED = re.compile(r"(?<![\w.])([A-Za-z](?:\.[A-Za-z])+)\.?(?![A-Za-z])")
_INITIAL = re.compile(r"(?<![°/])\b([A-Z])\.(?=\s+\(?[A-Z])")
_TRAVEL = {"d": ("departs", "departure"), "a": ("arrives", "arrival")}
_PLACE_AND_TIME = r"(?:[A-Z][\w'’]+,?\s+){0,3}\d{1,2}[:.]?\d{2}(?!\w)"
_TRAVELS = re.compile(
    rf"\b([DdAa])(?:ep|rr)\.(?=\s+{_PLACE_AND_TIME})|(?<=\d\s)([da])(?:ep|rr)\.|\b([DdAa])(?:ep|rr)\.(?=\s*(?:[,/|.)]|$))"
)
_BARE_TRAVELS = re.compile(r"\b([da])(?:ep|rr)(?=\s\d{1,2}[:.]\d\d\b)")
_BOTH_WAYS = re.compile(r"\b([DdAa])(?:ep|rr)\.(\s*[,/|]?\s*)([DdAa])(?:ep|rr)\.")
_ARRANGED = re.compile(r"\b([Aa])rr\.\s+(?:by\s+)?(?=[A-Z])")
_VERSUS = re.compile(r"(?<=[\w.)'’]\s)v\.(?=\s+[A-Z])")
_BARE_VERSUS = re.compile(r"\b([A-Z][\w'’]+\s)v(?=\s[A-Z][a-z])")
_PER = {"p.a": "per annum", "p.p": "per person"}
_SINGLE_LETTER = re.compile(r"\b[NSEW]\.\s")
_COMPASS = {"N": "North", "S": "South", "E": "East", "W": "West"}
_COMPASS_POINT = re.compile(
    rf"\b([NSEW])\.\s+(?=(?:{_TABLES.alternatives('behind points of the compass')})\b)"
    r"|(?<=\d )([NSEW])\.\s+(?=(?:(?:[A-Z]\w+|\d+(?:st|nd|rd|th))\s+){1,3}"
    r"(?:St|Ave|Rd|Blvd|Dr|Ln|Street|Avenue|Road|Boulevard|Drive|Lane)\b)"
)
_COUNTY = re.compile(rf"\bCo\.\s+(?=(?:{_TABLES.alternatives('counties')})\b)")
_DAY_OR_ZONE = re.compile(
    r"\s+(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|[ECMP][SD]?T|GMT|UTC|Eastern|Central|Pacific|Mountain|"
    + _any_of(MONTHS)
    + ")"
)
_INFORMATION_TECHNOLOGY = re.compile(
    r"\bIT(?= (?:department|team|support|staff|industry|manager|company|systems?|security|specialists?|sector)\b)"
)
_NAMES_LETTER = _TABLES.words("names of letters")
_BEFORE_INITIAL = _TABLES.words("before initials")


def expand_abbreviations(text: str) -> str:
    """Expand abbreviations ("Dr.", "e.g.", "No. 5") and separate initials ("U.S." as "U S").

    A dot that also ends the sentence is kept. "St." and "Dr." are a saint and a doctor before a name, a street and a
    drive after one.
    """
    if "/" in text:
        text = _SLASH.sub(lambda match: _SLASHED[match[1].lower()], text)
    text = _INFORMATION_TECHNOLOGY.sub("I T", text)
    if "-" in text or "/" in text or "–" in text:
        text = _DAYS_JOINED.sub(_days, text)
    if _DAY_OR_MONTH.search(text):
        text = _BARE_DAY.sub(_bare_day, _DAY.sub(lambda match: _DAYS[match[1]], text))
        text = _MONTH.sub(lambda match: MONTHS[match[1]], text)
        text = _BARE_MONTH.sub(_bare_month, text)
    if _MAY_BE_BARE.search(text):
        text = _BARE_AFTER_NAME.sub(_bare_after_name, text)
    if " v" in text:
        text = _BARE_VERSUS.sub(r"\1versus", _VERSUS.sub("versus", text))
    if "." not in text and not any(title in text for title in _WITHOUT_DOT):
        return text
    if has_inner_dot := _INNER_DOT.search(text):
        text = _NUMBERED.sub(lambda match: _like(match[1], _BEFORE_NUMBERS[match[1].lower()]) + " ", text)
    if "dep " in text or "arr " in text:
        text = _BARE_TRAVELS.sub(lambda match: _TRAVEL[match[1]][0], text)
    if "ep." in text or "rr." in text:
        text = _TRAVELS.sub(_travels, _BOTH_WAYS.sub(_both_ways, text))
        text = _ARRANGED.sub(lambda match: _like(match[1], "arranged by "), text)
    if has_inner_dot and _SINGLE_LETTER.search(text):
        text = _COMPASS_POINT.sub(lambda match: _COMPASS[match[1] or match[2]] + " ", text)
    if "Co." in text:
        text = _COUNTY.sub("County ", text)
    text = _AFTER_NAME.sub(_after_name, text)
    text = _TITLE.sub(lambda match: _TITLES[match[1] or match[2] or match[3]] + " ", text)
    text = _STATE.sub(lambda match: _STATES[match[1]] + _full_stop(match), text)
    text = _ANY.sub(_anywhere, text)
    text = _DOTTED.sub(_spaced_initials, text)
    return _INITIAL.sub(_initial, text) if has_inner_dot else text


def _days(match: re.Match[str]) -> str:
    stop = _full_stop(match, any_capital=True) if match[0].endswith(".") else ""
    return f"{_DAYS[match[1]]} {'and' if match[2] == '/' else 'to'} {_DAYS[match[3]]}{stop}"


def _bare_day(match: re.Match[str]) -> str:
    return _DAYS[match[1] or match[2]] + (_full_stop(match, any_capital=True) if match[0].endswith(".") else "")


def _both_ways(match: re.Match[str]) -> str:
    """Return the nouns of a table's heading, "dep. arr."."""
    first, second = (_like(letter, _TRAVEL[letter.lower()][1]) for letter in (match[1], match[3]))
    return f"{first}{match[2].replace('/', ',').replace('|', ',')}{second}"


def _travels(match: re.Match[str]) -> str:
    """Return the verb before a place or time ("dep. 10:15"), the noun behind one or alone ("10:15 dep.")."""
    letter = match[1] or match[2] or match[3]
    spoken = _like(letter, _TRAVEL[letter.lower()][0 if match[1] else 1])
    return spoken + (_full_stop(match) if match[0].endswith(".") and not match[1] else "")


def _bare_month(match: re.Match[str]) -> str:
    return MONTHS[match[1] or match[2]] + (_full_stop(match) if match[0].endswith(".") else "")


def ends_sentence(text: str, end: int, any_capital: bool = False) -> bool:
    """Return whether the dot of an abbreviation also ends the sentence.

    Args:
        text: the whole text.
        end: the position after the dot.
        any_capital: whether any capitalised word after it begins a sentence, or only those that usually do.
    """
    rest = text[end:].lstrip("\"')")
    if not rest.strip():
        return True
    word = re.match(r"\s+[\"'(]*([A-Z][\w']*)", rest)
    return bool(word) and (any_capital or word[1] in _SENTENCE_STARTERS)  # type: ignore[index]


def _full_stop(match: re.Match[str], any_capital: bool = False) -> str:
    return "." if ends_sentence(match.string, match.end(), any_capital) else ""


def _like(written: str, spoken: str) -> str:
    """Capitalise an expansion like its abbreviation."""
    return spoken[0].upper() + spoken[1:] if written[0].isupper() else spoken


def _anywhere(match: re.Match[str]) -> str:
    name = match[1].lower()
    stop = _full_stop(match, any_capital=name in _MAY_END_SENTENCE)
    if name in _ANNOUNCES and match.string[match.end() :].strip():
        stop = ""
    return _like(match[1], _ANYWHERE[name]) + stop


def _after_name(match: re.Match[str]) -> str:
    abbreviation = match[1]
    before = match.string[: match.start()].split()[-1]
    after = re.match(rf"\s+{_NAME}", match.string[match.end() :])
    if abbreviation in _TITLES:
        # "Maple St. is", "Main St. Suite 5", but "to St. Louis", "Dr. Smith", "Mr. Jones and Dr. Smith".
        follows_name = (
            (before[0].isupper() or before[0].isdigit())
            and not before.endswith((".", ","))
            and before not in _SENTENCE_STARTERS
        )
        if not follows_name or (after and not _full_stop(match) and not re.match(r"\d", before)):
            return match[0]
    elif not (before[0].isupper() or before[0] in "&0123456789" or before.endswith((",", ")"))):
        return match[0]
    return _AFTER_NAMES[abbreviation] + _full_stop(match)


def _bare_after_name(match: re.Match[str]) -> str:
    before = match.string[: match.start()].split()[-1]
    is_name = before[0].isdigit() or (before[0].isupper() and before not in _SENTENCE_STARTERS)
    follows = re.match(r"\s+[A-Z][a-z]", match.string[match.end() :])
    is_clear = match[1] in _BARE_CLEAR or before[0].isdigit() or not follows
    return _AFTER_NAMES[match[1]] if is_name and is_clear else match[0]


def _spaced_initials(match: re.Match[str]) -> str:
    letters = match[1].replace(".", "")
    if not match[0].endswith("."):
        return " ".join(letters.upper()) if len(letters) > 1 and match[1].isupper() else match[0]
    if match[1] in _PER:
        return _PER[match[1]] + _full_stop(match)
    is_time = letters.lower() in ("am", "pm")
    return " ".join(letters.upper()) + _full_stop(match, any_capital=is_time and not _names_time(match))


def _names_time(match: re.Match[str]) -> bool:
    """Return whether a day or a time zone follows "p.m.", rather than a new sentence."""
    return _DAY_OR_ZONE.match(match.string, match.end()) is not None


def _initial(match: re.Match[str]) -> str:
    """Remove the dot of a name's initial: "J. Smith", but not "plan B. Robert", "So did I. He"."""
    if ends_sentence(match.string, match.end()):
        return match[0]
    before = match.string[: match.start()].rstrip().split(" ")[-1]
    next_is_initial = re.match(r"\s+[A-Z]\.", match.string[match.end() :])
    if match[1] == "I" and not next_is_initial and not re.fullmatch(r"[A-Z]\.", before):
        return match[0]
    if before in _NAMES_LETTER and not next_is_initial and match[1] in "VXABCDEFGHT":
        return match[0]
    if re.fullmatch("[A-Z]", before):  # spaced initials that end a sentence: "in the U S. Robert"
        return match[0]
    if not before or before[0].isupper() or before in _BEFORE_INITIAL or not before[-1].isalnum() or next_is_initial:
        return match[1]
    return match[0]
