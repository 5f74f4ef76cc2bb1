"""HiFi-GAN's original checkpoints: opened, resumed and exported."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import bins.export
import bins.train
from config.load import SettingsError, load_settings
from models.bundle import Bundle, BundleError
from models.bundles.layouts import find_foreign
from models.bundles.locate import find_bundle, open_bundle
from models.hifigan.original import open_published, published_training, write_published
from models.inference.vocoder import open_vocoder
from models.layers.normed_convolution import SpectralNormed, WeightNormed
from models.layers.period_discriminator import MultiPeriodDiscriminator
from models.layers.scale_discriminator import MultiScaleDiscriminator
from models.registry import make_task, open_network, settings_class
from tests.support.tiny_models import TinyModel
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle
from utils.checkpoint import open_checkpoint
from utils.optimizer_state import load_moments

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture
def original(tmp_path):
    """Write the tiny vocoder in the original layout."""
    folder = tmp_path / "original"
    write_published(folder, tiny_vocoder_bundle(), None)
    return folder


def read(path):
    return torch.load(path, weights_only=True)


def change(path, **changes):
    tree = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in tree.items() if value != "gone"}))


def rewrite(folder, change_weights):
    torch.save({"generator": change_weights(read(folder / "g_00000000")["generator"])}, folder / "g_00000000")


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


# Reading


@pytest.mark.slow
@pytest.mark.parametrize("version", ["hifigan_v2", "hifigan_v3"])
def test_golden_checkpoints_give_the_golden_waveforms(golden, version):
    expected = np.load(golden / version / "expected.npz")
    mel, waveform = torch.from_numpy(expected["mel"]), expected["waveform"]
    for place in (golden / version, golden / version / "g_00000000"):
        with torch.no_grad():
            made = open_network(find_bundle(place))(mel)
        np.testing.assert_allclose(made.numpy(), waveform[:, 0], atol=1e-4)
        np.testing.assert_allclose(open_vocoder(place).waveform(mel[0]).numpy(), waveform[0, 0], atol=1e-4)


def test_settings_come_from_config_json(golden):
    settings = find_bundle(golden / "hifigan_v3").settings
    assert settings.model_type == "HiFiGAN" and settings.model.resblock == "2"
    assert (settings.preprocess.sample_rate, settings.preprocess.n_mel, settings.preprocess.fmax) == (22050, 80, 8000)
    assert settings.train.adam_betas == (0.8, 0.99) and settings.train.mel_loss_weight == 45


def test_no_fmax_is_half_the_sample_rate(original):
    change(original / "config.json", fmax=None)
    assert find_bundle(original).settings.preprocess.fmax == 8000


def test_other_rates_and_hops_are_read_with_or_without_what_only_training_needs(original):
    """Kernels of 10 for a rate of 5, and segments that are no multiple of the hop, as 16 and 24 kHz configs have."""
    sizes = {"hop_size": 75, "n_fft": 1025, "upsample_rates": [5, 15], "upsample_kernel_sizes": [10, 30], "fmin": None}
    change(original / "config.json", **sizes, segment_size=8192)
    rounded = 8250
    for name in ("segment_size", "batch_size", "learning_rate", "lr_decay", "adam_b1", "adam_b2", "seed", "num_gpus"):
        settings = open_published(original / "g_00000000").settings  # the weights are not looked at
        assert settings.train.segment_size == rounded and settings.preprocess.fmin == 0
        change(original / "config.json", **{name: "gone"})
    assert settings.model.upsample_kernel_sizes == (10, 30)


def test_the_newest_generator_of_a_folder_is_taken_or_the_one_that_is_named(original):
    payload = read(original / "g_00000000")
    payload["generator"]["conv_post.bias"] += 1
    torch.save(payload, original / "g_00000200")
    shutil.copy(original / "g_00000000", original / "g_00000030")
    before, after = (open_published(original / name).weights["conv_post.bias"] for name in ("g_00000030", "g_00000200"))
    assert torch.equal(after, before + 1)
    assert torch.equal(find_bundle(original).weights["conv_post.bias"], after)
    assert torch.equal(find_bundle(original / "g_00000030").weights["conv_post.bias"], before)


def test_a_generator_without_weight_norm_sounds_the_same(original):
    """One channel is 0: it has no direction for weight norm to keep."""

    def quieten(weights):
        weights["ups.0.weight_g"][0] = 0.0
        return weights

    def fold(weights):
        folded = {}
        for name, tensor in weights.items():
            layer, _, part = name.rpartition(".")
            if part == "bias":
                folded[name] = tensor
            elif part == "weight_v":
                folded[f"{layer}.weight"] = torch._weight_norm(tensor, weights[f"{layer}.weight_g"], 0)
        return folded

    rewrite(original, quieten)
    mel = torch.randn(20, 30) - 4
    before = open_vocoder(original).waveform(mel)
    rewrite(original, fold)
    torch.testing.assert_close(open_vocoder(original).waveform(mel), before, atol=1e-5, rtol=1e-4)


def test_weights_of_newer_weight_norm_names_are_read(original):
    newer = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}

    def rename(weights):
        return {
            f"{name.rpartition('.')[0]}.{newer.get(name.rpartition('.')[2], 'bias')}": tensor
            for name, tensor in weights.items()
        }

    before = find_bundle(original).weights
    rewrite(original, rename)
    assert_same(find_bundle(original).weights, before)


@pytest.mark.slow
def test_a_pickle_with_code_is_refused_and_never_run(original, tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    for protocol, save in itertools.product((0, 2, 4), ("zip", "legacy", "pickle")):
        with (original / "g_00000000").open("wb") as file:
            if save == "pickle":
                pickle.dump({"generator": Malicious()}, file, protocol=protocol)
            else:
                zipped = save == "zip"
                torch.save(
                    {"generator": Malicious()}, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped
                )
        with pytest.raises(BundleError, match="g_00000000: refused: holds more than tensors"):
            open_vocoder(original)
    assert not (tmp_path / "harm").exists()


def test_files_are_claimed_by_their_names_or_by_the_config_beside_them(original, tmp_path):
    theirs = original / "renamed.pt"
    theirs.write_bytes((original / "g_00000000").read_bytes())
    (original / "do_00000000").write_bytes(b"")
    assert find_foreign(original).evidence.file.name in ("g_00000000", "renamed.pt")
    for file in (original / "g_00000000", theirs):
        assert find_foreign(file).layout.model_type == "HiFiGAN"
    assert torch.equal(find_bundle(theirs).weights["conv_post.bias"], find_bundle(original).weights["conv_post.bias"])
    theirs.write_bytes(theirs.read_bytes()[:-300])
    with pytest.raises(BundleError, match=r"renamed\.pt: is cut short"):
        find_bundle(theirs)
    of_another = tmp_path / "tacotron2_210824.pt"
    of_another.write_bytes(b"nothing")
    for config in (None, "{", "[]", '{"n_symbols": 148, "symbols_embedding_dim": 384, "sampling_rate": 22050}'):
        if config is not None:
            (tmp_path / "config.json").write_text(config)
        assert find_foreign(of_another) is None and find_foreign(tmp_path) is None
    with pytest.raises(BundleError, match="is a file of a kind that is not read"):
        find_bundle(of_another)


@pytest.mark.parametrize("content", [b"", b"hello", "half", {"weights": {}}, {"generator": [1]}, [1]])
def test_damaged_or_foreign_files_are_named(original, content):
    path = original / "g_00000000"
    if content == "half":
        content = path.read_bytes()[: path.stat().st_size // 2]
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(BundleError, match="g_00000000: "):
        find_bundle(original)


def test_tensors_that_do_not_fit_are_named(original):
    def spoil(weights):
        del weights["conv_pre.bias"]
        return weights | {"extra": torch.zeros(1), "conv_post.weight_v": torch.zeros(2, 2, 2)}

    rewrite(original, spoil)
    message = r"conv_pre\.bias is missing; extra is unknown; conv_post\.weight_v has shape \(2, 2, 2\)"
    with pytest.raises(BundleError, match=message):
        open_vocoder(original)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop_size": 256}, "8 x 16 is 128, but hop_size is 256"),
        ({"resblock": "3"}, "model.resblock"),
        ({"sampling_rate": "high"}, "preprocess.sample_rate"),
        ({"fmax": 9000}, "half of sample_rate"),
        ({"learning_rate": -1}, "train.learning_rate"),
    ],
)
def test_impossible_settings_are_refused_with_the_file(original, changes, message):
    change(original / "config.json", **changes)
    with pytest.raises(SettingsError) as caught:
        find_bundle(original)
    assert message in str(caught.value) and str(original / "config.json") in str(caught.value)


def test_a_missing_or_incomplete_config_is_named(original):
    change(original / "config.json", num_mels="gone", resblock="gone")
    with pytest.raises(BundleError, match=r"config\.json: lacks resblock, num_mels"):
        find_bundle(original)
    (original / "config.json").write_text("{")
    with pytest.raises(BundleError, match=r"config\.json: cannot be read"):
        find_bundle(original)
    (original / "config.json").unlink()
    with pytest.raises(BundleError, match=r"config\.json: is missing"):
        find_bundle(original)


# Writing


def test_export_and_loading_give_the_same_bits(tmp_path, command):
    bundle = tiny_vocoder_bundle()
    bundle.save(tmp_path / "bundle")
    arguments = ("--format", "hifigan", "--output_dir", tmp_path / "original")
    code, printed, _ = command(bins.export, "--bundle", tmp_path / "bundle", *arguments)
    assert code == 0 and "wrote g_00000000, config.json" in printed and "has only the model" in printed
    assert sorted(os.listdir(tmp_path / "original")) == ["config.json", "g_00000000"]
    opened = find_bundle(tmp_path / "original")
    assert_same(opened.weights, bundle.weights)
    assert opened.settings.model == bundle.settings.model
    assert opened.settings.preprocess == bundle.settings.preprocess
    code, printed, errors = command(bins.export, "--bundle", tmp_path / "bundle", *arguments)
    assert code == 1 and "already has g_00000000; replace with --overwrite" in errors
    code, *_ = command(bins.export, "--bundle", tmp_path / "bundle", *arguments, "--overwrite")
    assert code == 0
    opened.save(tmp_path / "again")
    assert_same(open_bundle(tmp_path / "again").weights, bundle.weights)


def test_a_config_of_other_checkpoints_is_not_replaced(tmp_path):
    write_published(tmp_path, tiny_vocoder_bundle(), None)
    (tmp_path / "g_00000000").rename(tmp_path / "g_00000100")
    with pytest.raises(BundleError, match=r"config\.json \(another one\)"):
        write_published(tmp_path, tiny_vocoder_bundle("train.seed=7"), None)
    write_published(tmp_path, tiny_vocoder_bundle(), None)


def test_an_acoustic_model_cannot_be_exported_as_hifigan(tmp_path, command):
    tiny_bundle().save(tmp_path / "voice")
    arguments = ("--format", "hifigan", "--output_dir", tmp_path / "original")
    code, _, errors = command(bins.export, "--bundle", tmp_path / "voice", *arguments)
    assert code == 1 and "holds a FastSpeech2; the format hifigan is for a HiFiGAN" in errors


def shapes(weights):
    return [(name, list(tensor.shape)) for name, tensor in weights.items()]


@pytest.mark.slow
def test_an_exported_v1_has_the_published_names_and_shapes(golden, tmp_path):
    config = tmp_path / "exp_config.json"
    config.write_text('{base_config: "config/hifigan_v1.json", dataset: ["a"], dataset_path: {a: "none"}}')
    settings = load_settings(config, [], settings_class).settings
    task = make_task(settings)
    write_published(tmp_path / "original", Bundle(settings, task.modules["generator"].state_dict()), None)
    expected = json.loads((golden / "hifigan_v1_state_dict_shapes.json").read_text())
    assert shapes(read(tmp_path / "original" / "g_00000000")["generator"]) == list(expected.items())
    published = json.loads((golden / "hifigan_v2" / "config.json").read_text())
    ours = json.loads((tmp_path / "original" / "config.json").read_text())
    assert ours.keys() == published.keys()


# Going on with training


@pytest.fixture
def train(tmp_path, command):
    """Return a function that trains the tiny HiFi-GAN, or another model, and returns exit code and output."""

    def call(name, *settings, more=(), model_type="HiFiGAN"):
        flags = TinyModel(model_type, tmp_path).flags("train.precision=fp32", "train.batch_size=2", *settings)
        return command(bins.train, *flags, "--name", name, "--gpu", "", *more)

    return call


@pytest.fixture
def experiment(train, tmp_path):
    """Train three steps with a moving average; return the experiment's folder."""
    code, _, errors = train("first", "train.max_steps=3", "train.ema_decay=0.5")
    assert code == 0, errors
    return tmp_path / "first"


