"""Write TextGrids of corpora by a trained aligner."""

from __future__ import annotations

import argparse

from bins.command import choose_device, choose_gpus, chosen_experiment, load, make_parser, results_folder, run


def main(arguments: argparse.Namespace) -> int:
    choose_gpus(arguments.gpu)
    settings = load(arguments).settings
    experiment = chosen_experiment(settings, arguments.infer_expt_dir, arguments.name, "align")

    from models.bundles.locate import find_bundle
    from models.inference.align import align_corpora
    from utils.console import info

    bundle = find_bundle(experiment)
    folder = results_folder(arguments, experiment)
    summary = align_corpora(
        bundle,
        settings.preprocess.processed_path,
        settings.dataset,
        {dataset: folder / dataset for dataset in settings.dataset},
        device=choose_device(),
        batch_size=arguments.batch_size,
        overwrite=arguments.overwrite,
    )
    info(f"{summary.made} TextGrids written, {summary.kept} were there: {folder}/<dataset>/<speaker>/<id>.TextGrid")
    info(f'next: a voice\'s recipe with preprocess.textgrid_dir: "{folder}/{{dataset}}"')
    return 0


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.batch_size < 1:
        parser.error(f"argument --batch_size: {arguments.batch_size} is no number of utterances")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.align",
        "Write a TextGrid, with a score, of every recording that stage 1 of an aligner's recipe has prepared. Only "
        "what is missing or has changed is aligned, so that an interrupted run is resumed.",
    )
    add = parser.add_argument
    add("--infer_expt_dir", metavar="DIR", help="the aligner: an experiment, a checkpoint inside one, or a bundle")
    add("--name", help="the experiment in log_dir, instead of --infer_expt_dir")
    add("--infer_output_dir", metavar="DIR", help="where the TextGrids go; the experiment's result unless given")
    add("--batch_size", type=int, default=32, metavar="N", help="utterances per batch")
    add("--gpu", metavar="LIST", help='the GPU to use, as in "1"; "" for the CPU; the first unless given')
    add("--overwrite", action="store_true", help="also align what an aligner has aligned before")
    return parser


if __name__ == "__main__":
    run(main, _parser(), check)
