"""Speed of vocoders in inference and training, interleaved with a plain implementation."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from config.schema import ExperimentSettings
from models.benchmarks.made_up import made_up_task, untrained_bundle
from models.benchmarks.timing import PeakMemory, Plan, Section, Stepper, percentiles_ms, synchronize, time_in_turn
from models.contracts import InferenceVocoder, VocoderNetwork
from models.registry import open_vocoder_network, reference_of
from processors.datasets.vocoder_data import VocoderBatch
from utils.precision import dtype_of

_SPOKEN_S = 5.8
_INAUDIBLE = 0.01  # standard deviation of the waveforms of random weights that are too small


def measure(config: str, settings: ExperimentSettings, plan: Plan) -> list[Section]:
    """Measure inference and training of one configuration."""
    network = open_vocoder_network(untrained_bundle(settings), plan.device)
    if network.for_inference().waveform(_mel(settings, 1, 0.5).to(plan.device)[0]).std() < _INAUDIBLE:
        amplify(cast(nn.Module, network))
    sections = [_long_speech(config, settings, network, plan)] if plan.long_s else []
    sections.append(_inference(config, settings, network, plan))
    sections.append(measure_training(config, settings, plan))
    return sections


def amplify(network: nn.Module) -> None:
    """Make random weights large enough for the waveform to depend on the mel.

    As drawn they are so small that the biases alone matter, and no precision would make a difference.
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("weight_g"):
                parameter.div_(parameter.mean())


def _mel(settings: ExperimentSettings, batch_size: int, seconds: float) -> Tensor:
    frames = int(seconds * settings.preprocess.sample_rate / settings.preprocess.hop_size)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch_size, settings.preprocess.n_mel, frames, generator=generator) * 2.0 - 5.0


def _inference(config: str, settings: ExperimentSettings, network: VocoderNetwork, plan: Plan) -> Section:
    reference = reference_of(settings.model_type)
    plain = {} if reference is None else {"plain fp32": reference(network).to(plan.device).eval()}
    vocoders = {precision: network.for_inference(dtype_of(precision)) for precision in plan.precisions}
    rows = []
    with torch.inference_mode():
        for batch_size in plan.speaking_batch_sizes:
            peak = PeakMemory(plan.device)
            mel = _mel(settings, batch_size, _SPOKEN_S).to(plan.device)
            implementations: dict[str, Callable[[], Tensor]] = {
                name: partial(each, mel) for name, each in plain.items()
            }
            for precision, vocoder in vocoders.items():
                implementations |= _implementations(precision, vocoder, mel, round(mel.shape[2] / _SPOKEN_S))
            if not implementations:
                continue
            times = time_in_turn(implementations, plan.runs, plan.device)
            waveforms = {name: implementation() for name, implementation in implementations.items()} if plain else {}
            for name, seconds in times.items():
                median_s = float(np.median(seconds))
                speed = batch_size * mel.shape[2] * settings.preprocess.hop_size / settings.preprocess.sample_rate
                speed /= median_s
                rows.append(
                    {
                        "config": config,
                        "formulation": name,
                        "batch": batch_size,
                        "speech s per s": speed,
                        "s per speech s": 1.0 / speed,
                        "samples per s": speed * settings.preprocess.sample_rate,
                        "times plain": float(np.median(times["plain fp32"])) / median_s if plain else "-",
                        "SNR dB": "-"
                        if not waveforms or name in plain
                        else _snr_db(waveforms["plain fp32"], waveforms[name]),
                        **percentiles_ms(seconds),
                        "peak memory MiB": peak.mib(),  # of all implementations
                    }
                )
    return Section(
        "Mel to waveform",
        f"{_SPOKEN_S} s of speech; plain is torch's own layers, eager, weight norm folded, in the same run; "
        "s per speech s is the real-time factor",
        rows,
    )


