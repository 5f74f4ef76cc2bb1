"""Speakers known by what their voices are like."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import types

import numpy as np
import pytest
import torch

from config.load import SettingsError
from models.bundles.locate import find_bundle, open_bundle
from models.contracts import HasEmbeddingRows
from models.registry import make_task, open_network
from processors.feature_store import FeatureStore
from processors.preparation import report
from processors.preparation.prepare import prepare
from processors.speakers.speaker_embeddings import (
    EMBEDDINGS_FILE,
    SpeakerEmbeddings,
    SpeakerEmbeddingsError,
    embed_speakers,
)
from processors.speakers.speaker_encoders import (
    OnnxEncoder,
    SpeakerEncoderError,
    StatisticsEncoder,
    StoredRecording,
    make_speaker_encoder,
)
from processors.utterance import read_manifest
from tests.support.small_corpus import load, make_corpus, write_config
from tests.support.tiny_models import TinyModel, batches_of

RATE = 16000


def recording(seed, *, f0_hz=150.0, tilt=0.02, level=0.0, frames=200):
    """Made speech of one voice: its pitch moves, its spectrum falls, and it pauses."""
    rng = np.random.default_rng(seed)
    mel = rng.normal(size=(frames, 40)) * 0.5 - 3.0 - tilt * np.arange(40) + level
    mel[:50] = -11.0 + level
    f0 = f0_hz * np.exp(rng.normal(size=frames) * 0.1)
    f0[:80] = 0.0
    waveform = (rng.normal(size=RATE) * 3000).astype(np.int16)
    return StoredRecording(waveform, RATE, mel.astype(np.float32), f0.astype(np.float32))


def test_recordings_of_one_speaker_are_more_similar_than_of_two():
    encoder = StatisticsEncoder()
    one, again, high, dark = (
        encoder.embed(stored)
        for stored in (recording(1), recording(2), recording(3, f0_hz=250.0), recording(4, tilt=0.1))
    )
    within = np.linalg.norm(one - again)
    assert one.shape == (43,) and within < np.linalg.norm(one - high) / 2 and within < np.linalg.norm(one - dark) / 2


def test_loudness_and_pauses_do_not_change_an_embedding():
    encoder = StatisticsEncoder()
    stored = recording(1)
    louder = recording(1, level=2.0)
    np.testing.assert_allclose(encoder.embed(stored), encoder.embed(louder), atol=1e-4)
    longer = StoredRecording(
        stored.waveform,
        RATE,
        np.pad(stored.mel, ((300, 0), (0, 0)), constant_values=-11.5),
        np.pad(stored.f0_hz, (300, 0)),
    )
    np.testing.assert_allclose(encoder.embed(stored), encoder.embed(longer), atol=1e-4)


def write_onnx(path, input_shape=(1, 0)):
    """Write a network that gives what it gets, by the bytes of ONNX's protobuf: no package for it is needed."""

    def field(number, content):
        if isinstance(content, int):
            return bytes([number << 3]) + varint(content)
        content = content.encode() if isinstance(content, str) else content
        return bytes([number << 3 | 2]) + varint(len(content)) + content

    def varint(value):
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    def tensor(name, shape):
        sizes = b"".join(field(1, field(1, size) if size else field(2, "T")) for size in shape)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, sizes)))

    node = field(1, "x") + field(2, "y") + field(4, "Identity")
    graph = field(1, node) + field(2, "g") + field(11, tensor("x", input_shape)) + field(12, tensor("y", input_shape))
    path.write_bytes(field(1, 7) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


def test_onnx_network_gets_waveforms_at_16_khz(tmp_path):
    pytest.importorskip("onnxruntime")
    encoder = OnnxEncoder(write_onnx(tmp_path / "voice.onnx"))
    stored = recording(1)
    embedding = encoder.embed(StoredRecording(stored.waveform, 2 * RATE, stored.mel, stored.f0_hz))
    assert embedding.shape == (RATE // 2,) and np.mean(embedding**2) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "there is no such file"),
        (lambda path: path.write_text("no network") and path, "is not a network that onnxruntime can run"),
        (lambda path: write_onnx(path, (1, 0, 80)), r"takes x tensor\(float\)\[1, 'T', 80\]; a speaker encoder must"),
    ],
)
def test_networks_with_other_inputs_are_refused(tmp_path, make, message):
    pytest.importorskip("onnxruntime")
    with pytest.raises(SpeakerEncoderError, match=message):
        OnnxEncoder(make(tmp_path / "voice.onnx"))


