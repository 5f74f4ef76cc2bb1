"""Text normalisation: from written texts to the words to be spoken."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial

from processors.text.abbreviations import expand_abbreviations
from processors.text.characters import composed, map_characters
from processors.text.dates_and_times import expand_dates, expand_times
from processors.text.errors import TextError
from processors.text.inline_phones import IN_BRACES
from processors.text.language_codes import is_english
from processors.text.mandarin import is_cantonese, is_mandarin, speak_percent
from processors.text.measures import expand_measures
from processors.text.money import expand_money
from processors.text.roman_numerals import expand_roman_numerals
from processors.text.spoken_numbers import expand_numbers, expand_ranges, unify_grouping
from processors.text.telephone_numbers import expand_phone_numbers
from processors.text.web_addresses import expand_web_addresses
from processors.text.word_tables import WordTables

_MAX_PASSES = 8
_INLINE = re.compile(f"({IN_BRACES})")
_HAS_DIGIT = re.compile(r"\d")
_HAS_WEB = re.compile(r"[a-zA-Z0-9]\.[a-zA-Z]|[@#]|://")
# Everything but letters, their marks, spaces and the punctuation that is kept.
_SYMBOL = re.compile(r"[^\w\s,.;:?!'\"()—…\u0300-\u036f-]|[_\d]")
_LOOSE = re.compile(r"[^\w\s'\"]{2}|[^\w]-|-(?!\w)|[(,;:—…]\s*[),;:—…]|^[-—…]")
# Of a paragraph that ends with a full stop, which may have been an abbreviation's; ". . ." is an ellipsis.
_SECOND_STOP = re.compile(r"(?<=[^\W\d_]\.)\s\.(?!\s*\.)")
_ELLIPSIS = re.compile(r"\.{2,}")
_DASH = re.compile(r"\s*-{2,}\s*|\s-(?=\s)|\s*—[\s—-]*")
_STRAY_HYPHEN = re.compile(r"(?<!\w)-|-(?!\w)")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)")
_REPEATED = re.compile(r"([,;:—….?!])(?:\s*\1)+")
_AFTER_MARK = re.compile(r"(?<=\w)(\.\.\.|[,;:.?!…)])(?=[^\W\d_(])")
_WEAK_BEFORE_DASH = re.compile(r"[,;:—]\s*(?=—)")
_BEFORE_MARK = re.compile(r"\s+(?=[,.;:?!)…])|(?<=\()\s+")
_TABLES = WordTables(__file__)
_GREEK = _TABLES.mapping("greek letters")
_BRACKETS_AND_DASHES = {"[": "(", "]": ")", "{": "(", "}": ")", "–": "—"}
_SYMBOLS = {symbol: f" {spoken} " for symbol, spoken in _TABLES.mapping("symbols").items()} | _BRACKETS_AND_DASHES
_GREEK_LETTER = re.compile(rf"(?<![^\W\d_])[{''.join(_GREEK)}](?![^\W\d_])")
_COMPARISONS = {
    "§§": " sections ",
    "&&": "&",
    "==": "=",
    "!=": "≠",
    ">=": "≥",
    "<=": "≤",
    "->": "→",
    "=>": "→",
}
_COMPARISON = re.compile("|".join(map(re.escape, _COMPARISONS)))
# "£3.40 / £3.90", "I/O".
_APART = re.compile(r"(?<=[\w.])\s/\s(?=\w)")
_LETTERS = re.compile(r"\b([A-Z])/(?=[A-Z]\b)")
_NUMBER_SIGN = re.compile(r"(?<=[a-z]\s)#(?=\s)")
_PROMPT = re.compile(r"(?<!\S)\$(?=\s[a-z])")
_PRONOUNS = re.compile(
    r"\b(he|she|his|her|him|hers|they|them|s?he)/(he|she|his|her|him|hers|they|them)\b", re.IGNORECASE
)


def normalize(text: str, language: str = "en", backend: str = "rules") -> str:
    """Normalise a text, as far as the backend supports its language.

    In English no digits, symbols or abbreviations are left, and punctuation is kept. The rules handle numbers,
    ordinals, decimals, fractions, ranges, money, dates, times, years, telephone numbers, units, abbreviations, Roman
    numerals, initials and web addresses, in American English; ordinary words and phones in braces
    (`{HH AH0 L OW1}`) are kept. Normalising twice changes nothing. Any string is accepted; silent characters (emoji)
    are dropped, and letters of other scripts are kept for the front end to handle.

    | backend | English | Chinese | other languages |
    |---|---|---|---|
    | `rules` | the rules | as written | as written |
    | `wetext` | its grammar, then the rules | its grammar | as written |
    | `num2words` | the rules | as written | numbers spelled out, if the language is supported |

    What is left as written goes to the front end; espeak-ng spells out numbers itself.

    `wetext` (Apache licence, version 0.1.8): 2 ms per sentence, English numbers with "and" ("two hundred and fifty"),
    dates day first ("the fifth of january"). On the 77 English sentences of the tests it was better than the rules in
    no class: it fails on five of them ("#1", "99¢"; the rules take over), reads "1920s" as seconds, "Maple Dr." as a
    doctor, and drops a full stop after "p.m.".

    Args:
        text: any text.
        language: such as `en`, `en-gb` or `de`.
        backend: `rules`, `wetext` or `num2words`.

    Raises:
        TextError: the backend is unknown, or is needed for the language and not installed.
    """
    return make_normalizer(language, backend)(text)


def make_normalizer(language: str = "en", backend: str = "rules") -> Callable[[str], str]:
    """Return the normalisation function of a language and backend; see `normalize`."""
    if backend not in _BACKENDS:
        raise TextError(f"normalizer {backend!r} is unknown; known: {', '.join(sorted(_BACKENDS))}")
    is_chinese = is_mandarin(language) or is_cantonese(language)
    return _BACKENDS[backend](language) or (_composed_chinese if is_chinese else composed)


def _composed_chinese(text: str) -> str:
    return speak_percent(composed(text))


def _until_stable(speak: Callable[[str], str], text: str) -> str:
    """Apply the rules until they change nothing: in "Q.Inc.½" one rule enables another."""
    for _ in range(_MAX_PASSES):
        spoken = _outside_inline_phones(speak, text)
        if spoken == text:
            break
        text = spoken
    return text


def _outside_inline_phones(speak: Callable[[str], str], text: str) -> str:
    text = map_characters(text)
    if "{" not in text:
        return _tidy(speak(text))
    pieces = _INLINE.split(text)
    spoken = [piece if index % 2 else _tidy(speak(piece)) for index, piece in enumerate(pieces)]
    return _BEFORE_MARK.sub("", " ".join(piece for piece in spoken if piece))


def _speak(text: str) -> str:
    """Apply the rules, in an order in which none removes what a later one needs."""
    if _HAS_WEB.search(text):
        text = expand_web_addresses(text)
    text = expand_abbreviations(text)
    if _HAS_DIGIT.search(text):
        for rule in _DIGIT_RULES:
            text = rule(text)
    return expand_roman_numerals(text)


_DIGIT_RULES = (
    unify_grouping,
    expand_dates,
    expand_times,
    expand_phone_numbers,
    expand_money,
    expand_ranges,
    expand_measures,
    expand_numbers,
)


def _speak_symbols(text: str) -> str:
    text = _COMPARISON.sub(lambda match: _COMPARISONS[match[0]], text)
    if "/" in text:
        text = _LETTERS.sub(r"\1 ", _APART.sub(", ", text))
    if "#" in text:
        text = _NUMBER_SIGN.sub("number", text)
    if "$ " in text:
        text = _PROMPT.sub("", text)
    text = _PRONOUNS.sub(r"\1 or \2", text)
    text = _GREEK_LETTER.sub(lambda match: _GREEK[match[0]], text)
    return _SYMBOL.sub(lambda match: _SYMBOLS.get(match[0], " "), text)


def _tidy(text: str) -> str:
    """Keep letters and punctuation only, with single spaces and punctuation attached to the word before."""
    if _SYMBOL.search(text):
        text = _speak_symbols(text)
    if ". ." in text:
        text = _SECOND_STOP.sub("", text)
    if _LOOSE.search(text):
        text = _DASH.sub(" — ", _ELLIPSIS.sub("… ", text))
        text = _STRAY_HYPHEN.sub(" ", text)
        text = _WEAK_BEFORE_DASH.sub(" ", _EMPTY_BRACKETS.sub(" ", text))
        text = _REPEATED.sub(r"\1", text)
    text = _BEFORE_MARK.sub("", " ".join(_AFTER_MARK.sub(r"\1 ", text).split()))
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _rules(language: str) -> Callable[[str], str] | None:
    return partial(_until_stable, _speak) if is_english(language) else None


def _wetext(language: str) -> Callable[[str], str] | None:
    if is_mandarin(language):
        return _with_wetext("zh", composed)
    return partial(_until_stable, _with_wetext("en", _speak)) if is_english(language) else None


@lru_cache(maxsize=2)
def _with_wetext(language: str, after: Callable[[str], str]) -> Callable[[str], str]:
    try:
        from wetext import Normalizer
    except ImportError as error:
        raise TextError(
            "normalizer 'wetext' is not installed; run `pip install -r requirements/wetext.txt`, or use 'rules'"
        ) from error
    grammar = Normalizer(lang=language, operator="tn")
    one_at_a_time = threading.Lock()  # wetext promises nothing about threads

    def speak(text: str) -> str:
        # It asserts that its grammar covers the text, which fails for signs such as "#".
        with suppress(AssertionError, IndexError, KeyError, ValueError), one_at_a_time:
            text = grammar.normalize(text)
        return after(text)

    return speak


def _num2words(language: str) -> Callable[[str], str] | None:
    if is_english(language):
        return _rules(language)
    # Imported on demand: few need num2words.
    from processors.text.number_names import number_speaker

    return number_speaker(language)


# Each returns None for a language whose texts it leaves as written.
_BACKENDS: dict[str, Callable[[str], Callable[[str], str] | None]] = {
    "rules": _rules,
    "wetext": _wetext,
    "num2words": _num2words,
}
