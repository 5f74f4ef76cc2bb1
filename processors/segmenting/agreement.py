"""Agreement of two readings of an utterance."""

from __future__ import annotations

from functools import lru_cache

from processors.evaluation.measures.word_errors import count_character_errors, edit_distance
from processors.text.arpabet import without_stress
from processors.text.english import EnglishFrontEnd
from processors.text.errors import TextError
from processors.text.language_codes import is_english
from processors.text.tokens import Word


def share_of_errors(text: str, transcript: str, language: str) -> float:
    """Return the share of a text in which a transcript differs, of its characters or its phones, whichever is smaller.

    Phones are those of the lexicon, for English alone: recognisers write names and homophones otherwise ("Gene" for
    "Jeanne"), while another word, or one more, sounds otherwise.

    Args:
        text: has words.
        transcript: of the same speech.
        language: of both, as a code.
    """
    counted = count_character_errors(text, transcript, language)
    shares = [counted.errors / max(counted.words, 1)]
    if counted.errors and is_english(language):
        wanted, found = (_phones(each, language) for each in (text, transcript))
        if wanted and found:
            shares.append(edit_distance(wanted, found) / len(wanted))
    return min(shares)


def _phones(text: str, language: str) -> tuple[str, ...]:
    """Return the phones of a text without stress; none if it cannot be pronounced."""
    try:
        tokens = _front_end(language).tokens(text)
    except TextError:
        return ()
    return tuple(without_stress(phone) for each in tokens if isinstance(each, Word) for phone in each.pronunciations[0])


@lru_cache(maxsize=1)
def _front_end(language: str) -> EnglishFrontEnd:
    return EnglishFrontEnd(language)
