"""Voices as ONNX graphs: equal to torch's, spoken without torch, and damaged ones refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from bins.command import INPUTS
from config.paths import REPOSITORY
from models.bundle import BundleError
from models.bundles.export import Export
from models.contracts import Change, Prosody
from models.export.graphs import ExportError, acoustic_graphs, vocoder_graphs
from models.inference.onnx_graph import OnnxError
from models.inference.onnx_vocoder import OnnxVocoder, frame_noise, held_phase
from models.inference.symbol_prosody import SynthesisError
from models.inference.synthesizer import Synthesizer
from models.inference.vocoder import NeuralVocoder
from models.layers import frame_noise as noise_in_torch
from models.registry import MODELS
from processors.audio.audio_file import read_audio
from processors.audio.harmonic_source import HarmonicSource
from tests.models.export.test_graphs import network_of
from tests.support.tiny_models import TinyModel
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle

pytest.importorskip("onnxscript", reason="requirements/onnx.txt is not installed")

from models.export.onnx_check import check_acoustic, check_vocoder
from models.export.onnx_export import details_of_vocoder, write_onnx
from models.export.onnx_files import write_graph
from models.inference.onnx_voice import OnnxVoice

TEXTS = ("Hi.", "Hello there, my friend.", "One day we went out. Nobody saw us, but why?")
PROSODIES = (
    Prosody(),
    Prosody(pitch_shift_semitones=3.0),
    Prosody(pace=0.8),
    Prosody(words={0: Change(energy_db=6.0)}),
    Prosody(
        energy=1.3, words={0: Change(duration_ms=300.0, pause_after_ms=900.0)}, fade_out_ms=20, peak_normalize=True
    ),
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tiny voice of two speakers with its vocoder: the bundle, the folder of graphs, and that with 8-bit weights."""
    folder = tmp_path_factory.mktemp("voice")
    tiny_bundle(speakers=("anna", "bert")).save(folder / "bundle")
    tiny_vocoder_bundle().save(folder / "vocoder")
    request = Export(str(folder / "bundle"), folder / "onnx", vocoder=str(folder / "vocoder"))
    from models.bundles.locate import find_bundle

    bundle = find_bundle(folder / "bundle")
    write_onnx(bundle, request)
    with pytest.raises(BundleError, match="has a voice already; --overwrite"):
        write_onnx(bundle, request)
    write_onnx(bundle, replace(request, folder=folder / "int8", int8=True))
    return folder


@pytest.mark.slow
def test_a_voice_sounds_in_onnx_as_in_torch(exported):
    vocoder = NeuralVocoder(tiny_vocoder_bundle())
    in_torch = Synthesizer.open(exported / "bundle", exported / "vocoder", precision="fp32")
    in_onnx, in_int8 = OnnxVoice(exported / "onnx"), OnnxVoice(exported / "int8")
    assert (in_onnx.speakers, in_onnx.controls) == (in_torch.speakers, in_torch.controls)
    assert in_onnx.sample_rate == vocoder.settings.preprocess.sample_rate
    for text in TEXTS:
        for prosody in PROSODIES:
            wanted = in_torch(text, speaker="bert", prosody=prosody).waveform
            made = in_onnx(text, speaker="bert", prosody=prosody)
            assert made.dtype == np.float32 and made.shape == wanted.shape
            np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-3)
    assert not np.array_equal(in_onnx(TEXTS[0], speaker="anna"), in_onnx(TEXTS[0], speaker="bert"))
    assert np.abs(in_int8(TEXTS[0], speaker="anna")).max() > 0
    details = json.loads((exported / "onnx" / "voice.json").read_text())
    assert [speaker["name"] for speaker in details["speakers"]] == ["anna", "bert"]
    assert (details["precision"], details["vocoder"]["model_type"]) == ("fp32", "HiFiGAN")


WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, *others):
        if name.split(".")[0] in ("torch", "safetensors"):
            raise ImportError(f"{name} is imported")