def _implementations(
    precision: str, vocoder: InferenceVocoder, mel: Tensor, frames_per_second: int
) -> dict[str, Callable[[], Tensor]]:
    """Return the ways in which a vocoder computes waveforms of (B, M, T_mel) mels; as a batch only where it can."""
    if len(mel) > 1:
        return {precision: partial(vocoder, mel)} if callable(vocoder) else {}

    def chunked(chunk_frames: int) -> Tensor:
        return torch.cat(list(vocoder.stream(mel[0], chunk_frames)))

    return {precision: partial(chunked, mel.shape[2]), f"{precision}, 1 s chunks": partial(chunked, frames_per_second)}


def _snr_db(reference: Tensor, generated: Tensor) -> float:
    noise = (reference - generated.reshape(reference.shape)).square().sum().clamp(min=1e-30)
    signal = reference - reference.mean()  # a constant would flatter, and is inaudible
    return float(10.0 * torch.log10(signal.square().sum() / noise))


def _long_speech(config: str, settings: ExperimentSettings, network: VocoderNetwork, plan: Plan) -> Section:
    rows = []
    frame = _mel(settings, 1, 1.0).to(plan.device)[0, :, :1]
    for precision in plan.precisions:
        vocoder = network.for_inference(dtype_of(precision))
        deque(vocoder.stream(frame), maxlen=0)  # whatever is prepared once
        for seconds in (min(60.0, plan.long_s), plan.long_s):
            frames = int(seconds * settings.preprocess.sample_rate / settings.preprocess.hop_size)
            peak = PeakMemory(plan.device)
            started = time.perf_counter()
            samples = sum(len(chunk) for chunk in vocoder.stream(frame.expand(-1, frames)))
            synchronize(plan.device)
            taken = time.perf_counter() - started
            made_s = samples / settings.preprocess.sample_rate
            row = {"config": config, "precision": precision, "speech s": made_s, "speech s per s": made_s / taken}
            rows.append(row | {"peak memory MiB": peak.mib()})
    return Section(
        "Long speech", "made in chunks, none of which is kept; the whole process's peak memory meanwhile", rows
    )


def measure_training(config: str, settings: ExperimentSettings, plan: Plan) -> Section:
    """Measure training steps, before and after the discriminators of a GAN vocoder begin."""
    rows = []
    discriminators = " ".join(getattr(settings.train, "discriminators", ())) or "-"
    # Adversarial losses may begin late, as `adversarial_start_step` of GAN vocoders says.
    start: int | None = getattr(settings.train, "adversarial_start_step", None)
    steps = {"training": 0} if start is None else {"before the adversary": start - 1, "adversarial": start}
    for precision in plan.precisions:
        for name, step in steps.items():
            peak = PeakMemory(plan.device)
            stepper = Stepper(made_up_task(settings), precision, settings.train.gradient_clip, plan.device)
            batch = made_up_batch(settings)
            seconds = time_in_turn({name: partial(stepper.take, batch, step)}, plan.steps, plan.device)[name]
            taken = float(np.median(seconds))
            rows.append(
                {
                    "config": config,
                    "step": name,
                    "discriminators": discriminators,
                    "precision": precision,
                    "batch": len(batch.ids),
                    "segment": batch.waveform.shape[1],
                    "s per step": taken,
                    "frames per s": batch.counts["frames"] / taken,
                    "samples per s": batch.waveform.numel() / taken,
                    "peak memory MiB": peak.mib(),
                }
            )
    return Section("Training", "whole steps, made-up segments; mel frames per second", rows)


def made_up_batch(settings: ExperimentSettings) -> VocoderBatch:
    """Return segments of recordings."""
    hop_size, batch_size = settings.preprocess.hop_size, settings.train.batch_size
    segment_size: int = settings.train.segment_size  # type: ignore[attr-defined] # of every vocoder's settings
    frames = segment_size // hop_size
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(batch_size, settings.preprocess.n_mel, frames, generator=generator) * 2.0 - 5.0
    waveform = torch.rand(batch_size, frames * hop_size, generator=generator) - 0.5
    ids = tuple(f"made-up-{number}" for number in range(batch_size))
    f0_hz = torch.rand(batch_size, frames, generator=generator) * 200.0 + 100.0
    counts = {"frames": batch_size * frames, "utterances": batch_size}
    return VocoderBatch(ids, mel, waveform, torch.arange(batch_size), counts, f0_hz)
