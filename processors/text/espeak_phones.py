"""espeak-ng front end: phones of a hundred languages in IPA."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest

from processors.text.characters import composed, folded_in
from processors.text.errors import TextError, shortened
from processors.text.espeak import espeak
from processors.text.inline_phones import IN_BRACKETS, refuse_other_phones, words_in_brackets
from processors.text.ipa import STRESSES, nearest_phones, phones_from_pieces
from processors.text.language_codes import ORDINAL_STOP, primary_language
from processors.text.mandarin import SUFFIX, as_suffix, is_mandarin, separate_suffix
from processors.text.normalizer import make_normalizer
from processors.text.punctuation import split_at_punctuation, with_single_pauses, without_final_stop
from processors.text.scripts import refuse_other_scripts, without_symbols
from processors.text.tokens import PAUSES, SILENCE, SPOKEN_NOISE, Pause, Pronunciation, Token, Word
from processors.text.word_tables import WordTables

# With it between them, espeak-ng merges no words, as it does with "of the", but still takes account of neighbours.
_JOINT = "\u00a0"
_ORDINAL = re.compile(r"\d{1,2}\.")
_ABBREVIATIONS = {
    language: frozenset(words.split()) for language, words in WordTables(__file__).mapping("abbreviations").items()
}
_WORDS_CACHED = 20_000


class EspeakFrontEnd:
    """Text of any of espeak-ng's languages to IPA with stress.

    A symbol is a phone with the marks that belong to it: stress before a vowel (`ˈoʊ`), length, nasality and tones
    after it (`iː`, `ɑ̃`); affricates and diphthongs are one phone (`tʃ`, `aɪ`), without tie bars. Clauses are passed to
    espeak-ng whole, so that words are pronounced in context (`ðɪ ˈæpəl`, `lez amˈi`), and its phones are assigned to
    the written words. Numbers that `normalizer` leaves are spelled out by espeak-ng. `[[həˈloʊ]]` in the text is taken
    as phones.

    Safe to share between threads, and cheap to pickle.
    """

    # espeak-ng has no list of a language's phones: stage 1 collects them from the texts.
    inventory = (*PAUSES, SPOKEN_NOISE)
    is_open = True
    start = (SILENCE,)

    def __init__(self, language: str = "en", normalizer: str = "rules") -> None:
        self._arguments = (language, normalizer)
        self._language, self._voice = language, espeak().voice_of(language)
        primary = primary_language(language)
        self._ordinal_stops = primary in ORDINAL_STOP
        self._abbreviations = _ABBREVIATIONS.get(primary, frozenset())
        self._is_mandarin = is_mandarin(language)
        self._normalize = make_normalizer(language, normalizer)
        self._alone = lru_cache(maxsize=_WORDS_CACHED)(self._pronounce_alone)

    def tokens(self, text: str) -> list[Token]:
        """Return words and pauses of a raw text; see `FrontEnd.tokens`."""
        refuse_other_phones(text, "espeak")
        tokens: list[Token] = []
        text = without_symbols(text)
        for index, part in enumerate(IN_BRACKETS.split(text)):
            if index % 2:
                tokens.extend(words_in_brackets(part))
            elif part.strip():
                tokens.extend(self._tokens_of_part(self._normalize(part)))
        tokens = with_single_pauses(tokens)
        if not any(isinstance(token, Word) for token in tokens):
            raise TextError(f"text empty: nothing to synthesize in {shortened(text)!r}")
        return tokens

    def normalized(self, text: str) -> str:
        """Return the words to be spoken; see `FrontEnd.normalized`."""
        parts = IN_BRACKETS.split(text)
        spoken = (f"[[{part}]]" if index % 2 else self._normalize(part) for index, part in enumerate(parts))
        return " ".join(part for part in spoken if part)

    def fallback(self, symbol: str, known: Sequence[str]) -> tuple[str, ...]:
        """Return the phones nearest on the IPA's chart; see `nearest_phones`."""
        return nearest_phones(symbol, known)

    def _tokens_of_part(self, text: str) -> list[Token]:
        refuse_other_scripts(text, self._language)
        tokens: list[Token] = []
        clause: list[str] = []
        text = separate_suffix(composed(text)) if self._is_mandarin else composed(text)
        pieces = split_at_punctuation(text, self._language)
        for piece, following in zip_longest(pieces, pieces[1:]):
            if not isinstance(piece, str):
                tokens.extend(self._words(clause))
                tokens.append(piece)
                clause = []
                continue
            stem, stops = without_final_stop(piece)
            if stops and isinstance(following, str) and not self._is_sentence_end(piece, following):
                clause.append(piece)
                continue
            clause.append(stem)
            if stops:
                tokens.extend(self._words(clause))
                tokens.append(Pause("."))
                clause = []
        tokens.extend(self._words(clause))
        return tokens

    def _is_sentence_end(self, written: str, following: str) -> bool:
        """Return whether a full stop before a word ends the sentence, and is not that of an abbreviation or initial."""
        is_ordinal = self._ordinal_stops and _ORDINAL.fullmatch(written) and following[0].isalpha()
        if is_ordinal or written.rstrip(".").lower() in self._abbreviations:
            return False
        if following[0].islower() or (len(written) == 2 and written[0].isupper()):
            return False
        return espeak().ends_clause(f"{written} {following}", self._voice)

    def _words(self, clause: Sequence[str]) -> list[Word]:
        """Return the words of a clause that have phones."""
        if not clause:
            return []
        together = espeak().words(self._joined(clause), self._voice)
        alone = [self._alone(written) for written in clause]
        shares = _distribute(together, alone)
        if self._is_mandarin and SUFFIX in clause[1:]:
            later = zip(clause[1:], shares[1:], strict=True)
            shares[1:] = [list(as_suffix(phones)) if written == SUFFIX else phones for written, phones in later]
        labels = [_as_label(written, self._language) for written in clause]
        return [Word(label, (tuple(phones),)) for label, phones in zip(labels, shares, strict=True) if phones]

    def _joined(self, clause: Sequence[str]) -> str:
        # Behind the joint espeak-ng reads the stop of an ordinal as a word.
        joints = (" " if self._ordinal_stops and _ORDINAL.fullmatch(written) else _JOINT for written in clause)
        return "".join(_spoken(written) + joint for written, joint in zip(clause, joints, strict=True)).strip()

    def _pronounce_alone(self, written: str) -> tuple[Pronunciation, ...]:
        return tuple(tuple(phones_from_pieces(word)) for word in espeak().words(_spoken(written), self._voice))

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), self._arguments


