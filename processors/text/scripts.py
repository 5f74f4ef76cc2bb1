"""Scripts and symbols that a voice cannot read."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from processors.text.errors import TextError, shortened
from processors.text.language_codes import primary_language
from processors.text.word_tables import WordTables
from utils.console import warn

_LANGUAGES = {script: frozenset(codes.split()) for script, codes in WordTables(__file__).mapping("languages").items()}
# Below it are ° © ® ¦, which espeak-ng reads or the normaliser maps.
# Beyond Latin letters, their marks, and punctuation.
_MAY_BE_OTHER = re.compile("[\u0370-\u1dff\u2c00-\ua71f\ua800-\U0010ffff]")
_SPACES = re.compile(" {2,}")
_MAY_BE_SYMBOL = re.compile("[\u2190-\U0010ffff]")


def refuse_other_scripts(text: str, language: str) -> None:
    """Raise a `TextError` that names the first word with a letter of a script that a language is not written in.

    espeak-ng would read such letters as descriptions ("Hebrew letter shin").
    """
    if text.isascii() or not _MAY_BE_OTHER.search(text):
        return
    code = primary_language(language)
    for word in text.split():
        for place, letter in enumerate("" if word.isascii() else word):
            script = _script(letter)
            if script and code not in _LANGUAGES[script] and not (script == "GREEK" and _is_alone(word, place)):
                hint = "write Japanese in kana" if code == "ja" else "transliterate it, or set the text's language"
                raise TextError(
                    f"cannot pronounce {shortened(word)!r}: the language {language!r} has no letter {letter!r} "
                    f"({script.capitalize()}); {hint}"
                )


def without_symbols(text: str, *, with_warning: bool = True) -> str:
    """Replace emoji and other symbols that have no spoken form by spaces, with one warning that names them."""
    if text.isascii() or not _MAY_BE_SYMBOL.search(text):
        return text
    dropped = dict.fromkeys(symbol for symbol in _MAY_BE_SYMBOL.findall(text) if _is_symbol(symbol))
    if not dropped:
        return text
    if with_warning:
        warn(f"{shortened(' '.join(text.split()))!r}: symbols without a spoken form are left out: {' '.join(dropped)}")
    return _SPACES.sub(" ", "".join(" " if symbol in dropped else symbol for symbol in text))


def _is_symbol(symbol: str) -> bool:
    """Return whether a symbol has no spoken form: neither a unit or number such as ℃ nor a sign of mathematics."""
    if unicodedata.category(symbol) not in ("So", "Sk"):
        return False
    return not any(map(str.isalnum, unicodedata.normalize("NFKC", symbol)))


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """Return the script of a letter that is not Latin; empty for others."""
    if letter.isascii() or not letter.isalpha():
        return ""
    script = unicodedata.name(letter, "").split(" ")[0]
    return script if script in _LANGUAGES else ""


def _is_alone(word: str, place: int) -> bool:
    """Return whether a letter has none beside it, as those of mathematics and physics, which espeak-ng names."""
    return not any(map(str.isalpha, word[max(place - 1, 0) : place] + word[place + 1 : place + 2]))
