"""Stored phones of earlier front ends, compared with those of the present one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from config.schema import PreprocessSettings
from processors.feature_store import FeatureStore, StoreError, replace_notes
from processors.preparation.textgrid_origin import aligner_of
from processors.text.errors import TextError
from processors.text.front_end import FrontEnds
from processors.text.front_end_version import FRONT_END, FRONT_END_VERSION, FrontEndVersion
from processors.text.mandarin import FORMER_TONES, has_former_tones
from processors.text.tokens import PAUSES, WRITTEN_PAUSES, Pronunciation, Token, Word
from processors.utterance import Utterance


class FormerPhones:
    """Finds utterances whose stored phones are no longer those of their text.

    Phones of MFA are those of its dictionary, and so never former.

    Args:
        store: of the features.
        settings: of the front end.
        inventory: the symbols of the store's phonemes, padding included.
        languages: of the utterances.

    Raises:
        StoreError: the tones of its phones cannot be distinguished.
    """

    def __init__(
        self, store: FeatureStore, settings: PreprocessSettings, inventory: Sequence[str], languages: Iterable[str]
    ) -> None:
        self._store, self._inventory = store, inventory
        self._front_ends = FrontEnds(settings)
        version = _version_of(store)
        self._is_former = version != FRONT_END_VERSION and aligner_of(settings) != "mfa"
        with_tones = settings.phone_extractor == "espeak" and any(map(has_former_tones, languages))
        if with_tones and version.tones < 2:
            raise StoreError(f"{store.folder}: was made {FORMER_TONES}; run stage 1 again with --overwrite")

    def has(self, utterance: Utterance) -> bool:
        """Return whether the stored phones or pauses differ from every pronunciation of the text."""
        if not self._is_former or not self._store.has(utterance.id, ("phonemes",)):
            return False
        try:
            tokens = self._front_ends[utterance.language].tokens(utterance.text)
        except TextError:
            return True
        stored = [self._inventory[number] for number in self._store.read(utterance.id, "phonemes").tolist()]
        # An aligner's phones have silences only.
        compared = WRITTEN_PAUSES if stored[-1] in WRITTEN_PAUSES else ()
        phones = tuple(phone for phone in stored if phone in compared or phone not in PAUSES)
        return not _is_said(phones, [each for token in tokens if (each := _variants(token, compared))])


def record_front_end(store: FeatureStore, utterances: Iterable[Utterance]) -> None:
    """Record that the phones of a store are those of the present front end, if all of it was compared.

    Args:
        store: of the features, of which former phones have been replaced.
        utterances: those that were compared.
    """
    stored = set(store.ids("phonemes"))
    if _version_of(store) != FRONT_END_VERSION and stored.issubset(utterance.id for utterance in utterances):
        replace_notes(store.folder, {FRONT_END: FRONT_END_VERSION.as_dict()})


def _version_of(store: FeatureStore) -> FrontEndVersion:
    return FrontEndVersion.read(store.settings) if "symbols" in store.settings else FRONT_END_VERSION


def _variants(token: Token, pauses: Sequence[str]) -> Sequence[Pronunciation]:
    """Return the pronunciations of a word or one of the pauses; none for other pauses."""
    if isinstance(token, Word):
        return token.pronunciations
    return ((token.symbol,),) if token.symbol in pauses else ()


def _is_said(phones: Pronunciation, words: Sequence[Sequence[Pronunciation]]) -> bool:
    """Return whether phones are a pronunciation of each word or pause in turn."""
    places = {0}
    for pronunciations in words:
        reached = ((place, each) for place in places for each in pronunciations)
        places = {place + len(each) for place, each in reached if phones[place : place + len(each)] == each}
    return len(phones) in places
