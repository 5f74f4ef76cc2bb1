"""Teacher corpora: any command that speaks, usable speech alone, the same corpus after a kill."""

from __future__ import annotations

import io
import json
import shlex
import sys
import tarfile
import time
from pathlib import Path

import pytest

import bins.make_teacher_corpus
from processors.audio.audio_file import audio_info
from processors.corpora import ljspeech
from processors.corpora.sentences import SentencesError, read_sentences
from processors.corpora.teacher_corpus import Teacher, TeacherError, make_teacher_corpus
from processors.speakers.sources import Source, read_sources
from tests.support.commands import start

SOURCE = Source("a tone", "CC0-1.0")
TEXTS = [f"This is sentence number {name}." for name in ("one", "two", "three", "four", "five", "six", "seven")]
# Speaks by a tone of 60 ms per letter; a text's second word may ask for something worse. Notes each text it speaks.
SPEAK = """
import math, os, struct, sys, time, wave
def speak(output, text):
    time.sleep(float(os.environ.get("TEACHER_SLEEPS", 0)))
    if os.environ.get("TEACHER_NOTES"): open(os.environ["TEACHER_NOTES"], "a").write(text + "\\n")
    fault = text.split()[1]
    if fault == "fails": sys.exit("no voice today")
    if fault == "nothing": return
    if fault == "broken": return open(output, "w").write("no sound") and None
    loud, count = 0 if fault == "silent" else 9000, 100 if fault == "short" else 960 * len(text)
    samples = (round(loud * math.sin(n * 0.1)) for n in range(count))
    with wave.open(output, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(struct.pack(f"<{count}h", *samples))
"""
BY_TEXT = "speak(sys.argv[1], sys.argv[2])", "{output} {text}"
BY_INPUT = "speak(sys.argv[1], sys.stdin.read())", "{output}"
BY_TABLE = "[speak(*line.rstrip().split(chr(9))) for line in open(sys.argv[1])]", "{table}"


def command_of(call: str, arguments: str) -> str:
    return f"{shlex.join([sys.executable, '-S', '-c', SPEAK + call])} {arguments}"


def make(folder: Path, texts: list[str], hours: float = 1.0, how: tuple[str, str] = BY_TEXT, **source: str) -> float:
    teacher = Teacher(command_of(*how), Source(**{"name": "a tone", "licence": "CC0-1.0", **source}))
    return make_teacher_corpus(texts, teacher, folder, hours=hours, sample_rate=16000, num_workers=2)


@pytest.mark.parametrize("how", [BY_TEXT, BY_INPUT, BY_TABLE], ids=["text", "stdin", "table"])
def test_a_command_speaks_texts_into_a_corpus_that_names_it(tmp_path, how):
    texts = ["It has “quotes”, $HOME and {output}.", *TEXTS[:3]]
    hours = make(tmp_path / "voice", texts, how=how)
    corpus = ljspeech.read("voice", tmp_path / "voice", language="en")
    assert [utterance.text for utterance in corpus.utterances] == texts and not corpus.problems
    assert all(utterance.id.startswith("voice_") for utterance in corpus.utterances)
    durations = [audio_info(utterance.audio_path).duration_s for utterance in corpus.utterances]
    assert durations == pytest.approx([0.06 * len(text) for text in texts])
    assert hours == pytest.approx(sum(durations) / 3600)
    assert read_sources(tmp_path / "voice") == (SOURCE,)
    files = {path.name for path in (tmp_path / "voice").iterdir()} - {".lock"}
    assert files == {"metadata.csv", "refused.tsv", "sources.json", "wavs"}


def test_no_more_is_kept_than_the_hours_asked_for(tmp_path, capsys):
    asked = 0.06 * len(TEXTS[0]) * 2.5 / 3600
    assert make(tmp_path / "voice", TEXTS, hours=asked) >= asked
    lines = (tmp_path / "voice" / "metadata.csv").read_text().splitlines()
    assert [line.split("|")[1] for line in lines] == TEXTS[:3]
    assert len(list((tmp_path / "voice" / "wavs").iterdir())) == 3
    assert make(tmp_path / "voice", TEXTS, hours=1) < 1  # more hours later continue the same corpus
    assert "all 7 texts are spoken, and are" in capsys.readouterr().err


@pytest.mark.parametrize("how", [BY_TEXT, BY_TABLE], ids=["text", "table"])
def test_speech_that_cannot_be_used_is_refused_by_name(tmp_path, how, capsys):
    faults = {
        "broken": "is not a readable sound file",
        "nothing": "no such file",
        "silent": "is silent",
        "short": "lasts 0.01 s, less than 0.2 s",
    }
    texts = [f"A {fault} text of some length." for fault in faults]
    make(tmp_path / "voice", [texts[0], *TEXTS[:2], *texts[1:]], how=how)
    refused = [line.split("\t") for line in (tmp_path / "voice" / "refused.tsv").read_text().splitlines()]
    assert [text for _, _, text in refused] == texts
    printed = capsys.readouterr().err
    for (id_, reason, text), expected in zip(refused, faults.values(), strict=True):
        assert expected in reason and str(tmp_path) not in reason
        assert f"{id_}: refused: {reason} ({text!r})" in printed
    assert (tmp_path / "voice" / "metadata.csv").read_text().count("\n") == 2


