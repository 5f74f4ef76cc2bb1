"""Speed of acoustic models in training and inference, interleaved with a plain implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from config.schema import ExperimentSettings
from models.benchmarks.made_up import (
    FRAMES_PER_PHONE,
    bucketed_lengths,
    made_up_task,
    random_lengths,
    untrained_bundle,
)
from models.benchmarks.timing import PeakMemory, Plan, Section, Stepper, percentiles_ms, time_in_turn
from models.contracts import AcousticModel, Controls, PhonemeBatch, prosody_levels
from models.registry import open_acoustic, reference_of
from processors.datasets.acoustic_data import AcousticBatch, collate_acoustic
from processors.datasets.acoustic_example import AcousticExample
from processors.text.arpabet import INVENTORY
from utils.precision import Precision, autocast
from utils.task import Optimization, Term, Update

_N_PHONES = 90
_MAX_TRIES = 30


def measure(config: str, settings: ExperimentSettings, plan: Plan) -> list[Section]:
    """Measure training, with and without a discriminator of mels, and inference of one configuration."""
    trained, spoken = [], []
    adversary = {"mel_adversary_start_step": 1}
    adversarial = settings.model_copy(update={"train": settings.train.model_copy(update=adversary)})
    for precision in plan.precisions:
        for step, trained_as in {"training": settings, "adversarial": adversarial}.items():
            size = {"parameters": f"{n_parameters(trained_as) / 1e6:.1f} M", "batch": settings.train.batch_size}
            training = measure_training(
                trained_as,
                precision=precision,
                steps=plan.steps,
                device=plan.device,
                with_reference=trained_as is settings,
            )
            trained.append({"config": config, "step": step, **size, "precision": precision, **training})
        inference = measure_inference(settings, precision=precision, runs=plan.runs, device=plan.device)
        spoken.append({"config": config, "precision": precision, **inference})
    return [
        Section(
            "Acoustic training",
            "real mel frames per second, whole steps, LJSpeech's lengths, random features. Plain is the common "
            "implementation, with batches drawn at random; adversarial: with the discriminator of mels",
            trained,
        ),
        Section("Phones to mel", "one sentence, free-running; s per speech s is the real-time factor", spoken),
    ]


def n_parameters(settings: ExperimentSettings) -> int:
    """Count the parameters of all networks of a task."""
    modules = made_up_task(settings).modules.values()
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def measure_training(
    settings: ExperimentSettings,
    *,
    precision: Precision,
    steps: int,
    device: str = "cpu",
    with_reference: bool = True,
) -> dict[str, Any]:
    """Measure training steps at the settings' batch size, on LJSpeech's lengths and random features.

    Args:
        settings: of the experiment.
        precision: of the networks' arithmetic.
        steps: of each implementation; spread evenly over the lengths that batches have.
        device: to train on.
        with_reference: whether the plain implementation takes turns, where there is one.

    Returns:
        Real mel frames per second and the share of padding, ours and those of the plain implementation in batches
        drawn at random, with the ratio of the speeds; "-" where there is no plain implementation.
    """
    reference = _reference(settings) if with_reference else None
    peak = PeakMemory(device)
    ours = [made_up_batch(lengths, settings) for lengths in bucketed_lengths(settings, steps)]
    random = [made_up_batch(lengths, settings) for lengths in random_lengths(settings, steps)]
    clip = settings.train.gradient_clip
    steppers = [(Stepper(made_up_task(settings), precision, clip, device), ours)]
    if reference is not None:
        steppers.append((Stepper(_ReferenceTask(reference), precision, clip, device), random))
    for stepper, batches in steppers:
        stepper.warm_up(batches[0])
    for number in range(steps):
        # Turn by turn, so that whatever else the machine does slows both alike.
        for stepper, batches in steppers:
            stepper.take(batches[number])
    speed, *plain = [stepper.frames / stepper.seconds for stepper, _ in steppers]
    return {
        "frames per s": speed,
        "plain": plain[0] if plain else "-",
        "times plain": speed / plain[0] if plain else "-",
        "padding": f"{_padding_share(ours):.1%}",
        "padding, plain": f"{_padding_share(random):.1%}",
        "peak memory MiB": peak.mib(),
    }


def measure_inference(
    settings: ExperimentSettings, *, precision: Precision, runs: int, device: str = "cpu"
) -> dict[str, Any]:
    """Measure free-running inference of one sentence of about 540 frames, batch of one.

    Returns:
        The sentence's frames, percentiles of the time from its phones to its mel, the plain implementation's median and
        how many times ours that is, or "-", frames per second, seconds of speech per second and their inverse, the
        real-time factor, and peak memory.
    """
    network, reference = open_acoustic(untrained_bundle(settings), device), _reference(settings)
    peak = PeakMemory(device)
    generator = torch.Generator().manual_seed(0)
    phoneme_ids = torch.randint(len(INVENTORY) - 60, len(INVENTORY), (1, _N_PHONES), generator=generator).to(device)
    phones = PhonemeBatch(phoneme_ids, torch.tensor([_N_PHONES]).to(device), torch.tensor([0]).to(device))
    with torch.inference_mode(), autocast(precision, device):
        prosody, durations = _usual_durations(network, phones)
        implementations: dict[str, Callable[[], Tensor]] = {"ours": lambda: network.infer(phones, prosody).mel}
        if reference is not None:
            plain = reference.to(device).eval()
            implementations["plain"] = lambda: plain.infer(phoneme_ids, phones.phoneme_lengths, durations)
            assert implementations["plain"]().shape[1] == durations.sum()
        times = time_in_turn(implementations, runs, device)
    frames, medians_s = int(durations.sum()), {name: float(np.median(seconds)) for name, seconds in times.items()}
    speech_s = frames * settings.preprocess.hop_size / settings.preprocess.sample_rate
    return {
        "frames": frames,
        **percentiles_ms(times["ours"]),
        "plain p50 ms": medians_s["plain"] * 1e3 if "plain" in times else "-",
        "times plain": medians_s["plain"] / medians_s["ours"] if "plain" in times else "-",
        "frames per s": frames / medians_s["ours"],
        "speech s per s": speech_s / medians_s["ours"],
        "s per speech s": medians_s["ours"] / speech_s,
        "peak memory MiB": peak.mib(),
    }


def _usual_durations(network: AcousticModel, phones: PhonemeBatch) -> tuple[Controls, Tensor]:
    """Find the duration factor with which an untrained network's phones last about as long as LJSpeech's.

    Returns:
        The factor as `Controls`, and the (1, T_text) durations that it results in.
    """
    target_frames = phones.phoneme_ids.numel() * FRAMES_PER_PHONE
    factor = 1.0
    for _ in range(_MAX_TRIES):
        prosody = Controls(duration=factor)
        try:
            durations = network.infer(phones, prosody).durations
        except ValueError:  # not a single frame
            factor *= 2
            continue
        frames = int(durations.sum())
        if abs(frames - target_frames) <= target_frames // 20 or "duration" not in network.controls:
            break
        factor *= target_frames / frames
    return prosody, durations


class _ReferenceTask:
    """A reference implementation in training, for a `Stepper`."""

    def __init__(self, reference: nn.Module) -> None:
        self.modules = {"network": reference}

    def optimizers(self) -> Mapping[str, Optimization]:
        parameters = self.modules["network"].parameters()
        return {"network": Optimization(torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.98)), ("network",))}

    def updates(self, batch: AcousticBatch, step: int) -> Iterator[Update]:
        yield Update("network", {"loss": Term(self.modules["network"](batch))})


def _reference(settings: ExperimentSettings) -> Any:
    """Return a model's reference implementation, with random weights; None where it has none.

    It is a network of the same size, written plainly: its call returns the loss of an `AcousticBatch`, and its `infer`,
    of (phoneme_ids, phoneme_lengths, durations), a (B, T_mel, M) mel with predicted pitch and energy; durations are
    predicted and then replaced.
    """
    reference = reference_of(settings.model_type)
    if reference is None:
        return None
    torch.manual_seed(0)
    return reference(settings.model, n_symbols=len(INVENTORY) + 1, n_mel=settings.preprocess.n_mel)


def made_up_batch(lengths: np.ndarray, settings: ExperimentSettings) -> AcousticBatch:
    """Return recordings of these numbers of frames."""
    rng = np.random.default_rng(0)
    levels, examples = prosody_levels(settings.model), []
    for number, length in enumerate(lengths.tolist()):
        n_phones = max(length // FRAMES_PER_PHONE, 1)
        durations = np.full(n_phones, length // n_phones, dtype=np.int32)
        durations[: length - durations.sum()] += 1
        n_values = {name: n_phones if level == "phone" else length for name, level in levels.items()}
        example = AcousticExample(
            id=f"made-up-{number}",
            speaker_id=0,
            phoneme_ids=rng.integers(8, len(INVENTORY), n_phones).astype(np.int32),
            durations=durations,
            mel=rng.normal(-5.0, 2.0, (length, settings.preprocess.n_mel)).astype(np.float32),
            pitch=rng.normal(size=n_values["pitch_level"]).astype(np.float32),
            energy=rng.normal(size=n_values["energy_level"]).astype(np.float32),
        )
        examples.append(example)
    return collate_acoustic(examples)


def _padding_share(batches: Sequence[AcousticBatch]) -> float:
    real = sum(batch.counts["frames"] for batch in batches)
    return 1.0 - real / sum(batch.padded["frames"] for batch in batches)