def exported(experiment, folder, command):
    arguments = ("--bundle", experiment, "--format", "hifigan", "--output_dir", folder)
    code, printed, errors = command(bins.export, *arguments)
    assert code == 0, errors
    assert "wrote do_00000003, g_00000003, config.json" in printed
    return folder


@pytest.mark.slow
def test_an_experiment_is_exported_with_all_its_training_needs(experiment, tmp_path, command):
    folder = exported(experiment, tmp_path / "original", command)
    checkpoint = open_checkpoint(experiment / "checkpoint" / "step-00000003")
    assert_same(find_bundle(folder).weights, checkpoint.weights("generator_average"))
    payload = read(folder / "do_00000003")
    assert payload["steps"] == 3 and payload["epoch"] == 0
    # As the published code fills its optimizers: discriminators of scales first, within a layer the bias first.
    assert list(payload["optim_d"]["state"]) == list(range(len(payload["optim_d"]["param_groups"][0]["params"])))
    modules = TinyModel("HiFiGAN", tmp_path).task().modules
    training = published_training(folder / "g_00000003")
    for theirs, names in {"optim_g": ["generator"], "optim_d": ["msd", "mpd"]}.items():
        parameters = [
            dict(modules[name].named_parameters())[key]
            for name in names
            for key in (payload if name != "generator" else read(folder / "g_00000003"))[name]
            if key in dict(modules[name].named_parameters())
        ]
        kept = payload[theirs]["state"]
        assert [kept[place]["exp_avg"].shape for place in kept] == [parameter.shape for parameter in parameters]
        optimizer = torch.optim.AdamW(parameters, 0.1)
        optimizer.load_state_dict(payload[theirs])
        assert optimizer.param_groups[0]["betas"] == (0.8, 0.99) and "initial_lr" in optimizer.param_groups[0]
    # By name they are those of the checkpoint.
    state = checkpoint.training_state()["optimizers"]["discriminator"]["state"]
    names = [f"{name}.{key}" for name in ("mpd", "msd") for key, _ in modules[name].named_parameters()]
    for place, name in enumerate(names):
        assert torch.equal(training.optimizers["discriminator"].moments[name]["exp_avg"], state[place]["exp_avg"])
    for name in ("mpd", "msd"):
        assert_same(training.modules[name], checkpoint.weights(name))


