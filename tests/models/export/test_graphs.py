"""The parts of models that are exported, put together as their users put them together."""

from __future__ import annotations

import pytest
import torch

from models.contracts import Controls, PhonemeBatch
from models.export.graphs import ExportError, acoustic_graphs, vocoder_graphs
from models.layers.decoding_windows import decoding_windows
from models.layers.frame_noise import frame_noise
from models.registry import MODELS
from tests.support.tiny_models import TinyModel

ACOUSTIC = [name for name, model in MODELS.items() if model.kind == "acoustic"]
ONE = torch.zeros(1, dtype=torch.long)


def network_of(model_type, folder, *overrides):
    [network, *_] = TinyModel(model_type, folder, *overrides).task().modules.values()
    return network.eval().requires_grad_(False)


def mel_of_parts(network, phoneme_ids, ratio, pace, louder):
    """Return the mel of a text by the exported parts, with F0 and durations changed, and a word's energy."""
    parts = {name: part.module for name, part in acoustic_graphs(network, 9).items()}
    languages = {"language_id": ONE} if network.has_languages else {}
    hidden, frames, pitch, f0_hz, *condition = parts["encoder"](phoneme_ids, ONE, **languages)
    hidden, _, *energy = parts["pitch"](hidden, pitch, f0_hz * ratio, ONE)
    at_least = (~network.variance_adaptor.is_pause[phoneme_ids]).float()
    durations = torch.maximum((frames / pace).round(), at_least).long()
    more = {"energy": energy[0], "energy_factor": louder, "speaker_id": ONE} if energy else {}
    more |= {"condition": condition[0]} if condition else {}
    frame_phones = torch.arange(phoneme_ids.shape[1]).repeat_interleave(durations[0])
    if network.decoder_noise is not None:
        more["noise_place"] = network.decoder_noise.places(phoneme_ids)
    mels = []
    for window in decoding_windows(len(frame_phones), in_windows=network.decodes_in_windows):
        first = torch.tensor([window.first]) if network.decodes_in_windows else None
        mels.append(
            parts["decoder"](hidden, frame_phones[window.first : window.last], first, **more)[:, :, window.kept]
        )
    return torch.cat(mels, dim=2), durations


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ACOUSTIC)
@torch.no_grad()
def test_the_parts_of_an_acoustic_model_together_are_the_model(model_type, tmp_path):
    network = network_of(model_type, tmp_path, "model.decoder_noise_size=4")
    torch.nn.init.normal_(network.decoder_noise.projection.weight)
    for seed, n_phones in enumerate((2, 3, 8, 20, 45)):
        torch.manual_seed(seed)
        phoneme_ids = torch.randint(1, 9, (1, n_phones))
        louder = torch.ones(1, n_phones)
        louder[:, 1] = 2.0
        batch = PhonemeBatch(phoneme_ids, torch.tensor([n_phones]), ONE, language_ids=ONE)
        for ratio, pace, energy in ((1.0, 1.0, torch.ones_like(louder)), (2 ** (3 / 12), 0.8, louder)):
            controls = Controls(lambda frames, pace=pace: frames / pace, lambda f0, _, ratio=ratio: f0 * ratio, energy)
            whole = network.infer(batch, controls)
            mel, durations = mel_of_parts(network, phoneme_ids, ratio, pace, energy)
            assert torch.equal(durations, whole.durations)
            torch.testing.assert_close(mel, whole.mel, rtol=0, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_the_parts_of_a_vocoder_together_are_the_vocoder(tmp_path):
    mel = torch.randn(1, 20, 41) - 5
    for model_type in ("HiFiGAN", "UnivNet", "Lyre"):
        network = network_of(model_type, tmp_path)
        mel = torch.randn(1, network_n_mel(tmp_path, model_type), 41) - 5
        parts = {name: part.module for name, part in vocoder_graphs(network, mel.shape[1]).items()}
        inputs = {"mel": mel}
        frames = torch.arange(41)[None]
        if model_type == "UnivNet":
            inputs["noise"] = frame_noise(frames, network.noise_size, seed=network.noise_seed)
        elif model_type == "Lyre":
            f0_hz = parts["f0"](mel)
            held = network.source.follow(f0_hz)
            phases = {"held_hz": held.held_hz.float(), "start_phase": held.start_phase.float()}
            inputs |= {"f0_hz": f0_hz, **phases, "noise_spectra": network.noise[frames]}
        whole = network.for_inference()(mel)
        torch.testing.assert_close(parts["vocoder"](**inputs), whole, rtol=0, atol=1e-5)


def network_n_mel(folder, model_type):
    return TinyModel(model_type, folder).settings().preprocess.n_mel


@pytest.mark.slow
def test_models_without_graphs_are_refused_by_name(tmp_path):
    with pytest.raises(ExportError, match="a WaveGlow has no ONNX graphs; HiFi-GAN, UnivNet and Lyre do"):
        vocoder_graphs(network_of("WaveGlow", tmp_path), 20)
    of_frames = network_of("FastSpeech2", tmp_path, "model.pitch_level=frame")
    with pytest.raises(ExportError, match=r"predicts pitch per frame .* model.pitch_level phone"):
        acoustic_graphs(of_frames, 9)