@pytest.mark.parametrize(("encoder", "package"), [("resemblyzer", "resemblyzer"), ("onnx", "onnxruntime")])
def test_a_missing_package_is_an_error_before_any_work(tmp_path, monkeypatch, encoder, package):
    make_corpus(tmp_path / "corpus", 12)
    path = "voice.onnx" if encoder == "onnx" else ""
    settings = load(write_config(tmp_path, tmp_path / "corpus", speaker_encoder=encoder, speaker_encoder_path=path))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(SpeakerEncoderError, match=rf'"{encoder}": .*not installed; `pip install {package}`'):
        prepare(settings)
    assert not (tmp_path / "processed" / "toy").exists()


def test_resemblyzer_gets_preprocessed_waveforms(tmp_path, monkeypatch):
    class VoiceEncoder:
        def __init__(self, device, verbose):
            assert device == "cpu" and not verbose

        def embed_utterance(self, waveform):
            return np.ones(256) / 16 if waveform.dtype == np.float32 and abs(waveform).max() <= 1 else None

    package = types.SimpleNamespace(
        VoiceEncoder=VoiceEncoder, preprocess_wav=lambda waveform: waveform[:0] if len(waveform) < 100 else waveform
    )
    monkeypatch.setitem(sys.modules, "resemblyzer", package)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    make_corpus(tmp_path / "corpus", 12)
    settings = load(write_config(tmp_path, tmp_path / "corpus", speaker_encoder="resemblyzer"))
    encoder = make_speaker_encoder(settings.preprocess)
    stored = recording(1)
    assert encoder.embed(stored) == pytest.approx(np.ones(256))
    silent = StoredRecording(stored.waveform[:50], RATE, stored.mel, stored.f0_hz)
    assert np.isnan(encoder.embed(silent)).all()