def test_a_failing_command_is_refused_with_its_last_words(tmp_path):
    make(tmp_path / "voice", ["It fails here.", TEXTS[0]])
    assert "ended with code 1: no voice today" in (tmp_path / "voice" / "refused.tsv").read_text()


def test_a_teacher_that_never_speaks_is_stopped_early(tmp_path):
    with pytest.raises(TeacherError, match=r"none of 20 texts was spoken; .*no voice today"):
        make(tmp_path / "voice", [f"It fails {number} times." for number in range(200)])
    with pytest.raises(TeacherError, match=r"no text was spoken; refused\.tsv"):
        make(tmp_path / "other", ["It fails here."])
    nobody = Teacher("/no/such/program {output}", SOURCE)
    with pytest.raises(TeacherError, match=r"/no/such/program.*cannot be run"):
        make_teacher_corpus(TEXTS, nobody, tmp_path / "nobody", hours=1, sample_rate=16000, num_workers=1)


def test_another_teacher_or_corpus_is_never_mixed_in(tmp_path):
    make(tmp_path / "voice", TEXTS[:1])
    for change in ({"name": "another"}, {"licence": "CC-BY-NC-4.0"}):
        with pytest.raises(TeacherError, match=r"begun with a tone \(CC0-1.0\), not with"):
            make(tmp_path / "voice", TEXTS, **change)
    (tmp_path / "recorded").mkdir()
    (tmp_path / "recorded" / "metadata.csv").write_text("a|A text.\n")
    with pytest.raises(TeacherError, match="holds another corpus"):
        make(tmp_path / "recorded", TEXTS)


@pytest.mark.parametrize("command", ["speak", "speak {text}", "speak {table} {output}"])
def test_a_command_without_a_place_to_write_is_refused(command):
    with pytest.raises(TeacherError, match=r"needs either \{output\}"):
        Teacher(command, SOURCE)


@pytest.mark.slow
@pytest.mark.parametrize("how", [BY_TEXT, BY_TABLE], ids=["text", "table"])
def test_a_killed_run_continues_to_the_same_corpus(tmp_path, how, monkeypatch):
    texts, many = tmp_path / "texts.txt", [f"Sentence number {n} of many." for n in range(80)]
    texts.write_text("\n".join(many))
    folder, notes = tmp_path / "voice", tmp_path / "notes of the second run"
    flags = ["--teacher", command_of(*how), "--teacher_name", "a tone", "--licence", "CC0-1.0", "--texts", str(texts)]
    flags += ["--hours", "1", "--num_workers", "2", "--sample_rate", "16000"]
    process = start("bins.make_teacher_corpus", *flags, "--output_dir", folder, TEACHER_SLEEPS="0.02")
    while process.poll() is None and not list(folder.glob("wavs/*.wav")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    n_before = len(list((folder / "wavs").glob("*.wav")))
    assert 0 < n_before < 80 and not (folder / "metadata.csv").exists()
    monkeypatch.setenv("TEACHER_NOTES", str(notes))
    make(folder, list(read_sentences([texts])), how=how)
    assert len(notes.read_text().splitlines()) == 80 - n_before
    assert not list(folder.glob(".*.partial"))
    straight = tmp_path / "straight" / "voice"
    make(straight, list(read_sentences([texts])), how=how)
    assert (straight / "metadata.csv").read_bytes() == (folder / "metadata.csv").read_bytes()
    for path in (straight / "wavs").iterdir():
        assert (folder / "wavs" / path.name).read_bytes() == path.read_bytes()


def test_a_recipe_names_folder_and_sample_rate(tmp_path, command):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS[:2]))
    config = tmp_path / "exp_config.json"
    tree = {
        "base_config": "config/fastspeech2_small.json",
        "dataset": ["voice"],
        "dataset_path": {"voice": str(tmp_path / "voice")},
        "dataset_layout": {"voice": "ljspeech"},
        "preprocess": {"sample_rate": 8000, "fmax": 4000},
    }
    config.write_text(json.dumps(tree))
    flags = ["--config", config, "--teacher", command_of(*BY_TEXT), "--teacher_name", "a tone", "--hours", "1"]
    code, printed, errors = command(
        bins.make_teacher_corpus, *flags, "--licence", "CC0-1.0", "--texts", tmp_path / "texts.txt"
    )
    assert code == 0, errors
    assert f"{tmp_path / 'voice'}: 0.00 hours of speech" in printed and "next: python -m bins.preprocess" in printed
    assert {audio_info(path).sample_rate for path in (tmp_path / "voice" / "wavs").iterdir()} == {8000}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--output_dir": None}, "--output_dir, or a recipe's --config"),
        ({"--hours": "0"}, "0 hours is no amount of speech"),
        ({"--hours": "nan"}, "nan hours is no amount of speech"),
        ({"--licence": " "}, "may not be empty"),
        ({"--licence": None}, "the following arguments are required: --licence"),
        ({"--num_workers": "-1"}, "no number of calls"),
        ({"--sample_rate": "22"}, "not between 8000 and 192000"),
        ({"--set": "preprocess.n_mel=8"}, "goes with --config only"),
    ],
)
def test_impossible_requests_are_wrong_usage(tmp_path, command, changes, message):
    flags = {"--teacher": "x {output}", "--teacher_name": "x", "--licence": "MIT", "--texts": "t", "--hours": "1"}
    flags |= {"--output_dir": str(tmp_path / "voice")}
    given = [part for flag, value in (flags | changes).items() if value is not None for part in (flag, value)]
    code, _, errors = command(bins.make_teacher_corpus, *given)
    assert code == 2 and message in errors
    assert not (tmp_path / "voice").exists()


