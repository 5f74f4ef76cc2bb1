"""Inspection of feature stores: list, show, export, replace."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from bins import features as features_command
from config.paths import REPOSITORY
from processors.alignment.textgrid import read_textgrid
from processors.feature_store import FeatureStore, ShardWriter
from processors.preparation.prepare import prepare
from processors.preparation.rejected import Rejected
from processors.preparation.store_inspection import stores_in
from tests.support.small_corpus import load, make_corpus, write_config
from tests.support.tiny_features import HOP_SIZE, write_features

ID = "utterance-03"
NAMES = ["durations", "energy", "f0", "mel", "phonemes", "waveform"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features") / "processed"
    write_features(folder)
    return folder


@pytest.fixture
def processed(made, tmp_path):
    return shutil.copytree(made, tmp_path / "processed")


@pytest.fixture
def call(command, processed):
    """Return a function that calls `bins.features` on the copied features."""
    return lambda *arguments: command(features_command, processed, *arguments)


def stored(processed, name, utterance_id=ID):
    return FeatureStore.open(processed / "tiny").read(utterance_id, name)


def saved(folder, values):
    np.save(folder / "new.npy", values)
    return folder / "new.npy"


def test_the_list_holds_every_utterance_with_shapes_and_duration(call, processed):
    code, printed, errors = call("--list")
    lines = printed.splitlines()
    assert (code, errors, len(lines)) == (0, "", 14)
    assert lines[0].startswith(f"{processed / 'tiny'}: 13 utterances, 0.00 hours")
    n_frames, n_phones = len(stored(processed, "mel")), len(stored(processed, "phonemes"))
    (line,) = (line for line in lines if line.startswith(ID))
    for shown in (
        f"{ID}  train  {n_frames * HOP_SIZE / 8000:.2f} s  ",
        f"mel {n_frames} x 12",
        f"durations {n_phones}",
        f"waveform {n_frames * HOP_SIZE}",
    ):
        assert shown in line


def test_one_corpus_or_all_may_be_named(command, processed):
    write_features(processed, "other")
    of_all = command(features_command, processed, "--list")[1].splitlines()
    of_one = command(features_command, processed / "other", "--list")[1].splitlines()
    assert (len(of_all), len(of_one)) == (28, 14)


def test_an_utterance_is_shown_with_ranges_units_and_phones(call, processed):
    code, printed, errors = call("--show", ID)
    assert (code, errors) == (0, "")
    lines = {line.split()[0]: line for line in printed.splitlines()}
    f0_hz = stored(processed, "f0")
    voiced = f0_hz[f0_hz > 0]
    assert lines["f0"].split()[1:6] == [
        "float32",
        str(len(f0_hz)),
        f"{voiced.min():.5g}",
        f"{voiced.mean():.5g}",
        f"{voiced.max():.5g}",
    ]
    assert lines["f0"].endswith("Hz, where voiced") and lines["durations"].endswith("frames")
    phones = lines["phones:"].split()[1:]
    assert phones[0] == "sil:0" and phones[-1].startswith(".:")
    assert sum(int(phone.rpartition(":")[2]) for phone in phones) == len(f0_hz)
    assert "text: made up" in printed and "split: train" in printed
    assert "disagreement" not in printed


def test_disagreeing_features_are_shown(call, processed):
    with ShardWriter(processed / "tiny") as writer:
        writer.add(ID, {"f0": stored(processed, "f0")[1:], "energy": -stored(processed, "energy")})
    printed = call("--show", ID)[1]
    n_frames = len(stored(processed, "mel"))
    assert f"disagreement: frames of mel: {n_frames}, f0: {n_frames - 1}" in printed
    assert "disagreement: energy below 0" in printed


def test_an_utterance_that_was_left_out_is_shown_with_the_reason(call, processed):
    with ShardWriter(processed / "tiny") as writer:
        writer.add("bad", {"problem": Rejected("bad", "silent", "bad.wav: is silent").as_array()})
    assert "bad  left out: silent: bad.wav: is silent" in call("--list")[1].splitlines()
    assert "left out: silent: bad.wav: is silent" in call("--show", "bad")[1].splitlines()
    code, _, errors = call("--export", "bad", processed / "out")
    assert code == 1 and "bad has no features: silent" in errors


def test_export_writes_wav_textgrid_and_npy_files(call, processed, tmp_path):
    out = tmp_path / "out"
    code, printed, _ = call("--export", ID, out)
    assert code == 0
    arrays = [f"{ID}.{name}.npy" for name in NAMES if name != "waveform"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*arrays, f"{ID}.wav", f"{ID}.TextGrid"])
    assert printed.count("written: ") == 7
    samples, sample_rate = soundfile.read(out / f"{ID}.wav", dtype="int16")
    np.testing.assert_array_equal(samples, stored(processed, "waveform"))
    for name in ("mel", "f0", "durations"):
        array = np.load(out / f"{ID}.{name}.npy")
        np.testing.assert_array_equal(array, stored(processed, name))
        assert array.dtype == stored(processed, name).dtype
    alignment = read_textgrid(out / f"{ID}.TextGrid")
    assert alignment.end_s == pytest.approx(len(samples) / sample_rate, abs=1e-6)
    durations = stored(processed, "durations")
    assert alignment.phones[0].end_s == pytest.approx(durations[1] * HOP_SIZE / 8000, abs=1e-6)


def test_export_replaces_no_file(call, tmp_path):
    call("--export", ID, tmp_path / "out")
    code, _, errors = call("--export", ID, tmp_path / "out")
    assert code == 1 and "exists already" in errors


def test_a_replaced_feature_is_read_and_the_rest_stays(call, processed, tmp_path):
    before = {name: stored(processed, name) for name in NAMES}
    settings = (processed / "tiny" / "store_settings.json").read_text()
    f0_hz = np.where(before["f0"] > 0, before["f0"] * 2, 0).astype(np.float32)
    code, printed, errors = call("--replace", ID, "f0", saved(tmp_path, f0_hz))
    assert (code, errors) == (0, "") and "run stage 1 again" in printed
    np.testing.assert_array_equal(stored(processed, "f0"), f0_hz)
    for name in set(NAMES) - {"f0"}:
        np.testing.assert_array_equal(stored(processed, name), before[name])
    assert (processed / "tiny" / "store_settings.json").read_text() == settings


def test_durations_may_move_a_boundary_but_not_the_end(call, processed, tmp_path):
    durations = stored(processed, "durations")
    moved = durations.copy()
    moved[1:3] += np.array([1, -1], dtype=np.int32)
    assert call("--replace", ID, "durations", saved(tmp_path, moved))[0] == 0
    np.testing.assert_array_equal(stored(processed, "durations"), moved)
    longer = durations.copy()
    longer[1] += 1
    code, _, errors = call("--replace", ID, "durations", saved(tmp_path, longer))
    assert code == 1 and f"the sum of durations: {durations.sum() + 1}" in errors
    below = durations.copy()
    below[1:3] += np.array([50, -50], dtype=np.int32)
    code, _, errors = call("--replace", ID, "durations", saved(tmp_path, below))
    assert code == 1 and "durations below 0" in errors


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mel", lambda values: values.astype(np.float64), "is float64, mel is float32"),
        ("mel", lambda values: values[:-1], "has shape"),
        ("mel", lambda values: values.T, "has shape"),
        ("mel", lambda values: np.full_like(values, np.nan), "holds NaN"),
        ("f0", lambda values: -np.ones_like(values), "f0 below 0"),
        ("phonemes", lambda values: np.full_like(values, 999), "holds numbers from 999 to 999; symbols have 1 to"),
        ("phonemes", np.zeros_like, "holds numbers from 0 to 0"),
        ("waveform", lambda values: values[:-1], "has shape"),
        ("mal", lambda values: values, "did you mean mel?"),
        ("source", lambda values: values, "no feature source to replace"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(call, processed, tmp_path, name, change, message):
    if name == "source":
        with ShardWriter(processed / "tiny") as writer:
            writer.add(ID, {"source": np.zeros((4, 8), dtype=np.uint8)})
    values = stored(processed, name if name in NAMES else "mel")
    shards = sorted((processed / "tiny" / "features").iterdir())
    code, _, errors = call("--replace", ID, name, saved(tmp_path, change(values)))
    assert code == 1 and message in errors
    assert sorted((processed / "tiny" / "features").iterdir()) == shards


def test_phonemes_are_not_replaced_without_their_symbol_table(call, processed, tmp_path):
    (processed / "symbols.json").unlink()
    code, _, errors = call("--replace", ID, "phonemes", saved(tmp_path, stored(processed, "phonemes")))
    assert code == 1 and "symbol table" in errors
    assert "phones: #" in call("--show", ID)[1]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", "pickle", "npz"])
def test_a_file_that_is_no_array_is_named(call, tmp_path, content):
    path = tmp_path / "bad.npy"
    if content == "pickle":
        np.save(path, np.array([{}], dtype=object))
    elif content == "npz":
        with path.open("wb") as file:
            np.savez(file, mel=np.zeros(3))
    else:
        path.write_bytes(content)
    code, _, errors = call("--replace", ID, "mel", path)
    assert code == 1 and errors.startswith(f"error: {path}: ")
    code, _, errors = call("--replace", ID, "mel", tmp_path / "nowhere.npy")
    assert code == 1 and "nowhere.npy: no such file" in errors


def test_nothing_is_replaced_while_another_process_writes(call, processed, tmp_path):
    holds = "import sys; from utils.lock import sole_user\nwith sole_user(sys.argv[1]): print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holds, processed], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        code, _, errors = call("--replace", ID, "mel", saved(tmp_path, stored(processed, "mel")))
        other.communicate(b"\n")
    assert other.returncode == 0
    assert code == 1 and "another run is using this folder" in errors


def test_an_unknown_utterance_is_refused_with_a_similar_id(call):
    code, _, errors = call("--show", "uterance-03")
    assert code == 1 and f"did you mean {ID}?" in errors


def test_an_utterance_of_several_corpora_requires_the_folder_of_one(call, command, processed):
    write_features(processed, "other")
    code, _, errors = call("--show", ID)
    assert code == 1 and "is in several corpora" in errors and str(processed / "other") in errors
    assert command(features_command, processed / "other", "--show", ID)[0] == 0


def test_a_folder_without_features_is_named(command, tmp_path):
    code, _, errors = command(features_command, tmp_path, "--list")
    assert code == 1 and "neither a feature store" in errors
    config = write_config(tmp_path, tmp_path / "corpus")
    code, _, errors = command(features_command, "--config", config, "--list")
    assert code == 1 and "holds features of none of toy; run stage 1 first" in errors


def test_a_store_without_its_settings_is_named(call, processed):
    (processed / "tiny" / "store_settings.json").write_text("{}")
    code, _, errors = call("--list")
    assert code == 1 and "lack hop_size and sample_rate" in errors


def test_a_damaged_shard_is_warned_of(processed, capsys):
    (shard,) = (processed / "tiny" / "features").glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1])
    (store,) = stores_in(processed)
    assert store.features == []
    assert f"warning: {shard}: is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--list",),
        ("folder",),
        ("folder", "--list", "--config", "x.json"),
        ("folder", "--list", "--show", ID),
        ("folder", "--list", "--set", "a=1"),
        ("folder", "--export", ID),
        ("folder", "--replace", ID, "mel"),
    ],
)
def test_wrong_usage_is_refused(command, arguments):
    assert command(features_command, *arguments)[0] == 2


@pytest.mark.slow
def test_stage_1_keeps_replaced_features_and_uses_them(command, tmp_path):
    make_corpus(tmp_path / "corpus", 10)
    config = write_config(tmp_path, tmp_path / "corpus")
    prepare(load(config))
    processed = tmp_path / "processed"
    store = FeatureStore.open(processed / "toy")
    mean_before = json.loads((processed / "statistics.json").read_text())["toy"]["energy"]["mean"]
    for id_ in store.ids("energy"):
        louder = saved(tmp_path, store.read(id_, "energy") * 2)
        assert command(features_command, "--config", config, "--replace", id_, "energy", louder)[0] == 0
    assert prepare(load(config)).prepared == 0
    mean = json.loads((processed / "statistics.json").read_text())["toy"]["energy"]["mean"]
    assert mean == pytest.approx(2 * mean_before, rel=0.02)  # of a histogram
