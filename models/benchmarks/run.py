"""All measurements of a benchmark, model by model, with the machine that they were made on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.benchmarks import acoustic, aligner
from models.benchmarks import vocoder as vocoders
from models.benchmarks.end_to_end import measure_extraction, measure_system
from models.benchmarks.made_up import made_up_settings
from models.benchmarks.timing import Plan, Section
from models.registry import kind_of
from utils.console import info
from utils.errors import RecitalError
from utils.machine import describe_machine, peak_memory_mib

_MEASURE = {"acoustic": acoustic.measure, "vocoder": vocoders.measure, "aligner": aligner.measure}


@dataclass(frozen=True)
class Report:
    """The results of a benchmark.

    Attributes:
        machine: as it was before; see `describe_machine`.
        threads: of torch.
        device: "cpu" or "cuda".
        load_at_end: of the machine.
        peak_memory_mib: of this process.
        sections: tables of figures.
    """

    machine: dict[str, Any]
    threads: int
    device: str
    load_at_end: str
    peak_memory_mib: int
    sections: Sequence[Section]

    def headline(self) -> str:
        """Return what the figures hold for, in a line."""
        machine = self.machine
        return (
            f"{machine['processor']}, {self.threads} threads of {machine['cores']} cores, {machine['system']}, "
            f"{'' if self.device == 'cpu' else torch.cuda.get_device_name() + ', '}"
            f"Python {machine['python']}, torch {machine['torch']}; load {machine['load']} before, "
            f"{self.load_at_end} after"
        )


def benchmark(
    configs: Sequence[str],
    overrides: Sequence[str],
    plan: Plan,
    *,
    extraction: bool = False,
    voice: str | None = None,
    vocoder: str | None = None,
    discriminators: Sequence[Sequence[str]] = (),
) -> Report:
    """Measure models with random weights, and on request a whole voice.

    Args:
        configs: settings files of the models.
        overrides: settings changed in all of them, as `--set` takes them.
        plan: how much to measure.
        extraction: also of stage 1's features, with the settings of the first config.
        voice: also of an acoustic model from text to sound: an experiment, a checkpoint or a bundle.
        vocoder: its vocoder, likewise, or "griffin_lim"; None for its own or the shipped one.
        discriminators: sets of them that GAN vocoders are trained with besides the one in their settings.

    Raises:
        SettingsError: a config or an override is faulty.
        BundleError: a folder holds no such model.
        RecitalError: there is no GPU to measure.
    """
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise RecitalError("--device cuda: torch finds no GPU on this machine; python -m bins.doctor shows why")
    machine = describe_machine()
    sections: list[Section] = []
    peak_mib = 0
    for config in configs:
        chosen = [*overrides, f"train.batch_size={plan.batch_size}"]
        settings = made_up_settings(config, chosen)
        info(f"{config}: {plan.steps} training steps and {plan.runs} runs of inference")
        sections += _MEASURE[kind_of(settings.model_type)](config, settings, plan)
        for names in discriminators if hasattr(settings.train, "discriminators") else ():
            others = made_up_settings(config, [*chosen, f"train.discriminators={json.dumps(names)}"])
            sections.append(vocoders.measure_training(config, others, plan))
        peak_mib = max(peak_mib, peak_memory_mib())
    if extraction:
        sections += measure_extraction(made_up_settings(configs[0], overrides).preprocess, plan)
    if voice is not None:
        sections += measure_system(voice, vocoder, plan)
    peak_mib = max(peak_mib, peak_memory_mib(), *_peaks(sections, plan))
    return Report(machine, torch.get_num_threads(), plan.device, str(describe_machine()["load"]), peak_mib, sections)


def _peaks(sections: Sequence[Section], plan: Plan) -> Iterator[int]:
    """Yield the peaks of this process that measurements have reset."""
    if plan.device == "cpu":
        yield from (row["peak memory MiB"] for section in sections for row in section.rows if "peak memory MiB" in row)
