"""Aligners are chosen by language and settings, and compared by where phones begin."""

from __future__ import annotations

import pytest

from processors.alignment.aligners import make_pocketsphinx_aligner, own_aligner
from processors.alignment.intervals import Alignment, AlignmentError, Interval
from tests.support.alignment_comparison import boundary_differences


def alignment_of(*phones):
    intervals = tuple(Interval(start, end, label) for start, end, label in phones)
    return Alignment((Interval(intervals[0].start_s, intervals[-1].end_s, "word"),), intervals)


def test_other_languages_need_textgrids():
    with pytest.raises(AlignmentError, match=r"English \(en\) only, not language 'de'"):
        make_pocketsphinx_aligner("de")
    make_pocketsphinx_aligner("en-us")


@pytest.mark.parametrize(
    ("language", "phone_extractor", "has_textgrids", "expected"),
    [
        ("en", "lexicon", False, "pocketsphinx"),
        ("en-us", "lexicon", True, "pocketsphinx"),
        ("de", "espeak", False, "learned"),
        ("en", "char", False, "learned"),
        ("de", "espeak", True, ""),
    ],
)
def test_auto_picks_what_the_language_and_its_phones_allow(language, phone_extractor, has_textgrids, expected):
    picked = own_aligner("auto", language=language, phone_extractor=phone_extractor, has_textgrids=has_textgrids)
    assert picked == expected


def test_a_named_aligner_is_used():
    for name in ("pocketsphinx", "learned", "mfa"):
        assert own_aligner(name, language="de", phone_extractor="lexicon", has_textgrids=True) == name
    assert own_aligner("textgrid", language="en", phone_extractor="lexicon", has_textgrids=False) == ""


def test_boundaries_are_compared_where_phones_match():
    reference = alignment_of((0.0, 0.1, ""), (0.1, 0.2, "AH0"), (0.2, 0.3, "B"), (0.3, 0.5, "IY1"), (0.5, 0.6, "Z"))
    ours = alignment_of((0.0, 0.12, "AH1"), (0.12, 0.25, "sil"), (0.25, 0.29, "B"), (0.29, 0.5, "EH1"), (0.5, 0.6, "Z"))
    assert boundary_differences(reference, ours) == pytest.approx([-0.1, 0.05, 0.0])
    assert len(boundary_differences(reference, alignment_of((0.0, 1.0, "X")))) == 0
