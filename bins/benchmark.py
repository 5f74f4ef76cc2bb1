"""Speed and memory of models on this machine in training and inference, beside plain code and earlier records."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import SERVER_TOKEN, make_parser, refuse_flags, run
from models.registry import all_configs

_OF_SERVER = ("texts", "voice", "clients", "seconds")


def main(arguments: argparse.Namespace) -> int:
    import torch

    if arguments.server or arguments.scale:
        return _measure_other_things(arguments)
    from models.benchmarks.records import announce, is_slower, read_record
    from models.benchmarks.run import benchmark
    from models.benchmarks.timing import Plan

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    before = read_record(Path(arguments.against)) if arguments.against else None
    plan = Plan(
        precisions=arguments.precision,
        batch_size=arguments.batch_size,
        steps=arguments.steps,
        runs=arguments.runs,
        speaking_batch_sizes=arguments.speaking_batch_size,
        long_s=arguments.long_s,
        device=arguments.device,
    )
    report = benchmark(
        arguments.configs,
        arguments.set,
        plan,
        extraction=arguments.extraction,
        voice=arguments.infer_expt_dir,
        vocoder=arguments.vocoder_dir,
        discriminators=arguments.discriminators,
    )
    announce(report, arguments.json, arguments.page)
    if before is not None and is_slower(report, before, arguments.against, arguments.tolerance):
        return 1
    return 0


def _measure_other_things(arguments: argparse.Namespace) -> int:
    import os

    from models.benchmarks.scale import measure_scale
    from models.benchmarks.server_load import LoadPlan, measure_server, texts_of
    from models.benchmarks.timing import as_table
    from utils.console import info

    if arguments.scale:
        info(as_table(measure_scale(arguments.scale)))
        return 0
    texts, token = texts_of(arguments.texts), os.environ.get(SERVER_TOKEN, "")
    plan = LoadPlan(arguments.server, texts, arguments.clients, arguments.seconds, arguments.voice, token)
    info(as_table([measure_server(plan)]))
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _share(text: str) -> float:
    share = float(text)
    if not 0.0 <= share < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return share


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.benchmark",
        "Measure how fast models are in training and inference on this machine and how much memory they take, "
        "interleaved with the plain implementation of those that have one; exit code 1 if slower than --against.",
        with_config=False,
    )
    add = parser.add_argument
    add("--configs", nargs="+", default=all_configs(), metavar="FILE", help="settings of the models to measure")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="change one setting; may be repeated")
    add("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"], help="of the networks")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute")
    add("--batch_size", type=_positive, default=16, help="utterances per training step")
    add("--steps", type=_positive, default=8, help="training steps of each implementation")
    add("--runs", type=_positive, default=30, help="runs of inference of each implementation")
    add("--speaking_batch_size", nargs="+", type=_positive, default=[1], metavar="N", help="mels vocoded at once")
    add("--long_s", type=float, default=0.0, metavar="S", help="also make S seconds of speech in chunks; watch memory")
    add("--extraction", action="store_true", help="also measure mel, energy and pitch of made-up recordings")
    add("--infer_expt_dir", metavar="DIR", help="also measure an acoustic model from text to sound")
    own = "with this vocoder, or griffin_lim; by default the voice's own or the shipped one"
    add("--vocoder_dir", metavar="DIR", help=own)
    add("--threads", type=_positive, default=None, help="threads of torch; as many as it takes unless given")
    instead = parser.add_mutually_exclusive_group().add_argument
    instead("--server", metavar="URL", help="measure a running server of speech instead, with many clients at once")
    add("--texts", type=Path, metavar="FILE", help="with --server: a text on each line; made up unless given")
    add("--voice", default="", metavar="NAME", help="with --server: the voice to ask for; the default unless given")
    add("--clients", type=_positive, default=50, metavar="N", help="with --server: at once")
    add("--seconds", type=float, default=60.0, metavar="S", help="with --server: for so long")
    instead("--scale", nargs="+", type=_positive, metavar="N", help="measure made-up corpora of N utterances instead")
    sets = "also train GAN vocoders with these discriminators, e.g. mpd+msd mpd+mrd; their settings' own in any case"
    add("--discriminators", nargs="+", type=lambda names: names.split("+"), default=[], metavar="SET", help=sets)
    add("--json", "--output", metavar="FILE", help="where to write the figures as JSON, a record for --against")
    add("--page", metavar="FILE.md", help="where to write the tables in Markdown")
    add("--against", metavar="FILE", help="a record of --json: compare the speeds, and exit with 1 if any is slower")
    add("--tolerance", type=_share, default=0.1, metavar="SHARE", help="of the speed that may be lost (default 0.1)")
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if not arguments.server:
        refuse_flags(parser, arguments, _OF_SERVER, "is for --server")
    if arguments.server or arguments.scale:
        others = vars(arguments).keys() - {*_OF_SERVER, "server", "scale", "debug"}
        refuse_flags(parser, arguments, others, "is for models; --server and --scale print their table alone")


if __name__ == "__main__":
    run(main, _parser(), _check)
