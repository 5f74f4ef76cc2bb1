"""What a voice says where it was never taught a phone or letter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from processors.text.phone_extractor import PAUSES, SPOKEN_NOISE, PhoneExtractor, Token, Word
from processors.text.punctuation import with_single_pauses
from processors.text.symbols import PADDING


def with_stand_ins(
    tokens: Iterable[Token], symbols: Sequence[str], front_end: PhoneExtractor
) -> tuple[list[Token], dict[str, tuple[str, ...]]]:
    """Say words with the symbols that a model knows.

    What stands in for the others, the front end says. A word of which nothing is left is left out.

    Args:
        tokens: words and pauses.
        symbols: all that the model knows.
        front_end: that gave the words.

    Returns:
        tokens: of known symbols only, none if no word is left. Words keep their best pronunciation only.
        replaced: what stands in for each unknown symbol; nothing for what is left out.
    """
    known = tuple(symbol for symbol in symbols if symbol not in {*PAUSES, SPOKEN_NOISE, PADDING})
    replaced: dict[str, tuple[str, ...]] = {}
    spoken: list[Token] = []
    for token in tokens:
        if not isinstance(token, Word):
            spoken.append(token)
            continue
        phones: list[str] = []
        for phone in token.pronunciations[0]:
            if phone in known:
                phones.append(phone)
            else:
                if phone not in replaced:
                    replaced[phone] = front_end.stand_in(phone, known)
                phones.extend(replaced[phone])
        if phones:
            spoken.append(replace(token, pronunciations=(tuple(phones),)))
    has_words = any(isinstance(token, Word) for token in spoken)
    return with_single_pauses(spoken) if has_words else [], replaced
