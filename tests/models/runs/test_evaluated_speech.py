"""Speech made for an evaluation: what cannot be measured is refused before a model speaks."""

from __future__ import annotations

import pytest

from models.runs.evaluated_speech import speak_split, speak_systems
from processors.evaluation.evaluate_folders import EvaluationError, Yardsticks
from processors.utterance import write_manifest
from tests.support.tiny_voice import tiny_bundle, tiny_settings


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    tiny_bundle(f"preprocess.processed_dir={folder / 'elsewhere'}").save(folder)
    return folder


def test_the_split_of_a_bundle_from_elsewhere_needs_a_recipe(bundle, tmp_path):
    with pytest.raises(EvaluationError, match=r"its own settings name LJSpeech in .*elsewhere, where no .*--config"):
        speak_split(bundle, None, tmp_path)
    with pytest.raises(EvaluationError, match=r"the settings name LJSpeech in .*nowhere, where"):
        speak_split(bundle, tiny_settings("preprocess.processed_dir=nowhere"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_metrics_that_free_speech_cannot_have_are_refused_before_a_model_speaks(bundle, tmp_path):
    processed = tmp_path / "processed"
    write_manifest(processed / "LJSpeech" / "test.jsonl", [])
    asked = Yardsticks(("si_sdr", "mcd", "mel"))
    message = r"mel, si_sdr can compare only .*; leave them out of --metrics"
    with pytest.raises(EvaluationError, match=message):
        speak_split(bundle, tiny_settings(f"preprocess.processed_dir={processed}"), tmp_path / "out", asked=asked)
    with pytest.raises(EvaluationError, match=message):
        speak_systems({"a": bundle}, tmp_path / "out", reference_dir=tmp_path, texts=tmp_path / "a.txt", asked=asked)
    assert not (tmp_path / "out").exists()
