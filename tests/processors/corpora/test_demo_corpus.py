"""The demo corpus is whole, pronounced in ARPAbet, and its times are those of the sound."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from processors.alignment.intervals import Alignment
from processors.alignment.textgrid import read_textgrid
from processors.audio.audio_file import audio_info, read_audio
from processors.corpora import demo_corpus
from processors.corpora.demo_corpus import DemoCorpusError, make_demo_corpus, sentences, speak
from processors.corpora.layouts import layout_of, read_corpus
from processors.text import espeak
from processors.text.arpabet import CONSONANTS, PHONES, VOWELS, is_vowel

RATE = 22050


@pytest.fixture(scope="module")
def spoken() -> list[tuple[str, np.ndarray, Alignment]]:
    pytest.importorskip("espeakng_loader")
    return [(text, *speak(text)) for text in sentences()]


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory) -> Path:
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("demo")
    make_demo_corpus(folder, count=5)
    return folder


def labels(text: str) -> list[str]:
    return [phone.label for phone in speak(text)[1].phones if not phone.is_silence]


def test_the_sentences_are_many_short_and_different():
    texts = sentences()
    assert len(texts) == 200 == len(set(texts))
    assert all(4 <= len(text.split()) <= 10 and text[-1] in ".?!" and text.isascii() for text in texts)
    assert all(sum(mark in text for text in texts) >= 10 for mark in ",?!")


@pytest.mark.slow
def test_every_phone_of_american_english_is_spoken(spoken):
    phones_found = {phone.label for _, _, alignment in spoken for phone in alignment.phones if not phone.is_silence}
    assert phones_found <= set(PHONES)
    assert {label.rstrip("012") for label in phones_found} == {*VOWELS, *CONSONANTS}


def test_every_word_has_its_phones_and_its_own_place(spoken):
    for text, _, alignment in spoken:
        words = [word for word in alignment.words if not word.is_silence]
        assert [word.label for word in words] == re.findall(r"[a-z']+", text.lower())
        starts = {phone.start_s for phone in alignment.phones}
        ends = {phone.end_s for phone in alignment.phones}
        assert all(word.start_s in starts and word.end_s in ends for word in words)
        for word in words:
            inside = [p.label for p in alignment.phones if word.start_s <= p.start_s and p.end_s <= word.end_s]
            assert any(map(is_vowel, inside)), (text, word)


def test_phones_and_words_cover_the_recording_without_gaps(spoken):
    for _, waveform, alignment in spoken:
        for tier in (alignment.words, alignment.phones):
            assert tier[0].start_s == 0 and tier[-1].end_s == pytest.approx(len(waveform) / RATE)
            assert all(left.end_s == right.start_s for left, right in itertools.pairwise(tier))
            assert all(interval.end_s - interval.start_s > 0.01 for interval in tier)


def test_pauses_are_silent_and_vowels_are_not(spoken):
    for text, waveform, alignment in spoken:
        for phone in alignment.phones:
            sound = waveform[round(phone.start_s * RATE) : round(phone.end_s * RATE)]
            if phone.is_silence:
                assert np.abs(sound).max() <= 2 / 32768, (text, phone)
            elif is_vowel(phone.label):
                assert np.sqrt(np.mean(sound**2)) > 0.01, (text, phone)


def test_a_comma_and_the_ends_are_pauses():
    pytest.importorskip("espeakng_loader")
    _, alignment = speak("Careful, the soup is hot.")
    pauses = [interval for interval in alignment.words if interval.is_silence]
    assert [alignment.words.index(pause) for pause in pauses] == [0, 2, len(alignment.words) - 1]
    assert all(pause.end_s - pause.start_s >= 0.145 for pause in pauses)


def test_stops_include_their_closures_and_bursts(spoken):
    """Where a voiceless stop follows a vowel, it begins with silence and ends with sound."""
    checked = 0
    for _, waveform, alignment in spoken:
        for before, stop in itertools.pairwise(alignment.phones):
            if stop.label in ("P", "T", "K") and is_vowel(before.label) and stop.end_s - stop.start_s > 0.075:
                sound = waveform[round(stop.start_s * RATE) : round(stop.end_s * RATE)]
                assert np.abs(sound[: RATE // 500]).max() < 1e-3
                checked += 1
    assert checked > 50


@pytest.mark.parametrize(
    "word, expected",
    [
        ("part", "P AA1 R T"),
        ("starry", "S T AA1 R IY0"),
        ("bird", "B ER1 D"),
        ("hurry", "HH ER1 IY0"),
        ("near", "N IH1 R"),
        ("care", "K EH1 R"),
        ("north", "N AO1 R TH"),
        ("fire", "F AY1 ER0"),
        ("quiet", "K W AY1 AH0 T"),
        ("button", "B AH1 T AH0 N"),
        ("table", "T EY1 B AH0 L"),
        ("bell", "B EH1 L"),
        ("children", "CH IH1 L D R AH0 N"),
        ("letter", "L EH1 T ER0"),
        ("judge", "JH AH1 JH"),
        ("usual", "Y UW1 ZH UW0 AH0 L"),
        ("joyful", "JH OY1 F AH0 L"),
        ("father", "F AA1 DH ER0"),
        ("singing", "S IH1 NG IH0 NG"),
    ],
)
def test_words_are_pronounced_as_a_dictionary_has_them(word, expected):
    pytest.importorskip("espeakng_loader")
    assert labels(word) == expected.split()


def test_words_that_espeak_merges_are_still_two():
    pytest.importorskip("espeakng_loader")
    _, alignment = speak("one of the cats in the house, don't you see it?")
    words = " ".join(word.label for word in alignment.words if not word.is_silence)
    assert words == "one of the cats in the house don't you see it"


def test_every_phone_of_espeak_is_one_or_two_of_arpabet():
    for name, phones in demo_corpus._ARPABET.items():
        assert sum(share for _, share in phones) == pytest.approx(1), name
        assert {phone for phone, _ in phones} <= {*VOWELS, *CONSONANTS}, name


def test_another_sample_rate_keeps_the_times():
    pytest.importorskip("espeakng_loader")
    waveform, alignment = speak("The kettle whistled, and we watched the rain.", 24000)
    assert waveform.dtype == np.float32
    assert len(waveform) / 24000 == pytest.approx(alignment.end_s, abs=1e-4)
    (first, comma, last) = (phone for phone in alignment.phones if phone.is_silence)
    for pause in (first, comma, last):
        middle = waveform[round((pause.start_s + 0.01) * 24000) : round((pause.end_s - 0.01) * 24000)]
        assert np.abs(middle).max() < 1e-3


def test_the_corpus_lies_in_the_layout_that_stage_1_reads(corpus_folder):
    corpus = read_corpus("demo", layout_of("demo", {}), corpus_folder, language="en")
    assert not corpus.problems and not corpus.notes
    assert [utterance.text for utterance in corpus.utterances] == sentences()[:5]
    for utterance in corpus.utterances:
        info = audio_info(utterance.audio_path)
        assert (info.sample_rate, info.channels) == (RATE, 1) and 1 < info.duration_s < 8
        assert np.abs(read_audio(utterance.audio_path, RATE)).max() < 0.999
        alignment = read_textgrid(corpus_folder / "TextGrid" / "demo" / f"{utterance.id}.TextGrid")
        assert alignment.end_s == pytest.approx(info.duration_s, abs=1e-4)
        assert {phone.label for phone in alignment.phones if not phone.is_silence} <= set(PHONES)


def test_a_corpus_made_again_replaces_itself_but_no_other(corpus_folder, tmp_path):
    assert make_demo_corpus(corpus_folder, count=5) == 5
    (tmp_path / "metadata.csv").write_text("mine|A recording of mine.\n")
    with pytest.raises(DemoCorpusError, match=r"metadata\.csv: belongs to another corpus"):
        make_demo_corpus(tmp_path, count=1)
    assert (tmp_path / "metadata.csv").read_text().startswith("mine|")


@pytest.mark.parametrize("count", [0, -1, 201])
def test_more_sentences_than_there_are_is_an_error(tmp_path, count):
    with pytest.raises(DemoCorpusError, match="1 to 200 sentences"):
        make_demo_corpus(tmp_path, count=count)


def test_a_text_without_words_is_an_error():
    pytest.importorskip("espeakng_loader")
    with pytest.raises(DemoCorpusError, match="finds no words"):
        speak("  ")


def test_without_espeak_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(espeak, "_loaded", espeak.Espeak)
    monkeypatch.setattr(demo_corpus, "_engine", demo_corpus._Engine)
    with pytest.raises(DemoCorpusError, match=r"pip install -r requirements/espeak\.txt"):
        make_demo_corpus(tmp_path / "corpus")
    assert not (tmp_path / "corpus" / "metadata.csv").exists()


def test_a_long_way_to_the_data_is_shortened(tmp_path):
    # espeak-ng keeps the path in 160 bytes.
    data = tmp_path / ("x" * 100) / ("y" * 100) / "espeak-ng-data"
    data.mkdir(parents=True)
    (data / "phontab").write_text("content")
    short = espeak._short_path(str(data))
    assert len(short) < 150 and (Path(short) / "phontab").read_text() == "content"
    assert espeak._short_path("/usr/share/espeak-ng-data") == "/usr/share/espeak-ng-data"
