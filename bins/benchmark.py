"""Measure how fast a model learns and speaks on this machine, beside the plain formulation in the same minutes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bins.command import make_parser, run

_CONFIGS = ("config/fastspeech2.json", "config/fastspeech2_small.json")
_PRECISIONS = ("fp32", "bf16")


def main(arguments: argparse.Namespace) -> int:
    import json

    import torch

    from utils.console import say
    from utils.files import write_atomically
    from utils.machine import describe_machine

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    result: dict[str, Any] = {"machine": describe_machine(), "threads": torch.get_num_threads(), "models": []}
    for config in arguments.configs:
        result["models"].append(_measure(config, arguments))
    result["load_at_end"] = describe_machine()["load"]
    say(_table(result))
    if arguments.output:
        write_atomically(Path(arguments.output), json.dumps(result, indent=2) + "\n")
        say(f"the same in figures: {arguments.output}")
    return 0


def _measure(config: str, arguments: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    from models.fastspeech2.benchmark import made_up_settings, measure_latency, measure_training, n_parameters
    from utils.console import say

    settings = made_up_settings(config, [f"train.batch_size={arguments.batch_size}", *arguments.set])
    measured: dict[str, Any] = {
        "config": config,
        "parameters": n_parameters(settings),
        "batch_size": arguments.batch_size,
        "seconds_per_frame": settings.preprocess.hop_size / settings.preprocess.sample_rate,
        "training": {},
        "latency": {},
    }
    for precision in arguments.precision:
        say(f"{config}, {precision}: {arguments.steps} training steps and {arguments.runs} sentences, ours and plain")
        training = measure_training(settings, precision=precision, steps=arguments.steps)
        latency = measure_latency(settings, precision=precision, runs=arguments.runs)
        measured["training"][precision], measured["latency"][precision] = asdict(training), asdict(latency)
    return measured


def _table(result: dict[str, Any]) -> str:
    machine = result["machine"]
    lines = [
        "",
        f"{machine['processor']}, {result['threads']} threads of {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, torch {machine['torch']}; load {machine['load']} before, "
        f"{result['load_at_end']} after",
        "",
        "Training: real mel frames per second, whole steps, LJSpeech's lengths, made-up features. Plain: the common",
        "formulation, with batches drawn at random.",
        "",
        "| config | parameters | batch | precision | ours | plain | ratio | padding, ours | padding, plain |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for model in result["models"]:
        for precision, of in model["training"].items():
            ours, plain = of["frames_per_second"], of["plain_frames_per_second"]
            lines.append(
                f"| {model['config']} | {model['parameters'] / 1e6:.1f} M | {model['batch_size']} | {precision} "
                f"| {ours:,.0f} | {plain:,.0f} | {ours / plain:.2f} "
                f"| {of['padding_share']:.1%} | {of['plain_padding_share']:.1%} |"
            )
    lines += [
        "",
        "Speaking: one sentence, phones to mel, free-running; ms as median (90th percentile).",
        "",
        "| config | precision | frames | ours | plain | ratio | seconds of speech per second |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in result["models"]:
        for precision, of in model["latency"].items():
            lines.append(
                f"| {model['config']} | {precision} | {of['frames']} "
                f"| {of['median_s'] * 1e3:.0f} ({of['percentile_90_s'] * 1e3:.0f}) "
                f"| {of['plain_median_s'] * 1e3:.0f} ({of['plain_percentile_90_s'] * 1e3:.0f}) "
                f"| {of['plain_median_s'] / of['median_s']:.2f} "
                f"| {of['frames'] * model['seconds_per_frame'] / of['median_s']:.0f} |"
            )
    return "\n".join(lines)


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
    add("--runs", type=_positive, default=30, help="sentences spoken by each formulation")
    add("--threads", type=_positive, default=None, help="threads of torch; as many as it takes unless given")
    add("--output", metavar="FILE", help="where to write the figures as JSON")
    return parser


if __name__ == "__main__":
    run(main, _parser())
