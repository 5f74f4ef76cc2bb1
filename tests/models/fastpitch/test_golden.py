"""FastPitch against values computed with its authors' code; skipped where these files are absent."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from models.bundle import BundleError
from models.contracts import NvidiaPitch, PhonemeBatch, Prosody
from models.fastpitch import original
from models.fastpitch.network import FastPitch
from models.inference.batch_prosody import BatchProsody
from models.inference.prosody_rules import PitchScale
from models.inference.symbol_prosody import symbol_prosody
from models.inference.synthesizer import Synthesizer
from models.layers.beta_binomial import beta_binomial_prior, transposed_prior
from models.layers.learned_alignment import average_per_symbol
from models.training.acoustic_loss import acoustic_loss_terms
from processors.datasets.acoustic_data import AcousticBatch
from processors.text.phone_sequence import PhoneSequence

CLOSE = {"rtol": 0, "atol": 1e-4}
FILES = {
    "nvidia_fastpitch_small.pt": "expected.npz",
    "nvidia_fastpitch_speakers.pt": "expected_speakers.npz",
    "checkpoint_FastPitch_1500.pt": "expected_10.npz",
}


@pytest.fixture
def folder(golden):
    return golden / "fastpitch"


def opened(path):
    bundle = original.open_published(path)
    return bundle, FastPitch.from_bundle(bundle).eval()


def prosody_of(kind, mean):
    """Yield the prosody that a kind of golden values asks for, and the same by a custom function."""
    pitch = {
        "flatten": NvidiaPitch(flatten=True),
        "invert": NvidiaPitch(invert=True),
        "amplify150": NvidiaPitch(amplify=1.5),
        "amplify200": NvidiaPitch(amplify=2.0),
        "pace125_shift30hz": NvidiaPitch(shift_hz=30.0),
        "all": NvidiaPitch(invert=True, amplify=1.5, shift_hz=-20.0),
    }.get(kind)
    pace = {"pace125_shift30hz": 1.25, "all": 0.8}.get(kind, 1.0)
    yield Prosody(pace=pace, nvidia_pitch=pitch)
    if pitch is not None:
        gain = 0.0 if pitch.flatten else pitch.amplify * (-1 if pitch.invert else 1)

        def custom(hz, lengths):
            assert hz.shape == (1, int(lengths))
            return mean + gain * (hz - mean) + pitch.shift_hz

        # It replaces the others.
        yield Prosody(pace=pace, nvidia_pitch=NvidiaPitch(flatten=True, amplify=3.0, custom=custom))


def controls_of(prosody, n_symbols, mean):
    sequence = PhoneSequence(("AA1",) * n_symbols, (0,) * n_symbols, ("a",))
    symbols = symbol_prosody(prosody, [sequence], frames_per_s=86.0)
    scale = PitchScale(float(mean), 60.0, 600.0, is_interpolated=False)
    return BatchProsody([prosody], symbols, [scale], torch.device("cpu")).controls()


def named(*parts):
    return lambda message: f"{' '.join(parts)}: {message}"


def captured(module, values, name):
    def keep(_, inputs, output):
        values.setdefault(name, (inputs, output))

    return module.register_forward_hook(keep)


@torch.no_grad()
@pytest.mark.parametrize("name", FILES)
def test_synthesis_matches_the_published_values(folder, name):
    _, network = opened(folder / name)
    expected = np.load(folder / FILES[name])
    adaptor = network.variance_adaptor
    kinds = sorted({key.split("_", 1)[1].removesuffix("_mel") for key in expected if key.endswith("_mel")})
    for text in "AB":
        ids = torch.from_numpy(expected[f"{text}_ids"]).long().unsqueeze(0)
        for kind in (each for each in kinds if not each.startswith(("train", "loss"))):
            speaker = int(kind.removeprefix("speaker")) if kind.startswith("speaker") else 0
            phonemes = PhonemeBatch(ids, torch.tensor([ids.shape[1]]), torch.tensor([speaker]))
            seen = {}
            hooks = [captured(module, seen, f"{key} used") for key, module in adaptor.embeddings.items()]
            hooks += [captured(module, seen, key) for key, module in adaptor.predictors.items()]
            for prosody in prosody_of(kind, adaptor.pitch_mean[speaker]):
                seen.clear()
                controls = controls_of(prosody, ids.shape[1], adaptor.pitch_mean[speaker])
                speech = network.infer(phonemes, controls)
                found = {
                    "mel": speech.mel[0],
                    "frames": speech.durations[0],
                    "durations": seen["duration"][1][0].expm1().clamp(0, 75),
                    **{key: seen[f"{key} used"][0][0][0] for key in adaptor.embeddings},
                }
                for what, values in found.items():
                    wanted = torch.from_numpy(expected[f"{text}_{kind}_{what}"])
                    torch.testing.assert_close(values.to(wanted.dtype), wanted, **CLOSE, msg=named(text, kind, what))
            for hook in hooks:
                hook.remove()


def training_batch(expected, text):
    ids, mel = expected[f"{text}_ids"], torch.from_numpy(expected[f"{text}_train_mel"])
    return AcousticBatch(
        ids=(text,),
        phoneme_ids=torch.from_numpy(ids).long().unsqueeze(0),
        phoneme_lengths=torch.tensor([len(ids)]),
        mel=mel.unsqueeze(0),
        mel_lengths=torch.tensor([mel.shape[1]]),
        counts={"frames": mel.shape[1], "phonemes": len(ids), "utterances": 1},
        speaker_ids=torch.tensor([0]),
        durations=torch.zeros(1, len(ids), dtype=torch.long),
        pitch=torch.from_numpy(expected[f"{text}_train_pitch"]).unsqueeze(0),
        energy=None,
    )


@torch.no_grad()
def test_training_matches_the_published_values(folder):
    bundle, network = opened(folder / "nvidia_fastpitch_small.pt")
    expected = np.load(folder / "expected.npz")
    train = bundle.settings.train
    for text in "AB":
        prior = torch.from_numpy(expected[f"{text}_train_prior"])
        batch = training_batch(expected, text)
        torch.testing.assert_close(transposed_prior(prior.shape[1], prior.shape[0]), prior, **CLOSE)
        exact = beta_binomial_prior(
            batch.phoneme_lengths, batch.mel_lengths, n_phones=prior.shape[1], n_frames=prior.shape[0], further_trials=1
        )
        torch.testing.assert_close(exact[0].exp(), torch.from_numpy(expected[f"{text}_train_prior_exact"]), **CLOSE)
        predicted = network(batch)
        alignment, target = predicted.alignment, predicted.target
        found = {
            "mel_out": predicted.mel[0],
            "log_dur_pred": predicted.log_durations[0],
            "dur_pred": predicted.log_durations[0].expm1().clamp(0, 75),
            "pitch_pred": predicted.values["pitch"][0],
            "pitch_tgt": target.pitch[0],
            "energy_pred": predicted.values["energy"][0],
            "energy_tgt": target.energy[0],
            "attn_logprob": alignment.log_probabilities[0],
            "attn_soft": alignment.soft[0].exp(),
            "attn_hard": alignment.hard[0],
            "attn_hard_dur": alignment.durations[0],
        }
        for what, values in found.items():
            wanted = torch.from_numpy(expected[f"{text}_train_{what}"])
            torch.testing.assert_close(values.to(wanted.dtype), wanted, **CLOSE, msg=named(text, what))
        for epoch in (0, 50, 100):
            step = epoch * train.binarization_warmup_steps // 100
            terms = acoustic_loss_terms(
                predicted, target, network.variance_adaptor.levels, train, step, mel_error="squared"
            )
            total = sum(term.weight * term.value for term in terms.values())
            assert total.item() == pytest.approx(expected[f"{text}_loss_total_epoch{epoch}"].item(), abs=1e-4)
        for name, term in terms.items():
            assert term.value.item() == pytest.approx(expected[f"{text}_loss_{name}"].item(), abs=1e-4), name


def test_pitch_and_energy_per_symbol_match_the_published_values(folder):
    expected = np.load(folder / "tacotron_mel.npz")
    durations = torch.from_numpy(expected["durations"]).long().unsqueeze(0)
    pitch, energy = (torch.from_numpy(expected[name]).unsqueeze(0) for name in ("pitch_normalised", "energy"))
    for values, name in ((pitch, "pitch_per_symbol"), (energy, "log_energy_per_symbol")):
        average = average_per_symbol(values, durations)[0]
        average = average.log1p() if name.startswith("log") else average
        torch.testing.assert_close(average, torch.from_numpy(expected[name]).to(average.dtype), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_published_checkpoint_speaks_through_its_own_front_end(folder, name):
    voice = Synthesizer(original.open_published(folder / name))
    speaker = "speaker0" if len(voice.speakers) > 1 else None
    speech = voice("Dr. Morgan met Mrs. Hale, didn't he? Yes.", speaker=speaker)
    assert speech.mel.shape[1] == speech.durations.sum() > 0 and np.isfinite(speech.waveform).all()
    assert ("@M" in speech.phones) == (name != "checkpoint_FastPitch_1500.pt")


@pytest.mark.parametrize("name", FILES)
def test_export_and_import_are_bit_equal(folder, name, tmp_path):
    bundle = original.open_published(folder / name)
    [written] = original.write_published(tmp_path, bundle, None)
    again = original.open_published(tmp_path / written)
    assert again.settings.model == bundle.settings.model
    pitch, pitch_again = (next(iter(each.statistics.values())).pitch for each in (bundle, again))
    assert (pitch_again.mean, pitch_again.std) == pytest.approx((pitch.mean, pitch.std), rel=1e-6)
    assert again.weights.keys() == bundle.weights.keys()
    assert all(torch.equal(again.weights[key], tensor) for key, tensor in bundle.weights.items())
    theirs, ours = (torch.load(path, weights_only=True)["state_dict"] for path in (folder / name, tmp_path / written))
    theirs = {key.removeprefix("module."): tensor for key, tensor in theirs.items()}
    assert ours.keys() == theirs.keys()
    for key in ours.keys() - {"pitch_mean", "pitch_std"}:
        assert "attn_proj" in key or torch.allclose(ours[key], theirs[key], rtol=0, atol=1e-7), key
    with pytest.raises(BundleError, match="exists already"):
        original.write_published(tmp_path, bundle, None)
    model = bundle.settings.model.model_copy(update={"decoder_block": "conformer"})
    other = dataclasses.replace(bundle, settings=bundle.settings.model_copy(update={"model": model}))
    with pytest.raises(BundleError, match="has Transformer blocks only"):
        original.write_published(tmp_path, other, None)
