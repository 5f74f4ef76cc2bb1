"""Corpora of three layouts are read whole; what cannot be used is named with its place, and costs nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from processors.corpora.corpus import Corpus, CorpusError
from processors.corpora.jsonl import write as write_jsonl
from processors.corpora.layouts import LAYOUTS, language_of, layout_of, read_corpus
from processors.utterance import ManifestError, Utterance, read_manifest, write_manifest

RATE = 16000


def record(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.ones(160, dtype=np.float32), RATE)
    return path


def ljspeech(folder: Path, metadata: str | bytes, names: str = "a b c") -> Corpus:
    for name in names.split():
        record(folder / "wavs" / f"{name}.wav")
    (folder / "metadata.csv").write_bytes(metadata if isinstance(metadata, bytes) else metadata.encode())
    return read_corpus("toy", "ljspeech", folder, language="en")


def jsonl(folder: Path, *lines: dict | str) -> Corpus:
    for name in "abc":
        record(folder / "audio" / f"{name}.flac")
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "manifest.jsonl").write_text("\n".join(texts) + "\n")
    return read_corpus("toy", "jsonl", folder, language="en")


def texts(corpus: Corpus) -> dict[str, str]:
    return {utterance.id: utterance.text for utterance in corpus.utterances}


def problems(corpus: Corpus) -> list[str]:
    return [str(problem) for problem in corpus.problems]


# LJSpeech's layout


def test_metadata_of_three_columns_gives_the_normalised_text(tmp_path):
    corpus = ljspeech(tmp_path, "a|In 1455.|In fourteen fifty-five.\nb|Plain.|\nc|Two columns.\n")
    assert texts(corpus) == {"a": "In fourteen fifty-five.", "b": "Plain.", "c": "Two columns."}
    assert not corpus.problems and not corpus.notes
    assert corpus.utterances[0] == Utterance(
        id="a",
        dataset="toy",
        speaker="toy",
        language="en",
        text="In fourteen fifty-five.",
        audio_path=tmp_path / "wavs" / "a.wav",
    )


SENTENCES = ["Anna's train was late again, Ben.", "Do you like music, Ben?", "Stop the car, Anna!"]
SPEAKERS = ["anna", "ben", "anna"]
PATHS = [f"wavs/{name}.wav" for name in "abc"]
DIGITS = ["Train 9 was late again.", "Do you like music?", "Stop the car!"]
OTHERS = {
    "numbers": ["0.93", "1.20", "2.10"],
    "mels": ["mels/a.npy", "mels/b.npy", "mels/c.npy"],
    "arpabet": ["DH AH0 T R EY1 N", "D UW1 Y UW1", "S T AA1 P"],
    "ipa": ["ðə tɹeɪn", "du ju laɪk", "stɒp"],
}


@pytest.mark.parametrize(
    ("columns", "speakers", "note"),
    [
        (["abc", SENTENCES], None, ""),
        (["abc", DIGITS, SENTENCES], None, ""),
        (["abc", SENTENCES, SPEAKERS], SPEAKERS, "id|text|speaker, by its content"),
        (["abc", SPEAKERS, SENTENCES], SPEAKERS, "id|speaker|text, by its content"),
        ([PATHS, SENTENCES, SPEAKERS], SPEAKERS, "id|text|speaker, by its content"),
        ([SENTENCES, PATHS], None, "text|id, by its content"),
        (["abc", DIGITS, SENTENCES, SPEAKERS], SPEAKERS, "id|text|text|speaker, by its content"),
        *((["abc", SENTENCES, other], None, "id|text|(not read), by its content") for other in OTHERS.values()),
        (["abc", OTHERS["ipa"], SENTENCES], None, "id|(not read)|text, by its content"),
        ([["file", *PATHS], ["text", *SENTENCES]], None, "id|text, by its header"),
        (
            [["audio_file", *PATHS], ["text", *SENTENCES], ["speaker_name", *SPEAKERS], ["emotion", *"xyz"]],
            SPEAKERS,
            "id|text|speaker|(not read), by its header",
        ),
    ],
)
def test_columns_of_metadata_are_known_by_header_or_content(tmp_path, columns, speakers, note):
    corpus = ljspeech(tmp_path, "".join("|".join(cells) + "\n" for cells in zip(*columns, strict=True)))
    assert texts(corpus) == dict(zip("abc", SENTENCES, strict=True)) and not corpus.problems
    assert [utterance.speaker for utterance in corpus.utterances] == (speakers or ["toy"] * 3)
    assert corpus.notes == ((f"{tmp_path}/metadata.csv: read as {note}",) if note else ())


def test_columns_that_are_no_sentences_are_read_as_ever(tmp_path):
    for number, (raw, normalised) in enumerate(
        [
            (["One", "Two", "Three"], ["Uno", "Dos", "Tres"]),
            (["yes", "yes", "no"], ["yes", "yes", "no"]),
            (["12", "13", "14"], ["twelve", "thirteen", "fourteen"]),
            (["今天是2020年。", "他3岁", "好"], ["今天是二零二零年", "他三岁", "好"]),
            (SENTENCES, ["", "", ""]),
        ]
    ):
        folder = tmp_path / str(number)
        lines = zip("abc", raw, normalised, strict=True)
        corpus = ljspeech(folder, "\n".join("|".join(cells) for cells in lines))
        assert list(texts(corpus).values()) == [new or old for old, new in zip(raw, normalised, strict=True)]
        assert not corpus.notes and not corpus.problems


@pytest.mark.parametrize(
    "metadata",
    [
        b"\xef\xbb\xbfa|One.\nb|Two.\n",
        b"a|One.\r\nb|Two.\r\n",
        b"a|One.\rb|Two.",
        b"\n\na|One.\n\nb|Two.\n\n",
        "a|One.\nb|Two.\n".encode("utf-16"),
        b" a | One. \nb.wav|Two.\n",
    ],
    ids=["byte-order mark", "CRLF", "CR", "blank lines", "UTF-16", "spaces and endings"],
)
def test_variants_of_other_programs_are_accepted(tmp_path, metadata):
    corpus = ljspeech(tmp_path, metadata, "a b")
    assert texts(corpus) == {"a": "One.", "b": "Two."} and not corpus.problems and not corpus.notes


def test_separators_that_only_unicode_knows_do_not_end_a_line(tmp_path):
    assert texts(ljspeech(tmp_path, "a|One\u2028two\x85three.\nb|Four.\n"))["a"] == "One two three."


def test_latin_1_is_refused_with_file_line_and_conversion(tmp_path):
    with pytest.raises(ManifestError) as caught:
        ljspeech(tmp_path, "a|One.\nb|Déjà vu.\n".encode("latin-1"))
    assert str(caught.value).startswith(f"{tmp_path}/metadata.csv:2: byte 0xe9 is not UTF-8")
    assert "iconv" in str(caught.value) and "\n" not in str(caught.value)


def test_bad_lines_are_left_out_with_file_and_line(tmp_path):
    lines = ["a|Fine.", "b without a bar", "missing|No recording.", "c|", "c|  |", "a|Again.", "b|x|y|z", "|No id."]
    corpus = ljspeech(tmp_path, "\n".join(lines))
    assert texts(corpus) == {"a": "Fine."}
    metadata = tmp_path / "metadata.csv"
    assert problems(corpus) == [
        f"{metadata}:2: expected id|text, found no | in 'b without a bar'",
        f"{metadata}:3: missing: no recording wavs/missing.wav (or .flac)",
        f"{metadata}:4: c: the text is empty",
        f"{metadata}:5: c: the text is empty",
        f"{metadata}:6: a: this id is already used by {metadata}:1",
        f"{metadata}:7: b: expected id|text or id|text|text, found 4 columns",
        f"{metadata}:8: the id '' is empty; rename it",
    ]


@pytest.mark.parametrize(
    "name", ["../secret", "..", "/etc/passwd", "a/b", "a\\b", "tab\there", "nul\0", ".hidden", "a:b", "x" * 300]
)
def test_an_id_that_is_no_file_name_is_left_out(tmp_path, name):
    record(tmp_path / "secret.wav")
    corpus = ljspeech(tmp_path, f"a|Fine.\n{name}|Not fine.\n")
    assert texts(corpus) == {"a": "Fine."}
    (problem,) = corpus.problems
    assert problem.where.endswith("metadata.csv:2") and "the id" in problem.reason and "rename" in problem.reason


def test_the_id_of_an_excluded_line_may_be_used_again(tmp_path):
    assert texts(ljspeech(tmp_path, "a|\na|Fine.\n")) == {"a": "Fine."}


def test_wav_and_flac_are_found_in_any_case_and_unlisted_ones_are_warned_about(tmp_path):
    record(tmp_path / "wavs" / "a.flac")
    record(tmp_path / "wavs" / "b.WAV")
    record(tmp_path / "wavs" / "spare.wav")
    (tmp_path / "wavs" / "._a.wav").write_bytes(b"left by macOS")
    (tmp_path / "wavs" / "c.mid").write_bytes(b"no recording")
    corpus = ljspeech(tmp_path, "a|One.\nb|Two.\n", names="")
    assert [utterance.audio_path.name for utterance in corpus.utterances] == ["a.flac", "b.WAV"]
    assert corpus.notes == (f"{tmp_path}/metadata.csv: 1 recordings in wavs/ are not listed: spare",)


def test_decomposed_file_names_match_composed_ids(tmp_path):
    record(tmp_path / "wavs" / "cafe\u0301.wav")
    assert texts(ljspeech(tmp_path, "café|One.\n", names="")) == {"café": "One."}


def test_missing_parts_of_the_layout_are_named(tmp_path):
    with pytest.raises(CorpusError, match=r"dataset_path\.toy: .*nowhere: no such folder"):
        read_corpus("toy", "ljspeech", tmp_path / "nowhere", language="en")
    with pytest.raises(CorpusError, match=r"set the folder of the corpus, or download it by stage 0$"):
        read_corpus("LJSpeech", "ljspeech", tmp_path / "nowhere", language="en")
    with pytest.raises(CorpusError, match=r"metadata\.csv: no such file; it should list"):
        read_corpus("toy", "ljspeech", tmp_path, language="en")
    inner = tmp_path / "LJSpeech-1.1"
    inner.mkdir()
    (inner / "metadata.csv").write_text("a|One.\n")
    with pytest.raises(CorpusError, match=r"did you mean .*LJSpeech-1\.1\?"):
        read_corpus("toy", "ljspeech", tmp_path, language="en")
    with pytest.raises(CorpusError, match="wavs: no such folder"):
        read_corpus("toy", "ljspeech", inner, language="en")
    with pytest.raises(CorpusError, match="is a file; name the folder"):
        read_corpus("toy", "ljspeech", inner / "metadata.csv", language="en")


def test_a_folder_of_another_layout_gets_a_suggestion(tmp_path):
    ljspeech(tmp_path / "metadata", "a|One.\n", "a")
    record(tmp_path / "folders" / "anna" / "a.wav").with_suffix(".lab").write_text("Fine.")
    jsonl(tmp_path / "manifest", {"audio_filepath": "audio/a.flac", "text": "A."})
    for folder, layout, meant in (
        ("metadata", "jsonl", "ljspeech"),
        ("metadata", "speaker_folders", "ljspeech"),
        ("folders", "ljspeech", "speaker_folders"),
        ("manifest", "ljspeech_official", "jsonl"),
    ):
        with pytest.raises(CorpusError, match=f'another layout; try "dataset_layout": {{"toy": "{meant}"}}'):
            read_corpus("toy", layout, tmp_path / folder, language="en")
    (tmp_path / "metadata" / "metadata.csv").write_text("")
    with pytest.raises(CorpusError, match=r"it lists none$"):
        read_corpus("toy", "ljspeech", tmp_path / "metadata", language="en")


def test_a_corpus_without_usable_recordings_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match=r"2 are unusable, the first: .*metadata\.csv:1: expected id\|text"):
        ljspeech(tmp_path, "a,One.\nb,Two.\n")
    with pytest.raises(CorpusError, match="it lists none"):
        ljspeech(tmp_path, "")


# One folder per speaker


def test_speaker_folders_with_lab_or_txt(tmp_path):
    for name, transcript in (("anna/001.wav", ".lab"), ("bert/001.flac", ".txt"), ("anna/anna_002.wav", ".lab")):
        record(tmp_path / name).with_suffix(transcript).write_text(f"\ufeff{name}\r\nspoken. \n")
    corpus = read_corpus("toy", "speaker_folders", tmp_path, language="nl")
    assert [(utterance.id, utterance.speaker, utterance.text) for utterance in corpus.utterances] == [
        ("anna_001", "anna", "anna/001.wav spoken."),
        ("anna_002", "anna", "anna/anna_002.wav spoken."),
        ("bert_001", "bert", "bert/001.flac spoken."),
    ]
    assert {utterance.language for utterance in corpus.utterances} == {"nl"} and not corpus.problems


def test_recordings_and_transcripts_without_their_other_half_are_left_out(tmp_path):
    record(tmp_path / "anna" / "fine.wav").with_suffix(".lab").write_text("Fine.")
    record(tmp_path / "anna" / "silent.wav")
    record(tmp_path / "anna" / "empty.wav").with_suffix(".lab").write_text(" \n")
    record(tmp_path / "anna" / "latin.wav").with_suffix(".lab").write_bytes("é".encode("latin-1"))
    (tmp_path / "anna" / "unheard.lab").write_text("Unheard.")
    (tmp_path / "anna" / "readme.txt").write_text("No transcript.")
    corpus = read_corpus("toy", "speaker_folders", tmp_path, language="en")
    assert texts(corpus) == {"anna_fine": "Fine."}
    assert [(problem.utterance_id, Path(problem.where).name) for problem in corpus.problems] == [
        ("anna_empty", "empty.wav"),
        ("anna_latin", "latin.wav"),
        ("anna_silent", "silent.wav"),
        ("anna_unheard", "unheard.lab"),
    ]
    assert "latin.lab:1: byte 0xe9" in corpus.problems[1].reason
    assert "no transcript silent.lab" in corpus.problems[2].reason


def test_recordings_outside_speakers_folders_are_warned_about(tmp_path):
    record(tmp_path / "stray.wav")
    with pytest.raises(CorpusError, match="are not in a speaker's folder; move them") as refused:
        read_corpus("toy", "speaker_folders", tmp_path, language="en")
    assert f'dataset_path to {tmp_path.parent} and dataset_subset to ["{tmp_path.name}"]' in str(refused.value)
    record(tmp_path / "anna" / "a.wav").with_suffix(".lab").write_text("Fine.")
    record(tmp_path / "anna" / "chapter" / "b.wav")
    corpus = read_corpus("toy", "speaker_folders", tmp_path, language="en")
    assert texts(corpus) == {"anna_a": "Fine."}
    assert "chapter" in corpus.notes[0] and "stray" in corpus.notes[1]


def test_an_empty_folder_has_nothing_usable(tmp_path):
    with pytest.raises(CorpusError, match="no usable recording of toy"):
        read_corpus("toy", "speaker_folders", tmp_path, language="en")


# Manifests of JSON lines


def test_manifest_with_all_fields_and_with_few(tmp_path):
    corpus = jsonl(
        tmp_path,
        {"audio_filepath": "audio/a.flac", "text": "One.", "duration": 1.5},
        "",
        {
            "audio_filepath": str(tmp_path / "audio" / "b.flac"),
            "text": "Twee.",
            "speaker": 7,
            "language": "nl",
            "id": "x",
        },
        {"audio_filepath": "audio/c.flac", "text": "Three.", "speaker": "anna", "other": [1]},
    )
    assert not corpus.problems
    assert corpus.utterances == (
        Utterance("a", "toy", "toy", "en", "One.", tmp_path / "audio" / "a.flac", 1.5),
        Utterance("x", "toy", "7", "nl", "Twee.", tmp_path / "audio" / "b.flac"),
        Utterance("anna_c", "toy", "anna", "en", "Three.", tmp_path / "audio" / "c.flac"),
    )


def test_bad_lines_of_a_manifest_are_left_out_with_file_and_line(tmp_path):
    corpus = jsonl(
        tmp_path,
        {"audio_filepath": "audio/a.flac", "text": "Fine.", "duration": 1},
        "{not json",
        "[1, 2]",
        {"text": "No recording."},
        {"audio_filepath": "audio/nowhere.flac", "text": "x"},
        {"audio_filepath": "audio/b.flac"},
        {"audio_filepath": "audio/b.flac", "text": ""},
        {"audio_filepath": "audio/b.flac", "text": 5},
        {"audio_filepath": "audio/b.flac", "text": "x", "duration": "long"},
        {"audio_filepath": "audio/b.flac", "text": "x", "duration": -1},
        {"audio_filepath": "audio/b.flac", "text": "x", "offset": 3.5},
        {"audio_filepath": "audio/b.flac", "text": "x", "id": "../b"},
        {"audio_filepath": "audio/b.flac", "text": "x", "speaker": "../b"},
        {"audio_filepath": "audio/a.flac", "text": "Again."},
    )
    assert texts(corpus) == {"a": "Fine."}
    assert [problem.where for problem in corpus.problems] == [f"{tmp_path}/manifest.jsonl:{n}" for n in range(2, 15)]
    expected = "JSON|JSON|audio_filepath|nowhere|'text'|empty|'text'|duration|-1|offset|the id|the speaker|already used"
    for problem, word in zip(corpus.problems, expected.split("|"), strict=True):
        assert word in problem.reason and not problem.reason.startswith(str(tmp_path))


def test_invalid_unicode_is_excluded_and_printable(tmp_path):
    half = r'"\ud83d"'  # as JSON may hold it, and as Python gives the stray bytes of a file name
    corpus = jsonl(
        tmp_path / "lines",
        {"audio_filepath": "audio/a.flac", "text": "A."},
        f'{{"audio_filepath": "audio/b.flac", "text": {half}}}',
        f'{{"audio_filepath": "audio/c.flac", "text": "C.", "id": {half}}}',
        f'{{"audio_filepath": "audio/c.flac", "text": "C.", "speaker": {half}}}',
        f'{{"audio_filepath": {half}, "text": "C."}}',
    )
    assert [utterance.id for utterance in corpus.utterances] == ["a"]
    assert len(corpus.problems) == 4
    assert "incomplete character" in corpus.problems[0].reason
    assert all("UTF-8" in problem.reason for problem in corpus.problems[1:3])
    assert all(problem.where.encode() and problem.reason.encode() for problem in corpus.problems)

    recording = record(tmp_path / "folders" / "ann" / "b.wav")
    recording.with_suffix(".txt").write_text("Hi.")
    strange = recording.with_name(os.fsdecode(b"\xff.wav"))
    try:
        strange.write_bytes(recording.read_bytes())
    except OSError:
        return  # of a system where file names are always UTF-8
    strange.with_suffix(".txt").write_text("Ho.")
    found = read_corpus("toy", "speaker_folders", tmp_path / "folders", language="en")
    assert [utterance.id for utterance in found.utterances] == ["ann_b"]
    assert "UTF-8" in found.problems[0].reason
    assert f"{found.problems[0].where} {found.problems[0].reason}".encode()


def test_equal_file_names_in_two_folders_get_their_folders_names(tmp_path):
    lines = []
    for folder in ("1", "2"):
        (tmp_path / "audio" / folder).mkdir(parents=True)
        (tmp_path / "audio" / folder / "0001.wav").touch()
        lines.append({"audio_filepath": f"audio/{folder}/0001.wav", "text": f"text {folder}", "speaker": "s"})
    (tmp_path / "audio" / "1" / "0002.wav").touch()
    lines.append({"audio_filepath": "audio/1/0002.wav", "text": "text three", "speaker": "s"})
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    corpus = read_corpus("toy", "jsonl", tmp_path / "all.jsonl", language="en")
    assert [each.id for each in corpus.utterances] == ["s_1_0001", "s_2_0001", "s_0002"]
    assert corpus.problems == ()
    given = [{**line, "id": "same"} for line in lines]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in given))
    corpus = read_corpus("toy", "jsonl", tmp_path / "all.jsonl", language="en")
    assert len(corpus.utterances) == 1 and len(corpus.problems) == 2


def test_paths_may_start_above_the_manifest_or_where_the_command_was_called(tmp_path, monkeypatch):
    (tmp_path / "data" / "wavs").mkdir(parents=True)
    (tmp_path / "data" / "nemo").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for path in ("data/wavs/001.wav", "data/wavs/002.wav", "elsewhere/003.wav"):
        (tmp_path / path).touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    paths = ["data/wavs/001.wav", "../wavs/002.wav", "003.wav"]
    lines = [json.dumps({"audio_filepath": path, "text": "a"}) + "\n" for path in paths]
    (tmp_path / "data" / "nemo" / "manifest_train.json").write_text("".join(lines))
    corpus = read_corpus("toy", "jsonl", tmp_path / "data" / "nemo", language="en")
    assert [each.id for each in corpus.utterances] == ["001", "002", "003"] and corpus.problems == ()


@pytest.mark.parametrize("names", [("train_manifest.json", "dev.json"), ("manifest_train.json", "manifest_val.json")])
def test_splits_are_found_by_the_names_of_other_toolkits(tmp_path, names):
    for name in names:
        (tmp_path / f"{name}.wav").touch()
        (tmp_path / name).write_text(json.dumps({"audio_filepath": f"{name}.wav", "text": "a"}) + "\n")
    corpus = read_corpus("toy", "jsonl", tmp_path, language="en")
    assert [each.split for each in corpus.utterances] == ["train", "valid"]
    (tmp_path / "valid.json").write_text("")
    with pytest.raises(CorpusError, match="for one split; keep one of them"):
        read_corpus("toy", "jsonl", tmp_path, language="en")


def test_a_manifest_is_found_by_its_folder_or_its_own_name(tmp_path):
    record(tmp_path / "a.wav")
    (tmp_path / "train.json").write_text('{"audio_filepath": "a.wav", "text": "One."}')
    for place in (tmp_path, tmp_path / "train.json"):
        assert texts(read_corpus("toy", "jsonl", place, language="en")) == {"a": "One."}
    (tmp_path / "other.jsonl").write_text("")
    with pytest.raises(CorpusError, match=r"several manifests \(other\.jsonl, train\.json\)"):
        read_corpus("toy", "jsonl", tmp_path, language="en")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CorpusError, match="holds no manifest"):
        read_corpus("toy", "jsonl", empty, language="en")


def test_manifests_by_split_come_back_as_they_were_written(tmp_path):
    names = {"a": "train", "b": "valid", "c": "test", "d": "train"}
    utterances = [
        Utterance(
            id=name,
            dataset="toy",
            speaker="anna",
            language="de",
            text=f"Text {name}.",
            audio_path=record(tmp_path / "audio" / f"{name}.wav"),
            duration_s=0.01,
            split=split,
            phones=("sil",),
            frames=3,
            durations=(3,),
        )
        for name, split in names.items()
    ]
    written = write_jsonl(tmp_path / "out", utterances)
    assert [path.name for path in written] == ["train.jsonl", "valid.jsonl", "test.jsonl"]
    fields = json.loads((tmp_path / "out" / "valid.jsonl").read_text())
    assert {"audio_filepath", "text", "duration", "speaker"} <= set(fields) and "phones" not in fields
    corpus = read_corpus("toy", "jsonl", tmp_path / "out", language="en")
    assert {utterance.id: utterance.split for utterance in corpus.utterances} == names
    assert {(utterance.speaker, utterance.language, utterance.duration_s) for utterance in corpus.utterances} == {
        ("anna", "de", 0.01)
    }
    assert [path.name for path in write_jsonl(tmp_path / "out", utterances[:1])] == ["train.jsonl"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["train.jsonl"]


# Names


def test_layouts_are_found_by_name_unless_set():
    assert layout_of("LJSpeech", {}) == "ljspeech"
    assert layout_of("my_voice", {"my_voice": "jsonl"}) == "jsonl"
    assert layout_of("LJSpeech", {"LJSpeech": "jsonl"}) == "jsonl"
    assert all(layout_of("x", {"x": layout}) == layout for layout in LAYOUTS)


def test_published_corpora_have_their_own_language():
    assert [language_of(name, {}, "en-gb") for name in ("VCTK", "Baker", "AISHELL-3", "demo")] == [
        "en-gb", "zh", "zh", "en-gb"
    ]  # fmt: skip
    assert [language_of(name, {}, "de") for name in ("VCTK", "LibriTTS_R", "LJSpeech")] == ["en"] * 3
    assert language_of("Baker", {}, "cmn") == "cmn"
    assert language_of("mine", {"mine": "libritts"}, "de") == language_of("VCTK", {"VCTK": "jsonl"}, "de") == "de"


def test_unknown_names_list_the_known_ones():
    with pytest.raises(
        CorpusError, match=r"unknown name 'my_voice'; known: LJSpeech, .*dataset_layout.*speaker_folders"
    ):
        layout_of("my_voice", {})
    with pytest.raises(CorpusError, match=r"did you mean LJSpeech\?"):
        layout_of("ljspeech", {})
    with pytest.raises(CorpusError, match=r"dataset_layout\.my_voice: unknown layout 'ljspech'; known: ljspeech, "):
        layout_of("my_voice", {"my_voice": "ljspech"})


# The project's own manifests

WHOLE = Utterance(
    "a",
    "toy",
    "anna",
    "en",
    'Déjà "vu",\u2028yes.',
    Path("/sounds/a.wav"),
    1.25,
    "train",
    ("sil", "AA1", "."),
    9,
    (2, 6, 1),
)
FRESH = Utterance("b", "toy", "bert", "en", "Two.", Path("sounds/b.wav"))


def test_manifests_come_back_as_they_were_written(tmp_path):
    write_manifest(tmp_path / "train.jsonl", [WHOLE, FRESH])
    assert read_manifest(tmp_path / "train.jsonl") == [WHOLE, FRESH]
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


def test_manifests_carry_the_fields_that_nemo_reads(tmp_path):
    write_manifest(tmp_path / "train.jsonl", [WHOLE])
    fields = json.loads((tmp_path / "train.jsonl").read_text())
    assert (fields["audio_filepath"], fields["text"], fields["duration"]) == ("/sounds/a.wav", WHOLE.text, 1.25)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"durations": [2, 6]}, "a has 2 durations for 3 phones"),
        ({"durations": [2, 6, 2]}, "10 frames in total for 9 frames"),
        ({"durations": [2, 6, "1"]}, "'durations' should not contain '1'"),
        ({"text": None}, "has no 'text'"),
        ({"text": 3}, "'text' should not be 3"),
        ({"frames": True}, "'frames' should not be True"),
        ({"id": "../a"}, "id '../a' contains '/'"),
        ({"speaker": ".."}, "speaker '..' begins with a dot"),
        ({"duration": -1}, "lasts -1.0 seconds"),
    ],
)
def test_a_damaged_manifest_names_file_and_line(tmp_path, change, words):
    path = tmp_path / "train.jsonl"
    write_manifest(path, [FRESH, WHOLE])
    lines = path.read_text().split("\n")
    lines[1] = json.dumps(json.loads(lines[1]) | change)
    path.write_text("\n".join(lines))
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}:2: ") and words in str(caught.value)


def test_an_id_that_comes_twice_and_a_missing_manifest_are_named(tmp_path):
    path = tmp_path / "train.jsonl"
    write_manifest(path, [FRESH, WHOLE, FRESH])
    with pytest.raises(ManifestError, match=r"train\.jsonl:3: b is already on line 1"):
        read_manifest(path)
    with pytest.raises(ManifestError, match=r"valid\.jsonl: no such file"):
        read_manifest(tmp_path / "valid.jsonl")


# Real corpora


def test_real_corpora_are_read_whole(shared_data):
    kathleen = read_corpus("kathleen", "ljspeech", shared_data / "kathleen", language="en")
    assert len(kathleen.utterances) == 1029 and not kathleen.problems
    mini = read_corpus("LJSpeech", "ljspeech", shared_data / "ljspeech_mini" / "LJSpeech-1.1", language="en")
    assert len(mini.utterances) == 32 and not mini.problems
    voices = read_corpus("three", "speaker_folders", shared_data / "three_voices", language="de")
    assert len(voices.utterances) == 180 and not voices.problems
    assert {utterance.speaker for utterance in voices.utterances} == {"flemishguy", "kerstin", "nathalie"}
