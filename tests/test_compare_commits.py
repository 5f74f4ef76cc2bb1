"""The comparison of two commits: a changed bit is found, and the store is read as the project itself reads it."""

from __future__ import annotations

import json
import os

import numpy as np
import torch
from safetensors.numpy import save_file

from processors.feature_store import FeatureStore, ShardWriter, prepare_store
from tests.compare_commits import compare, how_different, made_again, read_items, read_store


def test_one_changed_bit_is_a_difference():
    values = np.array([1.0, 2.0], dtype=np.float32)
    changed = np.nextafter(values, np.float32(9))
    assert how_different(values, values.copy()) == ""
    assert "differs by up to" in how_different(values, changed)
    assert how_different(np.float32([0.0]), np.float32([-0.0]))
    assert how_different(values, values.astype(np.float64)) == "is float64 (2,) instead of float32 (2,)"
    assert how_different(b"'a'", b"'b'") == "is 'b' instead of 'a'"
    assert how_different(b"1", values) == how_different(values, b"1") == "is of another kind"


def test_what_is_missing_is_wrong_and_what_is_new_is_noted():
    wrong, new = compare(
        {("weights", "a"): b"1", ("weights", "b"): b"2"}, {("weights", "b"): b"2", ("weights", "c"): b"3"}
    )
    assert wrong == ["weights: a is missing"]
    assert new == ["weights: c is new"]


def test_store_is_read_as_the_project_reads_it(tmp_path):
    random = np.random.default_rng(0)

    def some(n_frames):
        return {"mel": random.normal(size=(n_frames, 4)).astype(np.float32), "f0": random.normal(size=n_frames)}

    prepare_store(tmp_path, {})
    with ShardWriter(tmp_path) as writer:
        writer.add("a", some(3))
        writer.add("b", some(5) | {"source": np.zeros((4, 8), dtype=np.uint8)})
        writer.add("c", {"mel": np.zeros((0, 4), dtype=np.float32)})
        writer.publish()
        writer.add("a", {"f0": some(2)["f0"]})
        writer.remove("c")
    found, store = read_store(tmp_path), FeatureStore.open(tmp_path)
    assert set(found) == {"a/mel", "a/f0", "b/mel", "b/f0"}
    for key, value in found.items():
        assert how_different(store.read(*key.split("/")), value) == ""


def test_items_hold_everything_but_speeds_checksums_and_paths(tmp_path):
    experiment = tmp_path / "experiment"
    checkpoint = experiment / "checkpoint/step-00000001"
    checkpoint.mkdir(parents=True)
    (experiment / "logbook.jsonl").write_text('{"step": 1, "train/loss": 0.5, "speed/steps_per_second": 3.0}\n')
    (experiment / "train.jsonl").write_text(json.dumps({"path": f"{tmp_path}/a.wav"}) + "\n")
    (checkpoint / "checkpoint.json").write_text('{"step": 1, "files": {"network.safetensors": {"crc32": 7}}}')
    save_file({"weight": np.ones(2, dtype=np.float32)}, checkpoint / "network.safetensors")
    torch.save({"optimizers": [{"exp_avg": torch.ones(2)}], "watch": {"lowest": 1.0}}, checkpoint / "training_state.pt")
    place = "checkpoint/step-00000001"
    assert set(read_items(experiment, own=str(tmp_path))) == {
        ("logged values", "logbook.jsonl: 0/step"),
        ("logged values", "logbook.jsonl: 0/train/loss"),
        ("manifests", "train.jsonl"),
        ("values in JSON", f"{place}/checkpoint.json: step"),
        ("weights", f"{place}/network.safetensors: weight"),
        ("values of optimizers", f"{place}/training_state.pt: optimizers/0/exp_avg"),
    }
    assert read_items(experiment, own=str(tmp_path))["manifests", "train.jsonl"] == b'{"path": "/a.wav"}\n'


def test_shards_younger_than_the_copy_were_made_again(tmp_path):
    features = tmp_path / "hifigan/features/LJSpeech/features"
    features.mkdir(parents=True)
    for name, second in (("1-old.safetensors", 1), ("2-new.safetensors", 3)):
        (features / name).touch()
        os.utime(features / name, (second, second))
    (tmp_path / ".copied").touch()
    assert made_again(tmp_path) == []
    os.utime(tmp_path / ".copied", (2, 2))
    assert made_again(tmp_path) == ["stage 1 made anew: hifigan/features/LJSpeech/features/2-new.safetensors"]
