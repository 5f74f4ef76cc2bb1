"""Stage 1: make features, manifests, statistics and a report of the corpora that a recipe names."""

from __future__ import annotations

import argparse

from bins.command import load, make_parser, run


def main(arguments: argparse.Namespace) -> None:
    from models.registry import kind_of
    from processors.preparation.prepare import prepare
    from processors.preparation.work import FEATURES_OF
    from utils.console import say

    settings = load(arguments).settings
    kind = kind_of(settings.model_type)
    features = FEATURES_OF[kind]
    summary = prepare(settings, num_workers=arguments.num_workers, overwrite=arguments.overwrite, features=features)
    splits = ", ".join(f"{count} {split}" for split, count in summary.utterances.items())
    say(f"utterances: {summary.good} usable ({splits}); {summary.bad} left out")
    say(f"speech: {summary.hours:.2f} hours, {summary.frames} frames, {summary.speakers} speaker(s)")
    say(f"features, manifests and statistics: {summary.processed_dir}")
    for report in summary.reports:
        say(f"report: {report}, with pictures in {report.with_suffix('.html').name}")
    name = {"vocoder": "my_first_vocoder", "aligner": "my_first_aligner"}.get(kind, "my_first_voice")
    say(f"next: python -m bins.train --config {arguments.config} --name {name}")


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.num_workers < 0:
        parser.error(f"argument --num_workers: {arguments.num_workers} is no number of processes")


if __name__ == "__main__":
    parser = make_parser(
        "bins.preprocess",
        "Make features, manifests, statistics and a report of the corpora that a recipe names. Only what is missing "
        "is made, so a run that was stopped goes on where it was.",
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        default=0,
        metavar="N",
        help="processes; 0 for what preprocess.num_workers says, which is one per core unless set",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="make all features afresh, also those of other recipes over the same corpora, as is needed when settings "
        "have changed; TextGrids are kept",
    )
    run(main, parser, check)
