"""HiFi-GAN: sizes, discriminators, losses, segments, training."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from config.load import SettingsError, load_settings
from models.hifigan.network import Generator
from models.hifigan.reference import PlainGenerator
from models.hifigan.settings import HiFiGANModelSettings
from models.layers.adversarial_loss import adversarial_loss, discriminator_loss, feature_matching_loss
from models.layers.discriminator import DiscriminatorOutput
from models.layers.normed_convolution import SpectralNormed, WeightNormed
from models.layers.period_discriminator import MultiPeriodDiscriminator
from models.layers.scale_discriminator import MultiScaleDiscriminator
from models.registry import settings_class
from models.training import gan_vocoder_task
from processors.datasets.vocoder_data import Segments, open_recordings
from processors.feature_store import FeatureStore
from processors.features import DataError
from processors.utterance import read_manifest
from tests.support.commands import start, start_two
from tests.support.small_generator import make_generator as small_generator
from tests.support.tiny_features import HOP_SIZE, N_MEL
from tests.support.tiny_models import TinyModel
from utils.checkpoint import open_checkpoint
from utils.logbook import read_logbook


@pytest.fixture
def tiny(tmp_path):
    return TinyModel("HiFiGAN", tmp_path)


def n_parameters(module, folded=True):
    """Count parameters without weight norm's magnitudes."""
    return sum(p.numel() for name, p in module.named_parameters() if not (folded and name.endswith("weight_g")))


def make_generator(folder, size):
    config = folder / "exp_config.json"
    config.write_text(f'{{base_config: "config/hifigan_{size}.json", dataset: ["a"], dataset_path: {{a: "none"}}}}')
    settings = load_settings(config, [], settings_class).settings
    return Generator(settings.model, settings.preprocess.n_mel), settings.preprocess


@pytest.mark.parametrize(("size", "millions"), [("v1", 13.92), ("v2", 0.92), ("v2_cpu", 0.92), ("v3", 1.46)])
def test_sizes_are_the_published_ones(tmp_path, size, millions):
    generator, _ = make_generator(tmp_path, size)
    assert n_parameters(generator) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("size", ["v1", "v2", "v3", "v1_24k", "v2_24k"])
def test_every_shipped_size_makes_hop_size_samples_of_a_frame(tmp_path, size):
    generator, preprocess = make_generator(tmp_path, size)
    made = generator(torch.zeros(1, preprocess.n_mel, 2))
    assert made.shape == (1, 2 * preprocess.hop_size) and made.abs().max() <= 1


