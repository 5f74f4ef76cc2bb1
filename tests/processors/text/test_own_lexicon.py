"""Lexicons of users: what they hold, and what is refused."""

from __future__ import annotations

import pytest

from processors.text.arpabet import INVENTORY
from processors.text.english import EnglishFrontEnd
from processors.text.errors import TextError
from processors.text.mixed_front_end import MixedFrontEnd
from processors.text.own_lexicon import OwnLexicon
from processors.text.tokens import Pause, Word

FILE = """# mine
Tomato  T AH0 M AA1 T OW0

nginx\t"engine ex"
tomato  T OW1
don’t /doʊnt/
"""


def spoken(lexicon, text, front_end, known):
    return lexicon.applied(front_end.tokens(text), known, front_end.tokens)


def test_phones_and_other_words_replace_those_of_the_front_end(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text(FILE, encoding="utf-8")
    lexicon, english = OwnLexicon.from_file(path), EnglishFrontEnd()
    assert len(lexicon) == 3
    tomato, nginx, dont, end = spoken(lexicon, "TOMATO nginx don't.", english, INVENTORY)
    assert tomato == Word("tomato", (("T", "AH0", "M", "AA1", "T", "OW0"),))
    engine, ex, _ = english.tokens("engine ex")
    assert nginx == Word("nginx", ((*engine.pronunciations[0], *ex.pronunciations[0]),))
    assert dont.pronunciations == (("D", "OW0", "N", "T"),) and end == Pause(".")


def test_symbols_of_ipa_and_mixed_voices_are_their_own():
    lexicon = OwnLexicon({"big": "B AE1 G", "red": "/ɹʌd/"})
    ipa = ("ɹ", "ˈʌ", "d", "b", "ˈæ", "ɡ")
    tokens = [Word("big", (("b", "ɪ"),)), Word("red", (("ɹ",),))]
    assert [each.pronunciations[0] for each in lexicon.applied(tokens, ipa, lambda _: [])] == [
        ("b", "ˈæ", "ɡ"),
        ("ɹ", "ˈʌ", "d"),
    ]
    mixed = MixedFrontEnd()
    before, after = mixed.tokens("a big dog"), spoken(lexicon, "a big dog", mixed, mixed.inventory)
    assert after[1].pronunciations[0] == (before[1].pronunciations[0][0], "@B", "@AE1", "@G")
    assert before[1].pronunciations[0][0] == "␣" and after[0::2] == before[0::2]


def test_a_lexicon_goes_over_another():
    joined = OwnLexicon({"A": "B"}).over(OwnLexicon({"a": "D", "c": "D"}))
    first, second = joined.applied([Word("a", (("K",),)), Word("c", (("K",),))], INVENTORY, lambda _: [])
    assert (first.pronunciations, second.pronunciations) == ((("B",),), (("D",),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("tomato T AH M", r"lexicon.txt:1: phone 'AH' is not in ARPAbet; similar: AH0, AH1, AH2; IPA is written as"),
        ("# x\ntomato", r"lexicon.txt:2: 'tomato': expected a word and its pronunciation"),
        ("tomato /ˈ/", "no phones, no phone of IPA"),
        ("# x", "holds no words"),
        ("red /ʁɛd/", r"lexicon.txt:1: the voice lacks the phone 'ʁ'; the nearest it has: "),
    ],
)
def test_unusable_lines_are_named(tmp_path, content, message):
    path = tmp_path / "lexicon.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TextError, match=message):
        spoken(OwnLexicon.from_file(path), "red", EnglishFrontEnd(), INVENTORY)


def test_what_is_no_lexicon_is_refused(tmp_path):
    with pytest.raises(TextError, match="cannot be read as UTF-8 text"):
        OwnLexicon.of(tmp_path / "none.txt")
    with pytest.raises(TextError, match="lexicon: two words: expected one word"):
        OwnLexicon.of({"two words": "B"})
    with pytest.raises(TextError, match="lexicon: b: has no pronunciation"):
        OwnLexicon.of({"b": " "})
    with pytest.raises(TextError, match="lexicon: found list"):
        OwnLexicon.of([("b", "B")])
    with pytest.raises(TextError, match="reads letters"):
        OwnLexicon.of({"b": "B"}).applied([Word("b", (("b",),))], (), lambda _: [])
    assert not OwnLexicon.of(None)
