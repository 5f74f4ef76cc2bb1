"""Manifests of corpora, before and after stage 1, read back with their splits."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from processors.corpora.layouts import read_corpus
from processors.preparation.prepare import prepare
from tests.support.commands import call
from tests.support.small_corpus import load, make_corpus, write_config


def manifest(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return call("bins.manifest", "--config", config, *arguments)


def lines_of(folder: Path) -> dict[str, list[dict]]:
    return {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted(folder.glob("*.jsonl"))
    }


@pytest.mark.parametrize("flag", ["--to-jsonl", "--to_jsonl"])
def test_a_corpus_is_listed_before_stage_1(tmp_path, flag):
    of_id = make_corpus(tmp_path / "corpus", 8)
    (tmp_path / "corpus" / "wavs" / "clip_003.wav").write_bytes(b"damaged")
    done = manifest(write_config(tmp_path, tmp_path / "corpus"), flag, str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "1 recordings are left out, such as" in done.stderr
    found = lines_of(tmp_path / "out" / "toy")
    assert {split: len(lines) for split, lines in found.items()}.keys() == {"train", "valid", "test"}
    everything = [line for lines in found.values() for line in lines]
    assert {line["id"]: line["text"] for line in everything} == {i: t for i, t in of_id.items() if i != "clip_003"}
    for line in everything:
        assert Path(line["audio_filepath"]).is_absolute() and Path(line["audio_filepath"]).is_file()
        assert line["duration"] > 0.5 and line["speaker"] == "toy"


@pytest.mark.slow
def test_after_stage_1_usable_utterances_are_listed_with_the_same_splits(tmp_path):
    make_corpus(tmp_path / "corpus", 10)
    config = write_config(tmp_path, tmp_path / "corpus", num_workers=1)
    prepare(load(config))
    done = manifest(config, "--to-jsonl", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "from the manifests of stage 1" in done.stdout
    found = lines_of(tmp_path / "out" / "toy")
    assert not {"phones", "frames", "durations"} & {name for lines in found.values() for line in lines for name in line}
    again = read_corpus("toy", "jsonl", tmp_path / "out" / "toy", language="en")
    for split, lines in found.items():
        prepared = [json.loads(line) for line in (tmp_path / "processed" / "toy" / f"{split}.jsonl").open()]
        assert [line["id"] for line in lines] == [line["id"] for line in prepared]
        assert {line["id"] for line in lines} == {item.id for item in again.utterances if item.split == split}


def test_a_missing_corpus_is_an_error(tmp_path):
    done = manifest(write_config(tmp_path, tmp_path / "nowhere"), "--to-jsonl", str(tmp_path / "out"))
    assert done.returncode == 1 and "error: dataset_path.toy" in done.stderr and "Traceback" not in done.stderr
