"""Write a trained model for others: as a bundle to pass on, or in the layout that other programs read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bins.command import make_parser, run
from utils.precision import PRECISIONS

if TYPE_CHECKING:
    from models.bundle import Bundle

_OWN_FORMAT = "bundle"


def main(arguments: argparse.Namespace) -> int:
    from models.bundles.locate import find_bundle

    bundle = find_bundle(arguments.bundle)
    write = _write_bundle if arguments.format == _OWN_FORMAT else _write_published
    write(bundle, Path(arguments.output_dir), arguments)
    return 0


def _write_bundle(bundle: Bundle, folder: Path, arguments: argparse.Namespace) -> None:
    from models.bundle import SETTINGS_FILE, WEIGHTS_FILE, BundleError
    from models.bundles.sharing import for_others
    from models.registry import open_network
    from utils.precision import dtype_of

    open_network(bundle)  # whoever gets it could do nothing with weights that do not fit
    there = [name for name in (WEIGHTS_FILE, SETTINGS_FILE) if (folder / name).exists()]
    if there and not arguments.overwrite:
        raise BundleError(f"{folder}: has {' and '.join(there)} already; --overwrite replaces, or name another folder")
    for_others(bundle, dtype_of(arguments.precision or "fp32")).save(folder)
    _say_written(sorted(path.name for path in folder.iterdir() if path.is_file()), folder)


def _write_published(bundle: Bundle, folder: Path, arguments: argparse.Namespace) -> None:
    from models.bundles.formats import layout_of_format, published_formats
    from models.bundles.locate import find_bundle
    from models.bundles.warm_start import find_training
    from utils.console import say
    from utils.errors import RecitalError

    model_type = published_formats()[arguments.format]
    if bundle.settings.model_type != model_type:
        raise RecitalError(
            f"{arguments.bundle}: holds a {bundle.settings.model_type}; the format {arguments.format} is for a "
            f"{model_type}"
        )
    training = find_training(arguments.bundle, bundle.settings)
    if training is not None:
        bundle = find_bundle(training.place)  # an experiment's bundle may be older than its newest checkpoint
    layout = layout_of_format(arguments.format)
    _say_written(layout.write_published(folder, bundle, training, arguments.overwrite), folder)
    if training is None or not training.optimizers:
        say(
            f"{arguments.bundle} has only the model; an experiment or a checkpoint has what its training needs to go on"
        )


def _say_written(names: Sequence[str], folder: Path) -> None:
    from utils.console import say

    say(f"wrote {', '.join(names)} to {folder}")


def _parser() -> argparse.ArgumentParser:
    from models.bundles.formats import published_formats

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
        choices=[_OWN_FORMAT, *published_formats()],
        help=f"{_OWN_FORMAT}: our own, of any model, without the folders of this machine; or whose layout: {formats}",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        help=f"numbers in which the weights of a {_OWN_FORMAT} are written (default: fp32)",
    )
    add("--output_dir", required=True, metavar="DIR", help="where the files go; is made if missing")
    add("--overwrite", action="store_true", help="replace files that exist already")
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, as wrong usage."""
    if arguments.precision and arguments.format != _OWN_FORMAT:
        parser.error(f"--precision needs --format {_OWN_FORMAT}")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