def by_torch(module):
    """Return the same layers under the same names with torch's own norms, as in the published code."""
    twin = nn.Module()
    for name, layer in module.named_children():
        if isinstance(layer, WeightNormed | SpectralNormed):
            is_spectral = isinstance(layer, SpectralNormed)
            normed = nn.Module()
            normed.weight = nn.Parameter((layer.weight_orig if is_spectral else layer.weight_v).detach().clone())
            normed.bias = nn.Parameter(layer.bias.detach().clone())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                (nn.utils.spectral_norm if is_spectral else nn.utils.weight_norm)(normed)
            twin.add_module(name, normed)
        else:
            twin.add_module(name, by_torch(layer))
    return twin


@pytest.mark.parametrize("old", [False, True])
def test_states_of_an_optimizer_over_torchs_own_norms_are_read_by_name(original, tmp_path, old):
    """Older versions of torch counted steps by plain integers."""
    task = TinyModel("HiFiGAN", tmp_path).task()
    modules = task.modules
    twins = {name: by_torch(module) for name, module in modules.items()}
    optimizers = {
        "optim_g": torch.optim.AdamW(twins["generator"].parameters(), 1e-9),
        "optim_d": torch.optim.AdamW(itertools.chain(twins["msd"].parameters(), twins["mpd"].parameters()), 1e-9),
    }
    gradients = {}
    for module_name, twin in twins.items():
        for name, parameter in twin.named_parameters():
            gradients[f"{module_name}.{name}"] = parameter.grad = torch.randn_like(parameter)
    payload = {name: twins[name].state_dict() for name in ("mpd", "msd")} | {"steps": 1, "epoch": 0}
    for name, optimizer in optimizers.items():
        optimizer.step()
        payload[name] = optimizer.state_dict()
        for kept in payload[name]["state"].values() if old else ():
            kept["step"] = int(kept["step"])
    torch.save({"generator": twins["generator"].state_dict()}, original / "g_00000001")
    torch.save(payload, original / "do_00000001")
    initial = published_training(original / "g_00000001")
    initial.load_into(modules)
    for name, twin in twins.items():
        assert_same(modules[name].state_dict(), twin.state_dict())
    for name, optimization in task.optimizers().items():
        moments = initial.optimizers[name].moments
        expected = {key for key in gradients if key.partition(".")[0] in optimization.modules}
        assert moments.keys() == expected
        for key in expected:
            torch.testing.assert_close(moments[key]["exp_avg"], 0.1 * gradients[key])
        load_moments(optimization.optimizer, modules, initial.optimizers[name])
        assert {float(kept["step"]) for kept in optimization.optimizer.state.values()} == {1.0}
        for parameter in optimization.optimizer.param_groups[0]["params"]:
            parameter.grad = torch.zeros_like(parameter)
        optimization.optimizer.step()


