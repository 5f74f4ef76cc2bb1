"""Matching of the text's pauses with silences of the alignment."""

from __future__ import annotations

import numpy as np
import pytest

from processors.alignment.intervals import Alignment, AlignmentError, Interval
from processors.alignment.pauses_from_alignment import phones_with_pauses, without_silences
from processors.text.phone_sequence import PhoneSequence
from processors.text.tokens import Pause, Word


def word(text, phones=""):
    return Word(text, (tuple(phones.split()),))


def alignment_of(*phones):
    """An alignment from (word, phone, duration) where None is silence; a word's phones follow each other."""
    words, intervals, at = [], [], 0.0
    for text, phone, duration_s in phones:
        interval = Interval(at, at + duration_s, phone or "")
        at += duration_s
        intervals.append(interval)
        if text is None:
            words.append(Interval(interval.start_s, at, ""))
        elif words and words[-1].label == text:
            words[-1] = Interval(words[-1].start_s, at, text)
        else:
            words.append(Interval(interval.start_s, at, text))
    return Alignment(tuple(words), tuple(intervals))


def silence(duration_s):
    return (None, None, duration_s)


HI_YOU = [word("hi", "HH AY1"), Pause(","), word("you", "Y UW1"), Pause("!")]


def test_phones_read_as_the_text_gives_them():
    alignment = alignment_of(
        silence(0.2),
        ("hi", "HH", 0.1),
        ("hi", "AY1", 0.2),
        silence(0.3),
        ("you", "Y", 0.1),
        ("you", "UW1", 0.2),
        silence(0.4),
    )
    aligned = phones_with_pauses(HI_YOU, alignment)
    assert aligned.phones == PhoneSequence.from_tokens(HI_YOU).phones == ("sil", "HH", "AY1", ",", "Y", "UW1", "!")
    assert aligned.starts_s == pytest.approx([0, 0.2, 0.3, 0.5, 0.8, 0.9, 1.1])
    assert aligned.ends_s == pytest.approx([0.2, 0.3, 0.5, 0.8, 0.9, 1.1, 1.5])


def test_pauses_without_silence_have_no_duration():
    aligned = phones_with_pauses(HI_YOU, alignment_of(("hi", "AY1", 0.2), ("you", "Y", 0.1)))
    assert aligned.phones == ("sil", "AY1", ",", "Y", "!")
    assert aligned.starts_s == pytest.approx([0, 0, 0.2, 0.2, 0.3])
    assert aligned.ends_s == pytest.approx([0, 0.2, 0.2, 0.3, 0.3])


def test_a_silence_without_punctuation_is_sp_unless_very_short():
    tokens = [word("a"), word("b"), word("c"), Pause(".")]
    aligned = phones_with_pauses(
        tokens,
        alignment_of(("a", "EY1", 0.2), silence(0.06), ("b", "B", 0.1), silence(0.03), ("c", "S", 0.1), silence(0.01)),
    )
    assert aligned.phones == ("sil", "EY1", "sp", "B", "S", ".")
    assert aligned.starts_s == pytest.approx([0, 0, 0.2, 0.26, 0.36, 0.49])


def test_a_silence_inside_a_word_is_sp():
    aligned = phones_with_pauses(
        [word("ab"), Pause(",")], alignment_of(("ab", "AE1", 0.2), (None, None, 0.1), ("ab", "B", 0.2))
    )
    assert aligned.phones == ("sil", "AE1", "sp", "B", ",")


def test_spoken_noise_and_any_phone_pass_through():
    aligned = phones_with_pauses([word("ab"), Pause(".")], alignment_of(("<unk>", "SPN", 0.2), ("x", "ɑː", 0.1)))
    assert aligned.phones == ("sil", "spn", "ɑː", ".")


def test_pauses_keep_their_place_among_words_written_otherwise():
    tokens = [
        word("in"), word("fourteen"), word("fifty"), word("five"), Pause(","), word("it's"), word("so"), Pause("!"),
        word("mother"), word("in"), word("law"), Pause("?"),
    ]  # fmt: skip
    alignment = alignment_of(
        ("in", "IH0", 0.1), ("1455", "spn", 0.9), silence(0.2), ("it", "IH0", 0.1), ("'s", "S", 0.1), ("so", "OW", 0.2),
        ("Mother-in-law", "M", 0.4),
    )  # fmt: skip
    aligned = phones_with_pauses(tokens, alignment)
    assert aligned.phones == ("sil", "IH0", "spn", ",", "IH0", "S", "OW", "!", "M", "?")


def test_a_pause_among_unmatched_words_goes_to_a_silence():
    tokens = [word("one"), word("two"), Pause(","), word("three"), word("four"), word("five"), Pause(".")]
    alignment = alignment_of(
        ("1", "W", 0.1), ("2", "T", 0.1), ("3", "TH", 0.1), silence(0.2), ("4", "F", 0.1), ("5", "F", 0.1)
    )
    assert phones_with_pauses(tokens, alignment).phones == ("sil", "W", "T", "TH", ",", "F", "F", ".")


def test_pauses_around_unspoken_words_are_merged_to_the_strongest():
    tokens = [word("a"), Pause(","), word("skipped"), Pause("?"), word("b"), Pause(",")]
    assert phones_with_pauses(tokens, alignment_of(("a", "EY1", 0.1), ("b", "B", 0.1))).phones == (
        "sil",
        "EY1",
        "?",
        "B",
        ",",
    )


def test_a_text_without_final_pause_ends_with_a_full_stop():
    assert phones_with_pauses([word("a")], alignment_of(("a", "EY1", 0.1))).phones == ("sil", "EY1", ".")


def test_an_alignment_of_silence_is_refused():
    with pytest.raises(AlignmentError, match="silence only"):
        phones_with_pauses([word("a")], alignment_of(silence(1.0)))


def test_silences_go_to_their_neighbours_where_a_front_end_has_no_symbol_for_them():
    phones, durations = without_silences(("sil", "h", "i", " ", "sp", "y", ","), np.array([3, 1, 2, 1, 4, 5, 6]))
    assert phones == ("h", "i", " ", "y", ",") and durations.tolist() == [4, 2, 5, 5, 6]
    assert durations.dtype == np.int32
