"""Further models: few lines besides the shared code, and no energy."""

from __future__ import annotations

import json

import pytest

from config.load import load_settings
from config.paths import REPOSITORY
from models.bundles.locate import find_bundle
from models.inference.predict_mels import predict_mels
from models.inference.synthesizer import Synthesizer
from models.registry import features_of, make_task, settings_class
from processors.feature_store import FeatureStore
from processors.features import PREDICTED_MEL
from processors.preparation.prepare import prepare
from tests.support.count_lines import code_lines
from tests.support.further_models import FURTHER_MODELS
from tests.support.small_corpus import make_corpus, write_config
from utils.processes import Processes
from utils.trainer import Trainer, TrainerOptions


@pytest.mark.parametrize(("model_type", "most"), [("ConvAcoustic", 150), ("ConvVocoder", 120)])
def test_a_further_model_is_written_in_few_lines(model_type, most):
    folder = REPOSITORY / FURTHER_MODELS[model_type].package.replace(".", "/")
    files = [path for path in folder.iterdir() if path.is_file()]
    assert {"settings.py", "network.py", "task.py"} < {path.name for path in files}
    assert sum(len(path.read_text().splitlines()) for path in files) <= most


def test_lines_of_code_are_counted_without_docstrings_and_comments():
    source = (
        '"""Title.\n\nMore.\n"""\n\n# why\nx = 1  # because\n"""What x is."""\ny = f(\n    x,\n    """text\n"""\n)\n'
    )
    assert code_lines(source) == 1 + 5


@pytest.mark.slow
def test_a_model_without_energy_is_trained_and_used_without_it(tmp_path, further_models):
    make_corpus(tmp_path / "corpus", 8)
    config = write_config(tmp_path, tmp_path / "corpus", num_workers=1)
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"base_config": FURTHER_MODELS["ConvAcoustic"].config})
    )
    settings = load_settings(config, ["train.num_workers=0", "train.batch_size=2"], settings_class).settings
    prepare(settings, features=features_of("ConvAcoustic"))
    task = make_task(settings)
    options = TrainerOptions(max_steps=2, save_every_steps=2, valid_every_steps=2, sample_every_steps=2)
    Trainer(task, task.train_batches(), task.valid_batches(), tmp_path / "run", options, Processes(cpu=True)).fit()
    bundle = find_bundle(tmp_path / "run")
    assert Synthesizer(bundle)("My new tea.").duration_s > 0
    predict_mels(bundle, tmp_path / "processed", ["toy"])
    store = FeatureStore.open(tmp_path / "processed" / "toy")
    assert "energy" not in store.features and len(store.ids(PREDICTED_MEL)) == 8