@pytest.mark.slow
def test_exported_discriminators_have_the_published_names_and_shapes(golden):
    from models.training.published_files import in_published_order

    expected = json.loads((golden / "hifigan_discriminators_state_dict_shapes.json").read_text())
    for name, module in {"mpd": MultiPeriodDiscriminator((2, 3, 5, 7, 11)), "msd": MultiScaleDiscriminator()}.items():
        assert shapes(in_published_order(module.state_dict())) == list(expected[name].items())


def weights_after(folder, step, name):
    return open_checkpoint(folder / "checkpoint" / f"step-{step:08d}").weights(name)


def nearly(ours, theirs):
    assert ours.keys() == theirs.keys()
    # Spectral norm's vectors turn on by themselves.
    learned = [name for name in theirs if theirs[name].ndim > 1 or name.endswith("bias")]
    return all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in learned)


STILL = ("train.max_steps=1", "train.learning_rate=1e-9")  # so that weights show where they came from


def finetune(place):
    return "--resume_type", "finetune", "--checkpoint", place


@pytest.mark.slow
def test_training_resumes_from_original_checkpoints(experiment, tmp_path, train, command):
    folder = exported(experiment, tmp_path / "original", command)
    code, printed, errors = train("second", *STILL, more=finetune(folder))
    assert code == 0, errors
    assert f"the weights of {folder / 'g_00000003'}: generator, mpd, msd; with the optimizer states of" in printed
    assert "discriminator and generator at step 3" in printed and "without initial state" not in printed
    assert "its learning rate was 0.002" in printed
    assert nearly(weights_after(tmp_path / "second", 1, "generator"), weights_after(experiment, 3, "generator_average"))
    for name in ("mpd", "msd"):
        assert nearly(weights_after(tmp_path / "second", 1, name), weights_after(experiment, 3, name))
    state = open_checkpoint(tmp_path / "second" / "checkpoint" / "step-00000001").training_state()["optimizers"]
    assert {float(kept["step"]) for each in state.values() for kept in each["state"].values()} == {4.0}
    assert state["generator"]["param_groups"][0]["lr"] == 1e-9


