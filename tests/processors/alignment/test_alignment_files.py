"""Reading and writing alignments, and counting frames from times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.alignment.durations import durations_from_times
from processors.alignment.intervals import Alignment, AlignmentError, Interval, without_gaps
from processors.alignment.textgrid import read_textgrid, write_textgrid

ALIGNMENT = Alignment(
    words=(Interval(0.0, 0.1, ""), Interval(0.1, 0.5, "it's"), Interval(0.5, 0.9, 'a "b"'), Interval(0.9, 1.0, "")),
    phones=(
        Interval(0.0, 0.1, ""),
        Interval(0.1, 0.2, "IH1"),
        Interval(0.2, 0.5, "S"),
        Interval(0.5, 0.9, "EY1"),
        Interval(0.9, 1.0, ""),
    ),
)

SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
1.5
<exists>
2
"IntervalTier"
"{words}"
0
1.5
2
0.2
0.7
"hello"
0.7
1.2
"sil"
"IntervalTier"
"{phones}"
0
1.5
3
0.2
0.4
"HH"
0.4
0.7
"spn"
0.7
1.2
"sp"
"""


def short(tmp_path, words="words", phones="phones"):
    path = tmp_path / "short.TextGrid"
    path.write_text(SHORT.format(words=words, phones=phones))
    return path


def test_a_written_alignment_is_read_back(tmp_path):
    path = tmp_path / "speaker" / "clip.TextGrid"
    write_textgrid(path, ALIGNMENT)
    assert read_textgrid(path) == ALIGNMENT
    assert [each.name for each in path.parent.iterdir()] == ["clip.TextGrid"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_other_unicode_encodings_are_read(tmp_path, encoding):
    path = tmp_path / "clip.TextGrid"
    write_textgrid(path, ALIGNMENT)
    text = path.read_text(encoding="utf-8")
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    path.write_bytes((mark + text).replace("\n", "\r\n").encode(encoding))
    assert read_textgrid(path) == ALIGNMENT


def test_gaps_and_every_kind_of_silence_become_one_silence(tmp_path):
    alignment = read_textgrid(short(tmp_path))
    assert [(each.start_s, each.end_s, each.label) for each in alignment.phones] == [
        (0.0, 0.2, ""),
        (0.2, 0.4, "HH"),
        (0.4, 0.7, "spn"),
        (0.7, 1.5, ""),
    ]
    assert alignment.end_s == 1.5


def test_silence_is_a_word_where_it_is_spoken(tmp_path):
    words = (Interval(0.0, 0.2, "sil"), Interval(0.2, 0.5, "Silence"), Interval(0.5, 0.8, "<eps>"))
    phones = (Interval(0.0, 0.2, "sil"), Interval(0.2, 0.4, "S"), Interval(0.4, 0.5, "S"), Interval(0.5, 0.8, ""))
    write_textgrid(tmp_path / "a.TextGrid", Alignment(words, phones))
    alignment = read_textgrid(tmp_path / "a.TextGrid").fitted_to(0.9, where="a")
    assert [(each.end_s, each.label) for each in alignment.words] == [(0.2, ""), (0.5, "Silence"), (0.9, "")]
    assert [each.label for each in alignment.phones] == ["", "S", "S", ""]


def test_tiers_may_carry_a_speaker(tmp_path):
    path = short(tmp_path, "LJ Speech - words", "LJ Speech - phones")
    assert [each.label for each in read_textgrid(path).words] == ["", "hello", ""]


def test_of_several_speakers_the_asked_one_is_read(tmp_path):
    text = SHORT.format(words="anna - words", phones="anna - phones")
    second = SHORT.format(words="bo - words", phones="bo - phones").split("<exists>\n2\n")[1].replace("hello", "hi")
    path = tmp_path / "two.TextGrid"
    path.write_text(text.replace("<exists>\n2\n", "<exists>\n4\n") + second)
    assert read_textgrid(path, "bo").words[1].label == "hi"
    assert read_textgrid(path, "anna").words[1].label == "hello"
    with pytest.raises(AlignmentError, match="'anna - words'"):
        read_textgrid(path)


def test_a_file_cut_anywhere_is_refused_by_name(tmp_path):
    path = tmp_path / "clip.TextGrid"
    write_textgrid(path, ALIGNMENT)
    lines = path.read_text().splitlines(keepends=True)
    for kept in range(len(lines)):
        path.write_text("".join(lines[:kept]))
        with pytest.raises(AlignmentError, match=r"clip\.TextGrid"):
            read_textgrid(path)
    short_path = short(tmp_path)
    lines = short_path.read_text().splitlines(keepends=True)
    for kept in range(len(lines)):
        short_path.write_text("".join(lines[:kept]))
        with pytest.raises(AlignmentError, match=r"short\.TextGrid"):
            read_textgrid(short_path)


@pytest.mark.parametrize("content", [b"", b"RIFF\x00\x01", 'File type = "ooTextFile"\nM\xfcll'.encode("latin-1")])
def test_other_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "wrong.TextGrid"
    path.write_bytes(content)
    with pytest.raises(AlignmentError, match=r"wrong\.TextGrid"):
        read_textgrid(path)


def test_a_missing_tier_is_named(tmp_path):
    with pytest.raises(AlignmentError, match=r"'phones'.*'segments'"):
        read_textgrid(short(tmp_path, phones="segments"))


def test_filling_gaps_leaves_neighbours_touching():
    filled = without_gaps([Interval(0.5, 1.0, "A"), Interval(1.0, 1.1, "sp"), Interval(1.3, 2.0, "B")], 2.0)
    assert filled == (Interval(0.0, 0.5, ""), Interval(0.5, 1.0, "A"), Interval(1.0, 1.3, ""), Interval(1.3, 2.0, "B"))


@given(
    st.lists(st.floats(0.0, 0.5), min_size=1, max_size=300),
    st.sampled_from([(256, 22050), (300, 24000), (160, 16000)]),
    st.floats(-0.2, 0.2),
)
def test_durations_add_up_without_drift(lengths_s, frame, error_s):
    hop_size, sample_rate = frame
    ends_s = np.cumsum(lengths_s)
    n_frames = int(max(ends_s[-1] + error_s, 0.0) * sample_rate / hop_size)
    durations = durations_from_times(ends_s, n_frames, hop_size, sample_rate)
    assert durations.sum() == n_frames
    assert (durations >= 0).all()
    true_frames = (ends_s * sample_rate / hop_size)[:-1]
    assert (np.abs(np.cumsum(durations)[:-1] - np.minimum(true_frames, n_frames)) <= 0.5 + 1e-6).all()


def test_durations_refuse_an_alignment_of_another_recording():
    with pytest.raises(AlignmentError, match=r"ends at 2\.00 s, the recording at 1\.00 s"):
        durations_from_times([0.5, 2.0], 100, 160, 16000)
    with pytest.raises(AlignmentError, match="end before they begin"):
        durations_from_times([0.5, 0.4, 1.0], 100, 160, 16000)
