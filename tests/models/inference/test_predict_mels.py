"""Predicted mels: teacher-forced, frame for frame with the recordings, by one model only."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.bundles.locate import find_bundle
from models.inference import predict_mels as prediction
from models.inference.predict_mels import PredictionError, predict_mels
from models.inference.vocode import sources_from_dataset
from models.runs.train import sources_of_data
from processors.datasets.vocoder_data import open_recordings
from processors.feature_store import FeatureStore, ShardWriter
from processors.features import PREDICTED_BY, PREDICTED_MEL, DataError
from processors.speakers.sources import Source, write_sources
from processors.text.arpabet import INVENTORY
from processors.text.symbols import LATER, SymbolTable
from processors.utterance import write_manifest
from tests.support.commands import call
from tests.support.tiny_features import HOP_SIZE, N_MEL, write_features
from tests.support.tiny_models import TinyModel
from tests.support.tiny_vocoder import tiny_vocoder_bundle

N_UTTERANCES = 13


class House:
    """Features, and bundles of acoustic models that fit them."""

    def __init__(self, folder):
        self.folder, self.processed_dir = folder, folder / "processed"
        self.utterances = write_features(self.processed_dir)

    def task(self, model_type="FastSpeech2", *overrides, seed=0):
        return TinyModel(model_type, self.folder).task(*overrides, seed=seed)

    def bundle(self, seed=0, *overrides):
        folder = self.folder / f"voice-{seed}" / "bundle"
        self.task("FastSpeech2", *overrides, seed=seed).bundle(folder)
        return find_bundle(folder)

    def predict(self, bundle, **options):
        return predict_mels(bundle, self.processed_dir, ["tiny"], **options)

    @property
    def store(self):
        return FeatureStore.open(self.processed_dir / "tiny")

    def predicted(self):
        store = self.store
        return {id_: store.read(id_, PREDICTED_MEL) for id_ in store.ids(PREDICTED_MEL)}


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_every_recording_of_every_split_gets_a_mel_of_its_length(house):
    assert house.predict(house.bundle()) == N_UTTERANCES
    store, predicted = house.store, house.predicted()
    assert predicted.keys() == {utterance.id for utterance in house.utterances}
    for id_, mel in predicted.items():
        assert mel.shape == (store.length(id_, "mel"), N_MEL)
        assert len(mel) * HOP_SIZE == store.length(id_, "waveform")
        assert mel.dtype == np.float32 and np.isfinite(mel).all()


@pytest.mark.parametrize("level", ["phone", "frame"])
def test_predicted_mels_are_the_networks_teacher_forced_ones(house, level):
    levels = (f"model.pitch_level={level}", f"model.energy_level={level}")
    bundle = house.bundle(0, *levels)
    house.predict(bundle)
    task = house.task("FastSpeech2", *levels)
    task.modules["network"].load_state_dict(dict(bundle.weights))
    network = task.modules["network"].eval()
    predicted = house.predicted()
    with torch.no_grad():
        for batch in task.valid_batches():
            outputs = network(batch)
            mels = outputs.mel if outputs.refined_mel is None else outputs.refined_mel
            for id_, mel, length in zip(batch.ids, mels, batch.mel_lengths, strict=True):
                np.testing.assert_allclose(predicted[id_], mel[:, :length].T, rtol=1e-4, atol=1e-4)


def test_a_second_run_makes_only_what_is_missing(house):
    bundle = house.bundle()
    house.predict(bundle)
    before = house.predicted()
    assert house.predict(bundle) == 0
    # As stage 1 leaves an utterance that it made anew, and one of another length.
    store = house.store
    features = [name for name in store.features if not name.startswith("predicted")]
    with ShardWriter(store.folder) as writer:
        first, second = (utterance.id for utterance in house.utterances[:2])
        kept = {name: store.read(first, name) for name in features}
        writer.remove(first)
        writer.add(first, kept)
        writer.add(second, {PREDICTED_MEL: before[second][:-1]})
    assert first not in house.predicted()
    assert house.predict(bundle) == 2
    after = house.predicted()
    assert all(np.allclose(after[id_], mel, atol=1e-5) for id_, mel in before.items())


@pytest.mark.slow
def test_a_stopped_run_is_continued(house, monkeypatch):
    bundle = house.bundle()
    monkeypatch.setattr(prediction, "_BATCH_SIZE", 2)
    monkeypatch.setattr(prediction, "_MAX_BYTES_HELD", 1)
    real = prediction.ShardWriter.add

    def stop_at_the_sixth(writer, utterance_id, features):
        if len(house.predicted()) == 5:
            raise KeyboardInterrupt
        real(writer, utterance_id, features)

    monkeypatch.setattr(prediction.ShardWriter, "add", stop_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        house.predict(bundle)
    with pytest.raises(KeyboardInterrupt):
        house.predict(house.bundle(1), overwrite=True)
    monkeypatch.setattr(prediction.ShardWriter, "add", real)
    # The second was to replace all: it may continue without the flag, the first may not.
    with pytest.raises(PredictionError, match="voice-1"):
        house.bundle(2)
        house.predict(find_bundle(house.folder / "voice-2"))
    assert 0 < house.predict(find_bundle(house.folder / "voice-1")) <= N_UTTERANCES
    assert len({house.store.read(id_, PREDICTED_BY).tobytes() for id_ in house.predicted()}) == 1


@pytest.mark.slow
def test_mels_of_two_models_do_not_mix(house):
    first, second = house.bundle(0), house.bundle(1)
    house.predict(first)
    before = house.predicted()
    with pytest.raises(PredictionError, match=r"another model, .*voice-0.*--overwrite"):
        house.predict(second)
    assert house.predict(second, overwrite=True) == N_UTTERANCES
    assert all(not np.allclose(mel, before[id_]) for id_, mel in house.predicted().items())
    # The same model from another place is the same.
    assert house.predict(replace(second, folder=house.folder / "moved")) == 0


def test_a_vocoder_refuses_mels_of_two_models_or_of_another_length(house):
    def train():
        return open_recordings(house.processed_dir, ["tiny"], "train", mel_feature=PREDICTED_MEL)

    with pytest.raises(DataError, match=r"bins\.predict_mels"):
        train()
    house.predict(house.bundle())
    train()
    id_ = house.utterances[0].id
    mel, by = house.predicted()[id_], house.store.read(id_, PREDICTED_BY)
    with ShardWriter(house.store.folder) as writer:
        writer.add(id_, {PREDICTED_BY: by + 1})
    with pytest.raises(DataError, match="2 acoustic models"):
        train()
    with ShardWriter(house.store.folder) as writer:
        writer.add(id_, {PREDICTED_BY: by, PREDICTED_MEL: mel[1:]})
    with pytest.raises(DataError, match=f"{id_} has {len(mel)} frames, its predicted mel {len(mel) - 1}"):
        train()


def test_a_vocoder_trains_on_predicted_mels_in_step_with_the_waveform(house):
    house.predict(house.bundle())
    # A recording that a vocoder's stage 1 has added for its sound alone has no predicted mel, and is no obstacle.
    manifest = house.processed_dir / "tiny" / "train.jsonl"
    train = [utterance for utterance in house.utterances if utterance.split == "train"]
    write_manifest(manifest, [*train, replace(train[0], id="sound", text="", phones=(), durations=())])
    task = house.task("HiFiGAN", 'train.mel_source="predicted"', "train.batch_size=1")
    predicted, store = house.predicted(), house.store
    [batch, *_] = next(iter(task.train_batches().groups(0)))
    mel, sound = predicted[batch.ids[0]], store.read(batch.ids[0], "waveform").astype(np.float32) / 32768
    segment = batch.mel[0].T.numpy()
    [start] = [at for at in range(len(mel)) if np.array_equal(mel[at : at + len(segment)], segment)]
    np.testing.assert_array_equal(batch.waveform[0], sound[start * HOP_SIZE :][: batch.waveform.shape[1]])
    assert all("sound" not in batch.ids for group in task.train_batches().groups(0) for batch in group)


def test_predicted_mels_of_a_split_are_vocoded(house):
    def sources(mel_source):
        return sources_from_dataset(house.processed_dir, ["tiny"], "valid", preprocess, mel_source)

    preprocess = house.bundle().settings.preprocess
    with pytest.raises(DataError, match=r"no predicted_mel, such as .*; run python -m bins.predict_mels"):
        sources("predicted")
    house.predict(house.bundle())
    recorded, predicted = sources("recorded"), sources("predicted")
    assert predicted and [source.name for source in predicted] == [source.name for source in recorded]
    for source, other in zip(predicted, recorded, strict=True):
        np.testing.assert_array_equal(source.read().mel.T, house.predicted()[source.name])
        np.testing.assert_array_equal(source.read().recording, other.read().recording)


def test_a_model_of_other_features_is_refused_by_name(house):
    bundle = house.bundle()
    preprocess = bundle.settings.preprocess.model_copy(update={"hop_size": 32, "fmax": 3000.0})
    other = replace(bundle, settings=bundle.settings.model_copy(update={"preprocess": preprocess}))
    with pytest.raises(PredictionError, match=r"hop_size 64 \(the model: 32\).*fmax"):
        house.predict(other)


def test_symbols_collected_later_are_compared_by_name(house):
    """The store's stamp covers the first symbols only."""
    for found, fault in (("c", None), ("d", "a symbol table that differs")):
        SymbolTable([*INVENTORY, LATER, "c"]).save(house.processed_dir / "symbols.json")
        bundle = house.bundle()
        SymbolTable([*INVENTORY, LATER, found]).save(house.processed_dir / "symbols.json")
        with pytest.raises(PredictionError, match=fault) if fault else contextlib.nullcontext():
            house.predict(bundle)


