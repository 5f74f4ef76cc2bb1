"""Visemes of phones and letters."""

from __future__ import annotations

import re

import pytest

from config.paths import REPOSITORY
from processors.text import ipa
from processors.text.arpabet import PHONES
from processors.text.visemes import VISEMES, VisemeError, visemes_of_phone, visemes_of_word


def test_every_phone_of_arpabet_and_every_letter_of_ipas_chart_has_a_viseme():
    letters = [*ipa._VOWELS, *ipa._CONSONANTS, *ipa._JOINED]
    used = {viseme for phone in (*PHONES, *letters) for viseme in visemes_of_phone(phone)}
    assert used == set(VISEMES) - {"sil"}


def test_stress_length_and_tones_do_not_count_and_diphthongs_have_two():
    for phone, expected in (
        *(("AY1", "aa ih"), ("OW0", "oh ou"), ("ER0", "RR"), ("HH", "kk"), ("NG", "kk"), ("AH", "aa"), ("spn", "sil")),
        *(("ˈaɪ", "aa ih"), ("iː", "ih"), ("ɑ̃", "aa"), ("tʃ", "CH"), ("ts", "SS"), ("pf", "PP FF"), ("n̩", "nn")),
        *(("i55", "ih"), ("ɡʷ", "kk"), ("uo", "ou oh"), ("t͡ɕʰ", "CH")),
    ):
        assert visemes_of_phone(phone) == tuple(expected.split()), phone
    for phone in ("ж", "", "ː"):
        with pytest.raises(VisemeError, match="has no viseme"):
            visemes_of_phone(phone)


def test_latin_letters_and_pairs_of_them_have_visemes_and_others_are_refused():
    assert visemes_of_word("shé's", "letters") == [("CH",), ("CH",), ("E",), (), ("SS",)]
    assert visemes_of_word("zhang4", "letters") == [("CH",), ("CH",), ("aa",), ("kk",), ("kk",), ()]
    assert visemes_of_word(["␣", "@AY1", "b", "."], "letters") == [(), ("aa", "ih"), ("PP",), ("sil",)]
    with pytest.raises(VisemeError, match="letter 'ж' has no viseme"):
        visemes_of_word("ж", "letters")
    assert visemes_of_word(["B", "AY1"], "phones") == [("PP",), ("aa", "ih")]


def test_the_table_of_the_documents_is_that_of_the_code():
    text = (REPOSITORY / "docs" / "times.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", text, re.MULTILINE)
    assert [viseme for viseme, *_ in rows] == list(VISEMES)
    for viseme, arpabet, phones in rows[1:]:
        for phone in (*arpabet.split(), *phones.split()):
            assert visemes_of_phone(phone) == (viseme,), phone
    listed = [phone for _, arpabet, _ in rows[1:] for phone in arpabet.split()]
    diphthongs = {"AW", "AY", "EY", "OW", "OY"}
    assert sorted(listed) == sorted({phone.rstrip("012") for phone in PHONES} - diphthongs)
