"""Text normalisation, rule by rule."""

from __future__ import annotations

import re
import sys
import time
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.text.errors import TextError
from processors.text.normalizer import _with_wetext, make_normalizer, normalize
from processors.text.number_words import cardinal, in_pairs, ordinal, year
from processors.text.roman_numerals import roman_value
from processors.text.word_tables import word_set
from tests.support.tables import read_table

SPOKEN = read_table("normalised_texts")  # what is written, what is read


@pytest.mark.parametrize(("text", "spoken"), SPOKEN)
def test_texts_are_normalised_as_listed(text, spoken):
    assert normalize(text) == spoken


def test_the_list_has_sixty_texts_or_more():
    assert len(SPOKEN) >= 60


ORDINARY = (
    "medic yeah I Mix did civil mild livid mimic vivid dim lid mill no fig sun sat mar dec may march "
    "second min max art "
    "us it in am pm is ms mr dr st etc vs co inc ill la md va pa ma am oz lb ft km www dot com"
)


@pytest.mark.parametrize("word", ORDINARY.split())
def test_ordinary_words_stay(word):
    assert normalize(word) == word
    assert normalize(f"the {word} here, {word}") == f"the {word} here, {word}"


def test_recorded_texts_without_numbers_are_unchanged(shared_data):
    """Prompts of fiction hold no numbers: only titles, "etc." and dashes may change."""
    for line in (shared_data / "kathleen" / "metadata.csv").read_text(encoding="utf-8").splitlines():
        text = line.split("|")[1]
        expected = re.sub(r"\bMr\b\.?", "Mister", re.sub(r"\bMrs\b\.?", "Missus", text)).replace("etc.", "et cetera.")
        assert normalize(text).split() == re.sub(r"\s*(—| - )\s*", " — ", expected.replace("--", "—")).split()


def test_ljspeech_is_normalised_as_its_readers_did(shared_data):
    for line in (shared_data / "ljspeech_mini/LJSpeech-1.1/metadata.csv").read_text(encoding="utf-8").splitlines():
        _, raw, read = line.split("|")
        assert normalize(raw) == read.replace("i.e.", "that is").replace("etc.", "et cetera")


_FRAGMENTS = sorted(
    word_set(
        """Dr. St. Mr. No. p. etc. e.g. i.e. U.S. a.m. Jan. Jan 5 12 2020 007 3.14 .5 1,234 $ £ € % & @ # + - – — ... …
    , ; : ? ! ( ) [ ] { } " ' / \\ ^ ~ * _ = < > ° km in. 's 10th 1990s I II XIV X V Henry Chapter World War A B.
    J. the a don't w/ http://a.b x@y.z
    3D 2x4 1/2 ½ ² é ’ 😀 日本 ٣ \u200d \u0301 C# am 5-10 555-1234 12:30 5'10" -5 °C Ⅳ ⅓"""
    )
)
_messy = st.lists(st.sampled_from(_FRAGMENTS), max_size=8).flatmap(
    lambda parts: st.sampled_from(["", " "]).map(lambda joint: joint.join(parts))
)
_any_text = st.one_of(st.text(max_size=40), _messy)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(_any_text)
def test_normalising_twice_changes_nothing(text):
    once = normalize(text)
    assert normalize(once) == once


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(_any_text)
def test_no_digit_or_symbol_is_left(text):
    text = text.replace("{", "")  # phones given in braces keep their stress
    assert not [c for c in normalize(text) if c.isdigit() or c in "$%&@#+=<>/\\^~*_|°"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12), min_size=1, max_size=8))
def test_plain_lower_case_words_stay(words):
    text = " ".join(words)
    if not any(set(word) <= set("ivx") for word in words):
        assert normalize(text) == text


@pytest.mark.parametrize("text", ["9" * 5000, "$" + "9" * 5000, "1/" + "9" * 5000, "9" * 5000 + "th", "9," * 5000])
def test_endless_numbers_are_read_digit_by_digit(text):
    assert len(normalize(text).split()) >= 5000


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**30 - 1))
def test_numbers_are_words_with_matching_ordinals(number):
    assert all(word.isalpha() for word in cardinal(number).replace("-", " ").split())
    assert ordinal(number).endswith(("th", "first", "second", "third"))


