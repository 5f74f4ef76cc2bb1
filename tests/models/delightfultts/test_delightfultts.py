"""DelightfulTTS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from config.load import load_settings
from config.paths import REPOSITORY
from models.bundle import Bundle
from models.contracts import PhonemeBatch
from models.delightfultts.network import DelightfulTTS
from models.delightfultts.prosody import ReferenceEncoder
from models.delightfultts.similarity import structural_similarity
from models.delightfultts.task import DelightfulTTSTask
from models.inference.symbol_prosody import SynthesisError
from models.inference.synthesizer import Synthesizer
from models.layers.spoken_languages import SpokenLanguages
from models.layers.variance_adaptor import SpeakerScales
from models.registry import settings_class
from processors.audio.audio_file import write_wav
from processors.audio.mel import MelSpectrogram
from processors.datasets.acoustic_data import Voice, collate_acoustic
from processors.datasets.acoustic_example import AcousticExample
from processors.speakers.statistics import SpeakerStatistics, Spread
from processors.text.arpabet import INVENTORY
from processors.text.symbols import SymbolTable
from tests.support.tiny_features import HOP_SIZE, N_MEL, PREPROCESS
from tests.support.tiny_models import SMALL, TinyModel
from tests.support.tiny_voice import tiny_bundle

TEXT = "Hello there."
SPREAD = Spread(mean=5.0, std=0.2, low=4.0, high=6.0, n_frames=1000)


def settings_of(size, *overrides):
    dataset = ("dataset=['x']", "dataset_path={'x': 'none'}")
    return load_settings(REPOSITORY / f"config/{size}.json", [*dataset, *overrides], settings_class).settings


def tiny_settings(*overrides):
    return settings_of("delightfultts", *PREPROCESS, *SMALL["DelightfulTTS"], *overrides)


@pytest.mark.parametrize(("size", "low", "high"), [("delightfultts", 120e6, 136e6), ("delightfultts_small", 4e6, 8e6)])
def test_sizes_are_those_of_the_documents(size, low, high):
    ones = torch.ones(2)
    with torch.device("meta"):
        network = DelightfulTTS(
            settings_of(size).model,
            n_mel=80,
            is_pause=torch.zeros(100, dtype=torch.bool),
            scales=SpeakerScales(ones, ones, ones, ones),
            languages=SpokenLanguages(("en",), (0, 0)),
        )
    assert low < sum(parameter.numel() for parameter in network.parameters()) < high


def plain_similarity(x, y):
    """Compute SSIM as published: a window of 11 by 11 over two mels from 0 to 1."""
    x, y = ((each - each.min()) / (each.max() - each.min()) for each in (x, y))
    taps = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = torch.outer(taps, taps)[None, None] / taps.sum() ** 2

    def blur(image):
        return F.conv2d(image[None, None], window, padding=5)[0, 0]

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, both = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    return (luminance * (2 * both + 9e-4) / (var_x + var_y + 9e-4)).mean()


def test_similarity_is_ssim_over_real_frames():
    torch.manual_seed(0)
    target, lengths = torch.randn(3, 20, 30) * 2.0 - 5.0, torch.tensor([30, 17, 4])
    predicted = target + torch.randn(3, 20, 30)
    expected = [
        plain_similarity(predicted[row, :, :length], target[row, :, :length]) for row, length in enumerate(lengths)
    ]
    torch.testing.assert_close(structural_similarity(predicted, target, lengths), torch.stack(expected))
    torch.testing.assert_close(structural_similarity(target, target, lengths), torch.ones(3))


def test_padding_changes_no_reference():
    torch.manual_seed(0)
    encoder = ReferenceEncoder(N_MEL, (8, 8, 8, 8, 8, 8), 5)
    mel, lengths = torch.randn(3, N_MEL, 24), torch.tensor([24, 13, 2])
    states, shorter = encoder(mel, lengths)
    assert shorter.tolist() == [6, 4, 1]
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(mel[row : row + 1, :, :length], lengths[row : row + 1]).states
        torch.testing.assert_close(states[row : row + 1, : int(shorter[row])], alone, rtol=1e-4, atol=1e-5)


def test_references_learn_from_the_mel_and_predictors_from_detached_references(tmp_path):
    tiny = TinyModel("DelightfulTTS", tmp_path)
    task, batch = tiny.task(), tiny.batch()
    network = task.modules["network"]

    def learn_from(*names):
        network.zero_grad()
        terms = task.loss_terms(predicted, predicted.target, 0)
        sum(terms[name].value for name in names).backward(retain_graph=True)
        parts = {"encoders": network.prosody.encoders, "predictors": network.prosody.predictors}
        found = {name: [each.grad for each in part.parameters()] for name, part in parts.items()}
        return {name for name, each in found.items() if any(grad is not None and grad.any() for grad in each)}

    predicted = network(batch)
    assert learn_from("mel", "similarity", "pitch") == {"encoders"}
    assert learn_from("utterance_prosody", "phoneme_prosody") == {"predictors"}
    assert learn_from("duration") == set()


def test_a_language_conditions_speech_and_defaults_to_the_speakers_own():
    torch.manual_seed(0)
    statistics = {name: SpeakerStatistics(pitch=SPREAD, energy=SPREAD) for name in ("anna", "ben")}
    arguments = tiny_settings(), SymbolTable(INVENTORY), {"anna": 0, "ben": 1}, statistics
    network = DelightfulTTS.untrained(*arguments, None, {"anna": "de"}).eval()
    ids = torch.tensor([[9, 10, 11, 12]])

    def mel(language):
        language_ids = None if language is None else torch.tensor([language])
        return network.infer(PhonemeBatch(ids, torch.tensor([4]), torch.tensor([0]), language_ids=language_ids)).mel

    assert torch.equal(mel(None), mel(0))  # de, then en
    assert not torch.equal(mel(0), mel(1))


def test_a_model_without_reference_encoders_refuses_a_reference(tmp_path):
    with pytest.raises(SynthesisError, match="a FastSpeech2 takes no prosody from a reference recording"):
        Synthesizer(tiny_bundle(), reference_audio=tmp_path / "any.wav")


def sound(phoneme_ids, spread, settings):
    """Return F0 per frame, high for every second symbol and low for the others, and a tone of that F0."""
    f0_hz = np.exp(SPREAD.mean + spread * np.repeat(np.where(phoneme_ids % 2, 1, -1), 6)).astype(np.float32)
    phase = 2 * np.pi * np.cumsum(np.repeat(f0_hz, HOP_SIZE)) / settings.preprocess.sample_rate
    return f0_hz, 0.2 * sum(np.sin(number * phase) / number for number in range(1, 12)).astype(np.float32)


@pytest.mark.slow
def test_a_reference_of_wide_pitch_widens_that_of_the_speech(tmp_path):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    # So few values cannot stand for the pitch of a phone: what is wide or narrow is left to the utterance's.
    settings = tiny_settings("model.durations=stored", "model.phoneme_prosody_size=2")
    symbols, statistics = SymbolTable(INVENTORY), {"anna": SpeakerStatistics(pitch=SPREAD, energy=SPREAD)}
    spectrogram = MelSpectrogram.from_settings(settings.preprocess)

    network = DelightfulTTS.untrained(settings, symbols, {"anna": 0}, statistics)
    bundle = Bundle(settings, network.state_dict(), symbols, statistics, {"anna": 0})
    ids_of_text = Synthesizer(bundle).plan(TEXT).chunks[0].phoneme_ids

    def example(number):
        ids = rng.choice(ids_of_text, 12).astype(np.int32)
        f0_hz, waveform = sound(ids, 0.3 * (number % 2), settings)
        pitch = ((np.log(f0_hz) - SPREAD.mean) / SPREAD.std).astype(np.float32)
        mel = spectrogram(torch.from_numpy(waveform)).numpy().T
        return AcousticExample(str(number), ids, mel, 0, np.full(12, 6, np.int32), pitch, np.zeros_like(pitch))

    batch = collate_acoustic([example(number) for number in range(24)])
    task = DelightfulTTSTask(settings, Voice(symbols, {"anna": 0}, statistics), network)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for step in range(90):
        [update] = task.updates(batch, step)
        optimizer.zero_grad()
        sum(term.weight * term.value for term in update.terms.values()).backward()
        optimizer.step()
    bundle = replace(bundle, weights=network.state_dict())
    deviations = {}
    for name, spread in (("narrow", 0.0), ("wide", 0.3)):
        _, waveform = sound(rng.choice(ids_of_text, 40), spread, settings)
        write_wav(tmp_path / f"{name}.wav", waveform, settings.preprocess.sample_rate)
        voice = Synthesizer(bundle, reference_audio=tmp_path / f"{name}.wav")
        deviations[name] = float(np.log(voice(TEXT).f0_hz).std())
    assert deviations["wide"] > 2 * deviations["narrow"], deviations
