"""Character front end: letters as symbols, for any script."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from processors.text.characters import composed, folded_in
from processors.text.errors import TextError, shortened
from processors.text.inline_phones import refuse_other_phones
from processors.text.normalizer import make_normalizer
from processors.text.punctuation import split_at_punctuation, with_single_pauses, without_final_stop
from processors.text.tokens import PAUSES, SILENCE, SPOKEN_NOISE, Pause, Token, Word


class CharacterFrontEnd:
    """The letters of a text as its phones, for languages without a dictionary or espeak-ng.

    Letters are composed (NFC) and case-folded, each code point is one symbol: `Straße` is `s t r a s s e`, and a Hindi
    vowel sign is a symbol of its own. Punctuation becomes pauses, an apostrophe between letters is a symbol, hyphens
    separate words, and all else is dropped. Digits are kept unless `normalizer` spells them out.
    """

    inventory = (*PAUSES, SPOKEN_NOISE)
    is_open = True
    start = (SILENCE,)

    def __init__(self, language: str = "en", normalizer: str = "rules") -> None:
        self._arguments = (language, normalizer)
        self._language = language
        self._normalize = make_normalizer(language, normalizer)

    def tokens(self, text: str) -> list[Token]:
        """Return words and pauses of a raw text; see `FrontEnd.tokens`."""
        refuse_other_phones(text, "char")
        folded = composed(folded_in(composed(self._normalize(text)), self._language))
        tokens: list[Token] = []
        for piece in split_at_punctuation(folded, self._language):
            if isinstance(piece, Pause):
                tokens.append(piece)
                continue
            stem, stops = without_final_stop(piece)
            tokens.extend(Word(word, (tuple(word),)) for word in _words(stem))
            if stops:
                tokens.append(Pause("."))
        tokens = with_single_pauses(tokens)
        if not tokens:
            raise TextError(f"text empty: no letters in {shortened(text)!r}")
        return tokens

    def normalized(self, text: str) -> str:
        """Return the words to be spoken; see `FrontEnd.normalized`."""
        return self._normalize(text)

    def fallback(self, symbol: str, known: Sequence[str]) -> tuple[str, ...]:
        """Return the letter without its accents, or the letters it is composed of."""
        plain = (each for each in unicodedata.normalize("NFKD", symbol) if not unicodedata.combining(each))
        return tuple(each for each in plain if each in known)

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), self._arguments


def _words(written: str) -> list[str]:
    """Return the words in a piece of text: letters and digits with their marks, apostrophes between them."""
    words: list[str] = []
    is_open = False
    for index, character in enumerate(written):
        kind = unicodedata.category(character)[0]
        following = written[index + 1 : index + 2]
        if kind in "LN" or (is_open and kind == "M"):
            words[-1:] = [words[-1] + character] if is_open else [*words[-1:], character]
            is_open = True
        elif not (is_open and character == "'" and following.isalnum()):
            is_open = False
        else:
            words[-1] += character
    return words
