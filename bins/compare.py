"""Comparison of several systems: folders of speech, experiments, checkpoints and bundles."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import choose_device, choose_gpus, make_parser, run
from bins.speech_flags import add_metric_flags, check_dump_folder, yardsticks_of


def main(arguments: argparse.Namespace) -> int:
    from models.runs.evaluated_speech import named_systems, speak_systems
    from processors.evaluation.metrics import listed
    from processors.evaluation.results import CSV_FILE, PAGE_FILE, RESULT_FILE, compare_folders
    from utils.console import info

    if arguments.list_metrics:
        info("\n".join(listed()))
        return 0
    choose_gpus(arguments.gpu)
    reference = Path(arguments.reference_folder) if arguments.reference_folder else None
    dump, systems = Path(arguments.dump_folder), named_systems(arguments.system)
    yardsticks = yardsticks_of(arguments, {})
    yardsticks.chosen()  # its errors come before the models speak
    spoken = speak_systems(
        systems,
        dump / "speech",
        reference_dir=reference,
        texts=Path(arguments.texts) if arguments.texts else None,
        vocoder_dir=arguments.vocoder_dir,
        device=choose_device(),
        asked=yardsticks,
    )
    info(compare_folders(reference, spoken, dump, yardsticks))
    info(f"wrote {dump / PAGE_FILE}, {RESULT_FILE} and {CSV_FILE}: open the page in a browser")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.compare",
        "Measure several systems on the same sentences, in one table: means with 95 % intervals, and for all but the "
        "first whether the paired difference to it leaves 0 out. A system is a folder of speech, or a model that makes "
        "it: an experiment, a checkpoint, a bundle, or the folder of an experiment's checkpoints. Acoustic models "
        "speak --texts, vocoders copy --reference_folder.",
        with_config=False,
    )
    add = parser.add_argument
    add(
        "--system",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a system; repeated, the first to compare with",
    )
    add("--reference_folder", "--reference_dir", metavar="DIR", help="the recordings, sub-folders included")
    add("--dump_folder", metavar="DIR", help="for the models' speech, table.md, result.json, result.csv and index.html")
    add(
        "--vocoder_dir", metavar="DIR", help="the vocoder of acoustic models; their own or the shipped one unless given"
    )
    add("--gpu", metavar="LIST", help='the GPU to use, as in "1"; "" for the CPU; the first unless given')
    add_metric_flags(parser)
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.list_metrics:
        return
    check_dump_folder(parser, arguments)
    if len(arguments.system) < 1:
        parser.error("name the systems: --system NAME=PATH, two at least, or the folder of an experiment's checkpoints")
    if not arguments.dump_folder:
        parser.error("name --dump_folder, for the results and a page")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
