"""Corpora in several languages: one symbol table, and a language per speaker."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.bundles.locate import open_bundle
from models.inference.synthesizer import SynthesisError, Synthesizer
from processors.alignment.intervals import Alignment, Interval
from processors.alignment.textgrid import write_textgrid
from processors.datasets.acoustic_data import open_acoustic_data, open_voice
from processors.datasets.aligner_data import open_symbols
from processors.feature_store import FeatureStore, StoreError
from processors.features import ACOUSTIC_FEATURES, store_settings
from processors.preparation import report
from processors.preparation.prepare import prepare
from processors.text.errors import TextError
from processors.text.front_end import make_front_end
from processors.text.symbols import LATER, SymbolTable
from processors.text.tokens import PAUSES, SPOKEN_NOISE, Word
from processors.utterance import read_manifest
from tests.support.small_corpus import RATE, load, write_config
from tests.support.tiny_voice import tiny_bundle
from utils.errors import RecitalError

GERMAN = ["Ich möchte Äpfel.", "Die Katze schläft.", "Guten Abend, Anna.", "Wir gehen nach Hause."]
DUTCH = ["Wat een mooi huis.", "Wij gaan naar huis.", "Goede avond, Anna.", "De kat slaapt."]


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Pictures take longer than all the rest."""
    monkeypatch.setattr(report, "_shown", lambda *_: ())


def make_dataset(folder: Path, texts: list[str], extractor: str, language: str) -> None:
    """Write tones with exact alignments of each text's phones."""
    front_end = make_front_end(extractor, language=language)
    lines = []
    (folder / "wavs").mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        words, phones, at = [Interval(0.0, 0.2, "")], [Interval(0.0, 0.2, "")], 0.2
        for token in front_end.tokens(text):
            if not isinstance(token, Word):
                continue
            start = at
            for phone in token.pronunciations[0]:
                phones.append(Interval(at, at + 0.08, phone))
                at += 0.08
            words.append(Interval(start, at, token.text))
        end = Interval(at, at + 0.2, "")
        name = f"{folder.name}_{number}"
        write_textgrid(folder.parent / "TextGrid" / f"{name}.TextGrid", Alignment((*words, end), (*phones, end)))
        time = np.arange(round((at + 0.2) * RATE)) / RATE
        waveform = 0.2 * np.sin(2 * np.pi * 150 * time) * ((time > 0.2) & (time < at))
        soundfile.write(folder / "wavs" / f"{name}.wav", waveform, RATE)
        lines.append(f"{name}|{text}\n")
    (folder / "metadata.csv").write_text("".join(lines))


def write_experiment(tmp_path: Path, extractor: str, *datasets: str, **preprocess: object) -> Path:
    config = write_config(
        tmp_path,
        tmp_path,
        phone_extractor=extractor,
        textgrid_dir=str(tmp_path / "TextGrid"),
        **{"valid_size": 1, "test_size": 0, "num_workers": 1, "language": "de"} | preprocess,
    )
    tree = json.loads(config.read_text())
    tree["dataset"] = list(datasets)
    tree["dataset_path"] = {name: str(tmp_path / name) for name in datasets}
    tree["dataset_layout"] = dict.fromkeys(datasets, "ljspeech")
    tree["dataset_language"] = {name: "nl" for name in datasets if name == "joop"}
    config.write_text(json.dumps(tree))
    return config


def two_languages(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "karin", GERMAN, "espeak", "de")
    make_dataset(tmp_path / "joop", DUTCH, "espeak", "nl")
    return write_experiment(tmp_path, "espeak", "karin", "joop")


def test_each_corpus_is_pronounced_in_its_language(tmp_path):
    pytest.importorskip("espeakng_loader", reason="needs the extra espeak")
    assert prepare(load(two_languages(tmp_path))).usable == 8
    processed = tmp_path / "processed"
    voice = open_voice(processed, [])
    assert voice.languages == {"karin": "de", "joop": "nl"}
    spoken = {}
    for name, language in voice.languages.items():
        for utterance in read_manifest(processed / name / "train.jsonl"):
            assert utterance.language == language
            spoken[utterance.text] = utterance.phones
    assert {"ˈœ", "ç"} <= {phone for text, phones in spoken.items() if text in GERMAN for phone in phones}
    symbols = voice.symbols.symbols[1:]
    assert symbols[: len(PAUSES) + 1] == (*PAUSES, SPOKEN_NOISE)
    assert list(symbols[len(PAUSES) + 1 :]) == sorted(set(symbols[len(PAUSES) + 1 :]))
    assert {"ˈœ", "ˈœy"} <= set(symbols)


