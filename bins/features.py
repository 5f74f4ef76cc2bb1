"""Features of single utterances, looked at, taken out and exchanged."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import load, make_parser, run


def main(arguments: argparse.Namespace) -> None:
    from processors.preparation.store_inspection import (
        description,
        export,
        listing,
        replace,
        store_of,
        stores_in,
        stores_of,
    )
    from utils.console import info

    stores = stores_in(Path(arguments.folder)) if arguments.folder else stores_of(load(arguments).settings)
    if arguments.replace:
        utterance_id, name, file = arguments.replace
        folder = store_of(stores, utterance_id).folder
        replace(folder, utterance_id, name, Path(file))
        info(f"{folder}: {utterance_id} has the {name} of {file}")
        info("next: run stage 1 again, so that manifests and statistics follow")
    elif arguments.export:
        utterance_id, export_dir = arguments.export
        for path in export(store_of(stores, utterance_id), utterance_id, Path(export_dir)):
            info(f"written: {path}")
    else:
        shown = arguments.show
        for line in description(store_of(stores, shown), shown) if shown else listing(stores):
            info(line)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.features",
        "Look into the features that stage 1 made: list the utterances, show one, export it for other programs, or "
        "replace one of its features.",
        config_required=False,
    )
    parser.add_argument(
        "folder", nargs="?", help="a corpus's folder in preprocess.processed_dir, or all of that; else give --config"
    )
    wish = parser.add_mutually_exclusive_group(required=True)
    add = wish.add_argument
    add("--list", action="store_true", help="list all utterances: split, duration, features with their shapes")
    add("--show", metavar="ID", help="show an utterance: text, phones with their frames, dtype and range of features")
    add(
        "--export",
        nargs=2,
        metavar=("ID", "DIR"),
        help="write an utterance's features into a folder: WAV, TextGrid, and .npy for the rest",
    )
    add(
        "--replace",
        nargs=3,
        metavar=("ID", "NAME", "FILE"),
        help="put the array of a .npy file in the place of a feature; dtype, shape and number of frames must agree",
    )
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if bool(arguments.folder) == bool(arguments.config):
        parser.error("name either the folder of the features, or a recipe's --config")
    if arguments.set and not arguments.config:
        parser.error("argument --set: goes with --config only")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
