"""Famous corpora, laid out as their authors do: official texts, speakers, parts and splits, whatever is missing."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from processors.corpora.corpus import Corpus, CorpusError
from processors.corpora.layouts import layout_of, read_corpus
from processors.corpora.splits import assign_splits, with_splits
from processors.preparation.prepare import prepare
from tests.support.small_corpus import load, texts, waveform_of, write_config

pytest.importorskip("lhotse", reason="lhotse is an optional extra (sh env.sh corpora)")

RATE = 16000


def record(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.ones(160, dtype=np.float32), RATE)
    return path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def vctk(folder: Path, spoken: dict[str, str]) -> Path:
    for name, text in spoken.items():
        speaker = name.split("_")[0]
        write(folder / "txt" / speaker / f"{name}.txt", f"{text}\n")
        for mic in ("mic1", "mic2"):
            record(folder / "wav48_silence_trimmed" / speaker / f"{name}_{mic}.flac")
    write(
        folder / "speaker-info.txt",
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS\np225  23  F    English    Southern  England\n"
        "p226  22  M    English    Surrey\ns5  20  F  Scottish\n",
    )
    return folder


def libritts(folder: Path, parts: dict[str, dict[str, str]]) -> Path:
    for part, spoken in parts.items():
        for name, text in spoken.items():
            speaker, chapter, *_ = name.split("_")
            place = folder / part / speaker / chapter
            record(place / f"{name}.wav")
            write(place / f"{name}.normalized.txt", text)
            write(place / f"{name}.original.txt", text.upper())
            for kind, line in (
                ("trans", f"{name}\t{text.upper()}\t{text}\n"),
                ("book", f"{name}\t{text.upper()}\t{text}\t0\t1\t2\t20.5\n"),
            ):
                with (place / f"{speaker}_{chapter}.{kind}.tsv").open("a") as table:
                    table.write(line)
    write(folder / "SPEAKERS.txt", "; ID | SEX | SUBSET | MINUTES | NAME\n84 | F | dev-clean | 8.02 | Christie Nowak\n")
    return folder


def hifitts(folder: Path, manifests: dict[str, list[str]]) -> Path:
    for manifest, names in manifests.items():
        reader, _, kind, _ = manifest.split("_")
        lines = []
        for name in names:
            path = Path("audio") / f"{reader}_{kind}" / "1234" / f"{name}.flac"
            record(folder / path)
            fields = {"audio_filepath": str(path), "duration": 0.01, "text": "it is so"}
            lines.append(
                json.dumps({**fields, "text_no_preprocessing": "It's so!", "text_normalized": f"It is {name}!"})
            )
        write(folder / f"{manifest}.json", "\n".join(lines) + "\n")
    return folder


def cmu_arctic(folder: Path, speakers: dict[str, dict[str, str]]) -> Path:
    for speaker, spoken in speakers.items():
        place = folder / f"cmu_us_{speaker}_arctic"
        write(place / "etc" / "txt.done.data", "".join(f'( {name} "{text}" )\n' for name, text in spoken.items()))
        for name in spoken:
            record(place / "wav" / f"{name}.wav")
    return folder


def aishell3(folder: Path) -> Path:
    write(folder / "spk-info.txt", "# speaker\n\nSSB0005\tB\tfemale\tnorth\nSSB0273\tB\tmale\tsouth\n")
    write(folder / "train" / "label_train-set.txt", "# labels\nSSB00050001|guang3 zhou1|广州%$\n")
    write(folder / "train" / "content.txt", "SSB00050001.wav\t广 guang3 州 zhou1\n")
    write(folder / "test" / "content.txt", "SSB02730005.wav\t你 ni3 好 hao3\n")
    record(folder / "train" / "wav" / "SSB0005" / "SSB00050001.wav")
    record(folder / "test" / "wav" / "SSB0273" / "SSB02730005.wav")
    return folder


def baker(folder: Path) -> Path:
    lines = [
        "000001\t卡尔普#2陪外孙#1玩滑梯#4。",
        "\tka2 er2 pu3 pei2 wai4 sun1",
        "000002\t假语村言#4。",
        "\tjia2 yu3 cun1 yan2",
    ]
    write(folder / "ProsodyLabeling" / "000001-010000.txt", "\n".join(lines) + "\n")
    for name in ("000001", "000002"):
        record(folder / "Wave" / f"{name}.wav")
    return folder


def read(name: str, folder: Path, *subset: str) -> Corpus:
    return read_corpus(name, layout_of(name, {}), folder, language="en", subset=subset)


def listed(corpus: Corpus) -> list[tuple[str, str, str]]:
    return [(utterance.id, utterance.speaker, utterance.text) for utterance in corpus.utterances]


SENTENCES = {
    "p225_001": "Please call Stella.",
    "p225_002": "Ask her.",
    "p226_001": "Please call Stella.",
    "s5_001": "Six.",
}


def test_vctk_uses_the_second_microphone_by_default(tmp_path):
    corpus = read("VCTK", vctk(tmp_path, SENTENCES))
    assert listed(corpus) == [(name, name.split("_")[0], text) for name, text in SENTENCES.items()]
    first = corpus.utterances[0]
    assert first.audio_path == tmp_path / "wav48_silence_trimmed" / "p225" / "p225_001_mic2.flac"
    assert not corpus.problems and not corpus.notes and {utterance.split for utterance in corpus.utterances} == {""}


def test_vctk_reads_the_requested_microphone_and_speakers(tmp_path):
    corpus = read("VCTK", vctk(tmp_path, SENTENCES), "mic1", "p226", "s5")
    assert [utterance.id for utterance in corpus.utterances] == ["p226_001", "s5_001"]
    assert corpus.utterances[0].audio_path.name == "p226_001_mic1.flac"
    both = read("VCTK", tmp_path, "mic1", "mic2", "p226")
    assert [utterance.id for utterance in both.utterances] == ["p226_001_mic1", "p226_001_mic2"]


def test_missing_files_of_vctk_exclude_only_themselves(tmp_path):
    folder = vctk(tmp_path, SENTENCES)
    (folder / "wav48_silence_trimmed" / "p225" / "p225_002_mic2.flac").unlink()
    write(folder / "txt" / "p280" / "p280_001.txt", "Never recorded by the second.")  # as in the real one
    record(folder / "wav48_silence_trimmed" / "p315" / "p315_001_mic2.flac")  # has no texts in the real one
    (folder / "wav48_silence_trimmed" / "p226" / "p226_001_mic2.flac").write_bytes(b"damaged")
    corpus = read("VCTK", folder)
    assert [utterance.id for utterance in corpus.utterances] == ["p225_001", "p226_001", "s5_001"]
    assert [problem.utterance_id for problem in corpus.problems] == ["p225_002", "p280_001", "p315_001"]
    assert str(corpus.problems[0]).endswith("no recording p225_002_mic2 in wav48_silence_trimmed")
    assert str(corpus.problems[2]).endswith("p315_001_mic2.flac: p315_001: no text p315_001.txt in txt/p315")
    assert [utterance.speaker for utterance in corpus.without_text] == ["p315"]  # a vocoder may hear it
    assert not corpus.notes


def test_what_other_speakers_lack_does_not_count(tmp_path):
    folder = vctk(tmp_path, SENTENCES)
    for i in range(20):
        write(folder / "txt" / "p280" / f"p280_{i:03d}.txt", "Never recorded by the second.")
    assert not read("VCTK", folder, "p225").problems


def test_vctk_needs_no_list_of_its_speakers(tmp_path):
    folder = vctk(tmp_path, SENTENCES)
    (folder / "speaker-info.txt").unlink()
    assert len(read("VCTK", folder).utterances) == 4


def test_the_older_vctk_is_read_too(tmp_path):
    write(tmp_path / "txt" / "p225" / "p225_001.txt", "Please call Stella.")
    write(
        tmp_path / "speaker-info.txt", "ID  AGE  GENDER  ACCENTS  REGION\n225  23  F    English    Southern  England\n"
    )
    record(tmp_path / "wav48" / "p225" / "p225_001.wav")
    assert listed(read("VCTK", tmp_path)) == [("p225_001", "p225", "Please call Stella.")]


LIBRITTS = {
    "train-clean-100": {f"103_1240_00000{i}_000000": f"Chapter {i}." for i in range(8)},
    "train-other-500": {"20_205_000000_000000": "Mister Smith."},
    "dev-clean": {"84_121123_000000_000000": "Go, do you hear?"},
    "test-clean": {"1089_134686_000001_000001": "He hoped."},
}


@pytest.mark.parametrize("name", ["LibriTTS", "LibriTTS_R"])
def test_libritts_has_its_own_splits(tmp_path, name):
    corpus = read(name, libritts(tmp_path, LIBRITTS))
    found = {utterance.id: utterance.split for utterance in corpus.utterances}
    assert found["103_1240_000000_000000"] == found["20_205_000000_000000"] == "train"
    assert found["84_121123_000000_000000"] == "valid" and found["1089_134686_000001_000001"] == "test"
    assert ("20_205_000000_000000", "20", "Mister Smith.") in listed(corpus)  # the normalised text
    assert len(found) == 11 and not corpus.problems


@pytest.mark.parametrize(
    ("subset", "speakers"),
    [
        (["train-clean-100", "dev-clean"], {"103", "84"}),
        (["clean"], {"103", "84", "1089"}),
        (["other"], {"20"}),
        (["84", "20"], {"84", "20"}),
        (["dev-clean", "test-clean", "84"], {"84"}),
    ],
)
def test_a_subset_names_parts_kinds_or_speakers(tmp_path, subset, speakers):
    corpus = read("LibriTTS", libritts(tmp_path, LIBRITTS), *subset)
    assert {utterance.speaker for utterance in corpus.utterances} == speakers


def test_an_unknown_part_of_a_subset_is_refused_with_the_known_ones(tmp_path):
    folder = libritts(tmp_path, {"dev-clean": LIBRITTS["dev-clean"]})
    with pytest.raises(
        CorpusError, match=r"dataset_subset\.LibriTTS: train-clean-100 is neither a part.*dev-clean.*84"
    ):
        read("LibriTTS", folder, "train-clean-100", "dev-clean")


def test_missing_and_damaged_recordings_of_libritts_exclude_only_themselves(tmp_path):
    folder = libritts(tmp_path, LIBRITTS)
    place = folder / "train-clean-100" / "103" / "1240"
    (place / "103_1240_000003_000000.wav").unlink()
    (place / "103_1240_000004_000000.wav").write_bytes(b"")
    (place / "._103_1240_000004_000000.wav").write_bytes(b"left by macOS")
    table = place / "103_1240.trans.tsv"
    table.write_text("".join(line for line in table.open() if not line.startswith("103_1240_000005")))
    corpus = read("LibriTTS", folder)
    ids = {utterance.id for utterance in corpus.utterances}
    assert len(ids) == 9 and ids.isdisjoint({"103_1240_000003_000000", "103_1240_000005_000000"})
    assert list(map(str, corpus.problems)) == [
        f"{table}:4: 103_1240_000003_000000: no recording 103_1240_000003_000000.wav",
        f"{place / '103_1240_000005_000000.wav'}: 103_1240_000005_000000: no text in 103_1240.trans.tsv",
    ]
    assert not corpus.notes
    (spoken_only,) = corpus.without_text
    assert (spoken_only.id, spoken_only.speaker, spoken_only.split) == ("103_1240_000005_000000", "103", "train")


def test_hifitts_has_readers_kinds_and_splits(tmp_path):
    folder = hifitts(
        tmp_path,
        {"92_manifest_clean_train": ["a", "b"], "92_manifest_clean_dev": ["c"], "6097_manifest_other_test": ["d"]},
    )
    corpus = read("HiFiTTS", folder)
    assert {(utterance.speaker, utterance.text, utterance.split) for utterance in corpus.utterances} == {
        ("92", "It is a!", "train"),
        ("92", "It is b!", "train"),
        ("92", "It is c!", "valid"),
        ("6097", "It is d!", "test"),
    }
    assert corpus.utterances[0].audio_path.is_file()
    assert {utterance.speaker for utterance in read("HiFiTTS", folder, "clean").utterances} == {"92"}


def test_a_missing_manifest_of_hifitts_is_warned_about(tmp_path):
    manifests = {f"92_manifest_clean_{split}": [split] for split in ("train", "dev", "test")}
    folder = hifitts(tmp_path, manifests)
    assert not read("HiFiTTS", folder).notes
    (folder / "92_manifest_clean_dev.json").unlink()
    corpus = read("HiFiTTS", folder)
    assert corpus.notes == (f"{folder}: has no 92_manifest_clean_dev.json, so that what it lists is not used",)
    assert not read("HiFiTTS", folder, "92_clean_test").notes


def test_cmu_arctic_numbers_the_same_prompts_for_every_speaker(tmp_path):
    prompts = {"arctic_a0001": "Author of the danger trail.", "arctic_a0002": "Not at this case."}
    folder = cmu_arctic(tmp_path, {"bdl": prompts, "slt": prompts})
    record(folder / "cmu_us_bdl_arctic" / "orig" / "arctic_a0001.wav")  # as some speakers have it, with the larynx
    (folder / "cmu_us_slt_arctic" / "wav" / "arctic_a0002.wav").unlink()
    corpus = read("CMU_ARCTIC", folder)
    assert listed(corpus) == [
        ("bdl-arctic_a0001", "bdl", "Author of the danger trail."),
        ("bdl-arctic_a0002", "bdl", "Not at this case."),
        ("slt-arctic_a0001", "slt", "Author of the danger trail."),
    ]
    assert corpus.utterances[0].audio_path == folder / "cmu_us_bdl_arctic" / "wav" / "arctic_a0001.wav"
    assert [problem.utterance_id for problem in corpus.problems] == ["arctic_a0002"]
    assert {utterance.speaker for utterance in read("CMU_ARCTIC", folder, "slt").utterances} == {"slt"}


def test_aishell3_gives_its_characters_and_its_test_set(tmp_path):
    corpus = read("AISHELL-3", aishell3(tmp_path))
    assert listed(corpus) == [("SSB00050001", "SSB0005", "广州"), ("SSB02730005", "SSB0273", "你好")]
    assert [utterance.split for utterance in corpus.utterances] == ["train", "test"]


def test_baker_is_read_without_its_marks_of_prosody(tmp_path):
    corpus = read("Baker", baker(tmp_path))
    assert listed(corpus) == [("000001", "Baker", "卡尔普陪外孙玩滑梯。"), ("000002", "Baker", "假语村言。")]


@pytest.mark.parametrize("name", ["VCTK", "LibriTTS", "HiFiTTS", "CMU_ARCTIC", "AISHELL-3", "Baker"])
def test_another_folder_is_an_error_at_once(tmp_path, name):
    record(tmp_path / "inner" / "a.wav")
    with pytest.raises(
        CorpusError, match=f"dataset_path.{name}: {tmp_path}: does not look like .*, whose folder holds"
    ):
        read(name, tmp_path)


def test_the_folder_above_names_the_right_one(tmp_path):
    libritts(tmp_path / "LibriTTS", LIBRITTS)
    with pytest.raises(CorpusError, match=f"did you mean {tmp_path}/LibriTTS"):
        read("LibriTTS", tmp_path)


def test_a_failing_recipe_is_an_error_without_traceback(tmp_path):
    folder = aishell3(tmp_path)
    (folder / "spk-info.txt").unlink()
    with pytest.raises(CorpusError, match=r"lhotse's recipe for aishell3 cannot read it .*spk-info\.txt"):
        read("AISHELL-3", folder)


def test_without_lhotse_the_installation_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lhotse", None)
    with pytest.raises(CorpusError, match=r"sh env\.sh corpora"):
        read("VCTK", vctk(tmp_path, SENTENCES))


def test_lhotse_is_restored_after_reading(tmp_path):
    from lhotse import Recording, RecordingSet

    before = Recording.from_file, RecordingSet.__getitem__, RecordingSet.__contains__
    read("VCTK", vctk(tmp_path, SENTENCES))
    assert (Recording.from_file, RecordingSet.__getitem__, RecordingSet.__contains__) == before
    assert Recording.from_file(record(tmp_path / "a.wav")).num_samples == 160


@pytest.mark.slow
def test_reading_takes_linear_time(tmp_path):
    def n_calls(count: int) -> int:
        """Count what Python does instead of the time, which depends on who else is at work."""
        place = tmp_path / str(count) / "train-clean-100" / "103" / "1240"
        names = [f"103_1240_{i:06d}_000000" for i in range(count)]
        write(place / "103_1240.trans.tsv", "".join(f"{name}\tSo.\tSo.\n" for name in names))
        write(place / "103_1240.book.tsv", "".join(f"{name}\tSo.\tSo.\t0\t1\t2\t20.5\n" for name in names))
        for name in names:
            (place / f"{name}.wav").touch()
        calls = itertools.count()
        before = sys.getprofile()
        sys.setprofile(lambda *_: next(calls))
        try:
            corpus = read("LibriTTS", tmp_path / str(count))
        finally:
            sys.setprofile(before)
        assert len(corpus.utterances) == count
        return next(calls)

    n_calls(1)  # imports
    few, many = n_calls(250), n_calls(2000)
    assert many < 9 * few


# Official splits in stage 1


def splits_of(corpus: Corpus, tmp_path: Path, **preprocess: object) -> dict[str, set[str]]:
    settings = load(write_config(tmp_path / "settings", tmp_path, **preprocess)).preprocess
    found: dict[str, set[str]] = {"train": set(), "valid": set(), "test": set()}
    for utterance in with_splits(corpus.utterances, settings):
        found[utterance.split].add(utterance.id)
    return found


def test_an_official_split_of_known_speakers_is_taken_as_it_is(tmp_path):
    manifests = {"92_manifest_clean_train": list("abcdefgh"), "92_manifest_clean_dev": ["y"]}
    found = splits_of(read("HiFiTTS", hifitts(tmp_path, manifests)), tmp_path, valid_size=3, test_size=2)
    assert found["valid"] == {"y"}
    assert len(found["test"]) == 2 and len(found["train"]) == 6  # it brings no test set


def test_sets_of_unseen_speakers_are_kept_and_others_drawn(tmp_path):
    found = splits_of(read("LibriTTS", libritts(tmp_path, LIBRITTS)), tmp_path, valid_size=2, test_size=1)
    assert "84_121123_000000_000000" in found["valid"] and len(found["valid"]) == 3
    assert "1089_134686_000001_000001" in found["test"] and len(found["test"]) == 2
    assert len(found["train"]) == 6


def test_a_corpus_without_splits_is_split_as_before(tmp_path):
    corpus = read("VCTK", vctk(tmp_path, {f"p225_{i:03d}": f"Sentence {i}." for i in range(20)}))
    settings = load(write_config(tmp_path / "settings", tmp_path, valid_size=2, test_size=3)).preprocess
    expected = assign_splits(corpus.utterances, valid_size=2, test_size=3, seed=settings.split_seed)
    assert with_splits(corpus.utterances, settings) == expected


def test_ljspeech_has_the_split_that_models_are_compared_by(tmp_path):
    names = {"LJ022-0023": "valid", "LJ045-0096": "test", "LJ001-0001": "train", "LJ050-0209": "test"}
    for name in names:
        record(tmp_path / "wavs" / f"{name}.wav")
    write(tmp_path / "metadata.csv", "".join(f"{name}|Text of {name}.\n" for name in names))
    corpus = read_corpus("LJSpeech", "ljspeech_official", tmp_path, language="en")
    assert {utterance.id: utterance.split for utterance in corpus.utterances} == names


def test_the_usual_split_of_ljspeech_has_a_hundred_and_five_hundred():
    from processors.corpora.ljspeech import official_split

    split_of = official_split()
    assert sum(split == "valid" for split in split_of.values()) == 100
    assert sum(split == "test" for split in split_of.values()) == 500


@pytest.mark.slow
def test_several_published_corpora_are_prepared_together(tmp_path):
    of_id = list(texts(24).values())
    spoken = {f"p{225 + i % 2}_{i:03d}": text for i, text in enumerate(of_id[:12])}
    vctk(tmp_path / "vctk", spoken)
    for name, text in spoken.items():
        place = tmp_path / "vctk" / "wav48_silence_trimmed" / name.split("_")[0]
        soundfile.write(place / f"{name}_mic2.flac", waveform_of(text), RATE)
    libri = {f"103_1240_{i:06d}_000000": text for i, text in enumerate(of_id[12:])}
    libritts(tmp_path / "libritts", {"train-clean-100": libri})
    for name, text in libri.items():
        soundfile.write(
            tmp_path / "libritts" / "train-clean-100" / "103" / "1240" / f"{name}.wav", waveform_of(text), RATE
        )
    config = write_config(tmp_path, tmp_path, textgrid_dir="", alignment="pocketsphinx", num_workers=1, max_bad_share=1)
    tree = json.loads(config.read_text())
    tree |= {
        "dataset": ["VCTK", "LibriTTS"],
        "dataset_path": {"VCTK": str(tmp_path / "vctk"), "LibriTTS": str(tmp_path / "libritts")},
        "dataset_layout": {},
        "dataset_subset": {"VCTK": ["p225"]},
    }
    config.write_text(json.dumps(tree))
    from processors.features import VOCODER_FEATURES

    summary = prepare(load(config), features=VOCODER_FEATURES)
    assert (summary.usable, summary.rejected, summary.speakers) == (18, 0, 2)
    assert json.loads((tmp_path / "processed" / "speakers.json").read_text()) == {"103": 0, "p225": 1}


@pytest.mark.slow
def test_sets_of_unseen_speakers_are_warned_about(tmp_path, capsys):
    from processors.features import VOCODER_FEATURES

    folder = libritts(tmp_path / "libritts", LIBRITTS)
    for path in folder.rglob("*.wav"):
        soundfile.write(path, waveform_of("See my new tea so."), RATE)
    config = write_config(tmp_path, folder, textgrid_dir="", num_workers=1, valid_size=1, test_size=1)
    tree = json.loads(config.read_text())
    config.write_text(json.dumps(tree | {"dataset_layout": {"toy": "libritts"}}))
    summary = prepare(load(config), features=VOCODER_FEATURES)
    assert summary.utterances == {"train": 7, "valid": 1, "test": 1}
    message = "toy: 2 utterances of speakers without training utterances are in no split: 1089, 84"
    assert message in capsys.readouterr().out
