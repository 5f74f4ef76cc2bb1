"""The contracts of models (`models.contracts`), held by every registered one; nothing here names any of them.

Two further models, registered for these tests alone, pass them with little more than the shared code; the vocoder among
them against every set of discriminators.

`tests/support/tiny_models.py` holds the settings that make a model small and deterministic.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping

import pytest
import torch

from models.benchmarks.memory import SavedTensors
from models.bundles.locate import find_bundle, open_bundle
from models.contracts import ControlError, Controls, PhonemeBatch, Prosody, require_controls
from models.inference.synthesizer import Synthesizer
from models.layers.checkpointed_block import CheckpointedBlock
from models.layers.decoding_windows import WHOLE_FRAMES
from models.registry import (
    MODELS,
    NoTrainingError,
    open_acoustic,
    open_aligner,
    open_network,
    open_vocoder_network,
)
from processors.feature_store import StoreError
from processors.text.front_end_version import FRONT_END, FrontEndVersion
from tests.support.further_models import FURTHER_MODELS
from tests.support.tiny_features import HOP_SIZE, N_MEL
from tests.support.tiny_models import TinyModel, batches_of
from utils.task import Batch

ALL_MODELS = {**MODELS, **FURTHER_MODELS}
# Sets of discriminators beside the models' own; multi-resolution ones need longer segments.
DISCRIMINATORS = tuple(
    (f"train.discriminators={names}", "train.segment_size=1024") for names in ("['mrd']", "['mrd_small', 'mpd_small']")
)
USE = {
    "acoustic": lambda network, batch: network(batch),
    "vocoder": lambda network, batch: network(batch.mel),
    "aligner": lambda network, batch: network(batch),
}
pytestmark = pytest.mark.usefixtures("further_models")


# Trainings beside each model's own: an acoustic model with noise in its decoder, against a discriminator of its mels.
VARIANTS = {
    f"FastSpeech2-{condition}": (
        "FastSpeech2",
        "model.decoder_noise_size=4",
        "train.mel_adversary_start_step=1",
        f"train.mel_adversary_condition={condition}",
        "train.mel_adversary_windows=[16, 32, 64]",
        "train.mel_adversary_channels=[4, 8]",
    )
    for condition in ("none", "phones")
}
VARIANTS |= {
    "DelightfulTTS-stored": ("DelightfulTTS", "model.durations=stored"),
    "FastPitch-stored": ("FastPitch", "model.durations=stored"),
    "FastPitch-plain": (
        "FastPitch",
        "model.energy=false",
        "model.speaker_conditioning=none",
        "model.alignment_prior=transposed",
    ),
    **{
        f"{name}-blocks": (name, "model.encoder_block=conformer", "model.decoder_block=convolution")
        for name in ("FastPitch", "FastSpeech2")
    },
}
TRAINED = {name: (name,) for name in sorted(ALL_MODELS)} | VARIANTS
TRAINED |= {
    f"ConvVocoder-{overrides[0].partition('=')[2]}": ("ConvVocoder", *overrides) for overrides in DISCRIMINATORS
}


# A training beside a model's own is slow: fast runs check every model once.
@pytest.fixture(
    params=[pytest.param(each, marks=[pytest.mark.slow] * (len(each) > 1), id=name) for name, each in TRAINED.items()]
)
def tiny(request, tmp_path):
    model_type, *overrides = request.param
    return TinyModel(model_type, tmp_path, *overrides)


def term_sums(task, batches):
    """Run all updates in eval mode; return each term's sum over real units, and their number."""
    for module in task.modules.values():
        module.eval()
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for batch in batches:
        for update in task.updates(batch, 0):
            for name, term in update.terms.items():
                key = f"{update.name}/{name}"
                sums[key] = sums.get(key, 0.0) + term.value.item() * batch.counts[term.per]
                counts[key] = counts.get(key, 0) + batch.counts[term.per]
    return {key: sums[key] / counts[key] for key in sums}


