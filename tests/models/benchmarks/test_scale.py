"""Large corpora: their benchmark measures every step, and their manifests share what repeats."""

from __future__ import annotations

from collections import Counter

import pytest

from models.benchmarks.scale import measure_scale
from processors.utterance import read_manifest, write_manifest
from tests.support.tiny_features import write_features


@pytest.mark.slow
@pytest.mark.usefixtures("blank_pictures")
def test_every_step_is_measured_and_nothing_is_left(tmp_path):
    [section] = measure_scale([20], tmp_path)
    steps = [
        "written",
        "corpus read",
        "planned",
        "whole stage 1",
        "split opened",
        "first batch",
        "batch after resuming",
    ]
    assert [(row["utterances"], row["step"]) for row in section.rows] == [(20, step) for step in steps]
    assert all(row["MiB"] >= 0 and row["CPU s"] >= 0 for row in section.rows)
    assert list(tmp_path.iterdir()) == []


def test_utterances_of_a_manifest_share_phones_and_names(tmp_path):
    write_manifest(tmp_path / "train.jsonl", write_features(tmp_path))
    read = read_manifest(tmp_path / "train.jsonl")
    phones = Counter(phone for utterance in read for phone in utterance.phones)
    assert len({id(phone) for utterance in read for phone in utterance.phones}) == len(phones) < phones.total()
    assert len({id(utterance.speaker) for utterance in read}) == len({utterance.speaker for utterance in read})
