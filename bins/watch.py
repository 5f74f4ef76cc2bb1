"""The page of a training: losses, speech of the checkpoints, time left, and the next command."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import load, make_parser, require_there, require_voice, run

_PORT, _REFRESH_S, _PATIENCE = 8890, 30.0, 10


def main(arguments: argparse.Namespace) -> None:
    settings = load(arguments).settings if arguments.config else None
    if settings is not None and arguments.name and not arguments.infer_expt_dir:
        require_there(f"--name {arguments.name}:", settings.log_path / arguments.name)
    from models.runs.next_step import Call
    from models.runs.training_page import PageOptions
    from models.runs.training_record import newest_experiment
    from models.runs.watch import Watch, serve_page, write_page

    if arguments.infer_expt_dir:
        folder = Path(arguments.infer_expt_dir)
    else:
        assert settings is not None, "require_voice"
        folder = settings.log_path / arguments.name if arguments.name else newest_experiment(settings.log_path)
    call = Call(arguments.config or "", tuple(arguments.set))
    watch = Watch(folder, PageOptions(call, arguments.patience, 0.0 if arguments.once else arguments.refresh))
    if arguments.output or arguments.once:
        output = Path(arguments.output or watch.folder / "watch.html")
        write_page(watch, output, 0.0 if arguments.once else arguments.refresh)
    else:
        serve_page(watch, arguments.port)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.watch",
        "Show a training on one page, during it and afterwards: losses of training and validation, the speech of its "
        "checkpoints side by side, time left, warnings, and the next command. Served on this machine alone, or written "
        "to a file.",
        config_required=False,
    )
    add = parser.add_argument
    add("--name", help="the experiment in the log_dir of --config; the newest there unless given")
    add("--infer_expt_dir", metavar="DIR", help="the experiment, in place of --config and --name")
    add("--port", type=int, default=_PORT, metavar="N", help="port of the page on 127.0.0.1; 0 for any that is free")
    add("--output", metavar="FILE", help="write the page to this file instead, again every --refresh seconds")
    add("--refresh", type=seconds, default=_REFRESH_S, metavar="S", help="seconds between looks for what is new")
    add(
        "--once",
        action="store_true",
        help="write the page once and end; to watch.html in the experiment's folder unless --output is given",
    )
    add(
        "--patience",
        type=count,
        default=_PATIENCE,
        metavar="N",
        help="warn when no term of the validation loss has improved for so many validations",
    )
    return parser


def seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 to 86400 seconds")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return value


if __name__ == "__main__":
    run(main, _parser(), check=require_voice)