def test_years_and_pairs_are_said_in_halves():
    assert [year(y) for y in (1066, 1900, 1905, 2000, 2010)] == [
        "ten sixty-six", "nineteen hundred", "nineteen oh five", "two thousand", "twenty ten",
    ]  # fmt: skip
    assert [in_pairs(n) for n in ("66", "101", "320", "1000")] == [
        "sixty-six",
        "one oh one",
        "three twenty",
        "one thousand",
    ]


def test_roman_numerals_have_one_form():
    assert [roman_value(n) for n in ("I", "IV", "XIV", "MCMXCIV", "IIII", "VX", "MIX", "")] == [
        1,
        4,
        14,
        1994,
        0,
        0,
        1009,
        0,
    ]


def test_unknown_backend_lists_the_known_ones():
    with pytest.raises(TextError, match="normalizer 'rule' is unknown; known: num2words, rules, wetext"):
        make_normalizer("en", "rule")


def test_other_languages_stay_as_written_but_for_unicode():
    assert normalize("5 km", language="en-GB") == "five kilometers"
    assert normalize("cafe\u0301  5 km", language="fr") == "café 5 km"


@pytest.mark.parametrize(
    ("language", "text", "spoken"),
    [
        ("de", "Am 3. Mai kamen 25 Leute.", "Am dritte Mai kamen fünfundzwanzig Leute."),
        ("de", "3,5 und 1.234", "drei Komma fünf und eintausendzweihundertvierunddreißig"),
        ("nl", "-12 graden, 21.", "min twaalf graden, eenentwintig."),
        ("fr", "1\u202f200 francs", "mille deux cents francs"),
        ("es", "12:30 el 12.10.2020, www1", "12:30 el 12.10.2020, www1"),
        ("en", "25 km", "twenty-five kilometers"),
        ("it", "Costa 3,5 euro.", "Costa tre virgola cinque euro."),
        ("it", "1.234,56", "milleduecentotrentaquattro virgola cinque sei"),
        ("tr", "1.234,56", "binikiyüzotuzdört virgül beş altı"),
        ("tr", "-3,5", "eksi üç virgül beş"),
        ("de", "0171, 007 und -5", "null eins sieben eins, null null sieben und minus fünf"),
        ("fr", "3,05", "trois virgule zéro cinq"),
        ("pl", "-5 i 21", "-5 i dwadzieścia jeden"),
        ("bn", "-5", "-5"),
        ("bn", "21", "একুশ"),
        ("vi", "-5, 3,5", "-5, 3,5"),
        ("eu", "25 km", "25 km"),
        (
            "de",
            "1234567890123456",
            "eins zwei drei vier fünf sechs sieben acht neun null eins zwei drei vier fünf sechs",
        ),
        ("am", "1234567", "አንድ ሁለት ሦስት አራት አምስት ስድስት ሰባት"),
    ],
)
def test_num2words_spells_out_numbers_of_its_languages(language, text, spoken):
    pytest.importorskip("num2words")
    assert normalize(text, language, "num2words").replace("ss", "ß") == spoken.replace("ss", "ß")


@pytest.mark.slow
def test_num2words_takes_no_time_over_long_numbers_in_any_language():
    languages = pytest.importorskip("num2words").CONVERTER_CLASSES
    for language in languages:
        speak = make_normalizer(language.replace("_", "-"), "num2words")
        speak("5")
        for n_figures in range(4, 42):
            number = ("1234567890" * 5)[:n_figures]
            start_s = time.process_time()
            assert speak(number).strip(), (language, number)
            assert time.process_time() - start_s < 0.1, (language, number)


def test_missing_num2words_names_the_installation_unless_english(monkeypatch):
    monkeypatch.setitem(sys.modules, "num2words", None)
    with pytest.raises(TextError, match=r"pip install -r requirements/num2words\.txt"):
        make_normalizer("nl", "num2words")
    assert normalize("5 km", "en", "num2words") == "five kilometers"


def test_missing_wetext_names_the_installation(monkeypatch):
    monkeypatch.setitem(sys.modules, "wetext", None)
    _with_wetext.cache_clear()
    with pytest.raises(TextError, match=r"pip install -r requirements/wetext\.txt"):
        normalize("5 km", backend="wetext")
    assert normalize("5 km", "de", "wetext") == "5 km"


@pytest.mark.skipif(find_spec("wetext") is None, reason="needs wetext (pip install wetext)")
def test_wetext_spells_out_numbers():
    assert normalize("I have $250.", backend="wetext") == "I have two hundred and fifty dollars."
    assert normalize("2024年5月3日，25公里。", "zh", "wetext") == "二零二四年五月三日，二十五公里。"
