"""How fast FastSpeech 2 learns and speaks, beside the plain formulation in the same minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from config.load import SettingsError
from models.benchmarks.timing import Plan, Section, made_up_settings, percentiles_ms, time_in_turn
from models.contracts import PhonemeBatch
from models.fastspeech2.network import FastSpeech2
from models.fastspeech2.reference import PlainFastSpeech2
from models.fastspeech2.settings import FastSpeech2Settings
from models.fastspeech2.task import FastSpeech2Task
from processors.datasets.acoustic_data import AcousticBatch, AcousticExample, Voice, collate_acoustic
from processors.datasets.batches import BatchPlan
from processors.speakers.statistics import SpeakerStatistics, Spread
from processors.text.arpabet import INVENTORY
from processors.text.symbols import SymbolTable

# LJSpeech's recordings last from 1.1 to 10.1 s, 6.6 s on average, and have 6.4 frames per phone.
_SHORTEST_S, _LONGEST_S, _SKEW = 1.1, 10.1, (4.0, 2.2)
_FRAMES_PER_PHONE = 6
_N_UTTERANCES = 4000
_PHONES_SPOKEN = 90


@dataclass(frozen=True)
class TrainingSpeed:
    """Speed of whole training steps: forward, backward, clipping, optimizer.

    Attributes:
        frames_per_second: real mel frames, ours.
        plain_frames_per_second: the same of the plain formulation in batches drawn at random.
        padding_share: of our batches' frames.
        plain_padding_share: of the random batches' frames.
        steps: how many of each were measured, taking turns.
    """

    frames_per_second: float
    plain_frames_per_second: float
    padding_share: float
    plain_padding_share: float
    steps: int


@dataclass(frozen=True)
class Latency:
    """Time from the phones of one sentence to its mel, batch of one, each time by itself.

    Attributes:
        frames: of the sentence.
        seconds: (runs,) ours.
        plain_seconds: (runs,) of the plain formulation.
    """

    frames: int
    seconds: np.ndarray
    plain_seconds: np.ndarray


def measure(config: str, overrides: Sequence[str], plan: Plan) -> list[Section]:
    """Measure training and speaking of one configuration on the CPU.

    Raises:
        SettingsError: the config or an override is faulty.
    """
    settings = made_up_settings(config, [*overrides, f"train.batch_size={plan.batch_size}"])
    if not isinstance(settings, FastSpeech2Settings):
        raise SettingsError(f"{config}: is no FastSpeech2's")
    trained, spoken = [], []
    for precision in plan.precisions:
        training = measure_training(settings, precision=precision, steps=plan.steps)
        trained.append(
            {
                "config": config,
                "parameters": f"{n_parameters(settings) / 1e6:.1f} M",
                "batch": plan.batch_size,
                "precision": precision,
                "frames per s": training.frames_per_second,
                "plain": training.plain_frames_per_second,
                "times plain": training.frames_per_second / training.plain_frames_per_second,
                "padding": f"{training.padding_share:.1%}",
                "padding, plain": f"{training.plain_padding_share:.1%}",
            }
        )
        latency = measure_latency(settings, precision=precision, runs=plan.runs)
        seconds_per_frame = settings.preprocess.hop_size / settings.preprocess.sample_rate
        spoken.append(
            {
                "config": config,
                "precision": precision,
                "frames": latency.frames,
                **percentiles_ms(latency.seconds),
                "plain p50 ms": float(np.median(latency.plain_seconds)) * 1e3,
                "times plain": float(np.median(latency.plain_seconds) / np.median(latency.seconds)),
                "speech s per s": latency.frames * seconds_per_frame / float(np.median(latency.seconds)),
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


def n_parameters(settings: FastSpeech2Settings) -> int:
    """Count the network's parameters."""
    return sum(parameter.numel() for parameter in _task(settings).modules["network"].parameters())


def measure_training(settings: FastSpeech2Settings, *, precision: str, steps: int) -> TrainingSpeed:
    """Measure training steps at the settings' batch size, on LJSpeech's lengths and made-up features.

    Args:
        settings: of the experiment.
        precision: fp32 or bf16.
        steps: of each formulation; spread evenly over the lengths that batches have.
    """
    ours = _Stepper(*_our_step(settings, precision), _bucketed_batches(settings, steps))
    plain = _Stepper(*_plain_step(settings, precision), _random_batches(settings, steps))
    for stepper in (ours, plain):
        stepper.warm_up()
    for _ in range(steps):
        # Turn by turn, so that whatever else the machine does slows both alike.
        ours.take()
        plain.take()
    return TrainingSpeed(ours.speed, plain.speed, ours.padding_share, plain.padding_share, steps)