def test_of_an_odd_number_of_samples_too_many_the_last_is_cut():
    """As the published code computes it, which cuts none of them."""
    generator, mel = small_generator("surplus"), torch.randn(2, 12, 30, generator=torch.Generator().manual_seed(1))

    def published(cut):
        x = generator.conv_pre(mel)
        for upsampling, blocks in generator.stages():
            weight, rate = upsampling.weight, upsampling.rate
            n_samples = x.shape[2] * rate
            x = F.conv_transpose1d(F.leaky_relu(x, 0.1), weight, upsampling.bias, rate, (weight.shape[2] - rate) // 2)
            assert x.shape[2] == n_samples + 1
            x = x[..., : n_samples if cut else None]
            x = sum(block(x) for block in blocks) / len(blocks)
        return torch.tanh(generator.conv_post(F.leaky_relu(x, 0.01))).squeeze(1)

    with torch.no_grad():
        made = generator(mel)
        torch.testing.assert_close(made, published(cut=True), rtol=0, atol=1e-5)
        inside = slice(0, 10 * (30 - generator.receptive_frames))
        torch.testing.assert_close(made[:, inside], published(cut=False)[:, inside], rtol=0, atol=1e-5)
        torch.testing.assert_close(PlainGenerator(generator)(mel), made, rtol=0, atol=1e-5)
    assert made.shape == (2, 300) and inside.stop > 100


@pytest.mark.slow
def test_discriminators_have_the_published_sizes():
    assert n_parameters(MultiPeriodDiscriminator((2, 3, 5, 7, 11)), folded=False) / 1e6 == pytest.approx(41.1, abs=0.05)
    assert n_parameters(MultiScaleDiscriminator(), folded=False) / 1e6 == pytest.approx(29.6, abs=0.05)


def test_period_discriminator_equals_convolutions_of_planes():
    """As in the paper: the waveform reshaped to a plane of width `period`, kernels of width 1."""
    torch.manual_seed(0)
    multi = MultiPeriodDiscriminator((3,), channel_divisor=16)
    waveform = torch.randn(2, 100)
    [output] = multi(waveform)
    x = F.pad(waveform.unsqueeze(1), (0, 2), mode="reflect").unflatten(2, (34, 3))
    discriminator = multi.discriminators[0]
    for conv, stride in zip(discriminator.convs, (3, 3, 3, 3, 1), strict=True):
        x = F.leaky_relu(F.conv2d(x, conv.weight, conv.bias, (stride, 1), (2, 0)), 0.1)
    x = F.conv2d(x, discriminator.conv_post.weight, discriminator.conv_post.bias, padding=(1, 0))
    ours = output.score.reshape(2, 3, -1).transpose(1, 2)  # (B * period, 1, T) -> (B, T, period)
    torch.testing.assert_close(ours, x.squeeze(1), rtol=1e-4, atol=1e-6)


def test_scale_discriminators_halve_the_sample_rate():
    multi = MultiScaleDiscriminator(channel_divisor=16)
    outputs = multi(torch.randn(2, 4096))
    assert [output.features[0].shape[2] for output in outputs] == [4096, 2049, 1025]
    assert [len(output.features) for output in outputs] == [8, 8, 8]


def test_weight_norm_equals_torchs():
    theirs = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 5))
    ours = WeightNormed(theirs.weight.detach(), theirs.bias.detach())
    torch.testing.assert_close(ours.weight, theirs.weight)
    with torch.no_grad():
        ours.weight_v *= 3.0
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_spectral_norm_makes_the_largest_singular_value_one():
    torch.manual_seed(0)
    layer = SpectralNormed(torch.randn(6, 3, 5), torch.zeros(6))
    for _ in range(50):
        weight = layer.weight
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1.0, abs=1e-3)
    layer.eval()
    before = layer.weight_u.clone()
    assert torch.equal(layer.weight, layer.weight) and torch.equal(before, layer.weight_u)


def output(score, *features):
    score = torch.tensor(score)
    return DiscriminatorOutput(score, [*(torch.tensor(feature) for feature in features), score])


def test_losses_are_least_squares_and_absolute_differences():
    both = output([[1.0], [0.5]])  # real taken for real, made half believed
    assert discriminator_loss([both, both]).item() == pytest.approx(2 * 0.25)
    assert adversarial_loss([output([[0.0], [0.5]])]).item() == pytest.approx((1 + 0.25) / 2)
    real, fake = output([[1.0]], [[1.0, 2.0]]), output([[0.5]], [[0.0, 4.0]])
    assert feature_matching_loss([real], [fake]).item() == pytest.approx(1.5 + 0.5)


def test_discriminators_rest_until_the_adversarial_start(tiny):
    task = tiny.task("train.adversarial_start_step=5")
    [batch, *_] = next(task.train_batches().groups(0))
    early = {update.name: set(update.terms) for update in task.updates(batch, 4)}
    late = {update.name: set(update.terms) for update in task.updates(batch, 5)}
    assert early == {"discriminator": set(), "generator": {"mel", "spectral_convergence", "log_magnitude"}}
    assert late["discriminator"] == {"adversarial"} and {"adversarial", "feature", "mel"} < late["generator"]


