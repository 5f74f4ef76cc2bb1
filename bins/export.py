"""Write a trained model for others: as a bundle to pass on, or in the layout that other programs read."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import make_parser, run
from models.bundles.export import OWN_FORMAT, Export, export, writers
from models.bundles.formats import published_formats
from utils.precision import PRECISIONS


def main(arguments: argparse.Namespace) -> None:
    wanted = Export(arguments.bundle, Path(arguments.output_dir), arguments.precision or "fp32", arguments.overwrite)
    export(wanted, arguments.format)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.export",
        "Write a trained model for others: as a bundle to pass on, or in the layout that other programs read.",
        with_config=False,
    )
    add = parser.add_argument
    add(
        "--bundle",
        required=True,
        metavar="DIR",
        help="the model: an experiment, a checkpoint inside one (both with what training needs to go on), a bundle, or "
        "a folder in a published layout; where training keeps a moving average, that is the model",
    )
    formats = ", ".join(f"{name} for a {model_type}" for name, model_type in published_formats().items())
    add(
        "--format",
        required=True,
        choices=list(writers()),
        help=f"{OWN_FORMAT}: our own, of any model, without the folders of this machine; or whose layout: {formats}",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        help=f"numbers in which the weights of a {OWN_FORMAT} are written (default: fp32)",
    )
    add("--output_dir", required=True, metavar="DIR", help="where the files go; is made if missing")
    add("--overwrite", action="store_true", help="replace files that exist already")
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, as wrong usage."""
    if arguments.precision and arguments.format != OWN_FORMAT:
        parser.error(f"--precision needs --format {OWN_FORMAT}")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