def tensors_of(thing, name=""):
    """Return all tensors in nested records, by name."""
    if isinstance(thing, torch.Tensor):
        return {name: thing}
    if dataclasses.is_dataclass(thing):
        thing = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    if isinstance(thing, (tuple, list)):
        thing = dict(enumerate(thing))
    if not isinstance(thing, Mapping):
        return {}
    return {key: tensor for part, value in thing.items() for key, tensor in tensors_of(value, f"{name}.{part}").items()}


# Training


def test_features_made_with_other_settings_are_refused(tiny):
    task = tiny.task("preprocess.fmax=3000")
    with pytest.raises(StoreError, match="fmax"):
        task.train_batches()


def test_a_batch_has_ids_counts_and_padded_sizes(tiny):
    batch: Batch = tiny.batch()
    assert len(batch.ids) == batch.counts["utterances"] == 10
    assert set(batch.padded) <= set(batch.counts)
    assert all(batch.padded[name] >= batch.counts[name] for name in batch.padded)
    assert tensors_of(batch.to(torch.device("cpu"))).keys() == tensors_of(batch).keys()


def test_padding_changes_no_loss(tiny):
    apart = batches_of(tiny.task("train.batch_size=1"))
    together = tiny.batch()
    assert len(apart) == len(together.ids)
    task = tiny.task()
    torch.testing.assert_close(term_sums(task, [together]), term_sums(task, apart), rtol=1e-5, atol=1e-6)


def test_every_parameter_gets_a_gradient(tiny):
    task = tiny.task()
    batch, optimizations, without = tiny.batch(), task.optimizers(), ["not yet"]
    # WaveGlow's coupling networks end in layers that begin at 0: those before them get theirs in the second step.
    for _ in range(2 if tiny.model_type == "WaveGlow" else 1):
        for update in task.updates(batch, 0):
            sum(term.weight * term.value for term in update.terms.values() if term.weight).backward()
            if without:
                without = parameters_without_gradient(task)
        if not without:
            break
        for optimization in optimizations.values():
            optimization.optimizer.step()
    assert not without


@pytest.mark.slow
def test_every_loss_of_an_acoustic_model_has_a_weight_in_the_settings(tiny):
    if ALL_MODELS[tiny.model_type].kind != "acoustic":
        return
    settings = tiny.settings("train.mel_adversary_start_step=0")
    names = [name for name in type(settings.train).model_fields if name.endswith("_loss_weight")]
    weights = {name: number + 2.5 for number, name in enumerate(names)}
    task = tiny.task("train.mel_adversary_start_step=0", *(f"train.{name}={weights[name]}" for name in names))
    [update] = task.updates(tiny.batch(), 1000)
    found = {term.weight for term in update.terms.values()}
    assert found <= set(weights.values())
    unused = set() if "energy" in update.terms else {"energy_loss_weight"}
    if not settings.model.learns_durations:
        unused |= {"alignment_loss_weight", "binarization_loss_weight"} & set(names)
    assert {name for name in names if weights[name] not in found} == unused


def parameters_without_gradient(task):
    return [
        f"{module_name}.{name}"
        for module_name, module in task.modules.items()
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]


@pytest.mark.slow
def test_one_batch_is_learned_by_heart(tiny):
    task = tiny.task()
    optimizations = task.optimizers()
    batch = tiny.batch()
    losses = []
    while len(losses) < 60 and not (losses and losses[-1] < 0.4 * losses[0]):
        total = 0.0
        for update in task.updates(batch, 0):
            loss = sum(term.weight * term.value for term in update.terms.values())
            optimizer = optimizations[update.name].optimizer
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total)
    assert losses[-1] < 0.4 * losses[0]