@pytest.mark.slow
def test_new_symbols_leave_the_numbers_of_others(tmp_path):
    make_dataset(tmp_path / "karin", ["abba", "baba", "aba"], "char", "de")
    config = write_experiment(tmp_path, "char", "karin")
    prepare(load(config))
    before = SymbolTable.open(tmp_path / "processed" / "symbols.json").symbols
    assert before[-2:] == ("a", "b")
    phonemes = FeatureStore.open(tmp_path / "processed" / "karin").read("karin_0", "phonemes").tolist()
    make_dataset(tmp_path / "joop", ["zee", "ad"], "char", "nl")
    make_dataset(tmp_path / "more", ["aa", "bb"], "char", "de")
    config = write_experiment(tmp_path, "char", "karin", "joop", "more")
    assert prepare(load(config)).prepared == 4
    after = SymbolTable.open(tmp_path / "processed" / "symbols.json").symbols
    assert after == (*before, LATER, "d", "e", "z")
    assert FeatureStore.open(tmp_path / "processed" / "karin").read("karin_0", "phonemes").tolist() == phonemes
    assert all(each.phones for each in read_manifest(tmp_path / "processed" / "karin" / "train.jsonl"))
    assert prepare(load(config)).prepared == 0
    config = write_experiment(tmp_path, "char", "joop")  # the table serves the others' features still
    prepare(load(config))
    assert SymbolTable.open(tmp_path / "processed" / "symbols.json").symbols == after


def test_each_set_of_corpora_keeps_its_symbols_and_speakers(tmp_path):
    """So switching `dataset` back does not require stage 1."""
    processed, found = tmp_path / "processed", {}
    make_dataset(tmp_path / "karin", ["abba", "baba", "aba"], "char", "de")
    make_dataset(tmp_path / "joop", ["zee", "ad"], "char", "nl")
    for datasets in (("karin",), ("karin", "joop"), ("joop",)):
        settings = load(write_experiment(tmp_path, "char", *datasets))
        prepare(settings)
        found[datasets] = open_voice(processed, datasets)
    assert found["karin",].symbols.symbols[-2:] == ("a", "b") and len(found["joop",].symbols) > len(
        found["karin",].symbols
    )
    for datasets, voice in found.items():
        assert open_voice(processed, datasets[::-1]) == voice and open_symbols(processed, datasets) == voice.symbols
        assert list(voice.speakers) == sorted(datasets) and list(voice.languages) == sorted(datasets)
        expect = store_settings(settings.preprocess, ACOUSTIC_FEATURES, voice.symbols.symbols)
        assert len(open_acoustic_data(processed, datasets, "train", voice, expect=expect)[0].phoneme_ids)
    shutil.rmtree(processed / ".voices")  # as stage 1 left it before each was kept: the last set only
    assert open_voice(processed, ["karin"]) == found["joop",]


def test_overwriting_sorts_the_symbol_table_again(tmp_path):
    make_dataset(tmp_path / "karin", ["bb", "bbb", "bbbb"], "char", "de")
    prepare(load(write_experiment(tmp_path, "char", "karin")))
    make_dataset(tmp_path / "karin", ["bb", "aa", "bbb"], "char", "de")
    prepare(load(write_experiment(tmp_path, "char", "karin")))
    assert SymbolTable.open(tmp_path / "processed" / "symbols.json").symbols[-3:] == ("b", LATER, "a")
    prepare(load(write_experiment(tmp_path, "char", "karin")), overwrite=True)
    assert SymbolTable.open(tmp_path / "processed" / "symbols.json").symbols[-2:] == ("a", "b")


def test_another_front_end_is_refused_and_leaves_the_table(tmp_path):
    pytest.importorskip("espeakng_loader", reason="needs the extra espeak")
    make_dataset(tmp_path / "karin", GERMAN, "char", "de")
    prepare(load(write_experiment(tmp_path, "char", "karin")))
    before = (tmp_path / "processed" / "symbols.json").read_bytes()
    with pytest.raises(StoreError, match="phone_extractor"):
        prepare(load(write_experiment(tmp_path, "espeak", "karin")))
    assert (tmp_path / "processed" / "symbols.json").read_bytes() == before


def test_an_unknown_language_is_refused_with_its_setting(tmp_path):
    pytest.importorskip("espeakng_loader", reason="needs the extra espeak")
    config = two_languages(tmp_path)
    with pytest.raises(TextError, match=r"dataset_language\.joop: .*'dutch'; similar: nl"):
        prepare(load(config, "dataset_language.joop=dutch"))
    with pytest.raises(RecitalError, match=r"dataset_language\.jopp.*names no dataset"):
        load(config, "dataset_language.jopp=nl")
    with pytest.raises(RecitalError, match="pocketsphinx aligns the phones of the lexicon"):
        load(config, "preprocess.alignment=pocketsphinx")


