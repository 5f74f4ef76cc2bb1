"""A discriminator of mels in the training of acoustic models, and noise in their decoders."""

from __future__ import annotations

import time

import pytest
import torch

from models.bundles.warm_start import find_initial_state
from models.contracts import PhonemeBatch
from models.layers.decoder_noise import DecoderNoise
from models.layers.mel_discriminator import MelDiscriminator, MelWindows
from models.training.utterance_draws import utterance_draws
from tests.support.commands import start, start_two
from tests.support.tiny_models import TinyModel
from utils.checkpoint import CheckpointError, open_checkpoint
from utils.logbook import read_logbook

ADVERSARIAL = (
    "train.mel_adversary_start_step=1",
    "train.mel_adversary_condition=phones",
    "train.mel_adversary_windows=[16, 64]",
    "train.mel_adversary_channels=[4, 8]",
)
NOISY = "model.decoder_noise_size=3"


@pytest.fixture
def tiny(tmp_path):
    return TinyModel("FastSpeech2", tmp_path, *ADVERSARIAL, NOISY)


# Windows


def windows_of(length, mel_lengths, draws):
    lengths = torch.tensor(mel_lengths)
    phonemes = torch.arange(100).expand(len(lengths), -1)  # each frame's own number
    return MelWindows.draw(torch.tensor(draws), lengths, phonemes, length)


def test_windows_lie_within_the_utterance_and_reach_both_its_ends():
    draws = list(range(21))
    windows = windows_of(10, [30] * 21, draws)
    assert windows.frames[:, 0].tolist() == draws
    assert windows.frames.max() == 29 and (windows.frames.diff(dim=1) == 1).all()
    assert torch.equal(windows.frames, windows.phoneme_ids)
    assert windows_of(10, [30], [21]).frames[0, 0] == 0


def test_an_utterance_shorter_than_the_window_is_repeated():
    assert windows_of(7, [3], [4]).frames.tolist() == [[1, 2, 0, 1, 2, 0, 1]]


def test_windows_are_cut_from_real_frames_alone():
    mel = torch.full((2, 5, 20), float("nan"))
    mel[0, :, :12], mel[1, :, :3] = 1.0, 2.0
    cut = windows_of(8, [12, 3], [3, 1]).cut(mel)
    assert cut.shape == (2, 5, 8) and cut[:, 0].unique(dim=1).tolist() == [[1.0], [2.0]]


def test_draws_depend_on_utterance_and_key_alone():
    together = utterance_draws(["a", "b", "c"], 3, 0, 7)
    assert torch.equal(utterance_draws(["c", "b"], 3, 0, 7), together[[2, 1]])
    others = [utterance_draws(["a"], 3, *key) for key in ((1, 7), (0, 8), (0, 7, "x"))]
    assert together.unique().numel() == 9 and not any(torch.equal(each, together[:1]) for each in others)
    assert together.min() >= 0 and together.max() < 2**32


def test_scores_of_one_window_are_those_within_a_batch():
    torch.manual_seed(0)
    discriminator = MelDiscriminator(2, n_mel=10, channels=(4, 6), n_symbols=5)
    mels, phones = (
        [torch.randn(3, 10, width) for width in (8, 20)],
        [torch.randint(0, 5, (3, 8)), torch.ones(3, 20).int()],
    )
    together = discriminator(mels, phones)
    for row in range(3):
        alone = discriminator([mel[row : row + 1] for mel in mels], [each[row : row + 1] for each in phones])
        for ours, theirs in zip(alone, together, strict=True):
            torch.testing.assert_close(ours.score, theirs.score[row : row + 1])


def test_the_discriminator_costs_little():
    from torch.utils.flop_counter import FlopCounterMode

    discriminator = MelDiscriminator(3, n_mel=80, channels=(12, 24, 24))
    lengths = (32, 64, 128)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        discriminator([torch.zeros(16, 80, length) for length in lengths], [torch.zeros(16, 1)] * 3)
    assert counter.get_total_flops() / 2 < 0.2e9  # multiplications and additions of 16 utterances scored once


# Training


def updates_at(task, step):
    [batch, *_] = next(task.train_batches().groups(0))
    return {update.name: update.terms for update in task.updates(batch, step)}


def test_without_an_adversary_there_is_one_optimizer_as_before(tmp_path):
    task = TinyModel("FastSpeech2", tmp_path).task()
    assert list(task.modules) == list(task.optimizers()) == ["network"]
    assert set(updates_at(task, 0)) == {"network"}


