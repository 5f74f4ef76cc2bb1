"""The shipped base voice is fine-tuned where it fits, and nowhere else."""

from __future__ import annotations

import pytest

from config import paths
from models.runs.base_voice import fitting_base
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle, tiny_settings


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SHIPPED_BASE", tmp_path / "english_base")
    tiny_bundle().save(tmp_path / "english_base")
    return tmp_path / "english_base"


@pytest.mark.parametrize(
    "overrides", [(), ("model.dropout=0.3", "train.max_steps=7", "preprocess.language=en-gb", "preprocess.f0_min=90")]
)
def test_a_voice_of_the_same_kind_begins_from_the_base(base, overrides):
    assert fitting_base(tiny_settings(*overrides)) == base


@pytest.mark.parametrize(
    "override",
    [
        "model.hidden_size=8",
        "model.speaker_conditioning=encoder",
        "preprocess.n_mel=24",
        "preprocess.fmax=7000",
        "preprocess.phone_extractor=espeak",
        'dataset_language={"LJSpeech": "de"}',
    ],
)
def test_a_base_that_does_not_fit_is_not_taken(base, override):
    extra = ("preprocess.speaker_encoder=resemblyzer",) if "encoder" in override else ()
    extra += ("preprocess.phone_extractor=espeak",) if "de" in override and "dataset" in override else ()
    assert fitting_base(tiny_settings(override, *extra)) is None


def test_without_a_base_or_for_another_model_there_is_none(base, monkeypatch, tmp_path):
    assert fitting_base(tiny_vocoder_bundle().settings) is None
    (base / "model.safetensors").unlink()
    assert fitting_base(tiny_settings()) is None
