"""Word errors of a transcript, after normalisation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from processors.text.errors import TextError
from processors.text.language_codes import is_english, primary_language
from processors.text.normalizer import normalize

if TYPE_CHECKING:
    from processors.evaluation.pair import Pair  # imports torch, which counting words does not need

# Written without spaces between words: characters are counted.
_WITHOUT_SPACES = {"zh", "yue", "ja", "th", "lo", "my", "km"}
_ASIDE = re.compile(r"\[[^\]]*\]")  # Whisper's "[Music]"
_WORD = re.compile(r"[^\W_]+")
# British to American endings. Both texts pass, so that a word changed in vain ("promise") changes in both.
_AMERICAN = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<=\w{3})our(?=(ed|ing|ites?|able|s|ful|ers?|hoods?)?$)", "or"),
        (r"(?<=\w{3})([iy])s(?=(e|es|ed|ers?|ing|ations?)$)", r"\1z"),
        (r"(?<=[tb])re(?=s?$)", "er"),
        (r"([aeiou]\w*[aeiou])ll(?=(ed|ing|ers?)$)", r"\1l"),
        (r"(?<=\w{3})ence$", "ense"),
        (r"(?<=\w{3})ogue(?=s?$)", "og"),
        (r"^grey", "gray"),
    )
]


PACKAGES = ("faster_whisper",)


class WordErrors(NamedTuple):
    """Errors of a transcript against the words that were to be spoken."""

    errors: int
    words: int


def word_error_rate(pair: Pair) -> float | None:
    """Return the word errors in percent of the words; None for a text without words."""
    return _percent(count_word_errors(pair.text, pair.transcript, pair.language))


def character_error_rate(pair: Pair) -> float | None:
    """Return the errors in percent of the characters, spaces left out; None for a text without characters."""
    return _percent(count_character_errors(pair.text, pair.transcript, pair.language))


def words(pair: Pair) -> float:
    """Return the number of words of the text, the weight of its errors in the mean."""
    return float(len(normalised_words(pair.text, pair.language)))


def characters(pair: Pair) -> float:
    """Return the number of characters of the text's words."""
    return float(len("".join(normalised_words(pair.text, pair.language))))


def _percent(found: WordErrors) -> float | None:
    return 100 * found.errors / found.words if found.words else None


def count_character_errors(text: str, transcript: str, language: str = "en") -> WordErrors:
    """Count the characters to insert, delete or replace, after both texts are normalised and without their spaces."""
    wanted, found = ("".join(normalised_words(each, language)) for each in (text, transcript))
    return WordErrors(edit_distance(wanted, found), len(wanted))


def count_word_errors(text: str, transcript: str, language: str = "en") -> WordErrors:
    """Count the words to insert, delete or replace, after both texts are normalised.

    A word that one writes as two ("some one") is no error.

    Args:
        text: what was to be spoken.
        transcript: what was recognised.
        language: of both, as a code.
    """
    wanted, found = normalised_words(text, language), normalised_words(transcript, language)
    return WordErrors(edit_distance(wanted, found, joins=True), len(wanted))


@lru_cache(maxsize=4096)
def normalised_words(text: str, language: str) -> tuple[str, ...]:
    """Return the words of a text without case and punctuation, in American spelling, with numbers spelled out.

    Numbers of languages other than English need num2words, and stay digits without it. Of languages without spaces
    between words, the characters are returned.
    """
    text = _ASIDE.sub(" ", text.replace("-", " "))
    try:
        text = normalize(text, language, "rules" if is_english(language) else "num2words")
    except TextError:  # num2words is not installed
        text = normalize(text, language)
    text = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("’", "")
    words = _WORD.findall(text)
    if is_written_without_spaces(language):
        return tuple("".join(words))
    return tuple(map(_american, words)) if is_english(language) else tuple(words)


def is_written_without_spaces(language: str) -> bool:
    """Return whether a language, as a code, has no spaces between words; then characters are counted as words."""
    return primary_language(language) in _WITHOUT_SPACES


def _american(word: str) -> str:
    for pattern, replacement in _AMERICAN:
        word = pattern.sub(replacement, word)
    return word


def edit_distance(wanted: Sequence[str], found: Sequence[str], *, joins: bool = False) -> int:
    """Return the fewest symbols to insert, delete or replace.

    Args:
        wanted: the symbols that were to be found, such as words.
        found: those that were.
        joins: whether two neighbours equal the one symbol that they are when joined.
    """
    rows = [list(range(len(found) + 1))]
    for i in range(1, len(wanted) + 1):
        row = [i]
        for j in range(1, len(found) + 1):
            best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (wanted[i - 1] != found[j - 1]))
            if joins and i > 1 and wanted[i - 2] + wanted[i - 1] == found[j - 1]:
                best = min(best, rows[i - 2][j - 1])
            if joins and j > 1 and found[j - 2] + found[j - 1] == wanted[i - 1]:
                best = min(best, rows[i - 1][j - 2])
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