@pytest.mark.slow
def test_published_discriminators_that_are_not_trained_are_left_out(experiment, tmp_path, train, command):
    folder = exported(experiment, tmp_path / "original", command)
    others = "train.discriminators=['mpd', 'mpd_small']"
    code, printed, errors = train("second", *STILL, others, more=finetune(folder))
    assert code == 0, errors
    assert "generator, mpd; with the optimizer states of generator at step 3" in printed
    assert "without initial state: mpd_small, optimizer of discriminator" in printed
    assert nearly(weights_after(tmp_path / "second", 1, "mpd"), weights_after(experiment, 3, "mpd"))


@pytest.mark.slow
def test_missing_discriminators_start_from_scratch_with_a_message(experiment, tmp_path, train, command):
    folder = exported(experiment, tmp_path / "original", command)
    (folder / "do_00000003").rename(folder / "do_00000002")
    code, printed, errors = train("second", *STILL, more=finetune(folder / "g_00000003"))
    assert code == 0, errors
    afresh = "without initial state: mpd, msd, optimizer of discriminator, optimizer of generator"
    assert f"the weights of {folder / 'g_00000003'}: generator\n{afresh}" in printed
    assert "has no do_* for g_00000003, only do_00000002: none is used" in printed
    assert nearly(weights_after(tmp_path / "second", 1, "generator"), weights_after(experiment, 3, "generator_average"))
    assert not nearly(weights_after(tmp_path / "second", 1, "mpd"), weights_after(experiment, 3, "mpd"))


