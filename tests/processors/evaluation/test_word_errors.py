"""Word errors count what sounds different, not what is written differently."""

from __future__ import annotations

import importlib.util

import pytest

from processors.evaluation.measures.word_errors import count_word_errors, normalised_words


@pytest.mark.parametrize(
    ("text", "transcript"),
    [
        ("Hello, world!", "hello world"),
        ("It's Tom's.", "Its toms"),
        ("Chapter 12, in 1908.", "Chapter twelve in nineteen oh eight"),
        ("Mr. Smith paid $5.", "Mister Smith paid five dollars."),
        ("The colour of the theatre's grey harbour.", "The color of the theater's gray harbor."),
        ("He realised they travelled; organisation, defence, dialogue.", "He realized they traveled organization "
         "defense dialog"),
        ("To-day some one left the club-house.", "Today someone left the clubhouse"),
        ("“Quoted” — and so on…", "quoted and so on [Music]"),
        ("Café au lait", "cafe\u0301 au lait"),
    ],
)  # fmt: skip
def test_what_sounds_alike_is_no_error(text, transcript):
    for wanted, found in ((text, transcript), (transcript, text)):
        assert count_word_errors(wanted, found).errors == 0, (normalised_words(wanted, "en"), found)


@pytest.mark.parametrize(
    ("text", "transcript", "errors", "words"),
    [
        ("one two three", "one two three", 0, 3),
        ("one two three", "one three", 1, 3),
        ("one two three", "one two two three", 1, 3),
        ("one two three", "one to three", 1, 3),
        ("one two three", "", 3, 3),
        ("", "one", 1, 0),
        ("filled the well", "filed the well", 1, 3),
        ("our hours", "or hors", 2, 2),
    ],
)
def test_words_to_insert_delete_or_replace_are_counted(text, transcript, errors, words):
    assert count_word_errors(text, transcript) == (errors, words)


def test_languages_without_spaces_are_counted_by_characters():
    assert count_word_errors("今天天气很好。", "今天天气好", "zh") == (1, 6)


@pytest.mark.skipif(importlib.util.find_spec("num2words") is None, reason="needs num2words")
def test_numbers_of_other_languages_are_spelled_out():
    assert count_word_errors("Er hat 3 Äpfel.", "er hat drei äpfel", "de") == (0, 4)