def measure_latency(settings: FastSpeech2Settings, *, precision: str, runs: int) -> Latency:
    """Measure free-running speech of one sentence of 540 frames, batch of one."""
    network = cast(FastSpeech2, _task(settings).modules["network"]).eval()
    network.prepare_for_inference()
    plain = _plain_network(settings).eval()
    # Networks that have learned nothing say any duration: these two say six frames for every phone.
    for predictor in (network.variance_adaptor.predictors["duration"], plain.duration_predictor):
        nn.init.zeros_(predictor.get_parameter("to_value.weight"))
        nn.init.constant_(predictor.get_parameter("to_value.bias"), math.log(_FRAMES_PER_PHONE + 1))
    chance = torch.Generator().manual_seed(0)
    phoneme_ids = torch.randint(len(INVENTORY) - 60, len(INVENTORY), (1, _PHONES_SPOKEN), generator=chance)
    lengths, speaker_ids = torch.tensor([_PHONES_SPOKEN]), torch.tensor([0])

    def speak_ours() -> int:
        return network.infer(PhonemeBatch(phoneme_ids, lengths, speaker_ids)).mel.shape[2]

    def speak_plainly() -> int:
        return plain.infer(phoneme_ids, lengths).shape[1]

    with torch.inference_mode(), _autocast(precision):
        frames = speak_ours()
        assert frames == speak_plainly() == _PHONES_SPOKEN * _FRAMES_PER_PHONE
        times = time_in_turn({"ours": speak_ours, "plain": speak_plainly}, runs)
    return Latency(frames, times["ours"], times["plain"])


class _Stepper:
    """Takes training steps and adds up what they cost."""

    def __init__(
        self, step: Callable[[AcousticBatch], None], optimizer: torch.optim.Optimizer, batches: Sequence[AcousticBatch]
    ) -> None:
        self._step, self._optimizer, self._batches = step, optimizer, batches
        self._next: Iterator[AcousticBatch] = iter(batches)
        self._frames, self._seconds = 0, 0.0

    def warm_up(self) -> None:
        self._learn(self._batches[0])

    def take(self) -> None:
        batch = next(self._next)
        started = time.perf_counter()
        self._learn(batch)
        self._seconds += time.perf_counter() - started
        self._frames += batch.counts["frames"]

    def _learn(self, batch: AcousticBatch) -> None:
        self._step(batch)
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    @property
    def speed(self) -> float:
        return self._frames / self._seconds

    @property
    def padding_share(self) -> float:
        real = sum(batch.counts["frames"] for batch in self._batches)
        return 1.0 - real / sum(batch.padded["frames"] for batch in self._batches)


def _our_step(
    settings: FastSpeech2Settings, precision: str
) -> tuple[Callable[[AcousticBatch], None], torch.optim.Optimizer]:
    task = _task(settings)

    def step(batch: AcousticBatch) -> None:
        with _autocast(precision):
            [update] = task.updates(batch, 0)
        torch.stack([term.weight * term.value for term in update.terms.values()]).sum().backward()

    return step, task.optimizers()["network"].optimizer


def _plain_step(
    settings: FastSpeech2Settings, precision: str
) -> tuple[Callable[[AcousticBatch], None], torch.optim.Optimizer]:
    network = _plain_network(settings)

    def step(batch: AcousticBatch) -> None:
        with _autocast(precision):
            loss = network(batch)
        loss.backward()

    return step, torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9)


def _autocast(precision: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def _task(settings: FastSpeech2Settings) -> FastSpeech2Task:
    statistics = SpeakerStatistics(Spread(5.0, 0.25, 4.0, 6.0, 1), Spread(30.0, 15.0, 0.0, 100.0, 1))
    torch.manual_seed(0)
    return FastSpeech2Task(settings, Voice(SymbolTable(INVENTORY), {"speaker": 0}, {"speaker": statistics}))


def _plain_network(settings: FastSpeech2Settings) -> PlainFastSpeech2:
    torch.manual_seed(0)
    return PlainFastSpeech2(settings.model, n_symbols=len(INVENTORY) + 1, n_mel=settings.preprocess.n_mel)


def _lengths(settings: FastSpeech2Settings) -> np.ndarray:
    seconds = np.clip(np.random.default_rng(0).beta(*_SKEW, _N_UTTERANCES) * 10.3, _SHORTEST_S, _LONGEST_S)
    return (seconds * settings.preprocess.sample_rate / settings.preprocess.hop_size).astype(int)


def _bucketed_batches(settings: FastSpeech2Settings, steps: int) -> list[AcousticBatch]:
    lengths = _lengths(settings)
    groups = [members for [members] in BatchPlan(lengths, batch_size=settings.train.batch_size).groups(0)]
    by_length = sorted(groups, key=lambda members: lengths[members].sum())
    evenly = [by_length[int((number + 0.5) / steps * len(by_length))] for number in range(steps)]
    return [_batch(lengths[members], settings) for members in evenly]


def _random_batches(settings: FastSpeech2Settings, steps: int) -> list[AcousticBatch]:
    size, lengths = settings.train.batch_size, _lengths(settings)
    return [_batch(lengths[start : start + size], settings) for start in range(0, steps * size, size)]


def _batch(lengths: np.ndarray, settings: FastSpeech2Settings) -> AcousticBatch:
    chance = np.random.default_rng(0)
    examples = []
    for number, length in enumerate(lengths.tolist()):
        n_phones = max(length // _FRAMES_PER_PHONE, 1)
        durations = np.full(n_phones, length // n_phones, dtype=np.int32)
        durations[: length - durations.sum()] += 1
        example = AcousticExample(
            id=f"made-up-{number}",
            speaker_id=0,
            phoneme_ids=chance.integers(8, len(INVENTORY), n_phones).astype(np.int32),
            durations=durations,
            mel=chance.normal(-5.0, 2.0, (length, settings.preprocess.n_mel)).astype(np.float32),
            pitch=chance.normal(size=n_phones).astype(np.float32),
            energy=chance.normal(size=n_phones).astype(np.float32),
        )
        examples.append(example)
    return collate_acoustic(examples)
