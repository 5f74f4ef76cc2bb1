"""What every registered model promises; nothing here knows any of them.

A model's own test file, `tests/models/<folder>/test_<folder>.py`, holds `TINY`, the settings that make it small and
free of chance, and `use(network, batch)`, which gives what the network of its bundle makes of a batch.
"""

from __future__ import annotations

import dataclasses
import importlib
import shutil
from collections.abc import Mapping

import pytest
import torch

from config.load import load_settings
from models.bundles.locate import find_bundle
from models.registry import MODELS, make_task, open_network, settings_class
from processors.feature_store import StoreError
from tests.support.tiny_features import PREPROCESS, write_features
from utils.task import Batch
from utils.trainer import Processes, Trainer, TrainerOptions


class Tiny:
    """A registered model at its tiniest, with data to match."""

    def __init__(self, model_type, folder):
        self.model_type, self.folder = model_type, folder
        folder_name = MODELS[model_type].package.split(".")[-1]
        self.own = importlib.import_module(f"tests.models.{folder_name}.test_{folder_name}")
        self.processed_dir = folder / "processed"
        write_features(self.processed_dir)

    def settings(self, *overrides):
        config = self.folder / "exp_config.json"
        base = MODELS[self.model_type].config
        config.write_text(f'{{base_config: "{base}", dataset: ["tiny"], dataset_path: {{tiny: "none"}}}}')
        layers = [f"preprocess.processed_dir={self.processed_dir}", *PREPROCESS, *self.own.TINY, "train.num_workers=0"]
        return load_settings(config, [*layers, *overrides], settings_class).settings

    def task(self, *overrides):
        torch.manual_seed(0)
        return make_task(self.settings(*overrides))


@pytest.fixture(params=sorted(MODELS))
def tiny(request, tmp_path):
    return Tiny(request.param, tmp_path)


def batches_of(task):
    return [batch for group in task.train_batches().groups(0) for batch in group]


def whole_batch(tiny):
    [batch] = batches_of(tiny.task("train.batch_size=64"))
    return batch


def term_sums(task, batches):
    """Play all acts in eval mode; give each term's sum over real units, with its number of them."""
    for module in task.modules.values():
        module.eval()
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for batch in batches:
        for update in task.updates(batch, 0):
            for name, term in update.terms.items():
                key = f"{update.name}/{name}"
                sums[key] = sums.get(key, 0.0) + term.value.item() * batch.counts[term.per]
                counts[key] = counts.get(key, 0) + batch.counts[term.per]
    return {key: sums[key] / counts[key] for key in sums}


def tensors_of(thing, name=""):
    """Find all tensors in nested records, by name."""
    if isinstance(thing, torch.Tensor):
        return {name: thing}
    if dataclasses.is_dataclass(thing):
        thing = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    if isinstance(thing, (tuple, list)):
        thing = dict(enumerate(thing))
    if not isinstance(thing, Mapping):
        return {}
    return {key: tensor for part, value in thing.items() for key, tensor in tensors_of(value, f"{name}.{part}").items()}


def test_features_made_with_other_settings_are_refused(tiny):
    task = tiny.task("preprocess.fmax=3000")
    with pytest.raises(StoreError, match="fmax"):
        task.train_batches()


def test_a_batch_tells_the_trainer_what_it_must_know(tiny):
    batch: Batch = whole_batch(tiny)
    assert len(batch.ids) == batch.counts["utterances"] == 10
    assert set(batch.padded) <= set(batch.counts)
    assert all(batch.padded[name] >= batch.counts[name] for name in batch.padded)
    assert tensors_of(batch.to(torch.device("cpu"))).keys() == tensors_of(batch).keys()


def test_padding_changes_no_loss(tiny):
    apart = batches_of(tiny.task("train.batch_size=1"))
    together = whole_batch(tiny)
    assert len(apart) == len(together.ids)
    task = tiny.task()
    torch.testing.assert_close(term_sums(task, [together]), term_sums(task, apart), rtol=1e-5, atol=1e-6)


def test_every_parameter_gets_a_gradient(tiny):
    task = tiny.task()
    batch = whole_batch(tiny)
    for update in task.updates(batch, 0):
        sum(term.weight * term.value for term in update.terms.values() if term.weight).backward()
    for module_name, module in task.modules.items():
        module_parameters = {f"{module_name}.{name}": parameter for name, parameter in module.named_parameters()}
        without = [
            name for name, parameter in module_parameters.items() if parameter.grad is None or not parameter.grad.any()
        ]
        assert not without


def test_one_batch_is_learned_by_heart(tiny):
    task = tiny.task()
    optimizations = task.optimizers()
    batch = whole_batch(tiny)
    losses = []
    for _ in range(60):
        total = 0.0
        for update in task.updates(batch, 0):
            loss = sum(term.weight * term.value for term in update.terms.values())
            optimizer = optimizations[update.name].optimizer
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total)
    assert losses[-1] < 0.4 * losses[0]


def train(tiny, name, max_steps, resume=False):
    task = tiny.task("train.batch_size=3")
    options = TrainerOptions(max_steps=max_steps, save_every_steps=3, valid_every_steps=2, sample_every_steps=4)
    trainer = Trainer(
        task, task.train_batches(), task.valid_batches(), tiny.folder / name, options, Processes(cpu=True)
    )
    trainer.fit(trainer.checkpoints.newest() if resume else None)
    return task


def test_a_resumed_run_is_the_run_that_never_stopped(tiny):
    unbroken = train(tiny, "unbroken", 7)
    train(tiny, "broken", 3)
    resumed = train(tiny, "broken", 7, resume=True)
    for name, module in unbroken.modules.items():
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, resumed.modules[name].state_dict()[key]), f"{name}.{key}"


def test_a_bundle_needs_nothing_of_the_training_machine(tiny):
    task = train(tiny, "run", 2)
    batch = whole_batch(tiny)
    task.bundle(tiny.folder / "bundle")
    shutil.rmtree(tiny.processed_dir)
    network = open_network(find_bundle(tiny.folder / "bundle")).eval()
    trained = next(module for module in task.modules.values() if type(module) is type(network)).eval()
    with torch.no_grad():
        expected, found = tensors_of(tiny.own.use(trained, batch)), tensors_of(tiny.own.use(network, batch))
    assert expected
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
