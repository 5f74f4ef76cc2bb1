"""Words of texts, their alignment with recognised ones, pauses, and the choice of cuts."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from processors.segmenting.agreement import share_of_errors
from processors.segmenting.cuts import Gap, Lengths, choose_cuts, gaps_at, spoken_times
from processors.segmenting.pauses import Pause, pauses_of, windows
from processors.segmenting.text_words import ReadWord, TextWords, keys_of
from processors.segmenting.word_alignment import UNMATCHED, align_words


def test_words_keep_their_place_and_the_marks_after_them():
    text = TextWords.of('He paid $5,  Mr. Low \u2014 "Good."\n\nChapter 2\n\nThe end', "en")
    assert text.keys == ("he", "paid", "five", "dollars", "mr", "low", "good", "chapter", "two", "the", "end") or (
        text.keys[4] == "mister"
    )
    assert text.written(0, 4) == "He paid $5," and text.written(5, 7) == 'Low \u2014 "Good."'
    strengths = [text.strength_before(index) for index in range(1, len(text.keys) + 1)]
    assert strengths == [0, 0, -1, 1, 0, 2, 3, 0, 3, 0, 3]
    assert TextWords.of("\u4f60\u597d\uff0c\u518d\u89c1\u3002", "zh").written(0, 2) == "\u4f60\u597d\uff0c"
    assert keys_of([ReadWord(" I've", 0, 1), ReadWord(" -", 1, 2), ReadWord(" $5", 2, 3)], "en") == (
        ["ive", "five", "dollars"],
        [0, 2, 2],
    )


def test_part_of_a_book_is_found_with_its_errors_and_gaps():
    rng = random.Random(0)
    book = [f"w{int(rng.paretovariate(0.7))}" for _ in range(20_000)]
    spoken = [*range(5_000, 6_000), *range(9_000, 9_500)]  # a chapter is left out
    read = [book[place] for place in spoken]
    wrong = rng.sample(range(len(read)), 150)
    for place in wrong:
        read[place] = f"x{place}"
    found = align_words([*read, "thank", "you"], book)
    assert np.mean(found[:-2] == spoken) > 0.97
    assert (np.diff(found[found != UNMATCHED]) > 0).all()
    assert list(align_words(["a", "b", "x", "c"], ["q", "a", "b", "c", "d"])) == [1, 2, UNMATCHED, 3]
    assert list(align_words(["a"], [])) == [UNMATCHED] and len(align_words([], ["a"])) == 0


def test_pauses_are_found_over_noise_that_changes_and_clicks_are_none():
    rng = np.random.default_rng(0)
    quiet, speech = (lambda frames, level: level + rng.normal(0, 1, frames) for _ in range(2))
    levels = np.concatenate(
        [quiet(100, -70), speech(200, -25), quiet(50, -70), speech(200, -25)] * 20
        + [quiet(100, -45), speech(200, -15), quiet(50, -45), speech(200, -15)] * 20
        + [quiet(10_000, -80)]
    ).astype(np.float32)
    levels[30:33] = -30  # a click
    pauses = pauses_of(levels, 0.01, len(levels) * 0.01)
    assert len(pauses) > 75  # of 81; within some seconds of the change, those in noise count as speech
    assert all(min(abs(pause.duration_s - length) for length in (0.5, 1.0)) < 0.05 for pause in pauses[:-1])
    assert pauses[-1].duration_s > 99
    assert pauses_of(np.empty(0, np.float32), 0.01, 0.0) == ()


def test_windows_cover_all_speech_and_are_cut_at_long_pauses():
    pauses = [Pause(0, 1), Pause(12, 12.2), Pause(20, 21), Pause(27, 27.3), Pause(100, 101)]
    found = windows(pauses, 28)
    assert found[0] == (0.5, 20.5) and found[-1][1] == 100.5
    assert all(stop - start < 28.001 for start, stop in found)
    assert all(left[1] == right[0] for left, right in pairwise(found))


def test_readings_that_sound_alike_agree_and_words_more_or_less_do_not():
    assert share_of_errors("He saw Jeanne, in gray.", "He saw Gene in grey", "en") == 0
    assert share_of_errors("Goodbye, Pierre.", "good-bye pierre", "en") == 0
    assert share_of_errors("It drowned all sound there.", "It drowned out all sound there.", "en") > 0.05
    assert share_of_errors("Es war einmal.", "Es war.", "de") == pytest.approx(6 / 11)
    assert share_of_errors("One.", "", "en") == 1


def test_words_that_reach_into_a_pause_are_spoken_beside_it():
    pauses = [Pause(0, 1), Pause(2, 3), Pause(4, 5)]
    words = [ReadWord("a", 0.2, 1.9), ReadWord("b", 1.9, 3.4), ReadWord("c", 3.4, 4.8)]
    assert np.allclose(spoken_times(words, pauses), [1.45, 3.2, 3.7])


def test_gaps_lie_at_sentence_ends_and_leave_out_what_was_not_read():
    text = TextWords.of("one two three. four five six. " + "skipped " * 20 + "seven eight", "en")
    read = ["one", "two", "thee", "four", "five", "six", "seven", "eight"]
    matches = align_words(read, text.keys)
    times = np.arange(8.0)
    pauses = [Pause(-1, -0.5), Pause(2.4, 2.6), Pause(5.4, 5.6), Pause(8, 9)]
    assert gaps_at(pauses, times, matches, text) == [Gap(0, 0, 3), Gap(3, 3, 3), Gap(6, 26, 3), Gap(28, 28, 3)]
    part = gaps_at(pauses[1:3], times[3:6], align_words(read[3:6], text.keys), text)
    assert part == [Gap(0, 3, 3), Gap(6, 28, 3)]  # what stands before and after the recording is not read
    nothing = gaps_at(pauses, np.zeros(0), np.zeros(0, int), TextWords.of("", "en"))
    assert {gap[:2] for gap in nothing} == {(0, 0)}


def test_cuts_are_made_at_sentence_ends_and_long_pauses_within_the_lengths():
    def cuts(*parts: tuple[float, float, int], **lengths: float) -> list[int]:
        """Return how many parts, each of speech, pause and strength, every utterance holds."""
        pauses, at = [Pause(0.0, 0.0)], 0.0
        for speech_s, pause_s, _ in parts:
            pauses.append(Pause(at + speech_s, at + speech_s + pause_s))
            at += speech_s + pause_s
        gaps = [Gap(n, n, strength) for n, strength in enumerate([3, *(part[2] for part in parts)])]
        return [cut.end_word - cut.first_word for cut in choose_cuts(pauses, gaps, Lengths(**lengths))]

    assert cuts((3, 0.4, 3), (3, 0.3, 1), (3, 0.4, 3)) == [1, 2]
    assert cuts((3, 0.4, 3), (3, 0.7, 1), (3, 0.9, 0), (2, 0.4, 0)) == [1, 1, 1, 1]
    assert cuts((3, 0.4, 3), (0.3, 0.4, 3), (3, 0.2, 3), shortest_s=1.0) in ([2, 1], [1, 2])
    assert cuts((6, 0.2, 0), (6, 0.3, 1), (6, 0.2, 0), longest_s=15.0) == [2, 1]
    assert cuts((40, 0.5, 3), (3, 0.4, 3), longest_s=15.0) == [1, 1]
