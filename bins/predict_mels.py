"""Write an acoustic model's mels of all recordings beside their own, for a vocoder to be fine-tuned on."""

from __future__ import annotations

import argparse

from bins.command import add_cluster_flag, choose_device, choose_gpus, chosen_experiment, load, make_parser, run


def main(arguments: argparse.Namespace) -> int:
    choose_gpus(arguments.gpu)
    settings = load(arguments).settings
    experiment = chosen_experiment(settings, arguments.infer_expt_dir, arguments.name, "predict mels")

    from models.bundles.locate import find_bundle
    from models.inference.predict_mels import predict_mels
    from utils.cluster import open_cluster
    from utils.console import info

    with open_cluster(arguments.cluster) as cluster:
        predict_mels(
            find_bundle(experiment),
            settings.preprocess.processed_path,
            settings.dataset,
            device=choose_device(),
            overwrite=arguments.overwrite,
            cluster=cluster,
        )
    info("next: train a vocoder on them with --set train.mel_source=predicted")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.predict_mels",
        "Predict the mels of all recordings of stage 1 with teacher forcing (ground-truth durations, pitch, energy), "
        "and store them frame for frame beside the recordings' own; a vocoder is trained on them by "
        "train.mel_source. Only missing ones are predicted, so that an interrupted run is resumed.",
    )
    add = parser.add_argument
    add("--infer_expt_dir", metavar="DIR", help="the acoustic model: an experiment, a checkpoint inside one, a bundle")
    add("--name", help="the experiment in log_dir, instead of --infer_expt_dir")
    add("--gpu", metavar="LIST", help='the GPU to use, as in "1"; "" for the CPU; the first unless given')
    add("--overwrite", action="store_true", help="predict all mels again, including those of another model")
    add_cluster_flag(parser)
    return parser


if __name__ == "__main__":
    run(main, _parser())
