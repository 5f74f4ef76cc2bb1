"""A text's own phones at the times of another aligner's."""

from __future__ import annotations

import pytest

from processors.alignment.intervals import Alignment, AlignmentError, Interval
from processors.alignment.phones_of_text import with_phones_of_text
from processors.text.ipa import phone_distance
from processors.text.tokens import Pause, Word


def aligned(*words: tuple[str, str]) -> Alignment:
    """Return an alignment of words whose phones last 0.1 s each, between silences of 0.2 s."""
    tiers: tuple[list[Interval], list[Interval]] = ([Interval(0.0, 0.2, "")], [Interval(0.0, 0.2, "")])
    at = 2
    for word, phones in words:
        start = at
        for phone in phones.split():
            tiers[1].append(Interval(at / 10, (at + 1) / 10, phone))
            at += 1
        tiers[0].append(Interval(start / 10, at / 10, word))
    end = Interval(at / 10, (at + 2) / 10, "")
    return Alignment((*tiers[0], end), (*tiers[1], end))


def word(text: str, phones: str) -> Word:
    return Word(text, (tuple(phones.split()),))


def times(alignment: Alignment) -> list[tuple[str, float, float]]:
    return [(each.label, round(each.start_s, 3), round(each.end_s, 3)) for each in alignment.phones if each.label]


def test_phones_of_mfa_give_their_times_to_those_of_espeak():
    tokens = [word("nach", "n ˈɑː x"), Pause(","), word("zeit", "ts ˈaɪ t"), Pause(".")]
    found = with_phones_of_text(tokens, aligned(("nach", "n aː x"), ("zeit", "t s aj t")))
    assert times(found) == [
        ("n", 0.2, 0.3), ("ˈɑː", 0.3, 0.4), ("x", 0.4, 0.5), ("ts", 0.5, 0.7), ("ˈaɪ", 0.7, 0.8), ("t", 0.8, 0.9),
    ]  # fmt: skip
    assert [(each.label, round(each.end_s, 3)) for each in found.words] == [
        ("", 0.2), ("nach", 0.5), ("zeit", 0.9), ("", 1.1),
    ]  # fmt: skip
    assert found.end_s == pytest.approx(1.1)


def test_arpabet_takes_the_times_of_ipa_and_an_unknown_word_is_divided():
    tokens = [word("church", "CH ER1 CH"), word("zyx", "Z IH1 K S"), Pause(".")]
    found = with_phones_of_text(tokens, aligned(("church", "tʃ ɝ tʃ"), ("<unk>", "spn")))
    assert times(found) == [
        ("CH", 0.2, 0.3), ("ER1", 0.3, 0.4), ("CH", 0.4, 0.5),
        ("Z", 0.5, 0.525), ("IH1", 0.525, 0.55), ("K", 0.55, 0.575), ("S", 0.575, 0.6),
    ]  # fmt: skip


def test_words_that_are_written_otherwise_are_matched_together():
    tokens = [word("in", "ɪ n"), word("fourteen", "f ɔ t iː n"), word("ten", "t ɛ n"), word("it", "ɪ t")]
    found = with_phones_of_text(tokens, aligned(("in", "ɪ n"), ("1410", "f ɔ t i n t ɛ n"), ("it", "ɪ t")))
    assert [end - start for _, start, end in times(found)] == pytest.approx([0.1] * 12)
    assert [each.label for each in found.words if each.label] == ["in", "fourteen", "ten", "it"]


def test_words_without_counterpart_are_refused():
    tokens = [word("in", "ɪ n"), word("ten", "t ɛ n"), word("it", "ɪ t")]
    with pytest.raises(AlignmentError, match="differ at 'ten'"):
        with_phones_of_text(tokens, aligned(("in", "ɪ n"), ("it", "ɪ t")))
    with pytest.raises(AlignmentError, match="differ at 'very'"):
        with_phones_of_text(tokens, aligned(("in", "ɪ n"), ("very", "v"), ("ten", "t ɛ n"), ("it", "ɪ t")))


def test_like_sounds_are_nearer_than_others_and_vowels_far_from_consonants():
    assert phone_distance("AA1", "ɑː") == phone_distance("t", "tʰ") == 0
    assert phone_distance("d", "t") < phone_distance("d", "s") < phone_distance("d", "a")
    assert phone_distance("i", "ɪ") < phone_distance("i", "ɑ") < phone_distance("i", "k")
