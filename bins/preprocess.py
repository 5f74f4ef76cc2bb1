"""Stage 1: make features, manifests, statistics and a report of the corpora that a recipe names."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bins.command import (
    add_sharing_flags,
    check_sharing,
    choose_device,
    load,
    make_parser,
    run,
    say_next,
    share_numbers,
)

if TYPE_CHECKING:
    from utils.process_pool import Workers


def main(arguments: argparse.Namespace) -> int:
    from utils.cluster import open_cluster

    with open_cluster(arguments.cluster) as cluster:
        return _prepare(arguments, cluster)


def _prepare(arguments: argparse.Namespace, cluster: Workers | None) -> int:
    from models.registry import features_for, kind_of
    from models.runs.corpus_aligner import align_whole_corpora
    from processors.features import needs_alignment
    from processors.preparation.plan import refuse_other_settings
    from processors.preparation.prepare import prepare, prepare_share
    from utils.console import info
    from utils.share import Share

    settings = load(arguments).settings
    features = features_for(settings)
    if needs_alignment(features):
        if not arguments.overwrite:
            # An aligner may learn for hours before the features are made.
            refuse_other_settings(settings.dataset, settings.preprocess, features)
        code = align_whole_corpora(
            settings,
            num_workers=arguments.num_workers,
            overwrite=arguments.overwrite,
            is_shared=bool(arguments.shard),
            device=choose_device(),
            cluster=cluster,
        )
        if code:
            return code
    if arguments.shard:
        share = Share(*share_numbers(arguments.shard))
        finished = prepare_share(settings, share, num_workers=arguments.num_workers, features=features)
        if finished is None:
            return 0
        summary = finished
    else:
        summary = prepare(
            settings,
            num_workers=arguments.num_workers,
            overwrite=arguments.overwrite,
            features=features,
            cluster=cluster,
        )
    splits = ", ".join(f"{count} {split}" for split, count in summary.utterances.items())
    info(f"utterances: {summary.usable} usable ({splits}); {summary.rejected} left out")
    info(f"speech: {summary.hours:.2f} hours, {summary.frames} frames, {summary.speakers} speaker(s)")
    info(f"features, manifests and statistics: {summary.processed_dir}")
    for report in summary.reports:
        info(f"report: {report}, with pictures in {report.with_suffix('.html').name}")
    name = {"vocoder": "my_first_vocoder", "aligner": "my_first_aligner"}.get(
        kind_of(settings.model_type), "my_first_voice"
    )
    say_next(arguments, "bins.train", 2, "--name", name)
    return 0


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.num_workers < 0:
        parser.error(f"argument --num_workers: {arguments.num_workers} is no number of processes")
    check_sharing(parser, arguments)


if __name__ == "__main__":
    parser = make_parser(
        "bins.preprocess",
        "Make features, manifests, statistics and a report of the corpora that a recipe names. Only what is missing is "
        "made, so that an interrupted run is resumed.",
    )
    parser.add_argument(
        "--data_config",
        metavar="FILE",
        help="settings file, of any model, whose corpora and preprocessing replace those of --config",
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        default=0,
        metavar="N",
        help="processes; 0 for preprocess.num_workers, which is one per core by default",
    )
    add_sharing_flags(parser, "processed_dir")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="make all features again, also those of other recipes over the same corpora, as is needed when settings "
        "have changed; TextGrids are kept, except those of alignment: learned, whose aligner is trained again",
    )
    run(main, parser, check)
