"""Texts with their phones, as shown to users before a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from processors.text.front_end import FrontEnd, with_known_phones
from processors.text.phone_sequence import PhoneSequence


@dataclass(frozen=True)
class PronouncedText:
    """A normalised text with its phones.

    Attributes:
        normalised: the words to be spoken.
        phones: (T_text,) of the voice, pauses included; without a voice, of the front end.
        replaced: for each phone that the voice does not have, those that replace it; empty for one that is dropped.
    """

    normalised: str
    phones: tuple[str, ...]
    replaced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, front_end: FrontEnd, symbols: Sequence[str] = ()) -> PronouncedText:
        """Run a front end over a text.

        Args:
            text: raw.
            front_end: of the text's language.
            symbols: of a voice; empty for none.

        Raises:
            TextError: the text has no words, or one that cannot be pronounced.
        """
        tokens = front_end.tokens(text)
        replaced: dict[str, tuple[str, ...]] = {}
        if symbols and front_end.is_open:
            tokens, replaced = with_known_phones(tokens, symbols, front_end)
        return cls(front_end.normalized(text), PhoneSequence.from_tokens(tokens).phones, replaced)
