"""Splits: sizes, and stability when the corpus grows."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.corpora.splits import assign_splits
from processors.utterance import Utterance


def corpus(texts: list[str]) -> list[Utterance]:
    return [
        Utterance(f"clip_{index:05d}", "toy", "toy", "en", text, Path(f"clip_{index:05d}.wav"))
        for index, text in enumerate(texts)
    ]


def distinct(count: int) -> list[Utterance]:
    return corpus([f"sentence number {index}" for index in range(count)])


def split_of(utterances: list[Utterance], **options) -> dict[str, str]:
    options = {"valid_size": 20, "test_size": 20, "seed": 1234} | options
    return {utterance.id: utterance.split for utterance in assign_splits(utterances, **options)}


def test_sizes_are_met():
    assert Counter(split_of(distinct(500)).values()) == {"train": 460, "valid": 20, "test": 20}
    shares = split_of(distinct(500), valid_size=0.05, test_size=0.1)
    assert Counter(shares.values()) == {"train": 425, "valid": 25, "test": 50}
    assert Counter(split_of(distinct(500), valid_size=0, test_size=0).values()) == {"train": 500}


def test_order_does_not_matter():
    utterances = distinct(300)
    shuffled = random.Random(0).sample(utterances, len(utterances))
    assert split_of(utterances) == split_of(shuffled)
    assert [utterance.id for utterance in assign_splits(shuffled, valid_size=20, test_size=20, seed=0)] == [
        utterance.id for utterance in shuffled
    ]


def test_only_the_split_changes():
    utterances = distinct(30)
    for before, after in zip(utterances, assign_splits(utterances, valid_size=3, test_size=3, seed=0), strict=True):
        assert dataclasses.replace(after, split="") == before


def test_an_excluded_recording_moves_few_others():
    utterances = distinct(500)
    whole, fewer = split_of(utterances), split_of(utterances[5:])
    assert sum(whole[name] != split for name, split in fewer.items()) <= 10


def test_training_utterances_never_move_to_test_when_a_corpus_grows():
    before, after = split_of(distinct(300)), split_of(distinct(400))
    assert not any(before[name] == "train" and after[name] != "train" for name in before)


def test_another_seed_gives_another_split():
    assert split_of(distinct(300), seed=1) != split_of(distinct(300), seed=2)


def test_equal_texts_stay_in_one_set():
    spoken = [f"Sentence {index}." for index in range(100)]
    again = [f"sentence {index}!" for index in range(100)]
    splits = split_of(corpus(spoken + again))
    for index in range(100):
        assert splits[f"clip_{index:05d}"] == splits[f"clip_{index + 100:05d}"]


def test_a_text_spoken_very_often_trains():
    splits = split_of(corpus(["yes"] * 200 + [f"sentence {index}" for index in range(200)]))
    assert all(splits[f"clip_{index:05d}"] == "train" for index in range(200))
    assert Counter(splits.values()) == {"train": 360, "valid": 20, "test": 20}


def test_utterances_without_words_are_not_one_text():
    assert Counter(split_of(corpus([""] * 100), valid_size=10, test_size=10).values())["valid"] == 10


@pytest.mark.parametrize(
    "count, expected",
    [
        (0, {}),
        (1, {"train": 1}),
        (2, {"train": 1, "valid": 1}),
        (3, {"train": 1, "valid": 1, "test": 1}),
        (4, {"train": 2, "valid": 1, "test": 1}),
        (20, {"train": 10, "valid": 5, "test": 5}),
    ],
)
def test_tiny_corpora_keep_something_to_train_on(count, expected):
    assert Counter(split_of(distinct(count), valid_size=100, test_size=100).values()) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=40),
    st.one_of(st.integers(0, 30), st.floats(0, 0.99)),
    st.one_of(st.integers(0, 30), st.floats(0, 0.99)),
)
def test_train_is_never_empty_and_texts_are_never_split(texts, valid_size, test_size):
    utterances = assign_splits(corpus(texts), valid_size=valid_size, test_size=test_size, seed=3)
    sides = defaultdict(set)
    for utterance in utterances:
        sides[utterance.text].add(utterance.split)
    assert all(len(side) == 1 for side in sides.values())
    splits = Counter(utterance.split for utterance in utterances)
    assert splits["train"] >= 1
    if len(sides) >= 3:
        assert (splits["valid"] > 0) == (valid_size > 0) and (splits["test"] > 0) == (test_size > 0)