@pytest.mark.slow
def test_stage_1_embeds_every_speaker_of_the_training_split(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_shown", lambda *_: ())
    make_corpus(tmp_path / "corpus", 12)
    settings = load(write_config(tmp_path, tmp_path / "corpus", speaker_encoder="statistics"))
    prepare(settings)
    processed = tmp_path / "processed"
    embeddings = SpeakerEmbeddings.open(processed / EMBEDDINGS_FILE)
    speakers = json.loads((processed / "speakers.json").read_text())
    assert embeddings.encoder == "statistics" and embeddings.vectors.keys() == speakers.keys()
    [vector] = embeddings.vectors.values()
    assert vector.shape == (43,) and np.isfinite(vector).all()


class Deaf:
    def __init__(self, stored):
        self.stored = stored

    def embed(self, recording):
        return np.array([self.stored, np.nan], dtype=np.float32)


def test_undefined_components_are_zero_and_an_empty_embedding_is_an_error(tmp_path):
    tiny = TinyModel("FastSpeech2", tmp_path)
    folder = tiny.processed_dir / "tiny"
    utterances, stores = read_manifest(folder / "train.jsonl"), {"tiny": FeatureStore.open(folder)}
    embeddings = embed_speakers(utterances, stores, Deaf(1.0), name="statistics", sample_rate=8000)
    assert {name: vector.tolist() for name, vector in embeddings.vectors.items()} == {"a": [1.0, 0.0], "b": [1.0, 0.0]}
    with pytest.raises(SpeakerEncoderError, match="no speech in any recording of a"):
        embed_speakers(utterances, stores, Deaf(np.nan), name="statistics", sample_rate=8000)


# A model that knows its speakers by their voices


@pytest.fixture
def tiny(tmp_path):
    by_voice = ("model.speaker_conditioning=encoder", "preprocess.speaker_encoder=statistics")
    tiny = TinyModel("FastSpeech2", tmp_path, *by_voice)
    vectors = {name: np.random.default_rng(row).normal(size=7).astype(np.float32) for row, name in enumerate("ab")}
    SpeakerEmbeddings("statistics", vectors).save(tiny.processed_dir / EMBEDDINGS_FILE)
    return tiny


def test_every_parameter_gets_a_gradient_and_speakers_differ(tiny):
    task = tiny.task()
    batch = tiny.batch()
    [update] = task.updates(batch, 0)
    sum(term.weight * term.value for term in update.terms.values()).backward()
    assert all(parameter.grad.any() for parameter in task.modules["network"].parameters())
    rows = task.modules["network"].speaker_embedding(torch.tensor([0, 1]))
    assert not torch.allclose(rows[0], rows[1])
    assert isinstance(task, HasEmbeddingRows) and list(task.embedding_rows()) == ["network.phoneme_embedding.weight"]


@pytest.mark.slow
@pytest.mark.usefixtures("blank_pictures")
def test_a_run_resumes_exactly(tiny):
    unbroken = tiny.train("unbroken", 4, valid_every_steps=2).task
    tiny.train("broken", 3, valid_every_steps=2)
    resumed = tiny.train("broken", 4, resume=True, valid_every_steps=2).task
    wanted, found = unbroken.modules["network"].state_dict(), resumed.modules["network"].state_dict()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.slow
def test_the_bundle_holds_the_embeddings(tiny):
    task = tiny.train("run", 2).task
    [batch, *_] = batches_of(tiny.task())
    task.bundle(tiny.folder / "bundle")
    shutil.rmtree(tiny.processed_dir)
    bundle = find_bundle(tiny.folder / "bundle")
    network = open_network(bundle).eval()
    with torch.no_grad():
        assert torch.equal(network(batch).mel, task.modules["network"].eval()(batch).mel)
    assert bundle.embeddings is not None and list(bundle.embeddings.vectors) == ["a", "b"]
    (tiny.folder / "bundle" / EMBEDDINGS_FILE).unlink()
    with pytest.raises(SpeakerEmbeddingsError, match="no speaker embedding of a; run stage 1 again, or copy the whole"):
        open_network(open_bundle(tiny.folder / "bundle"))


def test_missing_damaged_and_foreign_embeddings_are_refused(tiny):
    path = tiny.processed_dir / EMBEDDINGS_FILE
    embeddings = SpeakerEmbeddings.open(path)
    with pytest.raises(SpeakerEmbeddingsError, match=r'were computed by "statistics", but .* is "resemblyzer"'):
        make_task(tiny.settings("preprocess.speaker_encoder=resemblyzer"))
    SpeakerEmbeddings("statistics", {"a": embeddings.vectors["a"]}).save(path)
    with pytest.raises(SpeakerEmbeddingsError, match="no speaker embedding of b"):
        tiny.task()
    for content in ("{", "[]", '{"encoder": "x", "vectors": {"a": [1], "b": [1, 2]}}', '{"vectors": {"a": ["x"]}}'):
        path.write_text(content)
        with pytest.raises(SpeakerEmbeddingsError, match=EMBEDDINGS_FILE):
            tiny.task()
    path.unlink()
    with pytest.raises(SpeakerEmbeddingsError, match="no speaker embedding of a; run stage 1 again"):
        tiny.task()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("preprocess.speaker_encoder=none",), '"encoder" needs a preprocess.speaker_encoder'),
        (("preprocess.speaker_encoder=onnx",), "a file is needed for"),
        (("preprocess.speaker_encoder_path=voice.onnx",), "and only then"),
        (("preprocess.speaker_encoder=resemblizer",), "resemblyzer"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tiny, overrides, message):
    with pytest.raises(SettingsError, match=message):
        tiny.settings(*overrides)