def test_discriminators_may_be_trained_some_steps_before_the_generator_is_trained_against_them(tiny):
    settings = "train.adversarial_start_step=5", "train.generator_alone_steps=3", "train.adversarial_stft_loss_weight=0"
    task = tiny.task(*settings, "train.adversarial_loss_weight=0.25")
    [batch, *_] = next(task.train_batches().groups(0))
    alone = {update.name: set(update.terms) for update in task.updates(batch, 7)}
    assert alone == {"discriminator": {"adversarial"}, "generator": {"mel", "spectral_convergence", "log_magnitude"}}
    late = {update.name: update.terms for update in task.updates(batch, 8)}
    assert set(late["generator"]) == {"mel", "adversarial", "feature"}
    assert late["generator"]["adversarial"].weight == 0.25


def rate_after(optimization, n_steps):
    for _ in range(n_steps):
        optimization.optimizer.step()
        optimization.scheduler.step()
    return optimization.optimizer.param_groups[0]["lr"]


def test_learning_rates_fall_by_epoch_or_along_one_cosine(tiny):
    usual = tiny.task().optimizers()
    assert {each.scheduled_by for each in usual.values()} == {"epoch"}
    assert [rate_after(each, 2) for each in usual.values()] == pytest.approx([0.002 * 0.999**2] * 2)
    cosine = ("train.decay=cosine", "train.warmup_steps=2", "train.decay_steps=6")
    task = tiny.task(*cosine, "train.discriminator_learning_rate=0.001")
    for name, highest in (("discriminator", 0.001), ("generator", 0.002)):
        optimization = task.optimizers()[name]
        assert optimization.scheduled_by == "step"
        assert optimization.optimizer.param_groups[0]["lr"] == highest / 2
        assert [rate_after(optimization, 1) for _ in range(6)] == pytest.approx(
            [highest * share for share in (1, 1, 0.855018, 0.505, 0.154982, 0.01)], rel=1e-4
        )


def test_the_discriminator_update_gives_the_generator_no_gradients(tiny):
    task = tiny.task()
    [batch, *_] = next(task.train_batches().groups(0))
    story = task.updates(batch, 0)
    sum(term.value for term in next(story).terms.values()).backward()
    assert all(parameter.grad is None for parameter in task.modules["generator"].parameters())
    assert all(parameter.grad is not None for parameter in task.modules["mpd"].parameters())


@pytest.mark.parametrize(
    ("per_discriminator", "warning"), [(0.001, "have saturated"), (0.4, None), (1.5, "worse than chance")]
)
def test_a_saturated_discriminator_or_generator_is_warned_of(tiny, per_discriminator, warning):
    task = tiny.task("train.adversarial_start_step=1000")
    losses = {"train/discriminator/adversarial": per_discriminator * (2 + 3)}
    assert [warning in concern for concern in task.diagnose(losses, 1500)] == ([True] if warning else [])
    assert not task.diagnose(losses, 1499)  # just after the adversary begins
    assert not task.diagnose({"train/generator/mel": 1.0}, 1500)


def test_segments_are_aligned_slices_that_change_with_the_epoch(tiny):
    items, stores = open_recordings(tiny.processed_dir, ["tiny"], "train")
    data = Segments(items, stores, "mel", segment_frames=4, seed=7)
    store = FeatureStore.open(tiny.processed_dir / "tiny")
    starts = set()
    for epoch in range(6):
        example = data[(2, epoch, 0)]
        mel, waveform = store.read(example.id, "mel"), store.read(example.id, "waveform")
        [start] = [
            start
            for start in range(len(mel) - 3)
            if np.array_equal(waveform[start * HOP_SIZE : (start + 4) * HOP_SIZE], example.waveform)
        ]
        assert np.array_equal(mel[start : start + 4], example.mel) and example.mel.shape == (4, N_MEL)
        assert np.array_equal(data[(2, epoch, 0)].waveform, example.waveform)
        starts.add(start)
    assert len(starts) > 1