def losses_gradients_and_memory(task, batch):
    """Return a batch's losses, the gradients of all updates, and the most bytes kept for these."""
    torch.manual_seed(3)
    values = {}
    with SavedTensors(task.modules.values()) as saved:
        for update in task.updates(batch, 0):
            sum(term.weight * term.value for term in update.terms.values() if term.weight).backward()
            values |= {f"{update.name} {name}": term.value.detach() for name, term in update.terms.items()}
    parameters = [parameter for module in task.modules.values() for parameter in module.parameters()]
    return values, [parameter.grad for parameter in parameters if parameter.grad is not None], saved.peak_bytes


@pytest.mark.slow
def test_gradient_checkpointing_changes_no_gradient_and_needs_less_memory(tiny):
    names = [f"model.{name}=0.1" for name in type(tiny.settings().model).model_fields if name.endswith("dropout")]
    try:
        task = tiny.task(*names, "train.gradient_checkpointing=true")
    except NoTrainingError as error:
        assert str(error).startswith("train.gradient_checkpointing: ")
        networks = tiny.task().modules.values()
        assert not any(isinstance(module, CheckpointedBlock) for network in networks for module in network.modules())
        return
    batch = tiny.batch()
    usual, gradients, most_bytes = losses_gradients_and_memory(tiny.task(*names), batch)
    checkpointed, same_gradients, fewer_bytes = losses_gradients_and_memory(task, batch)
    torch.testing.assert_close(checkpointed, usual, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(same_gradients, gradients, rtol=1e-6, atol=1e-6)
    assert fewer_bytes < most_bytes


OFTEN = {"save_every_steps": 3, "valid_every_steps": 2, "sample_every_steps": 4}


def assert_resumes_exactly(tiny):
    unbroken = tiny.train("unbroken", 7, **OFTEN).task
    tiny.train("broken", 3, **OFTEN)
    resumed = tiny.train("broken", 7, resume=True, **OFTEN).task
    for name, module in unbroken.modules.items():
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, resumed.modules[name].state_dict()[key]), f"{name}.{key}"


@pytest.mark.slow
@pytest.mark.usefixtures("blank_pictures")
def test_a_run_resumes_exactly(tiny):
    assert_resumes_exactly(tiny)


CONFORMERS = ("model.encoder_block=conformer", "model.decoder_block=conformer", "model.dropout=0.1")


@pytest.mark.slow
@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.parametrize(
    ("model_type", "overrides"),
    [("FastPitch", ("model.dropout=0.1",)), ("FastPitch", CONFORMERS), ("HiFiGAN", ())],
    ids=["transformer", "conformer", "residual stacks"],
)
def test_a_run_with_gradient_checkpointing_resumes_exactly(model_type, overrides, tmp_path):
    tiny = TinyModel(model_type, tmp_path, "train.gradient_checkpointing=true", *overrides)
    networks = tiny.task().modules.values()
    assert any(
        isinstance(module, CheckpointedBlock) and module.is_checkpointed
        for network in networks
        for module in network.modules()
    )
    assert_resumes_exactly(tiny)


def test_a_bundle_keeps_the_version_of_the_front_end_that_made_its_phones(tiny):
    store, made_by = tiny.processed_dir / "tiny" / "store_settings.json", FrontEndVersion(lexicon=2)
    store.write_text(json.dumps(json.loads(store.read_text()) | {FRONT_END: made_by.as_dict()}))
    tiny.task().bundle(tiny.folder / "bundle")
    bundle = find_bundle(tiny.folder / "bundle")
    assert bundle.symbols is None or bundle.front_end == made_by


@pytest.mark.slow
def test_a_bundle_opens_without_any_file_of_its_training(tiny):
    task = tiny.train("run", 2, **OFTEN).task
    batch = tiny.batch()
    task.bundle(tiny.folder / "bundle")
    shutil.rmtree(tiny.processed_dir)
    network = open_network(find_bundle(tiny.folder / "bundle")).eval()
    trained = next(module for module in task.modules.values() if type(module) is type(network)).eval()
    use = USE[MODELS[tiny.model_type].kind]
    with torch.no_grad():
        expected, found = tensors_of(use(trained, batch)), tensors_of(use(network, batch))
    assert expected
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