# Texts

NOUNS = """  1 This line is of the licence, "with a quoted sentence here"
00001 03 n 01 life 0 000 | living things collectively; "the oceans are teeming with life"; "a life well-lived and long"
00002 03 n 01 x 0 000 | of authors; "to be or not to be"- Shakespeare; "the U.S. army is here"; "it cost 20 pence then"
00003 03 n 01 y 0 000 | unknown; "the zyxwvut runs away"; "two words"; "The oceans are teeming with life!"
"""
PROSE = """A clash of doctrine is not a disaster -- it is an opportunity.
%
A lot of people I know believe in positive thinking, and so do I.  I
believe everything positively stinks.
\t\t-- Lew Col
%
A halted retreat
Is dangerous and long.
%
"Do you see it?" asked the
\tmaster of his dog.
%
(1) Avoid fried meats.
"""
EXTRACTED = {
    "The oceans are teeming with life.",
    "A life well-lived and long.",
    "The oceans are teeming with life!",
    "A clash of doctrine is not a disaster, it is an opportunity.",
    "A lot of people I know believe in positive thinking, and so do I. I believe everything positively stinks.",
}


def package(path: Path, files: dict[str, str], kind: str = "xz") -> Path:
    """Write a Debian package: an `ar` archive of a version, control files and the files themselves."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=f"w:{kind}") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    packed = b"!<arch>\n"
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{kind}": content.getvalue()}
    for name, data in parts.items():
        packed += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        packed += data + b"\n" * (len(data) % 2)
    path.write_bytes(packed)
    return path


@pytest.mark.parametrize("kind", ["xz", "gz"])
def test_sentences_are_taken_from_debian_packages_and_their_folders(tmp_path, kind):
    files = {"usr/share/wordnet/data.noun": NOUNS, "usr/share/games/fortunes/wisdom": PROSE}
    files |= {"usr/share/games/fortunes/wisdom.dat": "no text", "usr/share/games/fortunes/songs-poems": PROSE[:63]}
    packed = package(tmp_path / "texts.deb", files, kind)
    assert set(read_sentences([packed])) == EXTRACTED
    folder = tmp_path / "folder"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    assert read_sentences([folder]) == read_sentences([packed])
    package(folder / "again.deb", files, kind)
    assert read_sentences([folder]) == read_sentences([packed])


def test_lines_of_a_text_file_are_taken_once_each_in_an_order_of_the_seed(tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("In 1999, Dr. Zyx came.\n\nOk.\nin 1999, dr. zyx came.\nNo | here.\nOne  more\tline.\n")
    assert sorted(read_sentences([texts])) == ["In 1999, Dr. Zyx came.", "Ok.", "One more line."]
    texts.write_text("\n".join(map(str, range(100))))
    assert read_sentences([texts]) == read_sentences([texts]) != read_sentences([texts], seed=1)


def test_places_without_sentences_are_refused_by_name(tmp_path):
    with pytest.raises(SentencesError, match=r"nowhere: no such file or folder"):
        read_sentences([tmp_path / "nowhere"])
    with pytest.raises(SentencesError, match="has no sentence that can be used"):
        read_sentences([tmp_path])
    whole = package(tmp_path / "whole.deb", {"usr/share/wordnet/data.noun": NOUNS}).read_bytes()
    for content in (b"no package", whole[: len(whole) // 2], b"!<arch>\nodd"):
        (tmp_path / "cut.deb").write_bytes(content)
        with pytest.raises(SentencesError, match=r"cut.deb: is"):
            read_sentences([tmp_path / "cut.deb"])