def test_a_vocoder_and_unknown_speakers_are_refused(house):
    with pytest.raises(PredictionError, match="HiFiGAN, which is not an acoustic model"):
        house.predict(tiny_vocoder_bundle())
    bundle = house.bundle()
    with pytest.raises(PredictionError, match="was not trained on b"):
        statistics = {"a": bundle.statistics["a"], "c": bundle.statistics["b"]}
        house.predict(replace(bundle, speakers={"a": 0, "c": 1}, statistics=statistics))


def test_the_command_finds_the_experiment_by_name(house):
    house.bundle()
    flags = TinyModel("FastSpeech2", house.folder).flags()
    done = call("bins.predict_mels", *flags, "--name", "voice-0", "--gpu", "")
    assert done.returncode == 0, done.stderr
    assert f"{N_UTTERANCES} mels predicted" in done.stdout
    assert len(house.predicted()) == N_UTTERANCES


def test_a_vocoder_of_predicted_mels_inherits_the_teachers_of_the_model_that_predicted_them(house):
    own, teacher = Source("recordings' own", "CC0-1.0"), Source("a teacher", "Apache-2.0")
    write_sources(house.processed_dir / "tiny", [own])
    house.predict(replace(house.bundle(), sources=(teacher,)))
    vocoder = TinyModel("HiFiGAN", house.folder)
    assert sources_of_data(vocoder.settings()) == (own,)
    assert sources_of_data(vocoder.settings("train.mel_source=predicted")) == (own, teacher)
    house.predict(house.bundle(), overwrite=True)
    assert sources_of_data(vocoder.settings("train.mel_source=predicted")) == (own,)