sys.meta_path.insert(0, Refuse())
import runpy
sys.argv[0] = "speak_onnx"
runpy.run_module("bins.speak_onnx", run_name="__main__")
"""


@pytest.mark.slow
def test_a_voice_speaks_where_there_is_no_torch(exported, tmp_path):
    wav = tmp_path / "made.wav"
    arguments = ["--onnx_dir", str(exported / "onnx"), "--output_file", str(wav), "--speaker", "anna"]
    changes = ["--pace", "0.9", "--pitch_shift_semitones", "2", "--energy_db", "3"]
    call = [sys.executable, "-c", WITHOUT_TORCH, *arguments, *changes, "--text", TEXTS[1]]
    done = subprocess.run(call, cwd=REPOSITORY, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    in_torch = Synthesizer.open(exported / "bundle", exported / "vocoder", precision="fp32")
    prosody = Prosody(pace=0.9, pitch_shift_semitones=2.0, energy_db=3.0)
    wanted = in_torch(TEXTS[1], speaker="anna", prosody=prosody).waveform
    np.testing.assert_allclose(read_audio(wav, in_torch.sample_rate), wanted, rtol=0, atol=1e-3)
    again = subprocess.run(call, cwd=REPOSITORY, capture_output=True, text=True, timeout=240)
    assert again.returncode == 1 and "choose another --output_file" in again.stderr


@pytest.mark.slow
def test_folders_and_requests_that_cannot_be_spoken_are_refused(exported, tmp_path):
    with pytest.raises(OnnxError, match=r"has no voice\.json; python -m bins\.export --format onnx"):
        OnnxVoice(tmp_path)
    with pytest.raises(SynthesisError, match="speaker carl: unknown; known: anna, bert"):
        OnnxVoice(exported / "onnx")("Hi.", speaker="carl")
    damaged = tmp_path / "damaged"
    shutil.copytree(exported / "onnx", damaged)
    (damaged / "decoder.onnx").write_bytes((damaged / "decoder.onnx").read_bytes()[:2000])
    with pytest.raises(OnnxError, match=r"decoder\.onnx: is damaged, or no ONNX graph: .*export the voice again"):
        OnnxVoice(damaged)
    (damaged / "decoder.onnx").unlink()
    with pytest.raises(OnnxError, match=r"decoder\.onnx: is missing"):
        OnnxVoice(damaged)
    for content, message in (("{", "is damaged"), ('{"format": 9}', "format 9"), ('{"format": 1}', "has no controls")):
        (damaged / "voice.json").write_text(content)
        with pytest.raises(OnnxError, match=message):
            OnnxVoice(damaged)
    vocoder = tiny_vocoder_bundle()
    with pytest.raises(BundleError, match="holds a HiFiGAN; onnx is a format of voices"):
        write_onnx(vocoder, Export("", tmp_path / "no"))
    with pytest.raises(ExportError, match="no vocoder fits this model; --vocoder_dir names one"):
        write_onnx(tiny_bundle(), Export("", tmp_path / "no"))


@pytest.mark.slow
@pytest.mark.parametrize("model_type", [name for name, model in MODELS.items() if model.kind == "acoustic"])
def test_graphs_of_an_acoustic_model_are_of_any_length(model_type, tmp_path):
    network = network_of(model_type, tmp_path, "model.decoder_noise_size=4")
    torch.nn.init.normal_(network.decoder_noise.projection.weight)
    for name, part in acoustic_graphs(network, 9).items():
        write_graph(tmp_path / f"{name}.onnx", part, {})
    check_acoustic(network, tmp_path, 9)  # raises where they differ
    with torch.no_grad():
        network.to_mel.bias.add_(0.01)
    with pytest.raises(ExportError, match=r"mels: the graphs differ from the network by 0\.0"):
        check_acoustic(network, tmp_path, 9)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["Lyre", "UnivNet"])
def test_graphs_of_a_vocoder_are_of_any_length(model_type, tmp_path):
    network = network_of(model_type, tmp_path)
    mel = TinyModel(model_type, tmp_path).settings().preprocess
    for name, part in vocoder_graphs(network, mel.n_mel).items():
        write_graph(tmp_path / f"{name}.onnx", part, {})
    if model_type == "Lyre":
        np.save(tmp_path / "noise.npy", network.noise.numpy())
    check_vocoder(network, OnnxVocoder(tmp_path, details_of_vocoder(model_type, network), mel.sample_rate), mel.n_mel)


def test_noise_and_phase_are_those_of_torch():
    wanted = noise_in_torch.frame_noise(torch.arange(50)[None], 7, seed=123)[0].numpy()
    np.testing.assert_allclose(frame_noise(50, 7, 123), wanted, rtol=0, atol=2e-6)
    f0_hz = np.array([0, 0, 100, 110, 0, 0, 220, 0] * 40, np.float32)
    wanted_hz, phase, _ = HarmonicSource(16000, 128).follow(torch.from_numpy(f0_hz)[None])
    held_hz, start_phase = held_phase(f0_hz, 128, 16000)
    assert np.array_equal(held_hz, wanted_hz[0].numpy())
    np.testing.assert_allclose(start_phase, phase[0].numpy(), rtol=0, atol=1e-9)


def test_the_folder_of_graphs_is_looked_at_before_anything_is_imported():
    assert "onnx_dir" in INPUTS
