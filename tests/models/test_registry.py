"""The registry's entries, and older settings that still load."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from config.load import load_settings, read_settings
from config.paths import REPOSITORY
from config.schema import ExperimentSettings
from models.contracts import PublishedLayout
from models.hifigan.task import HiFiGANTask
from models.lyre.task import LyreTask
from models.registry import MODELS, NoTrainingError, UnknownModelError, features_of, make_task, settings_class
from processors.audio.mel_settings import mel_differences
from processors.features import ACOUSTIC_FEATURES, ALIGNER_FEATURES, F0_VOCODER_FEATURES, VOCODER_FEATURES

SETTINGS_ALONE = """
import sys
from models.registry import MODELS, settings_class
for name in MODELS:
    settings_class(name)
    assert "torch" not in sys.modules, name
"""
# What a resolved settings.json held when the rooms were made; files of the kind are never changed, only added.
SETTINGS_BEFORE_ROOMS = Path(__file__).with_name("settings_before_rooms")


def test_settings_are_loaded_without_torch():
    """Every command loads them first, and mistakes in them should not take seconds to be named."""
    subprocess.run([sys.executable, "-c", SETTINGS_ALONE], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_every_name_of_an_entry_can_be_imported(model_type):
    model = MODELS[model_type]

    def find(file, name):
        return getattr(importlib.import_module(f"{model.package}.{file}"), name)

    assert issubclass(find("settings", model.settings), ExperimentSettings)
    assert callable(find("network", model.network).from_bundle)
    assert load_settings(REPOSITORY / model.config, DATASET, settings_class).settings.model_type == model_type
    assert not model.task or callable(find("task", model.task).from_settings)
    assert not model.reference or inspect.isclass(find("reference", model.reference))
    if model.published:
        layout = importlib.import_module(model.published)
        assert all(callable(getattr(layout, name)) for name in vars(PublishedLayout) if not name.startswith("_"))


DATASET = ("dataset=['ljspeech']", "dataset_path={ljspeech: 'data/LJSpeech-1.1'}")


@pytest.mark.slow
@pytest.mark.parametrize("audio", ["audio_24k", "audio_24k_300", "audio_44k"])
def test_any_pair_can_be_refined_to_another_sample_rate(audio, tmp_path):
    """Upsampling and segments of every vocoder follow, and all models have the same mels."""
    path, mels = tmp_path / "exp_config.json", []
    for model in MODELS.values():
        for size in (model.config, *model.sizes):
            path.write_text(json.dumps({"base_config": [size, f"config/{audio}.json"]}))
            mels.append(vars(load_settings(path, DATASET, settings_class).settings.preprocess))
    assert len(mels) > 10 and not any(mel_differences(mels[0], mel) for mel in mels)


def test_a_models_features_are_those_of_stage_1():
    assert features_of("FastSpeech2") == ACOUSTIC_FEATURES
    assert features_of("HiFiGAN") == VOCODER_FEATURES == HiFiGANTask.features
    assert features_of("Lyre") == F0_VOCODER_FEATURES == LyreTask.features
    assert features_of("Aligner") == ALIGNER_FEATURES
    assert all(set(model.features) <= {*ACOUSTIC_FEATURES} for model in MODELS.values())


def test_a_model_without_a_task_cannot_be_trained_and_says_so(monkeypatch):
    monkeypatch.setitem(MODELS, "HiFiGAN", dataclasses.replace(MODELS["HiFiGAN"], task=""))
    settings = load_settings(REPOSITORY / "config/hifigan_v1.json", DATASET, settings_class).settings
    with pytest.raises(
        NoTrainingError, match="HiFiGAN: can be used but not trained; these can: Aligner, DelightfulTTS, FastPitch"
    ):
        make_task(settings)


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(UnknownModelError, match=r'no model "Fastspeech2"; known: .*did you mean FastSpeech2'):
        features_of("Fastspeech2")


@pytest.mark.parametrize("path", sorted(SETTINGS_BEFORE_ROOMS.glob("*.json")), ids=lambda path: path.stem)
def test_every_setting_added_later_has_a_default(path):
    """Without one, older experiments, bundles and feature stores could not be opened."""
    held = json.loads(path.read_text(encoding="utf-8"))
    settings = read_settings(path, settings_class)

    def assert_kept(held, found, name=""):
        for key, value in held.items():
            if isinstance(value, dict):
                assert_kept(value, found[key], f"{name}{key}.")
            else:
                assert found[key] == value, f"{name}{key}"

    assert_kept(held, settings.model_dump(mode="json"))


def test_older_settings_of_every_model_are_tried():
    assert {path.stem for path in SETTINGS_BEFORE_ROOMS.glob("*.json")} == {"Aligner", "FastSpeech2", "HiFiGAN"}
