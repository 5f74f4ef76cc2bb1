"""Memory of a training step: the longest batch, measured and by its parts."""

from __future__ import annotations

import argparse

from bins.command import choose_gpus, load, make_parser, run


def main(arguments: argparse.Namespace) -> None:
    choose_gpus(arguments.gpu)
    from models.benchmarks.made_up import made_up_settings
    from models.benchmarks.memory import step_memory
    from utils.console import info

    if arguments.made_up_s is None:
        settings = load(arguments).settings
    else:
        settings = made_up_settings(arguments.config, arguments.set)
    for line in step_memory(settings, arguments.made_up_s).lines():
        info(line)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not from above 0 to 3600")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.memory",
        "Take a training step on the longest batch that stage 1 has prepared, and print the memory that it needs: the "
        "peak on a GPU, the resident set on a CPU, and the sizes of its parts. Nothing is kept.",
    )
    add = parser.add_argument
    add(
        "--made_up_s",
        type=_seconds,
        metavar="S",
        help="instead fill the batch with made-up recordings of S seconds; --config may then be a model's, such as "
        "config/fastpitch.json",
    )
    add("--gpu", metavar="LIST", help='GPUs to choose from, as in "0"; "" for the CPU; all unless given')
    return parser


if __name__ == "__main__":
    run(main, _parser())