# Use

CHUNK_FRAMES = 16
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
CONTROLS = ("duration", "pitch", "energy")  # in the order in which their contours are predicted


class InUse:
    """A model with random weights as its bundle opens, and a batch of its training data, whole and one by one."""

    def __init__(self, model_type, folder):
        tiny = TinyModel(model_type, folder)
        self.entry = MODELS[model_type]
        self.batch, self.alone = tiny.batch(), batches_of(tiny.task("train.batch_size=1"))
        tiny.task().bundle(folder / "bundle")
        self.bundle = open_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def used(request, tmp_path_factory, further_models):
    return InUse(request.param, tmp_path_factory.mktemp(request.param))


def every(kind):
    names = sorted(name for name, model in ALL_MODELS.items() if model.kind == kind)
    return pytest.mark.parametrize("used", names, indirect=True)


def row_of(phonemes, row):
    """Return one of a batch's texts as a batch of its own, without padding."""
    here, length = slice(row, row + 1), int(phonemes.phoneme_lengths[row])
    return PhonemeBatch(phonemes.phoneme_ids[here, :length], phonemes.phoneme_lengths[here], phonemes.speaker_ids[here])


@every("acoustic")
def test_a_text_is_synthesized_alone_as_in_a_batch(used):
    model, phonemes = open_acoustic(used.bundle), PhonemeBatch.from_batch(used.batch)
    together = model.infer(phonemes)
    assert len(set(phonemes.phoneme_lengths.tolist())) > 1
    for row, length in enumerate(phonemes.phoneme_lengths.tolist()):
        alone, n_frames = model.infer(row_of(phonemes, row)), int(together.mel_lengths[row])
        assert alone.mel.shape[2] == alone.mel_lengths.item() == alone.durations.sum().item() == n_frames > 0
        assert torch.equal(together.durations[row, :length], alone.durations[0])
        assert not together.durations[row, length:].any()
        torch.testing.assert_close(together.mel[row, :, :n_frames], alone.mel[0], **CLOSE)
        for contour, contour_alone in ((together.f0_hz, alone.f0_hz), (together.energy, alone.energy)):
            if contour is not None:
                torch.testing.assert_close(contour[row, :n_frames], contour_alone[0], **CLOSE)
                assert not contour[row, n_frames:].any()


