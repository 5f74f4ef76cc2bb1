"""Training evaluates its checkpoints by the speech that they make of validation utterances."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from config.load import SettingsError
from config.schema import MetricName
from models.inference import vocoder as vocoder_module
from models.registry import make_task
from models.runs import speech_evaluation
from models.runs.experiment_settings import trainer_options
from models.runs.speech_evaluation import SpeechEvaluation, evaluation_process, ranked_by
from models.runs.spoken_texts import SpokenTexts
from models.runs.train import train
from processors.audio.audio_file import read_audio
from processors.evaluation.metrics import METRICS
from tests.support.tiny_models import TinyModel
from utils.board import BoardReader
from utils.checkpoint import open_checkpoint
from utils.errors import RecitalError
from utils.logbook import read_logbook
from utils.sample_folder import SampleFolder

EVERY_2 = ("train.evaluate_every_steps=2", "train.evaluate_sentences=2", "train.batch_size=3", "train.precision=fp32")


@pytest.fixture
def tiny(tmp_path):
    return lambda model_type, *overrides: TinyModel(model_type, tmp_path, *EVERY_2, *overrides)


def evaluated(folder, metric: str) -> dict[int, float]:
    name = f"evaluation/{metric}"
    return {line["step"]: line[name] for line in read_logbook(folder / "logbook.jsonl") if name in line}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model_type", "metrics"),
    [("FastSpeech2", ("mel_change", "mel_deviation")), ("HiFiGAN", ("mel", "mel_change"))],
)
def test_the_speech_of_each_evaluated_checkpoint_is_measured(tiny, tmp_path, model_type, metrics):
    """By an acoustic model, free speech through Griffin-Lim; by a vocoder, copies."""
    named = f"train.evaluate_metrics={list(metrics)}"
    keeps = ("train.keep_samples=1", 'train.sample_texts=["Hello there."]')
    settings = tiny(model_type, named, "train.max_steps=4", "train.keep_last=2", *keeps).settings()
    assert train(settings, "first") == 0
    folder = tmp_path / "first"
    for metric in metrics:
        found = evaluated(folder, metric)
        assert found.keys() == {2, 4} and all(value > 0 for value in found.values())
    samples = SampleFolder(folder)
    sentences = samples.sentences()
    texts = [text for utterance, text in sentences.values() if not utterance]
    assert texts == (["Hello there."] if model_type == "FastSpeech2" else []) and len(sentences) == 2 + len(texts)
    assert samples.steps() == [4] and len(list(samples.recorded.iterdir())) == 2
    for stem in sentences:
        assert np.ptp(read_audio(samples.of_step(4) / f"{stem}.flac", 8000)) > 0
    again = SpeechEvaluation(settings).evaluate(folder / "checkpoint" / "step-00000002")
    assert again == pytest.approx({metric: evaluated(folder, metric)[2] for metric in metrics}, rel=1e-4)
    assert open_checkpoint(folder / "checkpoint" / "step-00000002").metadata["awaits_figures"] is True


@pytest.mark.slow
def test_an_acoustic_model_may_speak_through_a_vocoder(tiny, tmp_path, monkeypatch):
    train(tiny("HiFiGAN", "train.max_steps=2", "train.evaluate_every_steps=0").settings(), "vocoder")
    train(tiny("FastSpeech2", "train.max_steps=2", "train.evaluate_every_steps=0").settings(), "voice")
    checkpoint = tmp_path / "voice" / "checkpoint" / "step-00000002"
    figures = [
        SpeechEvaluation(
            tiny("FastSpeech2", f"train.evaluate_vocoder={vocoder}", 'train.evaluate_metrics=["mel_change"]').settings()
        ).evaluate(checkpoint)["mel_change"]
        for vocoder in ("griffin_lim", tmp_path / "vocoder")
    ]
    assert figures[0] != figures[1] and min(figures) > 0
    monkeypatch.setattr(vocoder_module, "SHIPPED_VOCODER", tmp_path / "vocoder" / "bundle")
    unnamed = tiny("FastSpeech2", 'train.evaluate_metrics=["mel_change"]').settings()
    assert SpeechEvaluation(unnamed).evaluate(checkpoint)["mel_change"] == figures[1]
    with pytest.raises(RecitalError, match="no such folder"):
        evaluation_process(
            tiny("FastSpeech2", "train.evaluate_vocoder=nowhere", 'train.evaluate_metrics=["mel_change"]').settings()
        )


@pytest.mark.slow
def test_without_the_package_there_is_one_warning_and_training_goes_on(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("processors.evaluation.metric.are_installed", lambda packages: not packages)
    settings = tiny("FastSpeech2", "train.max_steps=4", "train.keep_best_by=distillmos").settings()
    assert train(settings, "first") == 0
    assert capsys.readouterr().err.count("train.evaluate_metrics: no distillmos without their packages") == 1
    assert evaluated(tmp_path / "first", "distillmos") == {}
    assert ranked_by(settings) == "loss"
    some = tiny("FastSpeech2", 'train.evaluate_metrics=["distillmos", "mel_change"]').settings()
    assert evaluation_process(some) is not None
    assert [metric.name for metric in SpeechEvaluation(some)._metrics] == ["mel_change"]


@pytest.mark.slow
def test_texts_outside_of_the_corpus_are_spoken_without_a_trace_in_the_training(tmp_path, capsys):
    """Those that cannot be spoken are named, and the voice's own language chooses what is not set."""
    common = ("train.max_steps=2", "train.sample_every_steps=1", "train.batch_size=3", "model.dropout=0.3")
    weights = []
    for name, texts in (("silent", "[]"), ("spoken", '["Hello there.", "..."]')):
        settings = TinyModel("FastSpeech2", tmp_path, *common, f"train.sample_texts={texts}").settings()
        assert train(settings, name) == 0
        weights.append(open_checkpoint(tmp_path / name / "checkpoint" / "step-00000002").weights("network"))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    _, sounds = BoardReader(tmp_path / "spoken" / "tensorboard", 8).read()
    assert [sample.step for sample in sounds["text_0/spoken"]] == [1, 2] and "text_1/spoken" not in sounds
    assert capsys.readouterr().err.count("train.sample_texts: text empty: nothing to synthesize in '...'") == 1
    unset = settings.model_copy(update={"train": settings.train.model_copy(update={"sample_texts": None})})
    task = make_task(unset)
    assert len(SpokenTexts(unset, task)().audio) == 2
    broken = unset.model_copy(
        update={"train": settings.train.model_copy(update={"evaluate_vocoder": "nowhere", "sample_texts": None})}
    )
    spoken = SpokenTexts(broken, task)
    assert spoken().audio == spoken().audio == {}
    assert capsys.readouterr().err.count("train.sample_texts are not spoken: ") == 1