def test_a_speaker_may_have_a_language_among_others(tmp_path):
    pytest.importorskip("espeakng_loader", reason="needs the extra espeak")
    two_languages(tmp_path)
    for name in ("karin", "joop"):
        for number, path in enumerate(sorted((tmp_path / name / "wavs").glob("*.wav"))):
            (tmp_path / "both" / name).mkdir(parents=True, exist_ok=True)
            path.rename(tmp_path / "both" / name / path.name)
            text = (GERMAN if name == "karin" else DUTCH)[number]
            (tmp_path / "both" / name / path.with_suffix(".lab").name).write_text(text)
    config = write_experiment(tmp_path, "espeak", "both")
    settings = load(config, "dataset_layout.both=speaker_folders", "dataset_language.both/joop=nl")
    assert prepare(settings).usable == 8
    assert open_voice(tmp_path / "processed", []).languages == {"joop": "nl", "karin": "de"}
    with pytest.raises(RecitalError, match="both has no such speaker; there are joop, karin"):
        prepare(load(config, "dataset_layout.both=speaker_folders", "dataset_language.both/joep=nl"))


# Speaking


def voice_of(symbols: list[str], extractor: str, **languages: str) -> Synthesizer:
    bundle = tiny_bundle(f"preprocess.phone_extractor={extractor}", speakers=tuple(languages))
    n_symbols = len(SymbolTable(symbols))
    weights = dict(bundle.weights)
    for name, tensor in bundle.weights.items():
        if tensor.shape[:1] == (len(bundle.symbols),):
            weights[name] = tensor[:n_symbols]
    return Synthesizer(replace(bundle, weights=weights, symbols=SymbolTable(symbols), languages=languages))


def test_the_speakers_language_is_the_default(capsys):
    pytest.importorskip("espeakng_loader", reason="needs the extra espeak")
    symbols = [*PAUSES, SPOKEN_NOISE, *"ptkbdszmnlrɪəaeiou", "ˈaː", "ˈiː", "ˈaɪ", "ˈɛɪ", "h", "ʋ", "ʃ", "f"]
    voice = voice_of(symbols, "espeak", karin="de", joop="nl")
    assert dict(voice.languages) == {"karin": "de", "joop": "nl"}
    german, dutch = (voice("Wein in Mai", speaker=name).phones for name in ("karin", "joop"))
    assert german != dutch
    assert voice("Wein in Mai", speaker="karin", language="nl").phones == dutch
    capsys.readouterr()
    with pytest.raises(TextError, match="similar: nl"):
        voice("Wein", speaker="karin", language="dutch")
    with pytest.raises(TextError, match="similar"):
        voice.check_language("german")


def test_unknown_phones_are_replaced_with_one_warning(capsys):
    pytest.importorskip("espeakng_loader", reason="needs the extra espeak")
    voice = voice_of([*PAUSES, SPOKEN_NOISE, "m", "a", "ɪ", "n"], "espeak", karin="de")
    first, second = voice("Mein. [[mθ]]"), voice("Mein")
    assert first.phones == ("sil", "m", "a", "ɪ", "n", ".", "m", ".") or first.phones[:5] == ("sil", "m", "a", "ɪ", "n")
    assert second.phones == ("sil", "m", "a", "ɪ", "n", ".")
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("was not trained on the phone 'aɪ'") + (printed.out + printed.err).count(
        "was not trained on the phone 'ˈaɪ'"
    ) == 1


def test_unknown_letters_are_left_out_and_a_text_of_them_alone_is_refused(capsys):
    voice = voice_of([*PAUSES, SPOKEN_NOISE, "e", "a", "b"], "char", anna="fr")
    assert voice("Ébah жa.").phones == ("sil", "e", "b", "a", "a", ".")
    assert "was not trained on the phone 'ж'; it is left out" in "".join(capsys.readouterr())
    with pytest.raises(SynthesisError, match="has no words to synthesize"):
        voice("жж")


def test_bundles_keep_speakers_languages_and_old_ones_use_their_settings(tmp_path):
    bundle = tiny_bundle(speakers=("anna", "bert"))
    replace(bundle, languages={"anna": "en-gb", "bert": "en"}).save(tmp_path / "new")
    bundle.save(tmp_path / "old")
    assert open_bundle(tmp_path / "new").languages == {"anna": "en-gb", "bert": "en"}
    assert dict(Synthesizer(open_bundle(tmp_path / "old")).languages) == {"anna": "en", "bert": "en"}
