"""Aligners are chosen by name, and compared by where phones begin."""

from __future__ import annotations

import numpy as np
import pytest

from processors.alignment import aligners
from processors.alignment.aligners import make_aligner
from processors.alignment.comparison import boundary_differences
from processors.alignment.intervals import Alignment, AlignmentError, Interval
from processors.alignment.textgrid import write_textgrid


def alignment_of(*phones):
    intervals = tuple(Interval(start, end, label) for start, end, label in phones)
    return Alignment((Interval(intervals[0].start_s, intervals[-1].end_s, "word"),), intervals)


@pytest.fixture
def folder(tmp_path):
    write_textgrid(tmp_path / "anna" / "clip.TextGrid", alignment_of((0.0, 0.4, "AH0"), (0.4, 0.95, "B")))
    write_textgrid(tmp_path / "other.TextGrid", alignment_of((0.0, 1.0, "AH0")))
    return tmp_path


def silence(duration_s):
    return np.zeros(round(duration_s * 16000), np.float32)


def test_an_unknown_aligner_lists_the_known():
    with pytest.raises(AlignmentError, match=r"'mfa' is unknown; known: auto, pocketsphinx, textgrid"):
        make_aligner("mfa")


def test_textgrids_are_found_by_speaker_and_fitted_to_the_recording(folder):
    aligner = make_aligner("textgrid", textgrid_dir=folder)
    longer = aligner.align("clip", silence(1.0), 16000, [], speaker="anna")
    assert [(each.end_s, each.label) for each in longer.phones] == [(0.4, "AH0"), (0.95, "B"), (1.0, "")]
    shorter = aligner.align("clip", silence(0.9), 16000, [], speaker="anna")
    assert [(each.end_s, each.label) for each in shorter.phones] == [(0.4, "AH0"), (0.9, "B")]
    assert aligner.align("other", silence(1.0), 16000, [], speaker="anna").phones[0].label == "AH0"


def test_a_missing_textgrid_and_one_of_another_recording_are_named(folder):
    aligner = make_aligner("textgrid", textgrid_dir=folder)
    with pytest.raises(AlignmentError, match="absent: has no TextGrid"):
        aligner.align("absent", silence(1.0), 16000, [])
    with pytest.raises(AlignmentError, match=r"clip\.TextGrid: ends at 0\.95 s, the recording at 3\.00 s"):
        aligner.align("clip", silence(3.0), 16000, [], speaker="anna")


def test_auto_aligns_only_what_has_no_textgrid(folder, monkeypatch):
    class Recorder:
        def align(self, utterance_id, waveform, sample_rate, tokens, speaker=""):
            return alignment_of((0.0, 1.0, "made"))

    monkeypatch.setattr(aligners, "_make_pocketsphinx", lambda folder, language: Recorder())
    aligner = make_aligner("auto", textgrid_dir=folder, language="en-us")
    assert aligner.align("clip", silence(1.0), 16000, [], speaker="anna").phones[0].label == "AH0"
    assert aligner.align("absent", silence(1.0), 16000, [], speaker="anna").phones[0].label == "made"


def test_other_languages_need_textgrids(folder):
    with pytest.raises(AlignmentError, match=r"English \(en\) only, not language 'de'"):
        make_aligner("pocketsphinx", language="de")
    auto = make_aligner("auto", textgrid_dir=folder, language="de")
    assert auto.align("other", silence(1.0), 16000, []).end_s == 1.0
    with pytest.raises(AlignmentError, match="absent: has no TextGrid"):
        auto.align("absent", silence(1.0), 16000, [])


def test_boundaries_are_compared_where_phones_match():
    reference = alignment_of((0.0, 0.1, ""), (0.1, 0.2, "AH0"), (0.2, 0.3, "B"), (0.3, 0.5, "IY1"), (0.5, 0.6, "Z"))
    ours = alignment_of((0.0, 0.12, "AH1"), (0.12, 0.25, "sil"), (0.25, 0.29, "B"), (0.29, 0.5, "EH1"), (0.5, 0.6, "Z"))
    assert boundary_differences(reference, ours) == pytest.approx([-0.1, 0.05, 0.0])
    assert len(boundary_differences(reference, alignment_of((0.0, 1.0, "X")))) == 0
