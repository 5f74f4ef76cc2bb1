"""UnivNet: published values and files, location-variable convolutions, and noise by utterance and frame."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest
import torch
import yaml

from config.load import SettingsError
from models.bundle import Bundle, BundleError
from models.bundles.layouts import find_foreign
from models.bundles.locate import find_bundle
from models.layers.adversarial_loss import adversarial_loss, discriminator_loss
from models.layers.frame_noise import frame_noise, utterance_numbers
from models.registry import make_task
from models.training.discriminators import make_discriminators
from models.univnet.network import UnivNet, locally_convolved
from models.univnet.original import open_published, published_training, write_published
from models.univnet.reference import PlainUnivNet
from processors.audio.stft_distance import multi_resolution_stft
from tests.support.tiny_models import TinyModel

CLOSE = {"rtol": 0, "atol": 1e-4}


@pytest.fixture
def expected(golden):
    return {name: torch.from_numpy(array) for name, array in np.load(golden / "univnet" / "expected.npz").items()}


@pytest.fixture
def published(golden):
    return golden / "univnet" / "univnet_c4_0010.pt"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyModel("UnivNet", tmp_path_factory.mktemp("tiny"))


@torch.no_grad()
def test_golden_weights_give_the_golden_waveforms(published, expected):
    bundle = find_bundle(published)
    network = UnivNet.from_bundle(bundle)
    waveform = network.generate(expected["mel"], expected["noise"])
    torch.testing.assert_close(waveform, expected["waveform"][0], **CLOSE)
    appended = torch.cat([expected["mel"], torch.full((1, 100, 10), -11.5129)], dim=2)
    waveform = network.generate(appended, expected["noise_inference"])[0, :-2560]
    torch.testing.assert_close(waveform, expected["inference_waveform"], **CLOSE)
    steps = (waveform * 32768).clamp(-32768, 32767).short().int() - expected["inference_int16"].int()
    assert steps.abs().max() <= 4
    preprocess = bundle.settings.preprocess
    assert (preprocess.sample_rate, preprocess.n_mel, preprocess.fmin, preprocess.fmax) == (24000, 100, 0, 12000)
    assert find_bundle(published.parent).weights.keys() == bundle.weights.keys()


@torch.no_grad()
def test_golden_discriminators_give_the_golden_scores_and_losses(published, expected):
    initial, settings = published_training(published), find_bundle(published).settings
    task = make_task(settings)
    initial.load_into(task.modules)
    assert (initial.step, initial.epoch, settings.model.mpd_channels) == (1000, 10, (4, 8, 16, 32, 64))
    real, fake = expected["real"][0], expected["waveform"][0]
    outputs = [output for name in ("mrd", "mpd") for output in task.modules[name](torch.cat([real, fake]))]
    names = [f"mrd{number}" for number in range(3)] + [f"mpd{period}" for period in settings.model.mpd_periods]
    for name, output in zip(names, outputs, strict=True):
        for kind, score in zip(("real", "fake"), output.score.chunk(2), strict=True):
            if name.startswith("mpd"):  # theirs are planes, of which the period is the width
                score = score.reshape(len(score), -1).T
            torch.testing.assert_close(score.flatten(), expected[f"score_{kind}_{name}"], **CLOSE)
    of_fake = [output for name in ("mrd", "mpd") for output in task.modules[name](fake)]
    distance = multi_resolution_stft(fake, real, task.stft_padding)
    train = settings.train
    found = {
        "loss_d": discriminator_loss(outputs) / len(outputs),
        "loss_g_adversarial": adversarial_loss(of_fake) * train.adversarial_loss_weight,
        "loss_stft_convergence": distance.spectral_convergence,
        "loss_stft_magnitude": distance.log_magnitude,
    }
    found["loss_g_total"] = found["loss_g_adversarial"] + train.adversarial_stft_loss_weight * (
        distance.spectral_convergence + distance.log_magnitude
    )
    for name, value in found.items():
        assert value.item() == pytest.approx(expected[name].item(), abs=1e-4), name


def test_discriminators_have_the_published_shapes(golden):
    shapes = json.loads((golden / "univnet" / "discriminators_state_dict_shapes.json").read_text())
    made = make_discriminators(["mrd", "mpd"], period_channels=(64, 128, 256, 512, 1024), period_slope=0.2)
    found = {
        f"{name.upper()}.{key}": list(tensor.shape)
        for name, module in made.items()
        for key, tensor in module.state_dict().items()
    }
    assert found == shapes
    assert sum(math.prod(shape) for shape in shapes.values()) == 17_725_712


def test_slope_and_window_of_the_spectra_are_settings(tiny, published, tmp_path):
    waveform = torch.randn(1, 2048, generator=torch.Generator().manual_seed(0))

    def scores(*overrides):
        return [output.score for output in tiny.task(*overrides).modules["mrd"](waveform)]

    plain = scores()
    for same in ("model.mrd_slope=0.2", "model.mrd_window=none"):
        assert all(map(torch.equal, scores(same), plain))
    for other in ("model.mrd_slope=0.1", "model.mrd_window=hann", "model.mrd_channels=8"):
        assert not any(map(torch.equal, scores(other), plain))
    payload = torch.load(published, weights_only=True)
    hp = yaml.safe_load(payload["hp_str"])
    hp["mrd"]["lReLU_slope"] = 0.1
    torch.save({**payload, "hp_str": yaml.safe_dump(hp)}, tmp_path / "univnet.pt")
    bundle = find_bundle(tmp_path / "univnet.pt")
    assert bundle.settings.model.mrd_slope == 0.1 and find_bundle(published).settings.model.mrd_slope == 0.2
    [name] = write_published(tmp_path, bundle, None)
    assert find_bundle(tmp_path / name).settings.model.mrd_slope == 0.1


def test_a_file_written_is_read_back_to_the_bit(published, tiny, tmp_path):
    bundle, training = find_bundle(published), published_training(published)
    [name] = write_published(tmp_path, bundle, training)
    again, training_again = find_bundle(tmp_path / name), published_training(tmp_path / name)
    assert again.settings == bundle.settings
    assert all(torch.equal(again.weights[key], tensor) for key, tensor in bundle.weights.items())
    for module, weights in training.modules.items():
        assert all(torch.equal(training_again.modules[module][key], tensor) for key, tensor in weights.items())
    theirs, ours = (torch.load(path, weights_only=True) for path in (published, tmp_path / name))
    assert all([*ours[name]] == [*theirs[name]] for name in ("model_g", "model_d"))
    with pytest.raises(BundleError, match="exists already"):
        write_published(tmp_path, bundle, training)


@pytest.mark.slow
def test_optimizer_states_are_exported_and_read(tiny, tmp_path):
    from models.bundles.warm_start import find_initial_state, find_training

    trainer = tiny.train("run", 2, save_every_steps=2)
    training = find_training(tiny.folder / "run", tiny.settings())
    assert training is not None and training.optimizers.keys() == {"generator", "discriminator"}
    [name] = write_published(tmp_path, find_bundle(tiny.folder / "run"), training)
    again = find_initial_state(tmp_path / name, tiny.settings(), trainer.task)
    for optimizer, state in training.optimizers.items():
        for parameter, moments in state.moments.items():
            found = again.optimizers[optimizer].moments[parameter]
            assert all(torch.equal(found[key], moments[key]) for key in ("exp_avg", "exp_avg_sq"))


@pytest.mark.parametrize("program", ["voicesmith", "tts-framework"])
def test_the_generator_alone_is_read_from_layouts_without_settings(published, tmp_path, program):
    path = tmp_path / "vocoder.ckpt"
    generator = torch.load(published, weights_only=True)["model_g"]
    named = {f"univnet.{name}": tensor for name, tensor in generator.items()}
    is_lightning = program == "tts-framework"
    torch.save({"state_dict": named, "epoch": 2} if is_lightning else {"generator": generator, "steps": 5}, path)
    bundle = find_bundle(path)
    assert (bundle.settings.preprocess.sample_rate, bundle.settings.preprocess.fmax) == (22050, 11025)
    assert UnivNet.from_bundle(bundle).hop_size == 256
    assert published_training(path).modules.keys() == {"generator"}


class Malice:
    def __reduce__(self):
        return os.mkdir, ("malice",)


def test_damaged_and_foreign_files_are_refused_in_one_sentence(published, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    payload = torch.load(published, weights_only=True)
    contents = {
        "code": ({**payload, "extra": Malice()}, "holds more than tensors"),
        "other": ({"weights": {}}, "holds no UnivNet, but weights"),
        "part": ({"model_g": {"conv_pre.bias": torch.zeros(4)}}, "is no UnivNet, or a part of it is missing"),
        "no_yaml": ({**payload, "hp_str": "{"}, "are no YAML"),
        "no_weights": ({"model_g": 3}, "holds something other than weights"),
    }
    for name, (content, message) in contents.items():
        path = tmp_path / f"univnet_{name}.pt"
        torch.save(content, path)
        assert find_foreign(path).layout.model_type == "UnivNet"
        with pytest.raises(BundleError, match=message):
            open_published(path)
    damaged = tmp_path / "univnet_damaged.pt"
    damaged.write_bytes(published.read_bytes()[:-3000])
    with pytest.raises(BundleError, match="damaged"):
        open_published(damaged)
    assert not (tmp_path / "malice").exists()
    (tmp_path / "another.pt").write_bytes(b"nothing")
    assert find_foreign(tmp_path / "another.pt") is None


@pytest.mark.parametrize(("channels", "n_parameters"), [(16, 3_997_426), (32, 14_865_506)])
def test_sizes_are_the_published_ones(published, channels, n_parameters):
    model = find_bundle(published).settings.model.model_copy(update={"channels": channels})
    assert sum(parameter.numel() for parameter in UnivNet(model, 100).parameters()) == n_parameters


def test_each_frame_is_convolved_with_its_own_kernel():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5 * 4, generator=generator)
    weight, bias = torch.randn(2, 5, 3, 3, 6, generator=generator), torch.randn(2, 5, 6, generator=generator)
    found = locally_convolved(x, weight, bias, 4)
    for row in range(2):
        for frame in range(5):
            kernel = weight[row, frame].permute(2, 1, 0)  # (taps, C, C_out) -> (C_out, C, taps)
            whole = torch.nn.functional.conv1d(x[row : row + 1], kernel, bias[row, frame], padding=1)
            torch.testing.assert_close(found[row, frame], whole[0, :, 4 * frame : 4 * frame + 4])


@torch.no_grad()
def test_the_reference_computes_the_same(tiny):
    torch.manual_seed(0)
    network = UnivNet.from_settings(tiny.settings()).eval()
    mel = torch.randn(2, network.res_stack[0].kernel_predictor.input_conv[0].weight.shape[1], 20)
    torch.testing.assert_close(PlainUnivNet(network)(mel), network(mel), rtol=0, atol=1e-5)
    torch.testing.assert_close(network.for_inference()(mel), network(mel), rtol=0, atol=1e-5)


def test_noise_depends_on_seed_utterance_and_frame_alone():
    ids = utterance_numbers(("a", "b"), torch.device("cpu"))
    frames = torch.arange(2000).expand(2, -1)
    noise = frame_noise(frames, 7, seed=3, utterances=ids)
    assert noise.shape == (2, 7, 2000)
    later = frame_noise(frames[:, 700:900], 7, seed=3, utterances=ids)
    assert torch.equal(later, noise[:, :, 700:900])
    assert torch.equal(frame_noise(frames[1:], 7, seed=3, utterances=ids[1:]), noise[1:])
    others = [frame_noise(frames, 7, seed=4, utterances=ids), noise.flip(0), frame_noise(frames, 7, seed=3)]
    for other in others:
        assert abs(torch.corrcoef(torch.stack([noise.flatten(), other.flatten()]))[0, 1]) < 0.03
    flat = noise.transpose(1, 2).flatten(0, 1)
    assert flat.mean().abs() < 0.02 and (flat.std() - 1).abs() < 0.02 and ((flat**4).mean() - 3).abs() < 0.2
    assert (torch.corrcoef(flat.T) - torch.eye(7)).abs().max() < 0.06  # channels do not depend on each other
    assert abs((flat[1:] * flat[:-1]).mean()) < 0.02  # nor do frames


def test_training_draws_noise_by_utterance_and_frame(tiny):
    task, batch = tiny.task(), tiny.batch()
    frames = batch.first_frame.unsqueeze(1) + torch.arange(batch.mel.shape[2])
    generator = task.modules["generator"]
    waveform = task.generate(batch).waveform
    expected = generator(batch.mel, frames, utterance_numbers(batch.ids, batch.mel.device))
    assert torch.equal(waveform, expected)
    assert not torch.allclose(waveform, generator(batch.mel), atol=1e-3)
    assert [*task.optimizers()] == [update.name for update in task.updates(batch, 0)] == ["generator", "discriminator"]


def test_contradictions_are_found(tiny):
    with pytest.raises(SettingsError, match="8 x 4 is 32, but hop_size is 64"):
        tiny.settings("model.strides=[8, 4]")
    with pytest.raises(SettingsError, match="which reflects 1024"):
        tiny.settings("train.segment_size=1024")


def test_odd_strides_make_whole_frames(tiny):
    settings = tiny.settings("model.strides=[5, 6]", "preprocess.hop_size=30", "train.segment_size=1500")
    bundle = Bundle(settings, UnivNet.from_settings(settings).state_dict())
    assert UnivNet.from_bundle(bundle)(torch.zeros(1, settings.preprocess.n_mel, 6)).shape == (1, 180)
