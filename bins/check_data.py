"""Look through corpora for bad recordings before hours are spent on them."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import add_cluster_flag, check_cluster, load, make_parser, run


def main(arguments: argparse.Namespace) -> None:
    from models.registry import features_of
    from processors.data_check.check import announce, check_data
    from processors.evaluation.measures import dnsmos
    from processors.evaluation.packages import are_installed
    from processors.features import needs_text
    from utils.cluster import open_cluster

    settings = load(arguments).settings
    output_dir = Path(arguments.output_dir) if arguments.output_dir else None
    with_mos = are_installed(dnsmos.PACKAGES) and not arguments.no_mos
    with open_cluster(arguments.cluster) as cluster:
        checked = check_data(
            settings,
            output_dir=output_dir,
            num_workers=arguments.num_workers,
            with_texts=needs_text(features_of(settings.model_type)),
            with_mos=with_mos,
            cluster=cluster,
        )
    announce(checked)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.check_data",
        "Look through the corpora of the settings: level, clipping, noise, silence, bandwidth, pace, texts that do not "
        "match, repetitions, rare phones. Writes a page with pictures and players, a table, and a list of recordings "
        "to leave out.",
    )
    add = parser.add_argument
    add("--output_dir", metavar="DIR", help="gets a folder for each corpus; preprocess.processed_dir unless given")
    add(
        "--no_mos",
        action="store_true",
        help="do not predict listeners' opinions, which is done where speechmos is installed and takes longest",
    )
    add(
        "--num_workers",
        type=int,
        default=0,
        metavar="N",
        help="processes; 0 for what preprocess.num_workers says, which is one per core unless set",
    )
    add_cluster_flag(parser)
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.num_workers < 0:
        parser.error(f"argument --num_workers: {arguments.num_workers} is no number of processes")
    check_cluster(parser, arguments)


if __name__ == "__main__":
    run(main, _parser(), check=_check)
