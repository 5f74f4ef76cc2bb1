"""Speed of models on this machine in training and inference, interleaved with a plain implementation."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import SERVER_TOKEN, make_parser, run
from models.registry import all_configs

_TEXTS = 50
_PRECISIONS = ("fp32", "bf16")  # of a CPU


def main(arguments: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    import torch

    if arguments.server:
        return _measure_server(arguments)
    from models.benchmarks.run import benchmark
    from models.benchmarks.timing import Plan, as_table
    from utils.console import info
    from utils.files import write_atomically

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
    report = benchmark(
        arguments.configs,
        arguments.set,
        plan,
        extraction=arguments.extraction,
        voice=arguments.infer_expt_dir,
        vocoder=arguments.vocoder_dir,
    )
    info(f"\n{report.headline()}")
    info(as_table(report.sections))
    info(f"\npeak memory of this process: {report.peak_memory_mib} MiB")
    if arguments.output:
        write_atomically(Path(arguments.output), json.dumps(asdict(report), indent=2) + "\n")
        info(f"the same in figures: {arguments.output}")
    return 0


def _measure_server(arguments: argparse.Namespace) -> int:
    import os

    from models.benchmarks.server_load import LoadPlan, made_up_texts, measure_server
    from models.benchmarks.timing import as_table
    from processors.utterance import read_text_file
    from utils.console import info

    texts = made_up_texts(_TEXTS)
    if arguments.texts is not None:
        texts = [line.strip() for line in read_text_file(arguments.texts).splitlines() if line.strip()]
    token = os.environ.get(SERVER_TOKEN, "")
    plan = LoadPlan(arguments.server, texts, arguments.clients, arguments.seconds, arguments.voice, token)
    info(as_table([measure_server(plan)]))
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.benchmark",
        "Measure how fast models are in training and inference on this machine's CPU, interleaved with the plain "
        "implementation of those that have one.",
        with_config=False,
    )
    add = parser.add_argument
    add("--configs", nargs="+", default=all_configs(), metavar="FILE", help="settings of the models to measure")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="change one setting; may be repeated")
    add("--precision", nargs="+", choices=_PRECISIONS, default=list(_PRECISIONS), help="arithmetic of the networks")
    add("--batch_size", type=_positive, default=16, help="utterances per training step")
    add("--steps", type=_positive, default=8, help="training steps of each implementation")
    add("--runs", type=_positive, default=30, help="runs of inference of each implementation")
    add("--speaking_batch_size", nargs="+", type=_positive, default=[1], metavar="N", help="mels vocoded at once")
    add("--long_s", type=float, default=0.0, metavar="S", help="also make S seconds of speech in chunks; watch memory")
    add("--extraction", action="store_true", help="also measure mel, energy and pitch of made-up recordings")
    add("--infer_expt_dir", metavar="DIR", help="also measure an acoustic model from text to sound")
    add(
        "--vocoder_dir",
        metavar="DIR",
        help="with this vocoder, or griffin_lim; by default the voice's own or the shipped one",
    )
    add("--threads", type=_positive, default=None, help="threads of torch; as many as it takes unless given")
    add("--server", metavar="URL", help="measure a running server of speech instead, with many clients at once")
    add("--texts", type=Path, metavar="FILE", help="with --server: a text on each line; made up unless given")
    add("--voice", default="", metavar="NAME", help="with --server: the voice to ask for; the default unless given")
    add("--clients", type=_positive, default=50, metavar="N", help="with --server: at once")
    add("--seconds", type=float, default=60.0, metavar="S", help="with --server: for so long")
    add("--output", metavar="FILE", help="where to write the figures as JSON")
    return parser


if __name__ == "__main__":
    run(main, _parser())
