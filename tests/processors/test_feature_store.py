"""The feature store: whole features, newest first, slices, damage."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from processors import feature_store
from processors.feature_store import FeatureStore, ShardWriter, StoreError, prepare_store, remove_store, tidy_store

SETTINGS = {"sample_rate": 22050, "hop_size": 256, "fmax": 8000.0}


def features_of(number: int, n_frames: int = 7) -> dict[str, np.ndarray]:
    random = np.random.default_rng(number)
    return {
        "mel": random.standard_normal((n_frames, 5), dtype=np.float32),
        "f0": random.standard_normal(n_frames, dtype=np.float32),
        "durations": np.arange(3, dtype=np.int32),
        "waveform": random.integers(-9, 9, n_frames * 4).astype(np.int16),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare_store(tmp_path / "corpus", SETTINGS)
    return tmp_path / "corpus"


def write(folder: Path, **features: dict[str, np.ndarray]) -> None:
    with ShardWriter(folder) as writer:
        for utterance_id, held in features.items():
            writer.add(utterance_id, held)


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "features").glob("*.safetensors"))


def test_what_was_added_is_read_back(folder: Path):
    write(folder, a=features_of(1), b=features_of(2, n_frames=11))
    write(folder, c=features_of(3, n_frames=1))
    store = FeatureStore.open(folder, expect=SETTINGS)
    assert store.ids("mel") == ["a", "b", "c"]
    assert store.features == ["durations", "f0", "mel", "waveform"]
    for utterance_id, number, n_frames in [("a", 1, 7), ("b", 2, 11), ("c", 3, 1)]:
        for name, expected in features_of(number, n_frames).items():
            read = store.read(utterance_id, name)
            assert read.dtype == expected.dtype
            np.testing.assert_array_equal(read, expected)
            assert store.length(utterance_id, name) == len(expected)


def test_slices_equal_slices_of_the_whole(folder: Path):
    write(folder, a=features_of(1), b=features_of(2, n_frames=11))
    store = FeatureStore.open(folder)
    mel = features_of(2, n_frames=11)["mel"]
    for start, stop in [(0, 3), (4, 9), (5, 5), (10, 99), (11, 11)]:
        np.testing.assert_array_equal(store.read("b", "mel", start, stop), mel[start:stop])
    for start, stop in [(-1, 3), (3, 2), (12, None)]:
        with pytest.raises(IndexError):
            store.read("b", "mel", start, stop)


def test_shards_are_safetensors_files(folder: Path):
    write(folder, a=features_of(1), b=features_of(2))
    (shard,) = shards(folder)
    tensors = load_file(shard)
    assert tensors["mel"].shape == (14, 5)
    np.testing.assert_array_equal(tensors["f0"][7:], features_of(2)["f0"])


def test_a_slice_reads_only_its_own_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch):
    write(folder, a={"mel": np.ones((100_000, 80), dtype=np.float32)})
    store = FeatureStore.open(folder)
    n_read = []

    def counting_open(path, mode, buffering):
        class Counting:
            def __enter__(self):
                self.file = open(path, mode, buffering=buffering)
                return self

            def __exit__(self, *error):
                self.file.close()

            def seek(self, offset):
                return self.file.seek(offset)

            def readinto(self, buffer):
                n_read.append(self.file.readinto(buffer))
                return n_read[-1]

        return Counting()

    monkeypatch.setattr(feature_store, "open", counting_open, raising=False)
    assert store.read("a", "mel", 50_000, 50_032).sum() == 32 * 80
    assert n_read == [32 * 80 * 4]


def test_a_feature_can_be_added_later(folder: Path):
    write(folder, a=features_of(1), b=features_of(2))
    prepare_store(folder, {"hop_size": 256, "embedding": "ecapa"})
    write(folder, b={"embedding": np.ones((1, 4), dtype=np.float16)})
    store = FeatureStore.open(folder, expect={"embedding": "ecapa"})
    assert store.ids("embedding") == ["b"]
    assert store.has("b", ["mel", "embedding"]) and not store.has("a", ["mel", "embedding"])
    np.testing.assert_array_equal(store.read("b", "mel"), features_of(2)["mel"])


def test_the_newest_wins_per_feature(folder: Path, monkeypatch: pytest.MonkeyPatch):
    write(folder, a=features_of(1), b=features_of(2))
    monkeypatch.setattr(feature_store.time, "time_ns", lambda: 1)  # a clock set back
    write(folder, a={"f0": np.zeros(7, dtype=np.float32)})
    store = FeatureStore.open(folder)
    assert not store.read("a", "f0").any()
    np.testing.assert_array_equal(store.read("a", "mel"), features_of(1)["mel"])
    np.testing.assert_array_equal(store.read("b", "f0"), features_of(2)["f0"])


def test_removed_utterances_are_gone_until_added_again(folder: Path):
    write(folder, a=features_of(1), b=features_of(2))
    with ShardWriter(folder) as writer:
        writer.remove("a")
    store = FeatureStore.open(folder)
    assert store.ids("mel") == ["b"] and not store.has("a", ["mel"])
    with pytest.raises(StoreError, match="no mel of a; run stage 1"):
        store.read("a", "mel")
    with ShardWriter(folder) as writer:
        writer.remove("a")
        writer.add("a", features_of(3))
    np.testing.assert_array_equal(FeatureStore.open(folder).read("a", "mel"), features_of(3)["mel"])


def test_an_error_while_writing_leaves_no_shard(folder: Path):
    with pytest.raises(RuntimeError), ShardWriter(folder) as writer:
        writer.add("a", features_of(1))
        raise RuntimeError
    assert list((folder / "features").iterdir()) == []


def test_half_written_shards_are_invisible(folder: Path):
    write(folder, a=features_of(1))
    (shard,) = shards(folder)
    partial = shard.with_name(f".{shard.name}.0123.partial")
    partial.write_bytes(shard.read_bytes()[:100])
    store = FeatureStore.open(folder)
    assert store.ids("mel") == ["a"] and store.damaged == []
    assert tidy_store(folder) == [] and not partial.exists()


def test_a_full_shard_is_published_before_the_end(folder: Path):
    with ShardWriter(folder, max_bytes=300) as writer:
        for number in range(4):
            writer.add(f"u{number}", features_of(number))
        assert len(shards(folder)) == 2
    assert len(FeatureStore.open(folder).ids("mel")) == 4


@pytest.mark.parametrize("n_left", [0, 5, 60, -1])
def test_a_damaged_shard_is_named_and_can_be_skipped(folder: Path, n_left: int):
    write(folder, a=features_of(1))
    write(folder, b=features_of(2))
    damaged = shards(folder)[0]
    damaged.write_bytes(damaged.read_bytes()[:n_left])
    with pytest.raises(StoreError, match=f"{damaged.name}: the shard is damaged .* run stage 1 again"):
        FeatureStore.open(folder)
    store = FeatureStore.open(folder, skip_damaged=True)
    assert store.damaged == [damaged] and store.ids("mel") == ["b"]
    assert tidy_store(folder) == [damaged] and FeatureStore.open(folder).ids("mel") == ["b"]


def test_a_changed_byte_of_a_header_is_an_error_or_harmless(folder: Path):
    write(folder, a=features_of(1), b=features_of(2))
    (shard,) = shards(folder)
    whole = shard.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(400):
        harmed = bytearray(whole)
        harmed[random.integers(0, 8 + int.from_bytes(whole[:8], "little"))] = random.integers(0, 256)
        shard.write_bytes(harmed)
        with contextlib.suppress(StoreError):
            store = FeatureStore.open(folder, skip_damaged=True)
            for name in store.features:
                for utterance_id in store.ids(name):
                    assert len(store.read(utterance_id, name)) == store.length(utterance_id, name)


@pytest.mark.parametrize("harm", [lambda shard: os.truncate(shard, os.path.getsize(shard) // 2), os.unlink])
def test_a_shard_damaged_after_opening_is_named(folder: Path, harm):
    write(folder, a=features_of(1))
    store = FeatureStore.open(folder)
    (shard,) = shards(folder)
    harm(shard)
    with pytest.raises(StoreError, match=f"{shard.name}.*run stage 1 again"):
        store.read("a", "waveform")


def test_other_settings_are_refused_naming_what_differs(folder: Path):
    write(folder, a=features_of(1))
    with pytest.raises(StoreError) as error:
        FeatureStore.open(folder, expect=SETTINGS | {"hop_size": 300, "fmax": None})
    assert "hop_size 256 (now 300), fmax 8000.0 (now None)" in str(error.value)
    assert "sample_rate" not in str(error.value)
    with pytest.raises(StoreError, match=r"hop_size 256 \(now 300\)"):
        prepare_store(folder, {"hop_size": 300})
    with pytest.raises(StoreError, match=r"n_mel 'unknown' \(now 80\)"):
        FeatureStore.open(folder, expect={"n_mel": 80})


def test_a_shard_made_with_other_settings_is_refused(folder: Path):
    write(folder, a=features_of(1))
    (folder / "store_settings.json").write_text(json.dumps(SETTINGS | {"hop_size": 128}))
    with pytest.raises(StoreError, match=r"safetensors: made with other settings: hop_size 256 \(now 128\)"):
        FeatureStore.open(folder)


def test_settings_may_hold_lists_and_tuples(folder: Path):
    prepare_store(folder, {"sizes": (1, 2)})
    prepare_store(folder, {"sizes": (1, 2)})
    assert FeatureStore.open(folder, expect={"sizes": (1, 2)}).settings["sizes"] == [1, 2]


def test_a_folder_without_a_store_is_refused_with_stage_1_as_the_remedy(tmp_path: Path):
    with pytest.raises(StoreError, match="no feature store; run stage 1"):
        FeatureStore.open(tmp_path)
    with pytest.raises(StoreError, match="run stage 1"):
        ShardWriter(tmp_path)


def test_an_empty_store_opens(folder: Path):
    store = FeatureStore.open(folder)
    assert store.ids("mel") == [] and store.features == [] and not store.has("a", ["mel"])


def test_a_store_may_have_no_settings(tmp_path: Path):
    prepare_store(tmp_path, {})
    write(tmp_path, a=features_of(1))
    assert FeatureStore.open(tmp_path).ids("mel") == ["a"]


def test_a_removed_store_can_be_made_with_other_settings(folder: Path):
    write(folder, a=features_of(1))
    (folder / "train.jsonl").touch()
    remove_store(folder)
    prepare_store(folder, {"hop_size": 300})
    assert FeatureStore.open(folder).ids("mel") == [] and (folder / "train.jsonl").exists()


def test_tidying_deletes_only_what_has_a_newer_one(folder: Path):
    write(folder, a=features_of(1), b=features_of(2))
    write(folder, a=features_of(3))
    with ShardWriter(folder) as writer:
        writer.remove("a")
    expected = FeatureStore.open(folder).ids("mel")
    tidy_store(folder)
    # The second shard holds nothing that counts; the third still hides the first one's `a`.
    assert len(shards(folder)) == 2 and FeatureStore.open(folder).ids("mel") == expected == ["b"]
    write(folder, a=features_of(4), b=features_of(5))
    tidy_store(folder)
    assert len(shards(folder)) == 1
    np.testing.assert_array_equal(FeatureStore.open(folder).read("a", "mel"), features_of(4)["mel"])


def test_arrays_that_cannot_be_concatenated_are_refused(folder: Path):
    writer = ShardWriter(folder)
    with pytest.raises(ValueError, match="cannot be stored"):
        writer.add("a", {"mel": np.zeros(3, dtype=np.complex64)})
    writer.add("a", {"mel": np.zeros((3, 5), dtype=np.float32)})
    writer.add("b", {"mel": np.zeros((3, 4), dtype=np.float32)})
    with pytest.raises(ValueError, match="differ in dtype or width"):
        writer.publish()


def _sum_of(store: FeatureStore) -> float:
    return float(sum(store.read(utterance_id, "mel").sum() for utterance_id in store.ids("mel")))


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted({"fork", "spawn"} & set(multiprocessing.get_all_start_methods())))
def test_a_store_works_in_other_processes(folder: Path, method: str):
    write(folder, **{f"u{number}": features_of(number) for number in range(5)})
    store = FeatureStore.open(folder)
    expected = _sum_of(store)
    assert _sum_of(pickle.loads(pickle.dumps(store))) == expected
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_sum_of, [store] * 4) == [expected] * 4