@pytest.mark.slow
def test_training_starts_from_a_bundle_or_from_a_checkpoint_with_its_state(experiment, tmp_path, train):
    code, printed, errors = train("second", *STILL, more=finetune(experiment / "bundle"))
    assert code == 0 and "without initial state: mpd, msd, optimizer" in printed, errors
    found = weights_after(tmp_path / "second", 1, "generator")
    assert nearly(found, weights_after(experiment, 3, "generator_average"))
    assert not nearly(found, weights_after(experiment, 3, "generator"))
    for number, place in enumerate((experiment, experiment / "checkpoint" / "step-00000003")):
        code, printed, errors = train(f"third-{number}", *STILL, "train.ema_decay=0.5", more=finetune(place))
        assert code == 0 and "step-00000003: generator, mpd, msd\nwithout initial state: optimizer" in printed, errors
        found = weights_after(tmp_path / f"third-{number}", 1, "generator")
        assert nearly(found, weights_after(experiment, 3, "generator"))


@pytest.mark.slow
def test_generator_and_discriminators_are_exported_from_one_checkpoint(experiment, tmp_path, command):
    """Also if a kill came between a checkpoint and its bundle, so that the bundle is of an older one."""
    bundle = open_bundle(experiment / "bundle")
    replace(bundle, weights={name: tensor + 1 for name, tensor in bundle.weights.items()}).save(experiment / "bundle")
    folder = exported(experiment, tmp_path / "original", command)
    checkpoint = open_checkpoint(experiment / "checkpoint" / "step-00000003")
    assert_same(find_bundle(folder).weights, checkpoint.weights("generator_average"))


@pytest.mark.slow
def test_resting_discriminators_are_exported_without_optimizer_state(train, tmp_path, command):
    code, _, errors = train("resting", "train.max_steps=3", "train.adversarial_start_step=100")
    assert code == 0, errors
    folder = exported(tmp_path / "resting" / "checkpoint" / "step-00000003", tmp_path / "original", command)
    payload = read(folder / "do_00000003")
    assert payload["optim_d"]["state"] == {} and payload["optim_g"]["state"]
    code, printed, errors = train("second", *STILL, more=finetune(folder))
    assert code == 0 and "discriminator and generator at step 3" in printed, errors


