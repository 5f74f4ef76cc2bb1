"""WaveGlow: published values and files, pickled modules read without running them, the flow and its noise."""

from __future__ import annotations

import collections
import os
import pickle

import numpy as np
import pytest
import torch

from models.bundle import BundleError
from models.bundles.layouts import find_foreign
from models.bundles.locate import find_bundle
from models.waveglow.network import WaveGlow
from models.waveglow.original import open_published, published_training, write_published
from tests.support.tiny_models import TinyModel
from utils.inert_pickle import read_modules

FILES = {
    "waveglow_split_fp16.pt": "split",
    "waveglow_split_no_norm.pt": "split",
    "waveglow_joint_module.pt": "joint",
    "waveglow_pickled.pt": "joint",
    "waveglow_pickled_legacy.pt": "joint",
}
CLOSE = {"rtol": 0, "atol": 1e-4}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyModel("WaveGlow", tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("name", FILES)
@torch.no_grad()
def test_golden_weights_give_the_golden_values_both_ways(golden, name):
    folder = golden / "waveglow"
    expected = {key: torch.from_numpy(array) for key, array in np.load(folder / f"expected_{FILES[name]}.npz").items()}
    assert find_foreign(folder / name).layout.model_type == "WaveGlow"
    network = WaveGlow.from_bundle(find_bundle(folder / name))
    analysis = network.analyse(expected["mel"], expected["waveform"])
    torch.testing.assert_close(analysis.z, expected["z"], **CLOSE)
    for found, sums in ((analysis.log_s, "log_s_sums"), (analysis.log_det, "log_det_sums")):
        assert (torch.stack(found) - expected[sums]).abs().max() < 1e-2
    assert analysis.loss(1.0).item() == pytest.approx(expected["loss_sigma1"].item(), abs=1e-5)
    noise = torch.cat([expected["noise_4"], expected["noise_8"], expected["noise_first"]], dim=1)
    waveform = network.generate(expected["mel"], noise * expected["sigma"])
    torch.testing.assert_close(waveform, expected["inferred"], **CLOSE)


@pytest.mark.slow
def test_a_file_written_is_read_back_to_the_bit(golden, tmp_path):
    path = golden / "waveglow" / "waveglow_pickled.pt"
    bundle = find_bundle(path)
    [name] = write_published(tmp_path, bundle, published_training(path))
    again = find_bundle(tmp_path / name)
    assert again.settings == bundle.settings and again.weights.keys() == bundle.weights.keys()
    assert all(torch.equal(again.weights[key], tensor) for key, tensor in bundle.weights.items())
    config = torch.load(tmp_path / name, weights_only=True)["config"]
    theirs = torch.load(path.with_name("waveglow_joint_module.pt"), weights_only=True)["config"]
    assert config == theirs
    with pytest.raises(BundleError, match="exists already"):
        write_published(tmp_path, bundle, None)


class Call:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_nothing_that_a_pickle_names_is_imported_or_called(golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    payloads = [Call(os.system, "touch malice"), Call(eval, "open('malice', 'w')"), Call(os.mkdir, "malice")]
    marks = ["glow", "WaveGlow", "convinv"]
    for number, payload in enumerate(payloads):
        for is_zip in (True, False):
            path = tmp_path / f"waveglow_{number}_{is_zip}.pt"
            content = {"model": payload, "marks": marks, "by_key": collections.OrderedDict([(payload, payload)])}
            torch.save(content, path, _use_new_zipfile_serialization=is_zip)
            assert read_modules(path).keys() == {"model", "marks", "by_key"}
            with pytest.raises(BundleError, match="holds something other than weights"):
                open_published(path)
            path.with_name("other.pt").write_bytes(path.read_bytes().replace(b"convinv", b"another"))
            with pytest.raises(BundleError, match="holds more than tensors"):  # not of their class: as every pickle
                open_published(path.with_name("other.pt"))
    assert not (tmp_path / "malice").exists()
    unknown = tmp_path / "waveglow_unknown.pt"
    unknown.write_bytes(b"cno_such_module\nno_such_name\n)R." + pickle.dumps(marks))
    with pytest.raises(BundleError, match="damaged"):
        open_published(unknown)


def test_damaged_files_are_refused_in_one_sentence(golden, tmp_path):
    for name in FILES:
        content = (golden / "waveglow" / name).read_bytes()
        for size in (len(content) // 2, len(content) - 600):
            path = tmp_path / name
            path.write_bytes(content[:size])
            with pytest.raises(BundleError, match="damaged"):
                open_published(path)
    path = tmp_path / "waveglow_other.pt"
    for content, message in (
        ({"epoch": 3}, "holds no WaveGlow, but epoch"),
        ({"state_dict": {"a": torch.zeros(2)}}, "is no WaveGlow, or a part of it is missing"),
    ):
        torch.save(content, path)
        with pytest.raises(BundleError, match=message):
            open_published(path)


def test_separate_residual_and_skip_layers_are_joined(golden, tmp_path):
    source = golden / "waveglow" / "waveglow_joint_module.pt"
    payload = torch.load(source, weights_only=True)
    weights = {}
    for name, tensor in payload["state_dict"].items():
        if ".res_skip_layers." not in name:
            weights[name] = tensor
        elif len(tensor) == 6:  # the last layer has no residual rows
            weights[name.replace("res_skip", "skip")] = tensor
        else:
            weights[name.replace("res_skip", "res")], weights[name.replace("res_skip", "skip")] = tensor.chunk(2)
    torch.save({"state_dict": weights}, tmp_path / "waveglow_old.pt")
    expected, found = open_published(source).weights, open_published(tmp_path / "waveglow_old.pt").weights
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@torch.no_grad()
def test_the_flow_can_be_reversed_and_its_noise_is_scaled(tiny):
    torch.manual_seed(0)
    network = WaveGlow.from_settings(tiny.settings())
    for coupling in network.WN:
        torch.nn.init.normal_(coupling.end.weight, std=0.1)
    batch = tiny.batch()
    z = network.analyse(batch.mel, batch.waveform).z
    torch.testing.assert_close(network.generate(batch.mel, z), batch.waveform, rtol=0, atol=1e-5)
    usual, made = network(batch.mel), {}
    for network.sigma in (tiny.settings().model.sigma, 0.1, 0.0):
        made[network.sigma] = network(batch.mel)
    assert made[0.1].shape == made[0.0].shape == batch.waveform.shape and made[0.0].std() < made[0.1].std()
    assert torch.equal(usual, made[tiny.settings().model.sigma])
    assert all(torch.linalg.det(mixing.matrix) > 0 for mixing in network.convinv)


@torch.no_grad()
def test_groups_of_ten_samples_serve_a_hop_of_300(tiny):
    torch.manual_seed(0)
    model = tiny.settings().model.model_copy(update={"n_group": 10, "upsample_kernel_size": 1200})
    network = WaveGlow(model, n_mel=5, hop_size=300)
    mel, waveform = torch.randn(1, 5, 4), torch.randn(1, 1200)
    torch.testing.assert_close(network.generate(mel, network.analyse(mel, waveform).z), waveform, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_sizes_are_the_published_ones(golden):
    settings = find_bundle(golden / "waveglow" / "waveglow_split_no_norm.pt").settings
    for channels, n_parameters in ((256, 87_879_272), (512, 268_294_760)):
        with torch.device("meta"):
            network = WaveGlow(settings.model.model_copy(update={"channels": channels}), 80, 256)
        assert sum(parameter.numel() for parameter in network.parameters()) == n_parameters
