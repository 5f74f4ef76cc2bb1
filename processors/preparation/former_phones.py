"""Stored phones of earlier front ends, compared with those of the present one."""

from __future__ import annotations

from collections.abc import Sequence

from config.schema import PreprocessSettings
from processors.feature_store import FeatureStore, StoreError
from processors.text.errors import TextError
from processors.text.front_end import FrontEnds
from processors.text.front_end_version import FRONT_END_VERSION, FrontEndVersion
from processors.text.mandarin import is_mandarin
from processors.text.tokens import PAUSES, Pronunciation, Word
from processors.utterance import Utterance


class FormerPhones:
    """Finds utterances whose stored phones are no longer those of their text.

    Args:
        store: of the features.
        settings: of the front end.
        inventory: the symbols of the store's phonemes, padding included.

    Raises:
        StoreError: the tones of its phones cannot be distinguished.
    """

    def __init__(self, store: FeatureStore, settings: PreprocessSettings, inventory: Sequence[str]) -> None:
        self._store, self._inventory = store, inventory
        self._front_ends = FrontEnds(settings)
        made_with = store.settings
        version = FrontEndVersion.read(made_with) if "symbols" in made_with else FRONT_END_VERSION
        self._is_former = version != FRONT_END_VERSION
        with_tones = settings.phone_extractor == "espeak" and is_mandarin(settings.language)
        if with_tones and version.tones < 2:
            raise StoreError(
                f"{store.folder}: was made when Mandarin's tones 1 and 4 were one symbol; run stage 1 again with "
                "--overwrite"
            )

    def has(self, utterance: Utterance) -> bool:
        """Return whether stored phones differ from every pronunciation of the text, pauses apart."""
        if not self._is_former or not self._store.has(utterance.id, ("phonemes",)):
            return False
        try:
            tokens = self._front_ends[utterance.language].tokens(utterance.text)
        except TextError:
            return True
        numbers = self._store.read(utterance.id, "phonemes").tolist()
        phones = tuple(phone for number in numbers if (phone := self._inventory[number]) not in PAUSES)
        return not _is_said(phones, [token.pronunciations for token in tokens if isinstance(token, Word)])


def _is_said(phones: Pronunciation, words: Sequence[Sequence[Pronunciation]]) -> bool:
    """Return whether phones are a pronunciation of each word in turn."""
    places = {0}
    for pronunciations in words:
        reached = ((place, each) for place in places for each in pronunciations)
        places = {place + len(each) for place, each in reached if phones[place : place + len(each)] == each}
    return len(phones) in places
