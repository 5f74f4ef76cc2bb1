"""Stage 2: train the model that the settings name."""

from __future__ import annotations

import argparse

from bins.command import choose_gpus, load, make_parser, run
from models.bundles.formats import describe_published


def main(arguments: argparse.Namespace) -> int:
    choose_gpus(arguments.gpu)
    settings = load(arguments).settings
    if arguments.overfit_one_batch:
        from models.runs.overfit import overfit_one_batch

        return overfit_one_batch(settings, arguments.overfit_one_batch)
    from models.runs.train import train

    return train(settings, arguments.name, arguments.resume_type, arguments.checkpoint)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("bins.train", "Train a model on what stage 1 prepared; the same command again resumes it.")
    add = parser.add_argument
    add(
        "--data_config",
        metavar="FILE",
        help="settings file, of any model, whose corpora and preprocessing replace those of --config",
    )
    add("--name", required=True, help="the experiment, which is its folder in log_dir")
    add(
        "--resume_type",
        choices=["resume", "finetune"],
        help="resume keeps the experiment's own settings, whatever the present config says; finetune "
        "starts a new experiment with the weights of --checkpoint, or of ckpts/tts/english_base if it fits",
    )
    add(
        "--checkpoint",
        metavar="DIR",
        help="what to resume or fine-tune from: a checkpoint, the experiment's newest unless given; to fine-tune also "
        "another experiment, a bundle, or a checkpoint as the model's authors publish it "
        f"({describe_published()}), with discriminators and optimizer states if they are beside it",
    )
    add("--gpu", metavar="LIST", help='GPUs to choose from, as in "0,1"; "" for the CPU; all unless given')
    add(
        "--overfit_one_batch",
        type=int,
        default=0,
        metavar="STEPS",
        help="try instead whether STEPS steps on the same batch at least halve its loss; nothing is kept",
    )
    return parser


if __name__ == "__main__":
    run(main, _parser())