def test_the_adversary_rests_until_its_first_step(tiny):
    task = tiny.task("train.mel_adversary_start_step=4")
    before, after = updates_at(task, 2), updates_at(task, 3)
    assert before["mel_adversary"] == {} and set(after["mel_adversary"]) == {"adversarial"}
    added = set(after["network"]) - set(before["network"])
    assert added == {"mel_adversarial", "mel_feature", "mel_feature_distance"}


@pytest.mark.parametrize(("start_step", "share"), [(6, 1.0), (41, 0.5)])
def test_its_learning_rate_has_no_warmup_and_falls_with_the_networks(tiny, start_step, share):
    settings = f"train.mel_adversary_start_step={start_step}", "train.mel_adversary_learning_rate=0.001"
    optimizers = tiny.task(*settings, "train.warmup_steps=10").optimizers()
    rate = optimizers["mel_adversary"].optimizer.param_groups[0]["lr"]
    assert rate == pytest.approx(share * 0.001, rel=0.06)


def test_the_discriminators_update_gives_the_network_no_gradients(tiny):
    task = tiny.task()
    [batch, *_] = next(task.train_batches().groups(0))
    update = next(iter(task.updates(batch, 0)))
    update.terms["adversarial"].value.backward()
    assert all(parameter.grad is None for parameter in task.modules["network"].parameters())
    assert all(parameter.grad is not None for parameter in task.modules["mel_adversary"].parameters())


def test_feature_matching_has_the_scale_of_the_mels_error(tiny):
    terms = updates_at(tiny.task(), 0)["network"]
    assert terms["mel_feature"].value.item() == pytest.approx(terms["refined_mel"].value.item(), rel=0.3)
    assert not terms["mel_feature_distance"].value.requires_grad


def test_a_phone_changes_the_score_only_where_the_discriminator_is_conditioned_on_it(tiny):
    for condition in ("phones", "none"):
        discriminator = tiny.task(f"train.mel_adversary_condition={condition}").modules["mel_adversary"]
        mels, phones = [torch.randn(1, 12, 16)] * 2, torch.full((1, 16), 5)
        scores = [discriminator(mels, [ids, ids])[0].score for ids in (phones, phones + 1)]
        assert torch.equal(*scores) == (condition == "none")


def test_a_saturated_or_unstable_discriminator_is_warned_of(tiny):
    task = tiny.task()
    key = "train/mel_adversary/adversarial"
    assert "saturated" in task.diagnose({key: 0.01}, 1000)[0]
    assert "unstable" in task.diagnose({key: 0.9}, 1000)[0]
    assert not task.diagnose({key: 0.4}, 1000) and not task.diagnose({key: 0.01}, 100)


def test_sharpness_is_validated_as_a_share_of_the_recordings(tiny):
    task = tiny.task()
    [batch] = task.valid_batches()
    task.modules["network"].eval()
    with torch.no_grad():
        sums = task.validate(batch)
    for name in ("deviation", "change", "curvature"):
        assert 0 < sums[f"mel_{name}_ratio"].total < sums[f"mel_{name}_ratio"].count


def losses_of(folder):
    """Return all losses that do not depend on the sizes of batches in the logbook's lines."""
    return [
        {name: value for name, value in line.items() if name.startswith(("train/", "valid/")) and name != "valid/loss"}
        for line in read_logbook(folder / "logbook.jsonl")
    ]


def are_equal(ours, theirs):
    return len(ours) == len(theirs) > 3 and all(
        theirs[number] == {name: pytest.approx(value, rel=1e-3) for name, value in line.items()}
        for number, line in enumerate(ours)
    )


@pytest.mark.slow
def test_accumulated_batches_equal_one_large_batch(tiny):
    for name, size in (("whole", 4), ("parts", 2)):
        settings = f"train.batch_size={size}", f"train.gradient_accumulation_steps={4 // size}"
        tiny.train(name, 4, *settings, "train.learning_rate=0.001", log_every_steps=1)
    assert are_equal(*(losses_of(tiny.folder / name) for name in ("whole", "parts")))


FEW_STEPS = (
    "train.precision=fp32",
    "train.batch_size=2",
    "train.save_every_steps=2",
    "train.valid_every_steps=4",
    "train.log_every_steps=1",
    "train.keep_last=3",
    "train.learning_rate=0.001",
)


def started(tiny, name, *overrides, starts=start):
    return starts("bins.train", *tiny.flags(*FEW_STEPS, *overrides), "--name", name, "--gpu", "")


def finish(*processes):
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


def weights_at(folder, step):
    checkpoint = open_checkpoint(folder / "checkpoint" / f"step-{step:08d}")
    names = ("network", "mel_adversary")
    return {f"{name}.{key}": value for name in names for key, value in checkpoint.weights(name).items()}


