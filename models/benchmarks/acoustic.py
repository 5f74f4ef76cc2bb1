"""Speed of acoustic models in training and inference, beside the plain formulation in the same minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
from models.benchmarks.timing import Plan, Section, Stepper, percentiles_ms, ratio, time_in_turn
from models.contracts import AcousticModel, PhonemeBatch, Prosody, prosody_levels
from models.registry import open_acoustic, reference_of
from processors.datasets.acoustic_data import AcousticBatch, AcousticExample, collate_acoustic
from processors.text.arpabet import INVENTORY
from utils.precision import Precision, autocast
from utils.task import Optimization, Term, Update

_PHONES_SPOKEN = 90
_MOST_TRIES = 30


class AcousticReference(Protocol):
    """The class that the registry names as an acoustic model's reference: a network of the same size, written plainly.

    Made with `(settings.model, n_symbols=, n_mel=)`; a module whose call returns the loss of an `AcousticBatch`.
    """

    def infer(self, phoneme_ids: Tensor, phoneme_lengths: Tensor, durations: Tensor) -> Tensor:
        """Return a (B, T_mel, M) mel with predicted pitch and energy; durations are predicted and then replaced."""


@dataclass(frozen=True)
class TrainingSpeed:
    """Speed of whole training steps: forward, backward, clipping, optimizer.

    Attributes:
        frames_per_second: real mel frames, ours.
        plain_frames_per_second: the same of the plain formulation in batches drawn at random; None without one.
        padding_share: of our batches' frames.
        plain_padding_share: of the random batches' frames.
    """

    frames_per_second: float
    plain_frames_per_second: float | None
    padding_share: float
    plain_padding_share: float


@dataclass(frozen=True)
class Latency:
    """Time from the phones of one sentence to its mel, batch of one, each time by itself.

    Attributes:
        frames: of the sentence.
        seconds: (runs,) ours.
        plain_seconds: (runs,) of the plain formulation; None without one.
    """

    frames: int
    seconds: np.ndarray
    plain_seconds: np.ndarray | None


def measure(config: str, settings: ExperimentSettings, plan: Plan) -> list[Section]:
    """Measure training and inference of one configuration on the CPU."""
    trained, spoken = [], []
    seconds_per_frame = settings.preprocess.hop_size / settings.preprocess.sample_rate
    for precision in plan.precisions:
        training = measure_training(settings, precision=precision, steps=plan.steps)
        trained.append(
            {
                "config": config,
                "parameters": f"{n_parameters(settings) / 1e6:.1f} M",
                "batch": settings.train.batch_size,
                "precision": precision,
                "frames per s": training.frames_per_second,
                "plain": training.plain_frames_per_second or "-",
                "times plain": ratio(training.frames_per_second, training.plain_frames_per_second),
                "padding": f"{training.padding_share:.1%}",
                "padding, plain": f"{training.plain_padding_share:.1%}",
            }
        )
        latency = measure_latency(settings, precision=precision, runs=plan.runs)
        median_s = float(np.median(latency.seconds))
        plain_s = None if latency.plain_seconds is None else float(np.median(latency.plain_seconds))
        spoken.append(
            {
                "config": config,
                "precision": precision,
                "frames": latency.frames,
                **percentiles_ms(latency.seconds),
                "plain p50 ms": "-" if plain_s is None else plain_s * 1e3,
                "times plain": ratio(plain_s, median_s),
                "speech s per s": latency.frames * seconds_per_frame / median_s,
            }
        )
    return [
        Section(
            "Acoustic training",
            "real mel frames per second, whole steps, LJSpeech's lengths, made-up features. Plain is the common "
            "formulation, with batches drawn at random",
            trained,
        ),
        Section("Phones to mel", "one sentence, free-running", spoken),
    ]


def n_parameters(settings: ExperimentSettings) -> int:
    """Count the parameters of all networks of a task."""
    modules = made_up_task(settings).modules.values()
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def measure_training(settings: ExperimentSettings, *, precision: Precision, steps: int) -> TrainingSpeed:
    """Measure training steps at the settings' batch size, on LJSpeech's lengths and made-up features.

    Args:
        settings: of the experiment.
        precision: of the networks' arithmetic.
        steps: of each formulation; spread evenly over the lengths that batches have.
    """
    reference = _reference(settings)
    ours = [_batch(lengths, settings) for lengths in bucketed_lengths(settings, steps)]
    random = [_batch(lengths, settings) for lengths in random_lengths(settings, steps)]
    clip = settings.train.gradient_clip
    learners = [(Stepper(made_up_task(settings), precision, clip), ours)]
    if reference is not None:
        learners.append((Stepper(_ReferenceTask(reference), precision, clip), random))
    for stepper, batches in learners:
        stepper.warm_up(batches[0])
    for number in range(steps):
        # Turn by turn, so that whatever else the machine does slows both alike.
        for stepper, batches in learners:
            stepper.take(batches[number])
    speeds = [stepper.frames / stepper.seconds for stepper, _ in learners]
    plain_speed = speeds[1] if reference is not None else None
    return TrainingSpeed(speeds[0], plain_speed, _padding_share(ours), _padding_share(random))


def measure_latency(settings: ExperimentSettings, *, precision: Precision, runs: int) -> Latency:
    """Measure free-running inference of one sentence of about 540 frames, batch of one."""
    network, reference = open_acoustic(untrained_bundle(settings)), _reference(settings)
    chance = torch.Generator().manual_seed(0)
    phoneme_ids = torch.randint(len(INVENTORY) - 60, len(INVENTORY), (1, _PHONES_SPOKEN), generator=chance)
    phones = PhonemeBatch(phoneme_ids, torch.tensor([_PHONES_SPOKEN]), torch.tensor([0]))
    with torch.inference_mode(), autocast(precision, "cpu"):
        prosody, durations = _usual_durations(network, phones)
        formulations: dict[str, Callable[[], Tensor]] = {"ours": lambda: network.infer(phones, prosody).mel}
        if reference is not None:
            plain = reference.eval()
            formulations["plain"] = lambda: plain.infer(phoneme_ids, phones.phoneme_lengths, durations)
            assert formulations["plain"]().shape[1] == durations.sum()
        times = time_in_turn(formulations, runs)
    return Latency(int(durations.sum()), times["ours"], times.get("plain"))


def _usual_durations(network: AcousticModel, phones: PhonemeBatch) -> tuple[Prosody, Tensor]:
    """Find the factor by which a network without training makes phones last about as long as in LJSpeech.

    Returns the factor, and the durations that come of it.
    """
    wanted = phones.phoneme_ids.numel() * FRAMES_PER_PHONE
    factor = 1.0
    for _ in range(_MOST_TRIES):
        prosody = Prosody(duration=factor)
        try:
            durations = network.infer(phones, prosody).durations
        except ValueError:  # not a single frame
            factor *= 2
            continue
        frames = int(durations.sum())
        if abs(frames - wanted) <= wanted // 20 or "duration" not in network.controls:
            break
        factor *= wanted / frames
    return prosody, durations


class _ReferenceTask:
    """A reference in training, as a `Stepper` takes it."""

    def __init__(self, reference: nn.Module) -> None:
        self.modules = {"network": reference}

    def optimizers(self) -> Mapping[str, Optimization]:
        parameters = self.modules["network"].parameters()
        return {"network": Optimization(torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.98)), ("network",))}

    def updates(self, batch: AcousticBatch, step: int) -> Iterator[Update]:
        yield Update("network", {"loss": Term(self.modules["network"](batch))})


def _reference(settings: ExperimentSettings) -> Any:
    """Return the reference of a model, with random weights; None where it has none."""
    reference = reference_of(settings.model_type)
    if reference is None:
        return None
    torch.manual_seed(0)
    return reference(settings.model, n_symbols=len(INVENTORY) + 1, n_mel=settings.preprocess.n_mel)


def _batch(lengths: np.ndarray, settings: ExperimentSettings) -> AcousticBatch:
    chance = np.random.default_rng(0)
    levels, examples = prosody_levels(settings.model), []
    for number, length in enumerate(lengths.tolist()):
        n_phones = max(length // FRAMES_PER_PHONE, 1)
        durations = np.full(n_phones, length // n_phones, dtype=np.int32)
        durations[: length - durations.sum()] += 1
        n_values = {name: n_phones if level == "phone" else length for name, level in levels.items()}
        example = AcousticExample(
            id=f"made-up-{number}",
            speaker_id=0,
            phoneme_ids=chance.integers(8, len(INVENTORY), n_phones).astype(np.int32),
            durations=durations,
            mel=chance.normal(-5.0, 2.0, (length, settings.preprocess.n_mel)).astype(np.float32),
            pitch=chance.normal(size=n_values["pitch_level"]).astype(np.float32),
            energy=chance.normal(size=n_values["energy_level"]).astype(np.float32),
        )
        examples.append(example)
    return collate_acoustic(examples)


def _padding_share(batches: Sequence[AcousticBatch]) -> float:
    real = sum(batch.counts["frames"] for batch in batches)
    return 1.0 - real / sum(batch.padded["frames"] for batch in batches)
