"""FastSpeech 2: layers, padding, controls."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from models.contracts import Controls, PhonemeBatch
from models.fastspeech2.network import FastSpeech2
from models.fastspeech2.settings import FastSpeech2ModelSettings
from models.layers.attention import SelfAttention, attention_bias
from models.layers.binned_embedding import BinnedEmbedding
from models.layers.conv1d import Conv1d
from models.layers.dropout import Dropout
from models.layers.length_regulator import expand
from models.layers.masks import masked_mean, padding_mask
from models.layers.positions import SinusoidalPositions
from models.layers.variance_adaptor import SpeakerScales
from processors.datasets.acoustic_data import collate_acoustic
from processors.datasets.acoustic_example import AcousticExample

SETTINGS = FastSpeech2ModelSettings(
    hidden_size=16,
    n_heads=2,
    encoder_layers=2,
    decoder_layers=1,
    conv_filter_size=24,
    conv_kernel_sizes=(5, 3),
    norm_first=False,
    dropout=0.0,
    predictor_filter_size=16,
    predictor_kernel_size=3,
    predictor_dropout=0.0,
    pitch_level="phone",
    energy_level="phone",
    n_bins=16,
    postnet_layers=3,
    postnet_filter_size=16,
    postnet_kernel_size=5,
    postnet_dropout=0.0,
)
N_SYMBOLS, N_MEL, FIRST_PHONE = 20, 12, 4


def make_network(**changes):
    torch.manual_seed(0)
    scales = SpeakerScales(
        pitch_mean=torch.tensor([5.0, 4.5]),
        pitch_std=torch.tensor([0.25, 0.2]),
        energy_mean=torch.tensor([30.0, 20.0]),
        energy_std=torch.tensor([10.0, 8.0]),
    )
    settings = SETTINGS.model_copy(update=changes)
    is_pause = torch.arange(N_SYMBOLS) < FIRST_PHONE
    return FastSpeech2(settings, n_mel=N_MEL, is_pause=is_pause, scales=scales).eval()


def make_example(number, n_phones, level="phone"):
    rng = np.random.default_rng(number)
    durations = rng.integers(1, 8, n_phones).astype(np.int32)
    n_frames = int(durations.sum())
    places = n_phones if level == "phone" else n_frames
    return AcousticExample(
        id=f"example-{number}",
        speaker_id=number % 2,
        phoneme_ids=rng.integers(FIRST_PHONE, N_SYMBOLS, n_phones).astype(np.int32),
        durations=durations,
        mel=rng.normal(-5, 2, (n_frames, N_MEL)).astype(np.float32),
        pitch=rng.normal(size=places).astype(np.float32),
        energy=rng.normal(size=places).astype(np.float32),
    )


def speak(network, *examples, **controls):
    batch = collate_acoustic(examples)
    return network.infer(PhonemeBatch.from_batch(batch), Controls(**controls))


# Layers


@pytest.mark.parametrize("kernel_size", [1, 3, 9])
def test_convolution_equals_torchs_own(kernel_size):
    torch.manual_seed(0)
    ours = Conv1d(6, 10, kernel_size)
    theirs = torch.nn.Conv1d(6, 10, kernel_size, padding=kernel_size // 2)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 13, 6)
    x_ours, x_theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y_ours, y_theirs = ours(x_ours), theirs(x_theirs.transpose(1, 2)).transpose(1, 2)
    (y_ours**2).sum().backward()
    (y_theirs**2).sum().backward()
    torch.testing.assert_close(y_ours, y_theirs)
    torch.testing.assert_close(x_ours.grad, x_theirs.grad)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.get_parameter("bias").grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_ignores_padding(dtype):
    torch.manual_seed(0)
    attention = SelfAttention(8, 2).to(dtype)
    x = torch.randn(1, 6, 8, dtype=dtype)
    padded = torch.cat([x, torch.full((1, 3, 8), 100.0, dtype=dtype)], dim=1)
    alone = attention(x, attention_bias(padding_mask(torch.tensor([6]))))
    beside_padding = attention(padded, attention_bias(padding_mask(torch.tensor([6]), 9)))
    torch.testing.assert_close(beside_padding[:, :6], alone)


def test_both_implementations_of_attention_agree():
    torch.manual_seed(0)
    attention = SelfAttention(8, 2)
    x, bias = torch.randn(2, 5, 8), attention_bias(padding_mask(torch.tensor([5, 3])))
    exact = attention(x, bias)
    with torch.autocast("cpu", torch.bfloat16):
        rough = attention(x, bias)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)


def test_length_regulator_repeats_each_phoneme_for_its_frames():
    hidden = torch.arange(1.0, 7.0).view(2, 3, 1)
    frames = expand(hidden, torch.tensor([[2, 0, 3], [1, 1, 0]]))
    assert frames.squeeze(2).tolist() == [[1, 1, 3, 3, 3], [4, 5, 0, 0, 0]]


def test_length_regulator_sends_gradients_back():
    hidden = torch.ones(1, 3, 2, requires_grad=True)
    [gradient] = torch.autograd.grad(expand(hidden, torch.tensor([[2, 0, 3]])).sum(), hidden)
    assert gradient.tolist() == [[[2, 2], [0, 0], [3, 3]]]


def test_length_regulator_refuses_an_utterance_without_frames():
    with pytest.raises(ValueError, match="add up to 0 frames"):
        expand(torch.ones(2, 2, 1), torch.tensor([[1, 1], [0, 0]]))


def test_masked_mean_ignores_any_value_of_padding():
    values = torch.tensor([[1.0, 2.0, math.inf], [6.0, math.nan, math.nan]])
    is_padding = padding_mask(torch.tensor([2, 1]))
    assert masked_mean(values[:, :2], is_padding) == 3.0
    assert masked_mean(values, padding_mask(torch.tensor([2, 1]), 3)) == 3.0


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(share):
    torch.manual_seed(0)
    dropout = Dropout(share)
    kept = dropout(torch.ones(1000, 999))
    assert float((kept == 0).float().mean()) == pytest.approx(share, abs=3e-3)
    assert float(kept.mean()) == pytest.approx(1.0, abs=3e-3)
    assert torch.equal(dropout.eval()(kept), kept)


def test_dropout_follows_the_seed():
    dropout, x = Dropout(0.5), torch.ones(7, 3)
    torch.manual_seed(3)
    first = dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(dropout(x), first)


def test_positions_have_no_longest_length():
    positions = SinusoidalPositions(8)
    short = positions(torch.zeros(1, 10, 8))
    long = positions(torch.zeros(1, 3000, 8))
    torch.testing.assert_close(long[:, :10], short)
    assert torch.isfinite(long).all()
    assert not torch.equal(long[:, 2998], long[:, 2999])


def test_values_outside_the_bins_fall_into_the_outermost_ones():
    embedding = BinnedEmbedding(16, 4)
    rows = embedding(torch.tensor([[-1000.0, -3.99, 3.99, 1000.0]]))
    assert torch.equal(rows[0, 0], rows[0, 1])
    assert torch.equal(rows[0, 2], rows[0, 3])


# The network


@pytest.mark.parametrize("changes", [{}, {"norm_first": True, "postnet_layers": 0}])
def test_padding_changes_no_prediction(changes):
    network = make_network(**changes)
    short, long = make_example(1, 5), make_example(2, 30)
    alone, together = network(collate_acoustic([short])), network(collate_acoustic([short, long]))
    n_frames = short.durations.sum()
    torch.testing.assert_close(together.mel[:1, :, :n_frames], alone.mel)
    torch.testing.assert_close(together.log_durations[:1, :5], alone.log_durations)
    torch.testing.assert_close(together.values["pitch"][:1, :5], alone.values["pitch"])
    torch.testing.assert_close(together.values["energy"][:1, :5], alone.values["energy"])
    if alone.refined_mel is not None:
        torch.testing.assert_close(together.refined_mel[:1, :, :n_frames], alone.refined_mel)


@pytest.mark.parametrize("level", ["phone", "frame"])
def test_padding_changes_no_speech(level):
    network = make_network(pitch_level=level, energy_level=level)
    short, long = make_example(1, 5), make_example(2, 30)
    alone, together = speak(network, short), speak(network, short, long)
    n_frames = int(alone.mel_lengths)
    assert together.mel_lengths[0] == n_frames == alone.mel.shape[2]
    assert torch.equal(together.durations[0, :5], alone.durations[0])
    assert not together.durations[0, 5:].any()
    torch.testing.assert_close(together.mel[:1, :, :n_frames], alone.mel)
    torch.testing.assert_close(together.f0_hz[:1, :n_frames], alone.f0_hz)
    torch.testing.assert_close(together.energy[:1, :n_frames], alone.energy)


def test_pitch_and_energy_may_be_predicted_per_frame():
    network = make_network(pitch_level="frame", energy_level="frame")
    batch = collate_acoustic([make_example(1, 5, "frame"), make_example(2, 9, "frame")])
    predicted = network(batch)
    assert (
        predicted.values["pitch"].shape
        == predicted.values["energy"].shape
        == batch.pitch.shape
        == (2, batch.mel.shape[2])
    )


def test_more_than_a_thousand_frames_are_allowed():
    network = make_network()
    example = make_example(1, 400)
    assert example.durations.sum() > 1200
    assert torch.isfinite(network(collate_acoustic([example])).mel).all()


def test_pitch_control_is_a_factor_on_hertz():
    network = make_network()
    usual, higher = speak(network, make_example(1, 9)), speak(network, make_example(1, 9), pitch=1.5)
    torch.testing.assert_close(higher.f0_hz, 1.5 * usual.f0_hz)
    assert torch.equal(higher.durations, usual.durations)
    assert not torch.allclose(higher.mel, usual.mel)


def test_energy_control_is_a_factor_on_linear_energy():
    network = make_network()
    usual, louder = speak(network, make_example(1, 9)), speak(network, make_example(1, 9), energy=1.3)
    torch.testing.assert_close(louder.energy, 1.3 * usual.energy)
    torch.testing.assert_close(louder.f0_hz, usual.f0_hz)


def test_duration_control_is_a_factor_on_durations():
    network = make_network()
    usual, slower = speak(network, make_example(1, 50)), speak(network, make_example(1, 50), duration=3.0)
    assert (slower.durations.float() / usual.durations).mean() == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize("level", ["phone", "frame"])
def test_controls_may_differ_from_phone_to_phone(level):
    network = make_network(pitch_level=level, energy_level=level)
    factors = torch.ones(1, 9)
    factors[0, 4] = 2.0
    usual, changed = speak(network, make_example(1, 9)), speak(network, make_example(1, 9), pitch=factors)
    raised = changed.f0_hz[0] / usual.f0_hz[0]
    ends = usual.durations[0].cumsum(0)
    torch.testing.assert_close(raised[ends[3] : ends[4]], torch.full((int(usual.durations[0, 4]),), 2.0))
    torch.testing.assert_close(raised[: ends[3]], torch.ones(int(ends[3])))


def test_phones_last_at_least_a_frame_and_pauses_may_last_none():
    network = make_network()
    example = make_example(1, 6)
    example.phoneme_ids[[0, 5]] = FIRST_PHONE - 1
    durations = speak(network, example, duration=1e-3).durations
    assert durations.tolist() == [[0, 1, 1, 1, 1, 0]]


def test_speech_of_pauses_alone_is_refused():
    network = make_network()
    example = make_example(1, 3)
    example.phoneme_ids[:] = FIRST_PHONE - 1
    with pytest.raises(ValueError, match="add up to 0 frames"):
        speak(network, example, duration=1e-3)


def test_speakers_sound_different():
    network = make_network()
    example = make_example(1, 6)
    other = dataclasses.replace(example, speaker_id=1 - example.speaker_id)
    assert not torch.allclose(network(collate_acoustic([example])).mel, network(collate_acoustic([other])).mel)


def test_statistics_are_not_among_the_weights():
    names = make_network().state_dict()
    assert not [name for name in names if "pitch_mean" in name or "is_pause" in name or "table" in name]