@every("acoustic")
def test_the_parts_of_a_long_mel_are_the_whole_to_the_bit_and_alone_as_in_a_batch(used):
    model, phonemes = open_acoustic(used.bundle), PhonemeBatch.from_batch(used.batch)
    shortest, longest = (int(each) for each in phonemes.phoneme_lengths.aminmax())
    for n_frames in (250 // shortest, 1 + 500 // longest):  # a row at once beside others in windows; all in windows
        slow = Controls(duration=lambda predicted, n_frames=n_frames: torch.full_like(predicted, n_frames))
        together = model.infer(phonemes, slow)
        for row in range(len(phonemes.phoneme_ids)):
            whole, in_parts = (use(row_of(phonemes, row), slow) for use in (model.infer, model.infer_in_parts))
            parts = list(in_parts.mels)
            assert len(parts) == 1 or whole.mel.shape[2] > WHOLE_FRAMES
            assert torch.equal(torch.cat(parts, dim=1), whole.mel[0])
            assert torch.equal(in_parts.durations, whole.durations[0]) and torch.equal(in_parts.f0_hz, whole.f0_hz[0])
            torch.testing.assert_close(together.mel[row, :, : whole.mel.shape[2]], whole.mel[0], **CLOSE)


@every("acoustic")
def test_a_teacher_forced_mel_has_the_recordings_length(used):
    model = open_acoustic(used.bundle)
    for batch in (used.batch, *used.alone):
        mel = model.teacher_forced(batch)
        assert mel.shape == batch.mel.shape and torch.isfinite(mel).all()
        for row, n_frames in enumerate(batch.mel_lengths.tolist()):
            assert n_frames == batch.durations[row].sum() and mel[row, :, :n_frames].std() > 0


@every("acoustic")
def test_controls_of_the_network_are_those_of_the_registry(used):
    assert open_acoustic(used.bundle).controls == used.entry.controls <= {*CONTROLS}


@every("acoustic")
@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_scales_its_own_contour_and_no_earlier_one_or_is_refused(used, control):
    model, phonemes = open_acoustic(used.bundle), PhonemeBatch.from_batch(used.batch)
    factor = 2.0
    if control not in model.controls:
        with pytest.raises(ControlError, match=f"has no {control} to control; it has: "):
            require_controls(model.controls, Controls(**{control: factor}), "model")
        return
    usual, changed = model.infer(phonemes), model.infer(phonemes, Controls(**{control: factor}))
    found, wanted = changed.contour(control), factor * usual.contour(control)
    if control == "duration":  # in whole frames, each rounded once
        assert (found - wanted).abs().max() <= (1.0 + factor) / 2.0 and found.sum() > usual.durations.sum()
    else:
        assert (wanted > 0).any()
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.max()))
        assert not torch.equal(changed.mel, usual.mel)
    for earlier in CONTROLS[: CONTROLS.index(control)]:
        if earlier in ("duration", "pitch") or usual.energy is not None:
            assert torch.equal(changed.contour(earlier), usual.contour(earlier)), f"{control} changes {earlier}"
    one_by_one = model.infer(phonemes, Controls(**{control: torch.full(phonemes.phoneme_ids.shape, factor)}))
    assert torch.equal(one_by_one.mel, changed.mel)


@every("acoustic")
def test_phones_last_at_least_as_long_as_asked_before_the_control(used):
    model, phonemes = open_acoustic(used.bundle), PhonemeBatch.from_batch(used.batch)
    least = torch.zeros_like(phonemes.phoneme_ids)
    least[:, 2] = 40
    usual, longer = model.infer(phonemes), model.infer(dataclasses.replace(phonemes, min_durations=least))
    assert (usual.durations[:, 2] < 40).all() and (longer.durations[:, 2] == 40).all()
    others = torch.arange(least.shape[1]) != 2
    assert torch.equal(usual.durations[:, others], longer.durations[:, others])
    faster = model.infer(dataclasses.replace(phonemes, min_durations=least), Controls(duration=0.5))
    assert (faster.durations[:, 2] == 20).all()


@every("acoustic")
def test_rules_are_obeyed_by_durations_and_by_the_pitch_of_phones_or_frames(used):
    model, phonemes = open_acoustic(used.bundle), PhonemeBatch.from_batch(used.batch)
    length = phonemes.phoneme_ids.shape[1]
    frames, wanted_hz = torch.arange(length) % 4 * 1.0, 100.0 + 10.0 * torch.arange(length)
    found = model.infer(phonemes, Controls(lambda predicted: frames.expand_as(predicted), lambda hz, at: wanted_hz[at]))
    for row, n_phones in enumerate(phonemes.phoneme_lengths.tolist()):
        assert found.durations[row, :n_phones].tolist() == frames[:n_phones].tolist()
        wanted = wanted_hz[:n_phones].repeat_interleave(frames[:n_phones].long())
        torch.testing.assert_close(found.f0_hz[row, : len(wanted)], wanted, rtol=1e-4, atol=0)
    usual, same = model.infer(phonemes), model.infer(phonemes, Controls(pitch=lambda hz, at: hz))
    assert torch.equal(usual.mel, same.mel)