def test_a_recording_drawn_twice_in_an_epoch_gives_two_segments(tiny):
    items, stores = open_recordings(tiny.processed_dir, ["tiny"], "train")
    data = Segments(items, stores, "mel", segment_frames=4, seed=7)
    turns = [data[(2, 0, turn)].waveform for turn in range(6)]
    assert any(not np.array_equal(turns[0], other) for other in turns[1:])
    assert np.array_equal(turns[1], data[(2, 0, 1)].waveform)


def test_segments_longer_than_every_recording_are_refused(tiny):
    task = tiny.task(f"train.segment_size={HOP_SIZE * 1000}")
    with pytest.raises(DataError, match=r"1000 frames of train\.segment_size, the longest has \d+"):
        task.train_batches()


def test_recordings_shorter_than_a_segment_are_left_out(tiny, capsys):
    items, stores = open_recordings(tiny.processed_dir, ["tiny"], "train")
    lengths = sorted(stores["tiny"].length(id_, "mel") for id_, _ in items)
    data = Segments(items, stores, "mel", segment_frames=lengths[3], seed=0)
    assert len(data) == len(items) - 3
    assert "3 of 10 training recordings" in capsys.readouterr().err


def test_missing_predicted_mels_are_refused_with_the_command(tiny):
    task = tiny.task('train.mel_source="predicted"')
    with pytest.raises(DataError, match=r"predicted_mel.*bins\.predict_mels"):
        task.train_batches()


def test_stoi_is_measured_on_the_first_validation_recordings_alone(tiny, monkeypatch):
    monkeypatch.setattr(gan_vocoder_task, "_MAX_RATED", 2)
    monkeypatch.setattr(gan_vocoder_task, "are_installed", lambda name: True)
    measured = []
    monkeypatch.setattr(
        gan_vocoder_task,
        "_PERCEPTUAL_METRICS",
        {"stoi": (lambda real, made, rate: measured.append((real, made)) or 0.5, ())},
    )
    task = tiny.task()
    with torch.no_grad():
        sums = {batch.ids[0]: task.validate(batch)["stoi"] for batch in task.valid_batches()}
    assert {id_: (found.total, found.count) for id_, found in sums.items()} == {
        "utterance-10": (0.5, 1),
        "utterance-11": (0.5, 1),
        "utterance-12": (0, 0),
    }
    assert all(len(real) == len(made) for real, made in measured)
    monkeypatch.setattr(gan_vocoder_task, "are_installed", lambda name: False)
    assert "stoi" not in task.validate(next(iter(task.valid_batches())))


def test_training_never_reads_validation_or_test_recordings(tiny, monkeypatch):
    read = set()
    original = FeatureStore.read
    monkeypatch.setattr(
        FeatureStore, "read", lambda self, id_, *rest, **more: (read.add(id_), original(self, id_, *rest, **more))[1]
    )
    task = tiny.task()
    for epoch in range(3):
        for _ in task.train_batches().groups(epoch):
            pass
    train = {utterance.id for utterance in read_manifest(tiny.processed_dir / "tiny" / "train.jsonl")}
    valid = {utterance.id for utterance in read_manifest(tiny.processed_dir / "tiny" / "valid.jsonl")}
    assert read == train and not read & valid


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.upsample_rates=[8, 4]", "8 x 4 is 32, but hop_size is 64"),
        ("model.upsample_kernel_sizes=[16, 7]", "7 for rate 8"),
        ("model.upsample_kernel_sizes=[16]", "1 sizes for 2 rates"),
        ("model.resblock_kernel_sizes=[4]", "odd"),
        ("model.resblock_dilation_sizes=[[1], [1]]", "2 lists for 1 kernel"),
        ("model.upsample_initial_channel=6", "halved 2 times"),
        ("train.segment_size=500", "not a multiple of hop_size"),
        ("train.segment_size=64", "too short for n_fft"),
        ("train.max_frames_per_batch=100", "batch_size"),
        ("train.discriminators=['mpd', 'mpd']", "names one twice"),
        ("train.discriminators=['mpd', 'mrd']", "512 is too short for .*; more than 904 are needed"),
        ("train.decay=cosine", "0 is not above warmup_steps"),
        ("train.warmup_steps=100", 'is for decay "cosine" alone'),
    ],
)
def test_impossible_settings_are_refused(tiny, override, message):
    with pytest.raises(SettingsError, match=message):
        tiny.settings(override)


