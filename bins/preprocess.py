"""Stage 1: make features, manifests, statistics and a report of the corpora that a recipe names."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from bins.command import choose_device, load, make_parser, run

if TYPE_CHECKING:
    from pathlib import Path

    from config.schema import ExperimentSettings

_ALIGNER_NAME = "model"


def main(arguments: argparse.Namespace) -> int:
    from models.registry import features_of, kind_of
    from processors.features import needs_alignment
    from processors.preparation.plan import Share, refuse_other_settings
    from processors.preparation.prepare import prepare, prepare_share
    from utils.console import say

    settings = load(arguments).settings
    features = features_of(settings.model_type)
    if needs_alignment(features):
        if not arguments.overwrite:
            # An aligner may learn for hours before the features are made.
            refuse_other_settings(settings.dataset, settings.preprocess, features)
        if code := _align_beforehand(settings, arguments):
            return code
    if arguments.shard:
        share = Share(*_numbers_of(arguments.shard))
        finished = prepare_share(settings, share, num_workers=arguments.num_workers, features=features)
        if finished is None:
            return 0
        summary = finished
    else:
        summary = prepare(settings, num_workers=arguments.num_workers, overwrite=arguments.overwrite, features=features)
    splits = ", ".join(f"{count} {split}" for split, count in summary.utterances.items())
    say(f"utterances: {summary.good} usable ({splits}); {summary.rejected} left out")
    say(f"speech: {summary.hours:.2f} hours, {summary.frames} frames, {summary.speakers} speaker(s)")
    say(f"features, manifests and statistics: {summary.processed_dir}")
    for report in summary.reports:
        say(f"report: {report}, with pictures in {report.with_suffix('.html').name}")
    name = {"vocoder": "my_first_vocoder", "aligner": "my_first_aligner"}.get(
        kind_of(settings.model_type), "my_first_voice"
    )
    say(f"next: python -m bins.train --config {arguments.config} --name {name}")
    return 0


def _align_beforehand(settings: ExperimentSettings, arguments: argparse.Namespace) -> int:
    """Have the TextGrids made that only a whole corpus can give; gives the exit code of what ended early, else 0.

    Of several machines that share stage 1 one does it while the others wait.
    """
    from config.paths import rooted
    from processors.preparation.textgrid_origin import aligner_of
    from utils.lock import sole_user

    aligner = aligner_of(settings.preprocess)
    if aligner not in ("learned", "mfa"):
        return 0
    place = rooted(settings.preprocess.processed_dir) / "aligner"
    with sole_user(place, waits=bool(arguments.shard), tells="alignment: another machine is at it; waiting"):
        if aligner == "learned":
            return _learn_to_align(settings, arguments)
        from processors.preparation.mfa import align_by_mfa

        align_by_mfa(settings, num_workers=arguments.num_workers)
        return 0


def _learn_to_align(settings: ExperimentSettings, arguments: argparse.Namespace) -> int:
    """Prepare phones and mels, train an aligner on them, and write its TextGrids, each where it was left off."""
    from bins.train import CHANGEABLE, train
    from config.paths import rooted
    from models.bundles.locate import find_bundle
    from models.inference.align import align_corpora, aligner_settings, is_trained, what_has_changed, why_to_train_anew
    from processors.features import ALIGNER_FEATURES
    from processors.preparation.prepare import prepare
    from utils.checkpoint import CheckpointFolder
    from utils.console import say, warn

    own = aligner_settings(settings)
    experiment = rooted(own.log_dir) / _ALIGNER_NAME
    say("alignment: preparing what the aligner learns from")
    prepare(own, num_workers=arguments.num_workers, overwrite=arguments.overwrite, features=ALIGNER_FEATURES)
    goes_on = bool(CheckpointFolder(experiment / "checkpoint").folders()) and not arguments.overwrite
    if goes_on and (reason := why_to_train_anew(experiment, own)):
        say(f"alignment: the aligner {reason}; it is trained anew, and the TextGrids that are there stay")
        goes_on = False
    if not goes_on:
        _forget(experiment)
    if goes_on and is_trained(experiment, own):
        say("alignment: the aligner is trained already")
        if changed := [line for line in what_has_changed(experiment, own) if not line.startswith(CHANGEABLE)]:
            warn(
                "\n  ".join(
                    [f"{experiment} stays as it is; --overwrite trains another. It has -> not taken over:", *changed]
                )
            )
    else:
        say("alignment: training the aligner")
        # What began with other settings that matter to features was refused above.
        if code := train(own, _ALIGNER_NAME, "resume" if goes_on else None):
            return code
    say("alignment: writing TextGrids")
    processed_dir = rooted(settings.preprocess.processed_dir)
    align_corpora(
        find_bundle(experiment),
        rooted(own.preprocess.processed_dir),
        settings.dataset,
        {dataset: processed_dir / dataset / "TextGrid" for dataset in settings.dataset},
        device=choose_device(),
        overwrite=arguments.overwrite,
    )
    say("alignment: done")
    return 0


def _forget(experiment: Path) -> None:
    """Delete an experiment; whoever is killed at that leaves no half of it."""
    import shutil

    forgotten = experiment.with_name(f".{experiment.name}.partial")
    shutil.rmtree(forgotten, ignore_errors=True)
    if experiment.is_dir():
        experiment.rename(forgotten)
        shutil.rmtree(forgotten, ignore_errors=True)


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
        "have changed; TextGrids are kept, but for those of alignment: learned, whose aligner is trained anew",
    )
    run(main, parser, check)
