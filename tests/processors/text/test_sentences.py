"""Ends of sentences in headings, lists and paragraphs; contractions and words longer than the network predicts."""

from __future__ import annotations

import re

import pytest

from processors.text.characters import end_lines
from processors.text.front_end import make_front_end
from processors.text.normalizer import normalize
from processors.text.tokens import Word


@pytest.fixture(scope="module")
def english():
    return make_front_end("lexicon")


def spoken(front_end, text):
    return " ".join(
        "_".join(token.pronunciations[0]) if isinstance(token, Word) else token.symbol
        for token in front_end.tokens(text)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Chapter One\n\nIt was a dark night.", "Chapter One. It was a dark night."),
        ("# A heading\nIts text\ngoes on.", "A heading. Its text goes on."),
        ("Take:\n- two eggs\n- salt\n\nMix.", "Take: two eggs. salt. Mix."),
        ("Steps\n1. Mix it\n2. Bake it", "Steps. one. Mix it. two. Bake it"),
        ("Roses are red,\nviolets are blue,\n\nand so on", "Roses are red, violets are blue, and so on"),
        ("Tea $2\nCake $3\nAll prices include tax", "Tea two dollars, Cake three dollars, All prices include tax"),
        ("One line\nand its end", "One line and its end"),
        ("Really?\n\n---\n\nYes", "Really? Yes"),
        ("We went home.\n\nThen we slept.", "We went home. Then we slept."),
        ("So, well. . . home.\n\nYes", "So, well… home. Yes"),
        ('He said "no."\n\nThen', 'He said "no." Then'),
        ("Stop    dep.    arr.\nLeeds\t05:40", "Stop, departure, arrival Leeds, five forty"),
        ("> Is it?\n>> No\n\nYes", "Is it? No. Yes"),
        (
            "To: everyone in the house and garden <a@b.org>\nDate: today at ten\nCc: Sue and Tim\nSubject: tea, Bob!",
            "To: everyone in the house and garden, a at b dot org, "
            "Date: today at ten, Cc: Sue and Tim, Subject: tea, Bob!",
        ),
        (
            "They left the town by the old road before the sun was up, and\nPeter drove until noon, when\n"
            "Mary, who had slept well in the back of the car, took over.",
            "They left the town by the old road before the sun was up, and Peter drove until noon, when, "
            "Mary, who had slept well in the back of the car, took over.",
        ),
    ],
)
def test_headings_items_and_paragraphs_end_sentences(text, expected):
    assert normalize(text) == expected


def test_other_languages_end_them_too_even_behind_an_ordinal():
    assert normalize("Kapitel 3\n\nEs war Nacht.", "de") == "Kapitel 3 . Es war Nacht."
    tokens = make_front_end("char", language="de").tokens("Kapitel 3\n\nEs war Nacht.")
    assert [token.symbol for token in tokens if not isinstance(token, Word)] == [".", "."]


def test_a_single_line_is_kept():
    assert normalize("- no list") == normalize("no list")
    assert end_lines("a\nb") == "a\nb"


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("people've", "P_IY1_P_AH0_L_AH0_V"),
        ("those've", "DH_OW1_Z_AH0_V"),
        ("she've", "SH_IY1_V"),
        ("kids've", "K_IH1_D_Z_AH0_V"),
        ("shouldn't've", "SH_UH1_D_AH0_N_T_AH0_V"),
        ("cars'll", "K_AA1_R_Z_AH0_L"),
    ],
)
def test_contractions_of_any_word_follow_its_last_sound(english, word, phones):
    assert spoken(english, word) == f"{phones} ."


def test_contractions_of_unknown_words_keep_the_word_and_add_its_ending(english):
    base = spoken(english, "zorblatt").removesuffix(" .")
    endings = {"'ve": "AH0_V", "'ll": "AH0_L", "'d": "IH0_D", "'re": "ER0", "'d've": "IH0_D_AH0_V"}
    for ending, phones in endings.items():
        assert spoken(english, f"zorblatt{ending}") == f"{base}_{phones} ."


def test_every_contraction_has_phones_of_the_inventory_only(english):
    words = ("it", "that", "who", "kids", "mary", "xylopark", "there", "something", "y'all", "o'brien")
    for word in words:
        for ending in ("'ve", "'ll", "'d", "'re", "'s", "'d've", "n't've"):
            for phone in re.split("[_ ]", spoken(english, word + ending)):
                assert phone in english.inventory, word + ending


@pytest.mark.parametrize(
    ("word", "begins", "ends"),
    [
        ("pneumonoultramicroscopicsilicovolcanoconiosis", "N", ("S",)),
        ("antidisestablishmentarianism", "AE2", ("AH0", "M")),
        ("houseboatmanufacturing", "HH", ("IH0", "NG")),
        ("hippopotomonstrosesquippedaliophobia", "HH", ("B", "IY0", "AH0")),
    ],
)
def test_long_words_keep_their_end(english, word, begins, ends):
    phones = spoken(english, word).removesuffix(" .").split("_")
    assert phones[0] == begins and tuple(phones[-len(ends) :]) == ends
    assert len(phones) > 0.6 * len(word)
    assert sum(phone.endswith("1") for phone in phones) <= 1
