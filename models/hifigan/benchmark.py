"""How fast HiFi-GAN learns and speaks, beside the plain formulation in the same minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from config.load import SettingsError
from models.benchmarks.timing import Plan, Section, made_up_settings, percentiles_ms, time_in_turn
from models.hifigan.network import Generator
from models.hifigan.reference import PlainGenerator
from models.hifigan.settings import HiFiGANSettings
from models.hifigan.task import HiFiGANTask
from processors.datasets.vocoder_data import VocoderBatch
from utils.machine import forget_peak_memory, peak_memory_mib
from utils.task import Optimization, Update

_SPOKEN_S = 5.8
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def measure(config: str, overrides: Sequence[str], plan: Plan) -> list[Section]:
    """Measure speaking and training of one configuration on the CPU.

    Raises:
        SettingsError: the config or an override is faulty.
    """
    settings = made_up_settings(config, [*overrides, f"train.batch_size={plan.batch_size}"])
    if not isinstance(settings, HiFiGANSettings):
        raise SettingsError(f"{config}: is no HiFiGAN's")
    torch.manual_seed(0)
    task = HiFiGANTask(settings)
    generator = audible(cast(Generator, task.modules["generator"]).eval())
    sections = [_long_speech(config, settings, generator, plan)] if plan.long_s else []
    sections.append(_speaking(config, settings, generator, plan))
    sections.append(_training(config, settings, plan))
    return sections


def audible(generator: Generator) -> Generator:
    """Make weights that learned nothing large enough for what they make to depend on the mel.

    As drawn they are so small that the biases alone are heard, and no precision would make a difference.
    """
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("weight_g"):
                parameter.div_(parameter.mean())
    return generator


def _mel(settings: HiFiGANSettings, batch_size: int, seconds: float) -> Tensor:
    frames = int(seconds * settings.preprocess.sample_rate / settings.preprocess.hop_size)
    chance = torch.Generator().manual_seed(0)
    return torch.randn(batch_size, settings.preprocess.n_mel, frames, generator=chance) * 2.0 - 5.0


def _speaking(config: str, settings: HiFiGANSettings, generator: Generator, plan: Plan) -> Section:
    plain = PlainGenerator(generator).eval()
    fast = {precision: generator.for_inference(_DTYPES[precision]) for precision in plan.precisions}
    rows = []
    with torch.inference_mode():
        for batch_size in plan.speaking_batch_sizes:
            mel = _mel(settings, batch_size, _SPOKEN_S)
            reference = plain(mel)
            frames_per_second = round(mel.shape[2] / _SPOKEN_S)
            formulations: dict[str, Callable[[], Tensor]] = {"plain fp32": partial(plain, mel)}
            formulations |= {precision: partial(own, mel) for precision, own in fast.items()}
            if batch_size == 1:
                formulations |= {
                    f"{precision}, 1 s chunks": partial(own.waveform, mel[0], frames_per_second)
                    for precision, own in fast.items()
                }
            times = time_in_turn(formulations, plan.runs)
            plain_median = float(np.median(times["plain fp32"]))
            for name, seconds in times.items():
                speed = batch_size * mel.shape[2] * settings.preprocess.hop_size / settings.preprocess.sample_rate
                speed /= float(np.median(seconds))
                rows.append(
                    {
                        "config": config,
                        "formulation": name,
                        "batch": batch_size,
                        "speech s per s": speed,
                        "s per speech s": 1.0 / speed,
                        "times plain": plain_median / float(np.median(seconds)),
                        "SNR dB": "-" if name == "plain fp32" else _decibels(reference, formulations[name]()),
                        **percentiles_ms(seconds),
                    }
                )
    return Section(
        "Mel to waveform",
        f"{_SPOKEN_S} s of speech; plain is torch's own layers, eager, weight norm folded, in the same run",
        rows,
    )


def _decibels(reference: Tensor, made: Tensor) -> float:
    noise = (reference - made.reshape(reference.shape)).square().sum().clamp(min=1e-30)
    heard = reference - reference.mean()  # a constant would flatter, and is not heard
    return float(10.0 * torch.log10(heard.square().sum() / noise))


def _long_speech(config: str, settings: HiFiGANSettings, generator: Generator, plan: Plan) -> Section:
    rows = []
    frame = _mel(settings, 1, 1.0)[0, :, :1]
    for precision in plan.precisions:
        speaking = generator.for_inference(_DTYPES[precision])
        speaking(frame[None])  # whatever is only prepared once
        for seconds in (min(60.0, plan.long_s), plan.long_s):
            frames = int(seconds * settings.preprocess.sample_rate / settings.preprocess.hop_size)
            forget_peak_memory()
            started, samples = time.perf_counter(), 0
            for chunk in speaking.stream(frame.expand(-1, frames)):
                samples += len(chunk)
            taken = time.perf_counter() - started
            made_s = samples / settings.preprocess.sample_rate
            row = {"config": config, "precision": precision, "speech s": made_s, "speech s per s": made_s / taken}
            rows.append(row | {"peak memory MiB": peak_memory_mib()})
    return Section(
        "Long speech", "made in chunks, none of which is kept; the whole process's peak memory meanwhile", rows
    )


def _training(config: str, settings: HiFiGANSettings, plan: Plan) -> Section:
    rows = []
    for precision in plan.precisions:
        for name, step in (("before the adversary", -1), ("adversarial", 0)):
            task, batch = HiFiGANTask(settings), _batch(settings)
            start = settings.train.adversarial_start_step
            take = partial(_step, task, batch, start + step, task.optimizers(), precision)
            seconds = time_in_turn({name: take}, plan.steps)[name]
            taken = float(np.median(seconds))
            rows.append(
                {
                    "config": config,
                    "step": name,
                    "precision": precision,
                    "batch": plan.batch_size,
                    "segment": settings.train.segment_size,
                    "s per step": taken,
                    "frames per s": batch.counts["frames"] / taken,
                }
            )
    return Section("Training", "whole steps, made-up segments; mel frames per second", rows)


def _batch(settings: HiFiGANSettings) -> VocoderBatch:
    train, preprocess = settings.train, settings.preprocess
    frames = train.segment_size // preprocess.hop_size
    chance = torch.Generator().manual_seed(0)
    mel = torch.randn(train.batch_size, preprocess.n_mel, frames, generator=chance) * 2.0 - 5.0
    waveform = torch.rand(train.batch_size, train.segment_size, generator=chance) - 0.5
    ids = tuple(f"made-up-{number}" for number in range(train.batch_size))
    return VocoderBatch(ids, mel, waveform, {"frames": train.batch_size * frames, "utterances": train.batch_size})


def _step(
    task: HiFiGANTask, batch: VocoderBatch, step: int, optimizations: Mapping[str, Optimization], precision: str
) -> None:
    """Take a step as the trainer does."""
    story: Iterator[Update] = task.updates(batch, step)
    for optimization in optimizations.values():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            update = next(story)
        if update.terms:
            torch.stack([term.weight * term.value for term in update.terms.values()]).sum().backward()
            optimization.optimizer.step()
            optimization.optimizer.zero_grad()
        for module in optimization.modules:
            task.modules[module].requires_grad_(False)
    for each in task.modules.values():
        each.requires_grad_(True)
