"""Anomalies of alignments, and their place in stage 1's report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from processors.alignment.intervals import Alignment, Interval
from processors.alignment.textgrid import write_textgrid
from processors.preparation import report
from processors.preparation.alignment_check import (
    AlignmentCheck,
    longest_silence,
    longest_silence_in_words,
    worst_of_each,
)
from processors.preparation.prepare import prepare
from processors.utterance import Utterance
from tests.support.small_corpus import alignment_of, load, make_corpus, write_config

FRAME_S = 0.01
PHONES = ("sil", "S", "IY1", "sp", "T", "AH0", ".")


def utterance(name, durations, phones=PHONES):
    return Utterance(
        id=name,
        audio_path=Path(name),
        text="",
        speaker="a",
        language="en",
        dataset="toy",
        phones=phones,
        durations=tuple(durations),
    )


def check_of(chance, n=60, **planted):
    """Return a check of utterances with phones of 60 to 140 ms, except the planted ones."""
    check = AlignmentCheck(FRAME_S)
    for number in range(n):
        durations = chance.integers(6, 15, size=len(PHONES))
        name = f"clip_{number:03d}"
        for place, duration in planted.get(name, {}).items():
            durations[place] = duration
        check.add(utterance(name, durations))
    return check


def test_only_phones_of_improbable_length_are_found():
    check = check_of(np.random.default_rng(0), clip_007={2: 60}, clip_011={4: 1}, clip_013={3: 200, 0: 1})
    anomalies = check.anomalies()
    assert [anomaly.utterance_id for anomaly in anomalies] == ["clip_011", "clip_007"]
    assert all(anomaly.kind == "length" and anomaly.size > 1 for anomaly in anomalies)
    assert "T at " in anomalies[0].description
    assert "lasts 10 ms" in anomalies[0].description
    assert "lasts 600 ms (median 100 ms)" in anomalies[1].description


def test_a_rare_phone_is_compared_with_all_phones():
    check = check_of(np.random.default_rng(0))
    check.add(utterance("usual", (5, 10, 5), ("sil", "ZH", ".")))
    check.add(utterance("odd", (5, 90, 5), ("sil", "ZH", ".")))
    assert [anomaly.utterance_id for anomaly in check.anomalies()] == ["odd"]


def test_few_phones_have_no_anomalies():
    check = AlignmentCheck(FRAME_S)
    check.add(utterance("a", (1, 90, 1, 0, 5, 5, 5)))
    assert check.anomalies() == []


def test_scores_far_below_the_median_are_found():
    check, chance = AlignmentCheck(FRAME_S), np.random.default_rng(0)
    for number in range(50):
        check.add(utterance(f"clip_{number}", (), ()), score=float(chance.normal(-1.0, 0.1)))
    check.add(utterance("wrong_text", (), ()), score=-4.0)
    assert [(anomaly.utterance_id, anomaly.kind) for anomaly in check.anomalies()] == [("wrong_text", "score")]


@pytest.mark.parametrize("noise", [1e-6, 0.02])
def test_silence_counts_where_no_pause_is_marked(noise):
    energy = 1.0 + np.random.default_rng(0).uniform(size=200)
    energy[:20] = energy[60:100] = noise
    is_pause = np.arange(200) < 20
    assert longest_silence(energy, is_pause) == (40, 60)
    is_pause[60:100] = True
    assert longest_silence(energy, is_pause) == (0, 0)


def test_steady_speech_has_no_silence():
    energy = 1.0 + 0.2 * np.random.default_rng(0).uniform(size=200)
    assert longest_silence(energy, np.zeros(200, dtype=bool)) == (0, 0)
    assert longest_silence(np.zeros(50), np.zeros(50, dtype=bool)) == (0, 0)


def test_only_silence_within_a_word_counts_as_such():
    def alignment(*words):
        labels = ("", "S", "IY1", "", "T", "")
        phones = tuple(Interval(0.1 * at, 0.1 * (at + 1), label) for at, label in enumerate(labels))
        return Alignment(tuple(Interval(start, end, label) for start, end, label in words), phones)

    whole = alignment((0, 0.1, ""), (0.1, 0.5, "seat"), (0.5, 0.6, ""))
    assert longest_silence_in_words(whole) == pytest.approx(0.1)
    two = alignment((0, 0.1, ""), (0.1, 0.3, "see"), (0.3, 0.4, ""), (0.4, 0.5, "t"), (0.5, 0.6, ""))
    assert longest_silence_in_words(two) == 0.0


def test_an_utterance_is_listed_once_with_its_worst_anomaly():
    check = check_of(np.random.default_rng(0), clip_007={2: 60, 4: 90})
    assert len(check.anomalies()) == 2
    assert [anomaly.description.split()[0] for anomaly in worst_of_each(check.anomalies())] == ["T"]


def planted(alignment):
    """Return an alignment whose last phone lasts 380 ms, into the closing silence."""
    *phones, end = alignment.phones
    before, last = phones[-2:]
    moved = Interval(last.start_s, last.start_s + 0.38, last.label)
    words = (*alignment.words[:-2], Interval(before.start_s, moved.end_s, alignment.words[-2].label))
    silence = Interval(moved.end_s, end.end_s, "")
    return Alignment((*words, silence), (*phones[:-1], moved, silence))


@pytest.mark.slow
def test_stage_1_reports_planted_faults_and_shows_them(tmp_path):
    corpus = tmp_path / "corpus"
    of_id = make_corpus(corpus, 24)
    write_textgrid(corpus / "TextGrid" / "clip_005.TextGrid", planted(alignment_of(of_id["clip_005"])))
    prepare(load(write_config(tmp_path, corpus)))
    written = (tmp_path / "processed" / "toy" / "report.md").read_text()
    assert "1 of 24 utterances have anomalies of alignment" in written
    (row,) = (line for line in written.splitlines() if line.startswith("| clip_005 |"))
    assert "ms of silence at" in row
    assert "lasts 384 ms (median 104 ms)" in row
    page = (tmp_path / "processed" / "toy" / "report.html").read_text()
    assert "anomaly: " in page


def test_the_ten_worst_alignments_are_shown():
    check, chance = AlignmentCheck(FRAME_S), np.random.default_rng(0)
    names = [f"clip_{number:02d}" for number in range(40)]
    for number, name in enumerate(names):
        durations = chance.integers(6, 15, size=len(PHONES))
        durations[2] = 100 + number if number < 3 else durations[2]
        check.add(utterance(name, durations), score=float(number))
    shown = report._worst_aligned(check.anomalies(), check.scores, names)
    assert list(shown) == ["clip_02", "clip_01", "clip_00", *names[3:10]]
    of_five = report._worst_aligned(check.anomalies(), check.scores, names[:5])
    assert list(of_five) == ["clip_02", "clip_01", "clip_00", "clip_03", "clip_04"]
