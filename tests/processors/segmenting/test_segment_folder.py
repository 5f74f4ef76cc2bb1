"""Folders of recordings to corpora: what is kept and rejected, resuming, shares, and refusals."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from processors.audio.audio_file import LongRecording, read_recording
from processors.corpora import jsonl
from processors.segmenting.cuts import Lengths
from processors.segmenting.readers import ReaderSettings, default_engine
from processors.segmenting.segment_folder import SegmentingError, Summary, find_jobs, segment_folder
from processors.segmenting.segments import SegmentingSettings
from tests.support.tone_words import WORDS, recognise, spoken, write_speech
from utils.errors import RecitalError
from utils.share import Share

RNG = random.Random(1)
SENTENCES = [
    " ".join(RNG.choices(WORDS, k=5)).capitalize() + ", " + " ".join(RNG.choices(WORDS, k=3)) + "." for _ in range(8)
]
TEXT = " ".join(SENTENCES)


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch, request) -> None:
    """Draw them in one test alone: they take longer than all else."""
    if "a_book_comes_back" not in request.node.name:
        monkeypatch.setattr("processors.segmenting.report.draw", lambda panels: None)
        monkeypatch.setattr("processors.segmenting.report.png", lambda figure: b"")


def settings(recognise_=recognise, **changes) -> SegmentingSettings:
    reader = ReaderSettings(engine="function", function=recognise_, file=Path(__file__))
    return SegmentingSettings(reader, reader, Lengths(shortest_s=0.5), **changes)


def segment(folder: Path, output: Path, texts: Path | None = None, used=None, **options) -> Summary | None:
    return segment_folder(find_jobs(folder, texts, "en"), output, used or settings(), **options)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "work" not in path.parts[len(folder.parts) :])
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.name != ".lock"}


@pytest.fixture
def book(tmp_path) -> Path:
    """Two chapters with the text of both: stereo FLAC at 16 kHz, and MP3 at 22.05 kHz with noise."""
    first, second = (
        spoken(" ".join(SENTENCES[part]), rate) for part, rate in ((slice(4), 16000), (slice(4, 8), 22050))
    )
    (tmp_path / "book" / "inner").mkdir(parents=True)
    soundfile.write(tmp_path / "book" / "1.flac", np.stack([first, first], axis=1), 16000)
    soundfile.write(tmp_path / "book" / "inner" / "2.mp3", second, 22050)
    (tmp_path / "book.txt").write_text("A preface nobody reads. " + TEXT.replace(". ", ".\n", 2))
    return tmp_path / "book"


@pytest.mark.slow
def test_a_book_comes_back_as_a_corpus_that_stage_1_reads(book, tmp_path):
    summary = segment(book, tmp_path / "out", tmp_path / "book.txt", settings(speaker="anna"))
    assert (summary.kept, summary.rejected, summary.problems) == (8, 0, ())
    corpus = jsonl.read("mine", tmp_path / "out", language="en")
    assert [each.text for each in corpus.utterances] == SENTENCES and corpus.problems == ()
    assert {each.speaker for each in corpus.utterances} == {"anna"}
    for each, line in zip(corpus.utterances, lines(tmp_path / "out" / "manifest.jsonl"), strict=True):
        recording = read_recording(each.audio_path)
        assert recording.sample_rate == (16000 if line["source"] == "1.flac" else 22050)
        assert len(recording.waveform) / recording.sample_rate == pytest.approx(line["end"] - line["start"], abs=1e-3)
        assert [word for word, _, _ in recognise(recording.at(16000), "en")] == [
            word.strip(",.").lower() for word in each.text.split()
        ]
        assert line["error"] == 0 and 0.15 < len(recording.waveform) / recording.sample_rate < 15
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<audio") == 8 and "Worst kept" in page and "inner/2.mp3" in page


def test_without_a_text_the_first_reading_is_the_text_of_what_a_second_confirms(tmp_path):
    write_speech(tmp_path / "in" / "talk.wav", SENTENCES[:3])
    segment(tmp_path / "in", tmp_path / "out")
    plain = [sentence.replace(",", "").rstrip(".").lower() for sentence in SENTENCES[:3]]
    assert [line["text"] for line in lines(tmp_path / "out" / "manifest.jsonl")] == plain

    def moody(waveform: np.ndarray, language: str) -> str:
        """Return words as a text, other ones for short recordings."""
        words = [word for word, _, _ in recognise(waveform, language)]
        return " ".join(words if len(words) > 8 else ["zip", *words[:-1]])

    summary = segment(tmp_path / "in", tmp_path / "other", used=settings(moody))
    assert summary.kept == 0
    assert {line["reason"] for line in lines(tmp_path / "other" / "rejected.jsonl")} <= {"readings differ", "no words"}


def test_what_does_not_agree_with_its_text_is_rejected_with_the_reason(tmp_path):
    other = "Oak oak oak oak oak."
    misread = SENTENCES[1].replace(SENTENCES[1].split()[2], "zip")
    spoken_ = [SENTENCES[0], other, misread, "Ash.", SENTENCES[3]]
    write_speech(tmp_path / "in" / "a.wav", spoken_, noise=0.002)
    unread = " ".join(RNG.choices(WORDS, k=40)) + "."
    (tmp_path / "in" / "a.txt").write_text(" ".join([SENTENCES[0], SENTENCES[1], unread, "Ash.", SENTENCES[3]]))
    segment(tmp_path / "in", tmp_path / "out")
    assert [line["text"] for line in lines(tmp_path / "out" / "manifest.jsonl")] == [SENTENCES[0], SENTENCES[3]]
    reasons = [line["reason"] for line in lines(tmp_path / "out" / "rejected.jsonl")]
    assert set(reasons) == {"readings differ", "not in the text"}


def test_a_kill_loses_one_reading_at_most_and_changes_nothing(book, tmp_path):
    calls = []

    def counted(waveform: np.ndarray, language: str, limit: float = float("inf")) -> list[tuple[str, float, float]]:
        if len(calls) >= limit:
            raise KeyboardInterrupt
        calls.append(len(waveform))
        return recognise(waveform, language)

    whole = settings(counted)
    segment(book, tmp_path / "whole", tmp_path / "book.txt", whole)
    n_whole = len(calls)
    calls.clear()
    for limit in (3, 4, n_whole - 2):
        stopping = settings(lambda waveform, language, limit=limit: counted(waveform, language, limit))
        with pytest.raises(KeyboardInterrupt):
            segment(book, tmp_path / "killed", tmp_path / "book.txt", stopping)
        for journal in (tmp_path / "killed" / "work").glob("*.readings.jsonl"):
            journal.write_bytes(journal.read_bytes() + b'{"reader": "torn')
    segment(book, tmp_path / "killed", tmp_path / "book.txt", whole)
    assert len(calls) == n_whole
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
    stricter = segment(book, tmp_path / "killed", tmp_path / "book.txt", replace(whole, audio_format="wav"))
    assert len(calls) == n_whole and stricter.kept == 8  # other settings, the same readings
    assert {path.suffix for path in (tmp_path / "killed" / "wavs").iterdir()} == {".wav"}


def test_shares_of_several_machines_equal_one_machine(book, tmp_path):
    segment(book, tmp_path / "one", tmp_path / "book.txt")
    summaries = [segment(book, tmp_path / "two", tmp_path / "book.txt", share=Share(n, 4)) for n in (3, 1, 2, 4)]
    assert [summary is None for summary in summaries] == [True, True, True, False]  # 1 and 2 are empty
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")


@pytest.mark.slow
def test_several_processes_equal_one(book, tmp_path):
    segment(book, tmp_path / "one", tmp_path / "book.txt")
    assert segment(book, tmp_path / "two", tmp_path / "book.txt", num_workers=2).kept == 8
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")


def test_whisper_reads_several_utterances_at_once_with_the_same_result(tmp_path, monkeypatch):
    calls = []

    class Whisper:
        def timed_words(self, waveform: np.ndarray, sample_rate: int, language: str) -> list[tuple[str, float, float]]:
            calls.append(len(waveform) / sample_rate)
            return [(f" {word}", start, end) for word, start, end in recognise(waveform, language)]

    monkeypatch.setattr("processors.segmenting.readers._transcriber", lambda model, num_threads: Whisper())
    write_speech(tmp_path / "in" / "talk.wav", SENTENCES[:5], 16000)
    (tmp_path / "in" / "talk.txt").write_text(" ".join(SENTENCES[:5]))
    reader = ReaderSettings("tones", "whisper")
    summary = segment(tmp_path / "in", tmp_path / "out", used=SegmentingSettings(reader, reader, Lengths(0.5)))
    assert summary.kept == 5 and len(calls) == 3  # one first reading; odd and even utterances the second time
    assert max(calls) <= 28
    segment(tmp_path / "in", tmp_path / "alone")
    assert (tmp_path / "out" / "manifest.jsonl").read_bytes() == (tmp_path / "alone" / "manifest.jsonl").read_bytes()


def test_recordings_that_cannot_be_used_are_named_and_the_others_segmented(tmp_path):
    folder = tmp_path / "in"
    write_speech(folder / "good.wav", SENTENCES[:2])
    write_speech(folder / "word.wav", "Ash.")
    write_speech(folder / "half.wav", SENTENCES[:2])
    (folder / "half.wav").write_bytes((folder / "half.wav").read_bytes()[:30000])
    (folder / "text.flac").write_text("no sound")
    soundfile.write(folder / "silent.wav", np.zeros(16000), 8000)
    soundfile.write(folder / "noise.wav", 0.1 * np.random.default_rng(0).standard_normal(160000), 8000)
    summary = segment(folder, tmp_path / "out")
    assert summary.kept == 2 and len(summary.problems) == 3
    reasons = {line["source"]: line["reason"] for line in lines(tmp_path / "out" / "rejected.jsonl")}
    assert reasons == {"noise.wav": "too long", "word.wav": "too short"}
    assert [text in " ".join(summary.problems) for text in ("half.wav: is cut short", "text.flac", "is silent")] == [
        True
    ] * 3
    assert segment(folder / "good.wav", tmp_path / "out").kept == 2  # one of them
    assert len(list((tmp_path / "out" / "wavs").iterdir())) == 2
    write_speech(tmp_path / "in2" / "other.wav", SENTENCES[:1])
    with pytest.raises(SegmentingError, match="other recordings"):
        segment(tmp_path / "in2", tmp_path / "out")
    assert segment(tmp_path / "in2", tmp_path / "out", overwrite=True).kept == 1


def test_wrong_folders_texts_and_engines_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecitalError, match="no sound file"):
        find_jobs(tmp_path / "empty", None, "en")
    write_speech(tmp_path / "in" / "a.wav", SENTENCES[:1])
    (tmp_path / "blank.txt").write_text(" \n")
    with pytest.raises(SegmentingError, match="is empty"):
        find_jobs(tmp_path / "in", tmp_path / "blank.txt", "en")
    with pytest.raises(SegmentingError, match=r"has no text of a\.wav"):
        find_jobs(tmp_path / "in", tmp_path / "empty", "en")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(SegmentingError, match=r"holds thesis\.tex"):
        segment(tmp_path / "in", tmp_path / "full")
    with pytest.raises(RecitalError, match=r"--transcriber: returned 3, expected a text"):
        segment(tmp_path / "in", tmp_path / "out", used=settings(lambda waveform, language: 3))


def test_without_a_recogniser_english_texts_take_pocketsphinx(monkeypatch):
    monkeypatch.setattr("processors.segmenting.readers.are_installed", lambda packages: False)
    assert default_engine("en-us", True) == "pocketsphinx"
    for language, text in (("en", ""), ("de", "ein Wort")):
        with pytest.raises(RecitalError, match="English with its text alone"):
            ReaderSettings(engine="pocketsphinx", language=language).open(text)
    for language, has_texts in (("en", False), ("de", True)):
        with pytest.raises(RecitalError, match=r"sh env\.sh evaluate"):
            default_engine(language, has_texts)


def test_long_recordings_are_read_in_ranges_as_whole(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (30_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 8000, subtype="FLOAT")
    whole = read_recording(tmp_path / "a.wav").waveform
    with LongRecording(tmp_path / "a.wav") as recording:
        for start, stop in ((0, 1000), (500, 1500), (500, 20_000), (29_000, 40_000)):
            assert np.allclose(recording.read(start, stop), whole[start:stop])
        assert recording.peak == pytest.approx(0.5, abs=0.01) and recording.scale == 1.0