@pytest.mark.slow
def test_parameter_groups_and_frozen_parts_are_exported_as_one_group(train, tmp_path, command):
    groups = ("train.lr_groups={'generator.ups': 0.1, 'msd': 0.5}", "train.freeze=['mpd', 'conv_pre']")
    code, _, errors = train("first", "train.max_steps=3", *groups)
    assert code == 0, errors
    folder = exported(tmp_path / "first", tmp_path / "original", command)
    payload = read(folder / "do_00000003")
    for name in ("optim_g", "optim_d"):
        [group] = payload[name]["param_groups"]
        assert not {"part", "factor"} & group.keys() and group["lr"] == 0.002
    kept = published_training(folder / "g_00000003").optimizers
    ours = open_checkpoint(tmp_path / "first" / "checkpoint" / "step-00000003").weights("generator")
    learned = {f"generator.{key}" for key in ours if not key.startswith("conv_pre.")}
    assert kept["generator"].moments.keys() == learned
    assert {key.partition(".")[0] for key in kept["discriminator"].moments} == {"msd"}
    code, printed, errors = train("second", *STILL, *groups, more=finetune(folder))
    assert code == 0 and "discriminator and generator at step 3" in printed, errors
    state = open_checkpoint(tmp_path / "second" / "checkpoint" / "step-00000001").training_state()["optimizers"]
    assert {float(each["step"]) for of in state.values() for each in of["state"].values()} == {4.0}


@pytest.mark.slow
def test_weights_and_states_that_do_not_fit_are_refused_by_name(experiment, tmp_path, train, command):
    folder = exported(experiment, tmp_path / "original", command)
    for place in (folder, experiment / "bundle", experiment):
        code, _, errors = train("second", "model.upsample_initial_channel=32", more=finetune(place))
        assert code == 1 and "the weights of generator are not those of this network" in errors
        assert "conv_pre.weight_v has shape (16, 12, 7) where the network has (32, 12, 7)" in errors
    payload = read(folder / "do_00000003")
    payload["optim_d"]["state"][3]["exp_avg"] = torch.zeros(2)
    torch.save(payload, folder / "do_00000003")
    code, _, errors = train("second", more=finetune(folder))
    assert code == 1 and "do_00000003: optim_d: the state of msd." in errors
    torch.save({"mpd": {}, "msd": {}}, folder / "do_00000003")
    code, _, errors = train("second", more=finetune(folder))
    assert code == 1 and "do_00000003: lacks optim_g, optim_d, steps, epoch" in errors
    tiny_bundle().save(tmp_path / "voice")
    code, _, errors = train("second", more=finetune(tmp_path / "voice"))
    assert code == 1 and "holds a FastSpeech2, and the settings ask for a HiFiGAN" in errors


@pytest.mark.slow
def test_starting_from_a_vocoder_of_other_mels_is_warned_of(experiment, tmp_path, train):
    settings = json.loads((experiment / "bundle" / "settings.json").read_text())
    settings["preprocess"]["fmin"] = 20.0
    (experiment / "bundle" / "settings.json").write_text(json.dumps(settings))
    code, printed, errors = train("second", *STILL, more=finetune(experiment / "bundle"))
    assert code == 0 and "it was trained on other mels; it had -> now asked for: fmin: 20.0 -> 0.0" in printed, errors


@pytest.mark.slow
def test_an_acoustic_model_starts_from_a_bundle(tmp_path, train):
    code, _, errors = train("first", "train.max_steps=2", model_type="FastSpeech2")
    assert code == 0, errors
    bundle = tmp_path / "first" / "bundle"
    code, printed, errors = train("second", *STILL, more=finetune(bundle), model_type="FastSpeech2")
    assert code == 0 and f"the weights of {bundle}: network\nwithout initial state: optimizer of" in printed, errors
    assert "symbols: 77 kept\nspeakers: 2 kept\n" in printed
    assert nearly(weights_after(tmp_path / "second", 1, "network"), weights_after(tmp_path / "first", 2, "network"))
    other = "model.hidden_size=32"
    code, _, errors = train("third", other, more=finetune(bundle), model_type="FastSpeech2")
    assert code == 1 and "the weights of network are not those of this network" in errors
