"""All measurements of a benchmark, model by model, with the machine that they were made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.benchmarks import acoustic, aligner, vocoder
from models.benchmarks.end_to_end import measure_extraction, measure_system
from models.benchmarks.made_up import made_up_settings
from models.benchmarks.timing import Plan, Section
from models.registry import kind_of
from utils.console import info
from utils.machine import describe_machine, peak_memory_mib

_MEASURE = {"acoustic": acoustic.measure, "vocoder": vocoder.measure, "aligner": aligner.measure}


@dataclass(frozen=True)
class Report:
    """The results of a benchmark.

    Attributes:
        machine: as it was before; see `describe_machine`.
        threads: of torch.
        load_at_end: of the machine.
        peak_memory_mib: of this process.
        sections: tables of figures.
    """

    machine: dict[str, Any]
    threads: int
    load_at_end: str
    peak_memory_mib: int
    sections: Sequence[Section]

    def headline(self) -> str:
        """Return what the figures hold for, in a line."""
        machine = self.machine
        return (
            f"{machine['processor']}, {self.threads} threads of {machine['cores']} cores, {machine['system']}, "
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
) -> Report:
    """Measure models with random weights, and on request a whole voice.

    Args:
        configs: settings files of the models.
        overrides: settings changed in all of them, as `--set` takes them.
        plan: how much to measure.
        extraction: also of stage 1's features, with the settings of the first config.
        voice: also of an acoustic model from text to sound: an experiment, a checkpoint or a bundle.
        vocoder: its vocoder, likewise, or "griffin_lim"; None for its own or the shipped one.

    Raises:
        SettingsError: a config or an override is faulty.
        BundleError: a folder holds no such model.
    """
    machine = describe_machine()
    sections: list[Section] = []
    peak_mib = 0
    for config in configs:
        settings = made_up_settings(config, [*overrides, f"train.batch_size={plan.batch_size}"])
        info(f"{config}: {plan.steps} training steps and {plan.runs} runs of inference")
        sections += _MEASURE[kind_of(settings.model_type)](config, settings, plan)
        peak_mib = max(peak_mib, peak_memory_mib())  # a model's measurements may reset the peak
    if extraction:
        sections += measure_extraction(made_up_settings(configs[0], overrides).preprocess, plan)
    if voice is not None:
        sections += measure_system(voice, vocoder, plan)
    peak_mib = max(peak_mib, peak_memory_mib())
    return Report(machine, torch.get_num_threads(), str(describe_machine()["load"]), peak_mib, sections)