@every("acoustic")
def test_a_text_is_spoken_and_an_undeclared_control_is_refused_by_name(used, monkeypatch):
    voice = Synthesizer(used.bundle)
    speech = voice("Hello there, world.", speaker="a")
    assert speech.mel.shape[1] == speech.durations.sum() == len(speech.f0_hz) == len(speech.waveform) // HOP_SIZE > 0
    monkeypatch.setattr(type(voice._model), "controls", frozenset({"duration"}))
    model_type = used.bundle.settings.model_type
    with pytest.raises(ControlError, match=f"{model_type} has no pitch and no energy to control; it has: duration"):
        voice("Hello there, world.", speaker="a", prosody=Prosody(pitch=1.1, energy=0.9))


def signal_to_noise_db(reference, waveform):
    return 10 * torch.log10(reference.square().sum() / (reference - waveform).square().sum()).item()


@every("vocoder")
@pytest.mark.parametrize("n_frames", [1, CHUNK_FRAMES, 3 * CHUNK_FRAMES + 5])
def test_a_streamed_waveform_is_the_whole_one(used, n_frames):
    mel = torch.randn(N_MEL, n_frames, generator=torch.Generator().manual_seed(n_frames)) * 2.0 - 5.0
    network = open_vocoder_network(spread_out(used.bundle))
    exact, rough = network.for_inference(torch.float32), network.for_inference(torch.bfloat16)
    assert exact.takes_f0 == ("f0" in used.entry.features)
    [whole] = exact.stream(mel, chunk_frames=n_frames)
    assert whole.shape == (n_frames * HOP_SIZE,) and whole.dtype == torch.float32
    assert whole.abs().max() <= 1 and whole.std() > 0.01
    torch.testing.assert_close(exact.waveform(mel), whole, rtol=0, atol=1e-5)
    chunks, rough_chunks = list(exact.stream(mel, CHUNK_FRAMES)), list(rough.stream(mel, CHUNK_FRAMES))
    rest = n_frames % CHUNK_FRAMES
    lengths = [CHUNK_FRAMES * HOP_SIZE] * (n_frames // CHUNK_FRAMES) + [rest * HOP_SIZE] * (rest > 0)
    assert [len(chunk) for chunk in chunks] == [len(chunk) for chunk in rough_chunks] == lengths
    torch.testing.assert_close(torch.cat(chunks), whole, rtol=0, atol=1e-5)
    from_pieces = list(exact.stream(iter(mel.split(7, dim=1)), CHUNK_FRAMES))
    assert all(torch.equal(*pair) for pair in zip(from_pieces, chunks, strict=True))
    assert signal_to_noise_db(whole, torch.cat(rough_chunks)) > 25


def spread_out(bundle):
    """Return a bundle with weights large enough for the output to depend on the input, yet of the layer's own scale."""
    generator = torch.Generator().manual_seed(0)

    def spread(weight):
        std = min(weight[0].numel() ** -0.5, 15.0 * weight.square().mean().sqrt().item())
        return torch.randn(weight.shape, generator=generator) * std

    weights = {name: spread(weight) if weight.ndim > 1 else weight for name, weight in bundle.weights.items()}
    return dataclasses.replace(bundle, weights=weights)


@every("aligner")
def test_a_recording_is_scored_alone_as_in_a_batch(used):
    network = open_aligner(used.bundle)
    together, alone = network.score(used.batch), {batch.ids: network.score(batch) for batch in used.alone}
    durations = together.durations(used.batch.mel_lengths)
    for row, (id_, n_frames) in enumerate(zip(used.batch.ids, used.batch.mel_lengths.tolist(), strict=True)):
        own, n_states = alone[(id_,)], int(together.states.lengths[row])
        assert own.states.lengths.tolist() == [n_states]
        assert torch.equal(own.states.symbols[0, :n_states], together.states.symbols[row, :n_states])
        scores = together.scores[row, :n_frames, :n_states]
        torch.testing.assert_close(scores, own.scores[0, :n_frames, :n_states], **CLOSE)
        assert torch.isfinite(together.scores).all() and durations[row].sum() == n_frames
