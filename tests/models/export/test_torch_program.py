"""Voices and vocoders as programs of torch.export: equal to the networks at any length, loaded by torch alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import torch

import bins.export
from config.paths import REPOSITORY
from models.contracts import Controls, PhonemeBatch
from models.export.torch_program import voice_program
from models.export.voice_graph import VoiceGraph, VoiceGraphError, vocoder_graph
from models.fastspeech2.network import FastSpeech2
from models.registry import open_acoustic, open_vocoder_network
from tests.support.tiny_models import TinyModel
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle
from utils.errors import RecitalError

ONE = torch.zeros(1, dtype=torch.long)


def network_of(model_type, folder):
    [network, *_] = TinyModel(model_type, folder).task().modules.values()
    return network.eval().requires_grad_(False)


def differences(program, network, vocoder_network):
    """Yield the largest difference of a program's samples from its networks' at five lengths, slowly spoken."""
    wave_of = vocoder_network.for_inference()
    for seed, n_phones in enumerate((3, 5, 9, 21, 60)):
        torch.manual_seed(seed)
        phoneme_ids = torch.randint(1, 9, (1, n_phones))
        spoken = network.infer(PhonemeBatch(phoneme_ids, torch.tensor([n_phones]), ONE), Controls(lambda f: f * 2.0))
        assert spoken.mel.shape[2] >= 8
        whole = wave_of(spoken.mel)
        found = program(phoneme_ids, ONE, torch.tensor([2.0]))
        assert found.shape == whole.shape
        yield float((found - whole).abs().max())


@pytest.mark.slow
@pytest.mark.parametrize(("acoustic", "vocoder"), [("FastPitch", "Lyre"), ("DelightfulTTS", "UnivNet")])
@torch.no_grad()
def test_a_program_speaks_as_its_networks_at_five_lengths(acoustic, vocoder, tmp_path):
    network, vocoder_network = (network_of(name, tmp_path / name) for name in (acoustic, vocoder))
    program = voice_program(VoiceGraph(network, vocoder_network), 9).module()
    assert max(differences(program, network, vocoder_network)) < 1e-4


def export(*arguments):
    bins.export.main(bins.export._parser().parse_args(list(map(str, arguments))))


@pytest.mark.slow
@torch.no_grad()
def test_a_program_of_a_vocoder_is_the_vocoder_at_five_lengths(tmp_path):
    tiny_vocoder_bundle().save(tmp_path / "tiny")
    export("--bundle", tmp_path / "tiny", "--format", "torch_export", "--output_dir", tmp_path)
    program = torch.export.load(tmp_path / "tiny.pt2").module()
    network = open_vocoder_network(tiny_vocoder_bundle(), torch.device("cpu"))
    for n_frames in (8, 9, 33, 100, 400):
        mel = torch.randn(1, 20, n_frames) - 5
        torch.testing.assert_close(program(mel)[0], network.for_inference()(mel)[0], rtol=0, atol=1e-4)


def test_no_part_of_a_vocoder_hides_an_attribute_of_exported_programs(tmp_path):
    for model_type in ("Lyre", "UnivNet", "HiFiGAN"):
        parts = dict(vocoder_graph(network_of(model_type, tmp_path / model_type)).named_children())
        assert parts and not set(parts) & set(dir(torch.fx.GraphModule))


@pytest.mark.slow
@torch.no_grad()
def test_a_file_speaks_as_its_networks_and_by_the_docs_snippet_with_torch_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(FastSpeech2, "decodes_in_windows", False)  # a program decodes all frames at once
    tiny_bundle().save(tmp_path / "anna")
    tiny_vocoder_bundle().save(tmp_path / "anna" / "vocoder")
    arguments = ["--bundle", tmp_path / "anna", "--format", "torch_export", "--output_dir", tmp_path / "out"]
    export(*arguments)
    with pytest.raises(RecitalError, match=r"has anna\.pt2 already"):
        export(*arguments)
    program = torch.export.load(tmp_path / "out" / "anna.pt2").module()
    networks = (
        open_acoustic(tiny_bundle(), torch.device("cpu")),
        open_vocoder_network(tiny_vocoder_bundle(), torch.device("cpu")),
    )
    assert max(differences(program, *networks)) < 1e-4
    text = (REPOSITORY / "docs" / "export.md").read_text(encoding="utf-8")
    [snippet] = re.findall(r"```python\n(import json.*?torch\.export.*?)```", text, re.DOTALL)
    assert snippet.count("\n") <= 12
    check = "assert not any(name in sys.modules for name in ('models', 'utils'))\nprint(json.dumps(waveform.tolist()))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys\n{snippet.replace('kathleen.pt2', 'anna.pt2')}{check}"],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    symbols = list(tiny_bundle().symbols.symbols)
    ids = torch.tensor([[symbols.index(phone) for phone in ("sil", "HH", "AH0", "L", "OW1", ".")]])
    spoken = torch.tensor(json.loads(done.stdout.splitlines()[-1]))
    torch.testing.assert_close(spoken, program(ids, ONE, torch.ones(1))[0], rtol=0, atol=1e-6)


def test_what_cannot_be_one_program_is_refused_by_name(tmp_path):
    acoustic = network_of("FastSpeech2", tmp_path)
    with pytest.raises(VoiceGraphError, match=r"a WaveGlow cannot be part of one graph; HiFi-GAN, UnivNet and Lyre"):
        VoiceGraph(acoustic, network_of("WaveGlow", tmp_path))
    tiny_bundle().save(tmp_path / "anna")
    with pytest.raises(RecitalError, match="name one by --vocoder_dir"):
        export("--bundle", tmp_path / "anna", "--format", "torch_export", "--output_dir", tmp_path / "out")