@pytest.mark.parametrize("version", ["hifigan_v2", "hifigan_v3"])
def test_golden_weights_give_the_golden_waveform(golden, version):
    folder = golden / version
    config = json.loads((folder / "config.json").read_text())
    names = [name for name in HiFiGANModelSettings.model_fields if name in config]
    values = json.dumps(
        {name: config[name] for name in names} | {"mpd_periods": [2], "discriminator_channel_divisor": 1}
    )
    generator = Generator(HiFiGANModelSettings.model_validate_json(values), config["num_mels"])
    generator.load_state_dict(torch.load(folder / "g_00000000", weights_only=True)["generator"])
    expected = np.load(folder / "expected.npz")
    with torch.no_grad():
        made = generator(torch.from_numpy(expected["mel"]))
    np.testing.assert_allclose(made.numpy(), expected["waveform"][:, 0], atol=1e-5)


FEW_STEPS = (
    "train.precision=fp32",
    "train.batch_size=2",
    "train.save_every_steps=2",
    "train.valid_every_steps=4",
    "train.log_every_steps=1",
    "train.keep_last=3",
    "train.ema_decay=0.9",
)


def arguments(tiny, name, *overrides):
    return [*tiny.flags(*FEW_STEPS, *overrides), "--name", name, "--gpu", ""]


def weights_at(folder, step):
    checkpoint = open_checkpoint(folder / "checkpoint" / f"step-{step:08d}")
    names = ("generator", "generator_average", "mpd", "msd")
    return {f"{name}.{key}": value for name in names for key, value in checkpoint.weights(name).items()}


@pytest.mark.slow
def test_a_killed_adversarial_training_resumes_exactly(tiny):
    """Killed with SIGKILL before and after the adversary begins."""
    settings = ("train.max_steps=12", "train.adversarial_start_step=5")
    straight = start("bins.train", *arguments(tiny, "straight", *settings))
    logbook = tiny.folder / "killed" / "logbook.jsonl"
    for kill_at in (3, 8):
        process = start("bins.train", *arguments(tiny, "killed", *settings))
        while process.poll() is None and not (
            logbook.exists() and any(line["step"] >= kill_at for line in read_logbook(logbook))
        ):
            time.sleep(0.005)
        process.kill()
        process.wait()
    for process in (straight, start("bins.train", *arguments(tiny, "killed", *settings))):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    expected, found = weights_at(tiny.folder / "straight", 12), weights_at(tiny.folder / "killed", 12)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.slow
def test_two_processes_train_like_one(tiny):
    settings = ("train.max_steps=4", "train.adversarial_start_step=2")
    two = start_two("bins.train", *arguments(tiny, "two", *settings))
    one = start("bins.train", *arguments(tiny, "one", *settings, "train.batch_size=4"))
    for process in (*two, one):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    logs = [read_logbook(tiny.folder / name / "logbook.jsonl") for name in ("one", "two")]
    compared = 0
    for ours, theirs in zip(*logs, strict=True):
        for name in ours.keys() & theirs.keys():
            if name.startswith(("train/", "valid/")):
                # STOI and PESQ of what is still noise answer loudly to little.
                rel = 0.05 if name in ("valid/stoi", "valid/pesq") else 1e-3
                assert theirs[name] == pytest.approx(ours[name], rel=rel), (ours["step"], name)
                compared += 1
    assert compared >= 20
    # Adam makes whole steps of gradients that are nothing but rounding: a few weights may differ by that.
    expected, found = weights_at(tiny.folder / "one", 4), weights_at(tiny.folder / "two", 4)
    assert all((found[name] - value).abs().mean() < 1e-4 for name, value in expected.items())
