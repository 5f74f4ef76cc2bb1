"""Stage 1: make features, manifests, statistics and a report of the corpora that a recipe names."""

from __future__ import annotations

import argparse
import re

from bins.command import load, make_parser, run


def main(arguments: argparse.Namespace) -> None:
    from models.registry import kind_of
    from processors.preparation.plan import Share
    from processors.preparation.prepare import prepare, prepare_share
    from processors.preparation.work import ACOUSTIC_FEATURES, VOCODER_FEATURES
    from utils.console import say

    settings = load(arguments).settings
    is_vocoder = kind_of(settings.model_type) == "vocoder"
    features = VOCODER_FEATURES if is_vocoder else ACOUSTIC_FEATURES
    if arguments.shard:
        share = Share(*_numbers_of(arguments.shard))
        finished = prepare_share(settings, share, num_workers=arguments.num_workers, features=features)
        if finished is None:
            return
        summary = finished
    else:
        summary = prepare(settings, num_workers=arguments.num_workers, overwrite=arguments.overwrite, features=features)
    splits = ", ".join(f"{count} {split}" for split, count in summary.utterances.items())
    say(f"utterances: {summary.good} usable ({splits}); {summary.bad} left out")
    say(f"speech: {summary.hours:.2f} hours, {summary.frames} frames, {summary.speakers} speaker(s)")
    say(f"features, manifests and statistics: {summary.processed_dir}")
    for report in summary.reports:
        say(f"report: {report}, with pictures in {report.with_suffix('.html').name}")
    name = "my_first_vocoder" if is_vocoder else "my_first_voice"
    say(f"next: python -m bins.train --config {arguments.config} --name {name}")


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.num_workers < 0:
        parser.error(f"argument --num_workers: {arguments.num_workers} is no number of processes")
    if arguments.shard:
        number, count = _numbers_of(arguments.shard)
        if not 1 <= number <= count:
            parser.error(f"argument --shard: {arguments.shard} is no share, as 3/8 is the third of eight")
        if arguments.overwrite:
            parser.error("argument --shard: --overwrite would delete what the other machines make")


def _numbers_of(shard: str) -> tuple[int, int]:
    """Give the numbers of `3/8`; (0, 0) where it is nothing of the kind."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", shard)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


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
        "--shard",
        metavar="N/M",
        help="do only the N-th of M shares, as one of several machines with the same processed_dir; who is last "
        "finishes the whole",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="make all features afresh, also those of other recipes over the same corpora, as is needed when settings "
        "have changed; TextGrids are kept",
    )
    run(main, parser, check)