def _spoken(written: str) -> str:
    # Otherwise a full stop within a word would end the clause.
    stem, stops = without_final_stop(written)
    return f"{stem}." if stops else stem


def _as_label(written: str, language: str) -> str:
    # Signs and marks stay on their letter, as the vowel signs of Hindi.
    label = written.strip(
        "".join(letter for letter in written if unicodedata.category(letter)[0] in "PSZ" and letter != "'")
    )
    label = label or written
    if label[0] == label[-1] == "'":
        label = label.strip("'") or label
    return folded_in(label, language)


def _distribute(together: Sequence[Sequence[str]], alone: Sequence[Sequence[Pronunciation]]) -> list[list[str]]:
    """Distribute espeak-ng's phones of a clause among its written words.

    Args:
        together: pieces of the spoken words of the clause; a written one may be several, such as a number.
        alone: the spoken words of each written one by itself.

    Returns:
        For each written word its phones in the clause.
    """
    if len(together) == sum(map(len, alone)):
        spoken = iter(together)
        return [[phone for _ in word for phone in phones_from_pieces(next(spoken))] for word in alone]
    phones = [phone for word in together for phone in phones_from_pieces(word)]
    by_themselves = [[phone for spoken in word for phone in spoken] for word in alone]
    word_indices = _owners(phones, [(phone, index) for index, word in enumerate(by_themselves) for phone in word])
    distributed: list[list[str]] = [[] for _ in alone]
    for phone, owner in zip(phones, word_indices, strict=True):
        distributed[owner].append(phone)
    has_all = all(bool(share) == bool(word) for share, word in zip(distributed, by_themselves, strict=True))
    return distributed if has_all else by_themselves


def _owners(phones: Sequence[str], expected: Sequence[tuple[str, int]]) -> list[int]:
    """Return the word of each phone, by the edit-distance alignment with the words by themselves."""
    if not expected:
        return [0] * len(phones)
    rows, columns = len(phones), len(expected)
    costs = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for column in range(columns + 1):
        costs[0][column] = column
    for row in range(1, rows + 1):
        costs[row][0] = row
        for column in range(1, columns + 1):
            other = _difference(phones[row - 1], expected[column - 1][0])
            costs[row][column] = min(
                costs[row - 1][column - 1] + other, costs[row - 1][column] + 1, costs[row][column - 1] + 1
            )
    word_indices = [0] * rows
    row, column = rows, columns
    while row:
        word_indices[row - 1] = expected[max(column - 1, 0)][1]
        if column and costs[row][column] == costs[row - 1][column - 1] + _difference(
            phones[row - 1], expected[column - 1][0]
        ):
            row, column = row - 1, column - 1
        elif costs[row][column] == costs[row - 1][column] + 1:
            row -= 1
        else:
            column -= 1
    return word_indices


def _difference(phone: str, other: str) -> float:
    if phone == other:
        return 0.0
    return 0.25 if phone.strip(STRESSES) == other.strip(STRESSES) else 1.5
