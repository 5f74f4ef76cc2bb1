"""Mistakes in the input of stage 1: each ends in a message that helps, and no finished work is lost."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from processors.utterance import read_manifest
from tests.support.commands import call
from tests.support.small_corpus import RATE, make_corpus, texts, waveform_of, write_clip, write_config, write_metadata


@pytest.fixture
def corpus(tmp_path):
    make_corpus(tmp_path / "corpus", 6)
    return tmp_path / "corpus"


def preprocess(config: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return call("bins.preprocess", "--config", config, *flags)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str, code: int = 1) -> None:
    """Assert exit code 1 and a message of one or two lines without a traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    (error_line,) = [line for line in done.stderr.splitlines() if "error: " in line]
    assert all(word in done.stderr[done.stderr.index(error_line) :] for word in words), done.stderr


def report(folder: Path) -> str:
    return (folder / "processed" / "toy" / "report.md").read_text()


def good_ids(folder: Path) -> set[str]:
    manifests = (folder / "processed" / "toy").glob("*.jsonl")
    return {utterance.id for manifest in manifests for utterance in read_manifest(manifest)}


# The command line and the settings


def test_a_mistyped_flag_is_wrong_usage(tmp_path, corpus):
    assert_refused(preprocess(write_config(tmp_path, corpus), "--overwite"), "--overwite", code=2)


def test_an_impossible_number_of_workers_is_wrong_usage(tmp_path, corpus):
    assert_refused(preprocess(write_config(tmp_path, corpus), "--num_workers", "-1"), "--num_workers", code=2)


def test_a_missing_config_file_is_refused(tmp_path):
    assert_refused(preprocess(tmp_path / "none.json"), "none.json", "no such config file")


def test_a_mistyped_setting_is_refused(tmp_path, corpus):
    done = preprocess(write_config(tmp_path, corpus, hop_sise=200))
    assert_refused(done, "exp_config.json", "preprocess.hop_sise", "did you mean preprocess.hop_size?")


def test_a_missing_dataset_path_is_refused(tmp_path, corpus):
    done = preprocess(write_config(tmp_path, corpus), "--set", f"dataset_path.toy={tmp_path / 'nowhere'}")
    assert_refused(done, "nowhere", "no such folder")


def test_an_unknown_dataset_is_refused(tmp_path, corpus):
    config = write_config(tmp_path, corpus)
    done = preprocess(config, "--set", 'dataset=["LJSpeach"]', "--set", f"dataset_path.LJSpeach={corpus}")
    assert_refused(done, "LJSpeach", "did you mean LJSpeech?")


def test_a_missing_lexicon_is_refused(tmp_path, corpus):
    done = preprocess(write_config(tmp_path, corpus, lexicon_path=str(tmp_path / "my.dict")))
    assert_refused(done, "my.dict")


def test_a_missing_textgrid_folder_is_refused(tmp_path, corpus):
    done = preprocess(write_config(tmp_path, corpus, textgrid_dir=str(tmp_path / "TextGird")))
    assert_refused(done, "preprocess.textgrid_dir", "TextGird", "no such folder")


@pytest.mark.slow
def test_features_of_other_settings_are_refused(tmp_path, corpus):
    config = write_config(tmp_path, corpus)
    assert preprocess(config).returncode == 0
    assert_refused(preprocess(config, "--set", "preprocess.n_mel=80"), "n_mel 40 (now 80)", "--overwrite")


def test_debug_shows_the_traceback(tmp_path):
    assert "Traceback" in preprocess(tmp_path / "none.json", "--debug").stderr


# The list of recordings


