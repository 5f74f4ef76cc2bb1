"""Frozen parts of networks, and parts with learning rates of their own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from config.load import SettingsError
from models.registry import MODELS, kind_of
from tests.support.tiny_models import TinyModel
from tests.support.toy_tasks import ToyGan, ToyRegression, train_toy
from utils.logbook import read_logbook
from utils.parameter_groups import PartError, freeze, is_part, learning_groups
from utils.task import Optimization

pytestmark = pytest.mark.usefixtures("blank_pictures")

# Of each model something in the middle, and something with what changes by itself in training (spectral norm).
FROZEN = {
    "Aligner": ("mel_encoder.0", "phoneme_places"),
    "DelightfulTTS": ("encoder", "decoder.blocks.0.*norm", "prosody.encoders"),
    "FastPitch": ("encoder", "decoder.blocks.0.*norm", "variance_adaptor.predictors"),
    "FastSpeech2": ("encoder", "decoder.blocks.0.*norm", "variance_adaptor.predictors"),
    "HiFiGAN": ("generator.conv_pre", "ups.1", "msd.discriminators.0", "mpd"),
    "Lyre": ("generator.layers.input", "f0_predictor", "mrd_small.discriminators.0", "mpd_small"),
    "UnivNet": ("generator.conv_pre", "res_stack.1.kernel_predictor", "mrd.discriminators.0", "mpd"),
    "WaveGlow": ("generator.upsample", "WN.1.in_layers", "convinv.0"),
}
# A slip of the pen, and what was meant.
NEAR = {
    "Aligner": ("mel_encodr", "mel_encoder"),
    "DelightfulTTS": ("encodr", "encoder"),
    "FastPitch": ("encodr", "encoder"),
    "FastSpeech2": ("encodr", "encoder"),
    "HiFiGAN": ("generater", "generator"),
    "Lyre": ("generater", "generator"),
    "UnivNet": ("generater", "generator"),
    "WaveGlow": ("generater", "generator"),
}


def tensors(task):
    return {
        f"{module_name}.{name}": tensor.clone()
        for module_name, module in task.modules.items()
        for name, tensor in module.state_dict().items()
    }


def bits(tensor):
    return tensor.contiguous().view(torch.uint8)


def train(tiny, name, max_steps, patterns, resume=False):
    overrides = ("train.ema_decay=0.9", "train.lr_groups={'*.bias': 0.5}")
    begun = tensors(tiny.task(*overrides))
    options = {"save_every_steps": 2, "valid_every_steps": 2, "freeze": patterns}
    return begun, tiny.train(name, max_steps, *overrides, resume=resume, **options)


@pytest.fixture(params=sorted(MODELS))
def tiny(request, tmp_path):
    return TinyModel(request.param, tmp_path)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("network", True),
        ("encoder", True),
        ("network.encoder.layers.0", True),
        ("encoder.layers.0.norm.weight", True),
        ("encoder.*.norm", True),
        ("*.weight", True),
        ("enc", False),
        ("layers.0", False),
        ("encoder.layers.0.norm.weigh", False),
        ("encoder.layers.1", False),
    ],
)
def test_a_pattern_matches_a_parameter_or_a_module_around_it(pattern, fits):
    assert is_part("network.encoder.layers.0.norm.weight", pattern) == fits


def test_what_is_predicted_has_short_names():
    predictor, embedding = "network.variance_adaptor.predictors.pitch.out.weight", "network.x.embeddings.pitch.weight"
    assert is_part(predictor, "pitch") and is_part(embedding, "pitch")
    assert not is_part(predictor, "energy") and not is_part("network.pitch_scale.weight", "pitch")


@pytest.mark.slow
def test_frozen_parameters_stay_bit_equal_and_others_are_trained(tiny):
    patterns = FROZEN[tiny.model_type]
    begun, trainer = train(tiny, "run", 4, patterns)
    ended = tensors(trainer.task)
    learned = {
        f"{module}.{name}" for module, each in trainer.task.modules.items() for name, _ in each.named_parameters()
    }
    frozen = {name for name in begun if any(is_part(name, pattern) for pattern in patterns)}
    assert frozen and learned - frozen
    changed = {name for name in begun if not torch.equal(bits(begun[name]), bits(ended[name]))}
    assert not frozen & changed
    assert not learned - frozen - changed
    for name, average in trainer.train_step.averages.items():
        for key, tensor in average.network.state_dict().items():
            same = torch.equal(bits(tensor), bits(begun[f"{name}.{key}"]))
            assert same == (f"{name}.{key}" not in changed)


@pytest.mark.slow
def test_a_run_with_frozen_parts_resumes_exactly(tiny):
    patterns = FROZEN[tiny.model_type]
    _, unbroken = train(tiny, "unbroken", 4, patterns)
    train(tiny, "broken", 2, patterns)
    _, resumed = train(tiny, "broken", 4, patterns, resume=True)
    wanted, found = tensors(unbroken.task), tensors(resumed.task)
    assert all(torch.equal(bits(wanted[name]), bits(found[name])) for name in wanted)


def test_learning_rates_of_parts_are_in_the_optimizer_and_follow_its_schedule(tiny):
    factors = {"*.bias": 0.5, NEAR[tiny.model_type][1]: 0.1}
    task = tiny.task(f"train.lr_groups={factors}", "train.learning_rate=0.01")
    names = {id(p): f"{m}.{n}" for m, module in task.modules.items() for n, p in module.named_parameters()}
    n_found = 0
    for optimization in task.optimizers().values():
        groups = optimization.optimizer.param_groups
        for _ in range(2):
            base = groups[0]["lr"]
            for group in groups:
                factor = factors.get(group.get("part"), 1.0)
                others = 1.0 if groups[0].get("part") is None else factors[groups[0]["part"]]
                assert group["lr"] == pytest.approx(base * factor / others)
            optimization.optimizer.step()
            if optimization.scheduler is not None:  # a constant rate
                optimization.scheduler.step()
        for group in groups:
            for parameter in group["params"]:
                n_found += 1
                wanted = next((p for p in factors if is_part(names[id(parameter)], p)), None)
                assert group.get("part") == wanted
    assert n_found == len(names)


def test_learning_rates_of_parts_are_logged(tmp_path):
    class Grouped(ToyRegression):
        def optimizers(self):
            groups = learning_groups(self.modules, ("network",), {"0": 0.1}, 0.05)
            return {"network": Optimization(torch.optim.Adam(groups, lr=0.05), ("network",))}

    train_toy(tmp_path, Grouped(), max_steps=2, log_every_steps=2)
    [line] = [line for line in read_logbook(tmp_path / "logbook.jsonl") if "learning_rate/network" in line]
    assert line["learning_rate/network"] == 0.05 and line["learning_rate/network/0"] == pytest.approx(0.005)


def test_weight_decay_and_running_statistics_leave_frozen_parts_alone(tmp_path):
    torch.manual_seed(0)
    task = ToyRegression(ema_decay=0.5)
    task.modules["network"] = Framewise(
        nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False), nn.BatchNorm1d(4), nn.Linear(4, 1)
    )
    begun = copy.deepcopy(task.modules["network"].state_dict())
    _, trainer = train_toy(tmp_path, task, max_steps=3, freeze=("0", "1", "2.weight"))
    ended = task.modules["network"].state_dict()
    frozen = {name for name in begun if torch.equal(begun[name], ended[name])}
    assert frozen == {name for name in begun if name[0] in "01"} | {"2.weight"}
    average = trainer.train_step.averages["network"].network.state_dict()
    assert all(torch.equal(average[name], begun[name]) for name in frozen)


class Framewise(nn.Sequential):
    def forward(self, x):
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def test_an_optimizer_whose_network_is_frozen_rests(tmp_path):
    for number, part in enumerate(("discriminator", "generator")):
        task = ToyGan()
        begun = copy.deepcopy({name: module.state_dict() for name, module in task.modules.items()})
        train_toy(tmp_path / str(number), task, max_steps=3, freeze=(part,))
        for name, module in task.modules.items():
            same = all(torch.equal(begun[name][key], tensor) for key, tensor in module.state_dict().items())
            assert same == (name == part)
    with pytest.raises(PartError, match="leaves none to train"):
        train_toy(tmp_path / "all", ToyGan(), freeze=("*",))


def test_frozen_dropout_goes_on_but_frozen_statistics_do_not():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    assert freeze({"network": network}, ("0", "2")) == [network[2]]


def test_patterns_that_match_nothing_are_refused_with_similar_names(tiny):
    task = tiny.task()
    wrong, near = NEAR[tiny.model_type]
    with pytest.raises(PartError, match=f'train.freeze: "{wrong}" matches no part of .*known: .*; similar: .*{near}'):
        freeze(task.modules, [wrong])
    with pytest.raises(PartError, match=f'train.lr_groups: "{wrong}" matches no part'):
        tiny.task(f"train.lr_groups={{'{wrong}': 0.1}}").optimizers()
    with pytest.raises(PartError, match=r'train.lr_groups: "\*.bias" has no effect'):
        tiny.task("train.lr_groups={'*': 0.1, '*.bias': 0.2}").optimizers()
    short = "duration, pitch, energy$" if kind_of(tiny.model_type) == "acoustic" else r"\w+$"
    with pytest.raises(PartError, match=rf"known: .*(network|generator).*{short}"):
        freeze(task.modules, ["qqqqqqqqqqqq"])


@pytest.mark.parametrize("factor", ["0", "-1.0", "'fast'"])
def test_invalid_factors_are_refused_on_loading(tiny, factor):
    with pytest.raises(SettingsError, match=r"train\.lr_groups\.\*\.bias"):
        tiny.settings(f"train.lr_groups={{'*.bias': {factor}}}")
