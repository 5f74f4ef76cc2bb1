"""Stage 1 for models that learn durations: no alignment, edges trimmed by level, no durations in the store."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from config.load import SettingsError
from models.bundles.locate import find_bundle
from models.inference.predict_mels import predict_mels
from models.inference.synthesizer import Synthesizer
from models.registry import features_for, make_task
from processors.feature_store import FeatureStore, StoreError
from processors.features import PREDICTED_MEL, UNALIGNED_FEATURES, DataError, lacks_durations
from processors.preparation import report
from processors.preparation.prepare import prepare, prepare_share
from processors.preparation.trimming import speech_span_by_level
from processors.utterance import SPLITS, read_manifest
from tests.support.small_corpus import (
    EDGE_S,
    PHONE_S,
    RATE,
    load,
    make_corpus,
    waveform_of,
    write_config,
    write_metadata,
)
from tests.support.tiny_models import SMALL
from utils.processes import Processes
from utils.share import Share
from utils.trainer import Trainer, TrainerOptions

HOP = 128
NVIDIA = {"phone_extractor": "mixed", "pitch_scale": "hz", "pitch_statistics": "corpus"}


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(report, "_shown", lambda *_: ())


def write_learned(folder, corpus, model="fastpitch_small", **preprocess):
    """Write a config of FastPitch for a corpus whose TextGrids are not used."""
    config = write_config(folder, corpus, textgrid_dir="", num_workers=1, **preprocess)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_config": f"config/{model}.json"}))
    return config


def load_learned(config, *overrides):
    return load(config, *SMALL["FastPitch"], "train.num_workers=0", "train.batch_size=4", *overrides)


def made_in(processed):
    store = FeatureStore.open(processed / "toy")
    made = {(id_, name): store.read(id_, name).tobytes() for name in store.features for id_ in store.ids(name)}
    for path in [*processed.glob("toy/*.jsonl"), processed / "symbols.json", processed / "statistics.json"]:
        made[path.name] = path.read_bytes()
    return made


def test_edges_are_trimmed_by_level_to_some_silence():
    text = "See my new tea so."
    for noise in (0.0, 1e-3):
        recording = waveform_of(text) + noise * np.random.default_rng(1).standard_normal(len(waveform_of(text)))
        start, stop = speech_span_by_level(recording.astype(np.float32) + 0.01, sample_rate=RATE, edge_silence_ms=100)
        assert start / RATE == pytest.approx(EDGE_S - 0.1, abs=0.03)
        assert stop / RATE == pytest.approx(EDGE_S + 10 * PHONE_S + 0.1, abs=0.03)
    silent = np.zeros(RATE, dtype=np.float32)
    assert speech_span_by_level(silent, sample_rate=RATE, edge_silence_ms=100) == (0, RATE)
    assert speech_span_by_level(waveform_of(text), sample_rate=RATE, edge_silence_ms=1e4) == (0, len(recording))


@pytest.mark.slow
def test_stage_1_without_an_alignment_serves_training_and_resumes(tmp_path):
    of_id = make_corpus(tmp_path / "corpus", 8)
    write_metadata(tmp_path / "corpus", {id_: text.replace(" ", ", ", 1) for id_, text in of_id.items()})
    settings = load_learned(write_learned(tmp_path / "alone", tmp_path / "corpus", **NVIDIA))
    features, processed = features_for(settings), tmp_path / "alone" / "processed"
    assert features == UNALIGNED_FEATURES
    summary = prepare(settings, features=features)
    assert (summary.usable, summary.rejected) == (8, 0)
    assert not list(processed.rglob("*.TextGrid")) and not list(tmp_path.rglob("processed/aligner"))
    page = (processed / "toy" / "report.md").read_text()
    assert "Alignment" not in page and re.search(r"\| 1[45]\d \(", page), page
    store = FeatureStore.open(processed / "toy")
    assert lacks_durations(store.settings) and "durations" not in store.features
    for split in SPLITS:
        for utterance in read_manifest(processed / "toy" / f"{split}.jsonl"):
            assert utterance.phones[-1] == "." and not utterance.durations
            assert utterance.frames * HOP / RATE == pytest.approx(10 * PHONE_S + 0.2, abs=0.05)
            if utterance.text.startswith("See, my"):
                assert utterance.phones[:6] == ("@S", "@IY1", ",", " ", "@M", "@AY1")
    # Nothing is made twice, and machines that share the work make the same.
    assert prepare(settings, features=features).prepared == 0
    shared = load_learned(write_learned(tmp_path / "shared", tmp_path / "corpus", **NVIDIA))
    assert prepare_share(shared, Share(2, 2), features=features) is None
    assert prepare_share(shared, Share(1, 2), features=features) is not None
    assert made_in(tmp_path / "shared" / "processed") == made_in(processed)
    # Training, speaking, and mels for a vocoder.
    task = make_task(settings)
    options = TrainerOptions(max_steps=2, save_every_steps=2, valid_every_steps=2, sample_every_steps=2)
    Trainer(task, task.train_batches(), task.valid_batches(), tmp_path / "run", options, Processes(cpu=True)).fit()
    bundle = find_bundle(tmp_path / "run")
    assert Synthesizer(bundle)("See my new tea.").duration_s > 0
    assert predict_mels(bundle, processed, ["toy"]) == 8
    store = FeatureStore.open(processed / "toy")
    assert all(store.length(id_, PREDICTED_MEL) == store.length(id_, "mel") for id_ in store.ids("mel"))


@pytest.mark.slow
def test_features_without_durations_are_refused_by_models_that_need_them(tmp_path):
    make_corpus(tmp_path / "corpus", 8)
    learned = load_learned(write_learned(tmp_path, tmp_path / "corpus"))
    prepare(learned, features=features_for(learned))
    store = FeatureStore.open(tmp_path / "processed" / "toy")
    phones = read_manifest(tmp_path / "processed" / "toy" / "train.jsonl")[0].phones
    assert phones[0] == "sil" and phones[-1] == "."
    stored = load_learned(write_learned(tmp_path, tmp_path / "corpus"), "model.durations=stored")
    with pytest.raises(DataError, match="was made without durations, for a model that learns them"):
        make_task(stored).train_batches()
    with pytest.raises(StoreError, match="was made without durations, and this model's stage 1 makes features with"):
        prepare(stored, features=features_for(stored))
    aligned = load(write_config(tmp_path / "aligned", tmp_path / "corpus", num_workers=1))
    prepare(aligned)
    over = load_learned(write_learned(tmp_path / "aligned", tmp_path / "corpus"))
    with pytest.raises(StoreError, match="was made with durations, and this model's stage 1 makes features without"):
        prepare(over, features=features_for(over))
    # Training with learned durations reads both.
    for settings in (learned, over):
        batch = next(iter(make_task(settings).valid_batches()))
        assert (batch.durations.sum(dim=1) == batch.mel_lengths).all() == (settings is over)
    assert prepare(over, features=features_for(over), overwrite=True).prepared == 8
    assert store.settings["durations"] == "learned"


def test_what_needs_an_alignment_is_refused_beside_learned_durations(tmp_path):
    make_corpus(tmp_path / "corpus", 1)
    config = write_learned(tmp_path, tmp_path / "corpus")
    with pytest.raises(SettingsError, match="cut and joined at the times of an alignment"):
        load(config, "preprocess.phrases_share=0.1")
    with pytest.raises(SettingsError, match='letters of "mixed" need TextGrids'):
        load(config, "preprocess.phone_extractor=mixed", "model.durations=stored")
    with pytest.raises(SettingsError, match='letters of "mixed" need TextGrids'):
        load(write_config(tmp_path, tmp_path / "corpus"), "preprocess.phone_extractor=mixed")