@pytest.mark.slow
def test_metadata_may_have_a_byte_order_mark_crlf_and_bad_lines(tmp_path, corpus):
    lines = [f"{name}|{text}" for name, text in texts(6).items()]
    lines += ["no bar at all", "../../etc/passwd|So.", "absent|So.", "clip_000|Again.", "clip_empty|"]
    (corpus / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")
    done = preprocess(write_config(tmp_path, corpus, max_bad_share=0.5))
    assert done.returncode == 0, done.stderr
    assert "6 usable" in done.stdout
    assert "5 left out" in done.stdout
    assert good_ids(tmp_path) == set(texts(6))
    written = report(tmp_path)
    for line, words in ((7, "no \\| in"), (8, "../"), (9, "no recording"), (10, "already"), (11, "empty")):
        assert any(f"metadata.csv:{line}" in row and words in row for row in written.splitlines()), (line, written)


def test_metadata_in_latin_1_is_refused(tmp_path, corpus):
    (corpus / "metadata.csv").write_bytes("clip_000|So.\nclip_001|Caf\u00e9.\n".encode("latin-1"))
    assert_refused(preprocess(write_config(tmp_path, corpus)), "metadata.csv:2", "UTF-8", "iconv")


# The recordings


def damaged(folder: Path) -> dict[str, tuple[str, str]]:
    """Write one recording of every bad kind; return its text and its expected reason in the report."""
    wavs = folder / "wavs"
    good = waveform_of("So.")

    def write(name: str, samples: np.ndarray, **options: str) -> None:
        soundfile.write(wavs / f"{name}.wav", samples, RATE, **options)

    (wavs / "zero_bytes.wav").write_bytes(b"")
    (wavs / "of_text.wav").write_text("this is no sound at all, but somebody renamed it\n" * 20)
    write("cut_in_half", good)
    content = (wavs / "cut_in_half.wav").read_bytes()
    (wavs / "cut_in_half.wav").write_bytes(content[: len(content) // 2])
    write("eight_channels", np.stack([good] * 8, axis=1))
    write("all_zeros", np.zeros(RATE))
    with_nan = good.copy()
    with_nan[1000] = np.nan
    write("with_nan", with_nan, subtype="FLOAT")
    write("ten_minutes", np.tile(0.1 * np.sin(np.arange(RATE, dtype=np.float32)), 600))
    write("too_short", good[:1600])
    write("only_emoji", good)
    write("no_textgrid", good)
    write("textgrid_cut", good)
    write_clip(folder, "textgrid_cut", "So.")
    grid = folder / "TextGrid" / "textgrid_cut.TextGrid"
    grid.write_text(grid.read_text()[: len(grid.read_text()) // 2])
    write_clip(folder, "of_another", "So.")
    write("of_another", waveform_of("So so so so so so."))
    write_clip(folder, "other_phones", "So.")
    grid = folder / "TextGrid" / "other_phones.TextGrid"
    grid.write_text(grid.read_text().replace('"OW1"', '"əʊ"'))
    return {
        "zero_bytes": ("So.", "zero bytes"),
        "of_text": ("So.", "not a readable sound file"),
        "cut_in_half": ("So.", "cut short"),
        "eight_channels": ("So.", "8 channels"),
        "all_zeros": ("So.", "silent"),
        "with_nan": ("So.", "NaN"),
        "ten_minutes": ("So.", "too long"),
        "too_short": ("So.", "too short"),
        "only_emoji": ("\U0001f600 \U0001f680", "text empty"),
        "no_textgrid": ("So.", "no such TextGrid"),
        "textgrid_cut": ("So.", "cut off"),
        "of_another": ("So.", "durations disagree"),
        "other_phones": ("So.", "unknown phone"),
    }


@pytest.mark.slow
def test_every_bad_recording_is_left_out_with_its_reason(tmp_path, corpus):
    bad = damaged(corpus)
    write_metadata(corpus, {**texts(6), **{name: text for name, (text, _) in bad.items()}})
    config = write_config(tmp_path, corpus, max_bad_share=0.7, alignment="textgrid")
    done = preprocess(config)
    assert done.returncode == 0, done.stderr
    assert good_ids(tmp_path) == set(texts(6))
    assert f"{len(bad)} left out" in done.stdout
    written = report(tmp_path)
    for name, (_, reason) in bad.items():
        assert any(f"| {name} |" in row and reason in row for row in written.splitlines()), (name, written)
    # They are not tried again before something about them has changed.
    assert "nothing to do" in preprocess(config).stdout
    write_clip(corpus, "zero_bytes", "So.")
    again = preprocess(config)
    assert "extracting features of 1 utterance " in again.stdout
    assert f"{len(bad) - 1} left out" in again.stdout


@pytest.mark.slow
def test_too_many_bad_recordings_fail_after_the_report_is_written(tmp_path, corpus):
    config = write_config(tmp_path, corpus, max_bad_share=0.2)
    assert preprocess(config).returncode == 0
    for name in ("clip_001", "clip_002"):
        (corpus / "wavs" / f"{name}.wav").write_bytes(b"")
    assert_refused(preprocess(config), "2 of 6", "33%", "max_bad_share", "report.md")
    assert "zero bytes" in report(tmp_path)
    assert not list((tmp_path / "processed" / "toy").glob("*.jsonl"))
    allowed = preprocess(config, "--set", "preprocess.max_bad_share=0.4")
    assert allowed.returncode == 0, allowed.stderr
    assert "nothing to do" in allowed.stdout


def test_a_corpus_without_usable_training_utterances_fails(tmp_path, corpus):
    for path in (corpus / "wavs").iterdir():
        path.write_bytes(b"")
    assert_refused(preprocess(write_config(tmp_path, corpus, max_bad_share=1.0)), "no usable utterance to train on")


# The disk


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_full_disk_is_named_and_leaves_no_partial_files(tmp_path):
    make_corpus(tmp_path / "corpus", 100)
    disk = tmp_path / "disk"
    disk.mkdir()
    config = write_config(tmp_path, tmp_path / "corpus", processed_dir=str(disk / "processed"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]).returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        assert_refused(preprocess(config), "the disk is full", "finished work is kept")
        assert not list(disk.rglob("*.partial"))
        shards = list(disk.rglob("*.safetensors"))
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        done = preprocess(config)
        assert done.returncode == 0, done.stderr
        assert "100 usable" in done.stdout
        assert all(shard.exists() for shard in shards)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
