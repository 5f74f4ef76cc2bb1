"""The English front end: lexicon, rules of word formation, and a network for unknown words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from processors.text.arpabet import INVENTORY, is_vowel
from processors.text.errors import TextError, UnknownLanguageError, shortened
from processors.text.g2p_network import G2PNetwork
from processors.text.heteronyms import Context, is_heteronym, order_readings
from processors.text.inline_phones import IN_BRACES, refuse_other_phones, word_in_braces
from processors.text.language_codes import is_english
from processors.text.lexicon import Lexicon
from processors.text.normalizer import make_normalizer
from processors.text.scripts import without_symbols
from processors.text.tokens import (
    PAUSE_OF_MARK,
    SILENCE,
    WRITTEN_PAUSES,
    Pause,
    Pronunciation,
    Token,
    Word,
    strongest_pause,
)
from processors.text.word_formation import CONTRACTIONS, derive_pronunciations
from processors.text.word_tables import WordTables, word_set

_LETTER = r"[^\W\d_][\u0300-\u036f]*"
_TOKEN = re.compile(
    rf"(?P<phones>{IN_BRACES})|(?P<word>'?(?:{_LETTER})+(?:['-](?:{_LETTER})+)*'?)|(?P<mark>[.,;:?!()—…])"
)
_PLAIN_LETTERS = str.maketrans({
    "æ": "ae", "œ": "oe", "ø": "o", "ß": "ss", "ð": "th", "þ": "th", "ł": "l", "đ": "d", "ı": "i", "ŋ": "ng", "ħ": "h",
})  # fmt: skip

# Spelled although the lexicon holds a word of the same letters ("us", "am", "who").
_SPELLED = word_set("US EU UN AM AI ID EST IP IV ER AD CO LED PA VAT AKA")
_INITIALISM = re.compile(r"([A-Z]{2,})('?s)?")
# The network loses the end of longer words.
_MAX_PREDICTED = 16
_MIN_PART = 3
_IS_SYLLABLE = re.compile("[bcdfghjklmnpqrstvwxz][aeiouy]")
_TABLES = WordTables(__file__)
_SPELLED_ALWAYS = _TABLES.words("spelled")
_SHORT_WORDS = _TABLES.mapping("short words")
_OWN = {word: (tuple(phones.split()),) for word, phones in _TABLES.mapping("own pronunciations").items()}
_LOST_E = re.compile("[a-z]{2}'[a-z]")
_DRAWN_OUT = re.compile(r"([a-z])\1{2,}")
_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class EnglishFrontEnd:
    """English to ARPAbet with stress: lexicon, then rules of word formation, then a network.

    A word is looked up in the user's lexicon, in CMUdict, as an inflected form of a known word, as an initialism
    (capitals only) and finally predicted by `G2PNetwork`; results are cached. Readings of heteronyms are ordered by
    the neighbouring words, those of "the" by the next phone. `{HH AH0 L OW1}` in the text is taken as phones.

    Safe to share between threads, and cheap to pickle: only the user's lexicon is pickled.
    """

    inventory = INVENTORY
    is_open = False
    start = (SILENCE,)

    def __init__(self, language: str = "en", lexicon_path: str | Path = "", normalizer: str = "rules") -> None:
        if not is_english(language):
            raise UnknownLanguageError(f"phone_extractor 'lexicon' is for English (en) only, not language {language!r}")
        self._normalizer_name = normalizer
        self._normalize = make_normalizer(language, normalizer)
        self._user_lexicon = Lexicon.from_file(lexicon_path) if lexicon_path else Lexicon({})
        self._network = G2PNetwork()
        self._cache: dict[tuple[str, bool], tuple[Pronunciation, ...]] = {}

    def tokens(self, text: str) -> list[Token]:
        """Return words and pauses of a raw text; see `FrontEnd.tokens`."""
        refuse_other_phones(text, "lexicon")
        pieces = self._pieces(self._normalize(without_symbols(text)))
        written = [piece for piece in pieces if piece not in WRITTEN_PAUSES]
        if not written:
            raise TextError(f"text empty: nothing to synthesize in {shortened(text)!r}")
        all_capitals = len(written) > 1 and not any(letter.islower() for word in written for letter in word)
        tokens: list[Token] = []
        lowered = ["" if piece in WRITTEN_PAUSES else piece.lower() for piece in pieces]
        for index, piece in enumerate(pieces):
            if piece in WRITTEN_PAUSES:
                tokens.append(Pause(piece))
            elif piece.startswith("{"):
                tokens.append(word_in_braces(piece))
            else:
                readings = self._readings(pieces, index, all_capitals)
                if is_heteronym(lowered[index]) and not self._user_lexicon.pronunciations(lowered[index]):
                    readings = order_readings(Context(lowered, index, _is_inner_capital(pieces, index)), readings)
                tokens.append(Word(lowered[index], readings))
        return _with_the_before_vowels(tokens)

    def normalized(self, text: str) -> str:
        """Return the words to be spoken; see `FrontEnd.normalized`."""
        return self._normalize(text)

    def knows(self, word: str) -> bool:
        """Return whether a lower-case word is in a lexicon, or an inflected form of one that is."""
        return bool(self._known(word) or derive_pronunciations(word, self._known))

    def listed(self) -> Iterator[tuple[str, Pronunciation]]:
        """Yield every word that has an entry, in lower case, with its first pronunciation."""
        for word in dict.fromkeys([*self._user_lexicon.words(), *_OWN, *self._cmudict.words()]):
            yield word, self._known(word)[0]

    def fallback(self, symbol: str, known: Sequence[str]) -> tuple[str, ...]:
        """Return nothing: a model with these phones has all of them."""
        return ()

    def _pieces(self, spoken: str) -> list[str]:
        """Split a normalised text into words, inline phones and pause symbols, ending with a pause."""
        pieces: list[str] = []
        pause = ""
        for match in _TOKEN.finditer(spoken):
            if match["mark"]:
                pause = strongest_pause((pause, PAUSE_OF_MARK[match["mark"]]))
                continue
            if pause and pieces:
                pieces.append(pause)
            pause = ""
            pieces.extend([match["phones"]] if match["phones"] else self._split_word(match["word"]))
        return [*pieces, pause or "."] if pieces else []

    def _split_word(self, written: str) -> list[str]:
        """Strip quotation marks off a word, and split a compound at its hyphens unless the lexicon holds it whole."""
        if written[0] == "'" and not self._known(written.rstrip("'").lower()):
            written = written[1:]
        if written[-1] == "'" and not self._takes_final_apostrophe(written.lower()):
            written = written[:-1]
        if "-" not in written or self._known(written.lower()):
            return [written]
        return [part for part in written.split("-") if part]

    def _takes_final_apostrophe(self, word: str) -> bool:
        return bool(self._known(word)) or (
            word.endswith(("s'", "in'")) and bool(derive_pronunciations(word, self._known))
        )

    def _readings(self, pieces: list[str], index: int, all_capitals: bool) -> tuple[Pronunciation, ...]:
        written = pieces[index]
        if written == "A" and _is_letter_name(pieces, index, all_capitals):
            return (("EY1",),)
        key = (written, all_capitals)
        readings = self._cache.get(key)
        if readings is None:
            readings = self._cache[key] = self._pronounce(written, all_capitals)
        return readings

    def _pronounce(self, written: str, all_capitals: bool) -> tuple[Pronunciation, ...]:
        word = written.lower()
        if word in _SPELLED_ALWAYS and not self._user_lexicon.pronunciations(word):
            return self._spelled(word, "")
        initialism = None if all_capitals else _INITIALISM.fullmatch(written)
        if (
            initialism
            and (initialism[1] in _SPELLED or initialism[1].lower() in _SHORT_WORDS)
            and not self._user_lexicon.pronunciations(word)
        ):
            return self._spelled(initialism[1], initialism[2] or "")
        if readings := self._known(word) or derive_pronunciations(word, self._known):
            return readings
        plain = _without_accents(word)
        if word.endswith(("é", "és")) and (readings := self._with_final_accent(plain)):
            return readings
        if word.endswith(("ée", "ées", "èd")):
            return tuple(map(_with_full_ending, self._readings_of(plain)))
        if plain != word and (readings := self._known(plain) or derive_pronunciations(plain, self._known)):
            return readings
        if initialism and len(initialism[1]) <= 4:
            return self._spelled(initialism[1], initialism[2] or "")
        if _LOST_E.search(plain) and (readings := self._known(plain.replace("'", "e", 1))):
            return readings
        if _DRAWN_OUT.search(plain) and (readings := self._drawn_out(plain)):
            return readings
        parts = _CAMEL.findall(written)
        if len(parts) > 1 and "".join(parts) == written and all(self._known(part.lower()) for part in parts):
            return (tuple(phone for part in parts for phone in self._known(part.lower())[0]),)
        return self._predicted(plain)

    def _drawn_out(self, plain: str) -> tuple[Pronunciation, ...]:
        """Return the pronunciations of a word of which letters are repeated: "sooo", "cheeeese", "yesss"."""
        at_end = _DRAWN_OUT.search(plain[-3:]) is not None
        shortened_words = [_DRAWN_OUT.sub(r"\1" * count, plain) for count in ((1, 2) if at_end else (2, 1))]
        return next((known for word in shortened_words if len(word) > 1 and (known := self._known(word))), ())

    def _with_final_accent(self, plain: str) -> tuple[Pronunciation, ...]:
        """Return the pronunciations of a word on -é, whose last vowel CMUdict often has as silent: résumé, rosé."""
        stem = plain.removesuffix("s")
        known = self._known(stem)
        ending = ("Z",) if plain != stem else ()
        if full := [phones for phones in known if phones[-1].startswith("EY")]:
            return tuple(phones + ending for phones in full)
        weakened = [tuple(phone.replace("1", "2") for phone in phones) for phones in known]
        return tuple((*phones, "EY1", *ending) for phones in weakened if not is_vowel(phones[-1]))

    def _predicted(self, word: str) -> tuple[Pronunciation, ...]:
        if not word.replace("'", "").isascii():
            raise TextError(f"cannot pronounce {word!r}: English is read from Latin letters only; transliterate it")
        # "Schoeffer's", "y'all'd've": the network predicts the name, the rules add the endings.
        if word.endswith(CONTRACTIONS) and (
            readings := derive_pronunciations(word, lambda base: self._base(word, base))
        ):
            return readings
        letters = word.replace("'", "")
        if not re.search("[aeiouy]", letters):
            return self._spelled(letters.upper(), "")
        return (self._predicted_by_parts(letters) or self._spelled(letters.upper(), "")[0],)

    def _base(self, word: str, base: str) -> tuple[Pronunciation, ...]:
        """Return the pronunciations of what a contraction is added to."""
        if not base or word.removeprefix(base) not in CONTRACTIONS:
            return ()
        return self._readings_of(base)

    def _readings_of(self, word: str) -> tuple[Pronunciation, ...]:
        return self._known(word) or derive_pronunciations(word, self._known) or self._predicted(word)

    def _parts(self, letters: str) -> list[str]:
        """Divide an unknown word that is too long for the network: into words of the lexicon, else near its middle."""
        if len(letters) <= _MAX_PREDICTED:
            return [letters]
        best: list[list[str] | None] = [[], *[None] * len(letters)]
        for end in range(_MIN_PART, len(letters) + 1):
            for start in range(end - _MIN_PART + 1):
                before = best[start]
                if before is not None and self._known(letters[start:end]):
                    parts = [*before, letters[start:end]]
                    if best[end] is None or len(parts) < len(best[end] or ()):
                        best[end] = parts
        if found := best[-1]:
            return found
        middle = len(letters) // 2
        cuts = (place for place in range(4, len(letters) - 4) if _IS_SYLLABLE.match(letters, place))
        cut = min(cuts, key=lambda place: abs(place - middle), default=middle)
        return [*self._parts(letters[:cut]), *self._parts(letters[cut:])]

    def _predicted_by_parts(self, letters: str) -> Pronunciation:
        first, *others = [
            (self._known(part) or ((self._network(part),) if part else ()))[0] for part in self._parts(letters)
        ]
        return first + tuple(phone.replace("1", "2") for other in others for phone in other)

    def _spelled(self, letters: str, ending: str) -> tuple[Pronunciation, ...]:
        """Return the letters' names, the last one stressed, with a plural or possessive ending."""
        names = [_letter_name(letter, self._cmudict) for letter in letters.lower()]
        weakened = [phone.replace("1", "2") for name in names[:-1] for phone in name]
        spelled = (*weakened, *names[-1])
        if ending:
            return derive_pronunciations("x's", lambda base: (spelled,) if base == "x" else ())
        return (spelled,)

    def _known(self, word: str) -> tuple[Pronunciation, ...]:
        if readings := self._user_lexicon.pronunciations(word) or _OWN.get(word, ()):
            return readings
        return self._cmudict.pronunciations(_SHORT_WORDS.get(word, word))

    @cached_property
    def _cmudict(self) -> Lexicon:
        return Lexicon.from_cmudict()

    def __getstate__(self) -> dict[str, Any]:
        return {"user_lexicon": self._user_lexicon, "normalizer": self._normalizer_name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(normalizer=state["normalizer"])  # type: ignore[misc]
        self._user_lexicon = state["user_lexicon"]


def _is_inner_capital(pieces: list[str], index: int) -> bool:
    """Return whether a word has a capital that is not that of a sentence's first word."""
    is_first = index == 0 or pieces[index - 1] in WRITTEN_PAUSES
    return pieces[index][0].isupper() and not pieces[index].isupper() and not is_first


def _letter_name(letter: str, lexicon: Lexicon) -> Pronunciation:
    # CMUdict's "a" is the article; its letter stands under "a.".
    return lexicon.pronunciations("a." if letter == "a" else letter)[0]


def _is_letter_name(pieces: list[str], index: int, all_capitals: bool) -> bool:
    """Return whether "A" is the letter, not the article: "vitamin A", "A M"; but "A cat", "A Tale of Two Cities"."""
    before = pieces[index - 1] if index else "."
    after = pieces[index + 1]
    if len(after) == 1 and after.isupper() and after != "I":
        return True
    if len(before) == 1 and before.isupper() and before != "I":
        return True
    return not all_capitals and before not in WRITTEN_PAUSES and not after[0].isupper()


def _with_full_ending(phones: Pronunciation) -> Pronunciation:
    """Return the phones of a word whose "-ée" or "-èd" is said in full: fiancée, belovèd."""
    *start, last = phones
    if last in ("D", "T"):
        return phones if is_vowel(start[-1]) and start[-1].endswith("0") else (*start, "IH0", "D")
    if last == "Z":
        return (*_with_full_ending(tuple(start)), "Z")
    return (*start, last if last.startswith("EY") else "EY1") if is_vowel(last) else (*phones, "EY1")


def _with_the_before_vowels(tokens: list[Token]) -> list[Token]:
    """Put first the reading of "the" that fits the next phone: DH IY0 before a vowel, DH AH0 elsewhere."""
    for index, token in enumerate(tokens):
        if isinstance(token, Word) and token.text == "the" and len(token.pronunciations) > 1:
            following = tokens[index + 1]
            vowel = isinstance(following, Word) and is_vowel(following.pronunciations[0][0])
            wanted = ("DH", "IY0") if vowel else ("DH", "AH0")
            tokens[index] = Word("the", tuple(sorted(token.pronunciations, key=lambda phones: phones != wanted)))
    return tokens


def _without_accents(word: str) -> str:
    decomposed = unicodedata.normalize("NFD", word.translate(_PLAIN_LETTERS))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
