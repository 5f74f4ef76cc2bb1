"""Stores of earlier front ends: only utterances whose phones changed are prepared again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from config.load import load_settings
from config.paths import REPOSITORY
from models.registry import settings_class
from processors.feature_store import FeatureStore, ShardWriter, StoreError, prepare_store, settings_of
from processors.preparation.former_phones import FormerPhones, record_front_end
from processors.text.front_end import make_front_end
from processors.text.front_end_version import FRONT_END, FRONT_END_VERSION, FrontEndVersion
from processors.text.symbols import SymbolTable
from processors.utterance import Utterance

RECIPE = REPOSITORY / "egs/tts/FastSpeech2/exp_config.json"
VARIANT = "sil W EY1 Z sp DH AH1 K AE1 T ."  # "the" as an aligner may choose it


def utterance(id_: str) -> Utterance:
    return Utterance(id_, "toy", "anna", "en", "weighs the cat", Path("a.wav"), 1.0, "train")


@pytest.fixture
def store_of(tmp_path):
    """Return a function that writes a store with the phones of two utterances, made by a version."""
    symbols = SymbolTable(make_front_end("lexicon").inventory)

    def write(version: FrontEndVersion) -> tuple[FeatureStore, SymbolTable]:
        folder = tmp_path / f"{version.lexicon}-{version.tones}"
        prepare_store(folder, {"symbols": "x"}, {FRONT_END: version.as_dict()})
        with ShardWriter(folder) as writer:
            for id_, phones in (
                ("same", VARIANT),
                ("changed", VARIANT.replace("AE1", "AA1")),
                ("silences", VARIANT.replace("sp", "sil").replace(".", "sil")),
                ("pauses", VARIANT.replace("sp", ",")),
            ):
                writer.add(id_, {"phonemes": np.array(symbols.ids(phones.split(), id_), np.int32)})
        return FeatureStore.open(folder), symbols

    return write


def settings(*changes: str):
    return load_settings(RECIPE, list(changes), settings_class).settings.preprocess


def former(store: FeatureStore, symbols: SymbolTable, *changes: str, languages=("en",)) -> FormerPhones:
    return FormerPhones(store, settings(*changes), symbols.symbols, languages)


def test_phones_that_are_a_pronunciation_of_the_text_are_kept(store_of):
    store, symbols = store_of(FrontEndVersion())
    phones = former(store, symbols)
    assert [phones.has(utterance(id_)) for id_ in ("same", "changed", "unknown")] == [False, True, False]
    # An aligner's, with silences between words, and those of a text whose pauses became others.
    assert [phones.has(utterance(id_)) for id_ in ("silences", "pauses")] == [False, True]


def test_phones_of_this_version_and_of_mfa_are_never_compared(store_of):
    store, symbols = store_of(FRONT_END_VERSION)
    assert not former(store, symbols).has(utterance("changed"))
    store, symbols = store_of(FrontEndVersion())
    of_mfa = ("alignment=mfa", "mfa_dictionary=a", "mfa_acoustic_model=b")
    assert not former(store, symbols, *(f"preprocess.{each}" for each in of_mfa)).has(utterance("changed"))


def test_a_store_records_the_present_version_once_all_of_it_was_compared(store_of):
    store, _ = store_of(FrontEndVersion())
    everything = [utterance(id_) for id_ in store.ids("phonemes")]
    record_front_end(store, everything[1:])
    assert FrontEndVersion.read(settings_of(store.folder)) == FrontEndVersion()
    record_front_end(store, everything)
    assert FrontEndVersion.read(settings_of(store.folder)) == FRONT_END_VERSION
    assert FeatureStore.open(store.folder).ids("phonemes") == store.ids("phonemes")  # of shards of the former version


@pytest.mark.parametrize("language", ["zh", "zh-CN", "cmn", "cmn-latn-pinyin", "yue", "zh-yue", "hak"])
def test_former_tones_cannot_be_mixed_with_new_ones(store_of, language):
    store, symbols = store_of(FrontEndVersion(tones=1))
    by_espeak = "preprocess.phone_extractor=espeak"
    with pytest.raises(StoreError, match="tones 1 and 4 were one symbol; run stage 1 again with --overwrite"):
        former(store, symbols, by_espeak, languages={"en", language})
    former(store, symbols, by_espeak, languages={"en", "vi"})
    former(store, symbols, "preprocess.phone_extractor=char", languages={language})
