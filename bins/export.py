"""Write a trained model in the layout that other programs read."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import make_parser, run


def main(arguments: argparse.Namespace) -> int:
    from models.beginning import find_training
    from models.bundle import find_bundle
    from models.registry import layout_of_format, published_formats
    from utils.console import say
    from utils.errors import RecitalError

    bundle = find_bundle(arguments.bundle)
    model_type = published_formats()[arguments.format]
    if bundle.settings.model_type != model_type:
        raise RecitalError(
            f"{arguments.bundle}: holds a {bundle.settings.model_type}; the format {arguments.format} is for a "
            f"{model_type}"
        )
    training = find_training(arguments.bundle, bundle.settings)
    if training is not None:
        bundle = find_bundle(training.place)  # an experiment's bundle may be older than its newest checkpoint
    folder = Path(arguments.output_dir)
    names = layout_of_format(arguments.format).write_published(folder, bundle, training, arguments.overwrite)
    say(f"wrote {', '.join(names)} to {folder}")
    if training is None or not training.optimizers:
        say(
            f"{arguments.bundle} has only the model; an experiment or a checkpoint has what its training needs to go on"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    from models.registry import published_formats

    parser = make_parser(
        "bins.export", "Write a trained model in the layout that other programs read.", with_config=False
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
    add("--format", required=True, choices=list(published_formats()), help=f"whose layout: {formats}")
    add("--output_dir", required=True, metavar="DIR", help="where the files go; is made if missing")
    add("--overwrite", action="store_true", help="replace files that exist already")
    return parser


if __name__ == "__main__":
    run(main, _parser())