@pytest.mark.slow
def test_a_killed_training_resumes_exactly_and_two_processes_train_like_one(tiny):
    """Killed with SIGKILL before and after the adversary begins."""
    settings = ("train.max_steps=12", "train.mel_adversary_start_step=6", "model.dropout=0.1")
    unbroken = started(tiny, "unbroken", *settings)
    logbook = tiny.folder / "killed" / "logbook.jsonl"
    for kill_at in (3, 8):
        process = started(tiny, "killed", *settings)
        while process.poll() is None and not (
            logbook.exists() and any(line["step"] >= kill_at for line in read_logbook(logbook))
        ):
            time.sleep(0.005)
        process.kill()
        process.wait()
    finish(unbroken, started(tiny, "killed", *settings))
    expected, found = (weights_at(tiny.folder / name, 12) for name in ("unbroken", "killed"))
    assert all(torch.equal(found[name], value) for name, value in expected.items())

    settings = ("train.max_steps=4", "train.mel_adversary_start_step=2")
    two = started(tiny, "two", *settings, starts=start_two)
    finish(*two, started(tiny, "one", *settings, "train.batch_size=4"))
    assert are_equal(*(losses_of(tiny.folder / name) for name in ("one", "two")))


@pytest.mark.slow
def test_a_discriminator_of_another_size_begins_at_random(tiny):
    finish(started(tiny, "first", "train.max_steps=1"))
    first, channels = tiny.folder / "first", "train.mel_adversary_channels=[4, 4]"
    initial = find_initial_state(first, tiny.settings(channels), tiny.task(channels))
    assert list(initial.modules) == ["network"]
    assert initial.remarks[-1] == "mel_adversary has another size there, and begins at random"
    assert "mel_adversary" in find_initial_state(first, tiny.settings(), tiny.task()).modules


# Noise


def test_noise_begins_without_effect_and_then_follows_the_text(tiny):
    task = tiny.task()
    network, batch = task.modules["network"].eval(), tiny.batch()
    phonemes = PhonemeBatch.from_batch(batch)
    quiet = network.infer(phonemes).mel
    torch.nn.init.normal_(network.decoder_noise.projection.weight)
    noisy = network.infer(phonemes).mel
    assert not torch.allclose(quiet, noisy, atol=0.1)
    assert torch.equal(network.infer(phonemes).mel, noisy)
    assert torch.equal(network.teacher_forced(batch), network.teacher_forced(batch))


def test_noise_differs_between_texts_frames_and_steps(tiny):
    noise = DecoderNoise(3, 8)
    torch.nn.init.normal_(noise.projection.weight)
    places = noise.places(torch.tensor([[5, 6, 0], [6, 5, 0], [5, 6, 7]]))
    assert places.unique().numel() == 3
    assert torch.equal(noise.places(torch.tensor([[5, 6, 0, 0]])), places[:1])
    is_padding = torch.tensor([[False, False, True]] * 3)
    added = noise(torch.zeros(3, 3, 8), is_padding, places)
    assert not added[:, 2].any() and added[:, :2].flatten(0, 1).unique(dim=0).shape[0] == 6
    task = tiny.task()
    torch.nn.init.normal_(task.modules["network"].decoder_noise.projection.weight)
    mels = [updates_at(task, step)["network"]["mel"].value.item() for step in (0, 1, 0)]
    assert mels[0] == mels[2] != mels[1]


@pytest.mark.slow
def test_a_model_without_noise_may_be_fine_tuned_with_it(tiny, tmp_path):
    quiet = TinyModel("FastSpeech2", tmp_path)
    quiet.task().bundle(tmp_path / "bundle")
    task = tiny.task(seed=1)
    initial = find_initial_state(tmp_path / "bundle", tiny.settings(), task)
    initial.load_into(task.modules)
    assert not task.modules["network"].decoder_noise.projection.weight.any()
    assert "without initial state: network.decoder_noise.projection.weight" in initial.remarks
    task.bundle(tmp_path / "noisy")
    without = quiet.task()
    with pytest.raises(CheckpointError, match=r"decoder_noise\.projection.weight is unknown"):
        find_initial_state(tmp_path / "noisy", quiet.settings(), without).load_into(without.modules)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.mel_adversary_windows=[0]", "are not all above 0"),
        ("train.mel_adversary_channels=[8, 0]", "are not all above 0"),
        ("train.mel_adversary_betas=[0.5, 1]", "are not both from 0 to below 1"),
    ],
)
def test_impossible_settings_are_refused(tiny, override, message):
    with pytest.raises(ValueError, match=message):
        tiny.settings(override)
