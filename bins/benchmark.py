"""Measure how fast a model learns and speaks on this machine, beside the plain formulation in the same minutes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bins.command import make_parser, run

_CONFIGS = (
    "config/fastspeech2.json",
    "config/fastspeech2_small.json",
    "config/hifigan_v1.json",
    "config/hifigan_v2.json",
    "config/hifigan_v3.json",
)
_PRECISIONS = ("fp32", "bf16")


def main(arguments: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    import torch

    from models.benchmarks.end_to_end import measure_extraction, measure_system
    from models.benchmarks.timing import Plan, as_table, made_up_settings
    from models.registry import benchmark_of
    from utils.console import say
    from utils.files import write_atomically
    from utils.machine import describe_machine, peak_memory_mib

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    plan = Plan(
        precisions=arguments.precision,
        batch_size=arguments.batch_size,
        steps=arguments.steps,
        runs=arguments.runs,
        speaking_batch_sizes=arguments.speaking_batch_size,
        long_s=arguments.long_s,
    )
    machine = describe_machine()
    sections, peak_mib = [], 0
    for config in arguments.configs:
        say(f"{config}: {plan.steps} training steps and {plan.runs} times speaking, ours and plain")
        model_type = made_up_settings(config, arguments.set).model_type
        sections += benchmark_of(model_type).measure(config, arguments.set, plan)
        peak_mib = max(peak_mib, peak_memory_mib())  # a model's benchmark may begin to count anew
    if arguments.extraction:
        preprocess = made_up_settings(arguments.configs[0], arguments.set).preprocess
        sections += measure_extraction(preprocess, plan)
    if arguments.infer_expt_dir:
        sections += measure_system(arguments.infer_expt_dir, arguments.vocoder_dir, plan)
    peak_mib = max(peak_mib, peak_memory_mib())
    told = {"threads": torch.get_num_threads(), "load_at_end": describe_machine()["load"]}
    say(_headline(machine | told))
    say(as_table(sections))
    say(f"\npeak memory of this process: {peak_mib} MiB")
    if arguments.output:
        result = {
            "machine": machine,
            **told,
            "peak_memory_mib": peak_mib,
            "sections": [asdict(section) for section in sections],
        }
        write_atomically(Path(arguments.output), json.dumps(result, indent=2) + "\n")
        say(f"the same in figures: {arguments.output}")
    return 0


def _headline(machine: dict[str, Any]) -> str:
    return (
        f"\n{machine['processor']}, {machine['threads']} threads of {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, torch {machine['torch']}; load {machine['load']} before, "
        f"{machine['load_at_end']} after"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.benchmark",
        "Measure how fast a model learns and speaks on this machine's CPU, beside the plain formulation.",
        with_config=False,
    )
    add = parser.add_argument
    add("--configs", nargs="+", default=list(_CONFIGS), metavar="FILE", help="settings of the models to measure")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="change one setting; may be repeated")
    add("--precision", nargs="+", choices=_PRECISIONS, default=list(_PRECISIONS), help="arithmetic of the networks")
    add("--batch_size", type=_positive, default=16, help="utterances per training step")
    add("--steps", type=_positive, default=8, help="training steps of each formulation")
    add("--runs", type=_positive, default=30, help="how often each formulation speaks")
    add("--speaking_batch_size", nargs="+", type=_positive, default=[1], metavar="N", help="mels spoken at once")
    add("--long_s", type=float, default=0.0, metavar="S", help="also make S seconds of speech in chunks; watch memory")
    add("--extraction", action="store_true", help="also measure mel, energy and pitch of made-up recordings")
    add("--infer_expt_dir", metavar="DIR", help="also measure an acoustic model from text to sound")
    add("--vocoder_dir", metavar="DIR", help="with this vocoder; Griffin-Lim unless given")
    add("--threads", type=_positive, default=None, help="threads of torch; as many as it takes unless given")
    add("--output", metavar="FILE", help="where to write the figures as JSON")
    return parser


if __name__ == "__main__":
    run(main, _parser())