def test_settings_that_contradict_each_other_are_refused(tiny):
    for wrong, message in (
        (("train.keep_best_by=distillmos", "train.evaluate_every_steps=0"), "needs evaluate_every_steps"),
        (("train.keep_best_by=distillmos", 'train.evaluate_metrics=["mel"]'), '"distillmos" among evaluate_metrics'),
        (('train.evaluate_metrics=["wer"]',), "needs evaluate_whisper_model"),
        (('train.evaluate_metrics=["mell"]',), "mell"),
    ):
        with pytest.raises(SettingsError, match=message):
            tiny("FastSpeech2", *wrong).settings()
    with pytest.raises(SettingsError, match="an aligner makes no speech"):
        tiny("Aligner").settings()


def test_every_metric_of_synthesised_speech_can_be_chosen():
    assert [metric.name for metric in METRICS if not metric.name.startswith("reference_")] == list(get_args(MetricName))


def test_nothing_is_evaluated_unless_asked_for(tiny):
    settings = tiny("FastSpeech2", "train.evaluate_every_steps=0").settings()
    assert evaluation_process(settings) is None
    assert trainer_options(settings).evaluate_every_steps == 0


def test_an_empty_validation_split_is_named_before_training(tiny, monkeypatch):
    monkeypatch.setattr(speech_evaluation, "open_split", lambda *_: ([], {}))
    with pytest.raises(RecitalError, match="the validation split has no utterances"):
        evaluation_process(tiny("FastSpeech2", 'train.evaluate_metrics=["mel_change"]').settings())
