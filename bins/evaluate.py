"""Stage 4, and evaluation of any synthesised speech, against its recordings and texts."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import add_cluster_flag, begin_stage_3, choose_device, make_parser, require_config, run
from bins.speech_flags import add_metric_flags, check_dump_folder, metrics_of, yardsticks_of


def main(arguments: argparse.Namespace) -> int:
    from processors.evaluation.evaluate_folders import Yardsticks
    from processors.evaluation.metrics import listed
    from processors.evaluation.results import CSV_FILE, PAGE_FILE, RESULT_FILE, evaluate_folders
    from utils.cluster import open_cluster
    from utils.console import info

    if arguments.list_metrics:
        info("\n".join(listed()))
        return 0
    asked = Yardsticks(metrics_of(arguments))
    asked.require_known()  # before a model speaks
    folders = {name: getattr(arguments, f"{name}_folder") for name in ("reference", "generated", "compare", "dump")}
    reference, generated, compare, dump = (Path(each) if each else None for each in folders.values())
    texts = {}
    if generated is None:
        from models.runs.evaluated_speech import speak_split

        settings, experiment = begin_stage_3(arguments, "evaluate")
        dump = dump or (experiment.parent if experiment.is_file() else experiment) / "evaluation"
        made = speak_split(
            experiment,
            settings,
            dump,
            testing_set=arguments.infer_testing_set,
            vocoder_dir=arguments.vocoder_dir,
            device=choose_device(),
            asked=asked,
        )
        reference, generated, texts = reference or made.recordings, made.generated, dict(made.texts)
        compare = compare or reference
    with open_cluster(arguments.cluster) as cluster:
        table = evaluate_folders(
            reference,
            generated,
            Path(arguments.output) if arguments.output else None,
            dump_folder=dump,
            compare_dir=compare,
            yardsticks=yardsticks_of(arguments, texts),
            workers=cluster,
        )
    for line in table:
        info(line)
    if arguments.output:
        info(f"every recording's figures: {arguments.output}")
    if dump is not None:
        info(f"wrote {dump / PAGE_FILE}, {RESULT_FILE} and {CSV_FILE}: open the page in a browser")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.evaluate",
        "Measure synthesised speech, file by file of the same name: a folder of it, or what an experiment makes of its "
        "test split. Copies of recordings, as bins.vocode leaves them in pred/ beside gt/, and free speech of their "
        "texts. What `sh env.sh evaluate` does not install is left out. Free speech is compared with its recordings "
        "by what needs no equal timing.",
        config_required=False,
    )
    add = parser.add_argument
    add("--reference_folder", "--reference_dir", metavar="DIR", help="the recordings, sub-folders included")
    add("--generated_folder", "--made_dir", metavar="DIR", help="what was made, under the same names")
    add(
        "--compare_folder",
        "--compare_dir",
        metavar="DIR",
        help="other speech of the same names, or the recordings: each mean minus theirs, with a paired interval",
    )
    add("--dump_folder", metavar="DIR", help="folder for result.json, result.csv and the page index.html")
    add("--output", metavar="FILE", help="JSON file for the means and every recording's figures")
    add_metric_flags(parser)
    add_cluster_flag(parser)
    model = parser.add_argument_group("a model", "that makes the speech, in place of --generated_folder")
    add = model.add_argument
    add("--infer_expt_dir", metavar="DIR", help="an experiment, a checkpoint inside one, or a bundle")
    add("--name", help="the experiment in log_dir, instead of --infer_expt_dir; dump_folder is its evaluation/")
    sets = ["test", "valid", "train", "golden_test"]
    add("--infer_testing_set", choices=sets, default="test", help="which set of the corpora of the settings")
    add(
        "--vocoder_dir", metavar="DIR", help="the vocoder of an acoustic model; its own or the shipped one unless given"
    )
    add("--gpu", metavar="LIST", help='the GPU to use, as in "1"; "" for the CPU; the first unless given')
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.list_metrics:
        return
    check_dump_folder(parser, arguments)
    if arguments.cluster and arguments.transcriber:
        parser.error("argument --transcriber: a function stays on this machine; leave out --cluster")
    has_model = bool(arguments.config or arguments.infer_expt_dir)
    if bool(arguments.generated_folder) == has_model:
        parser.error("name the speech, --generated_folder, or a model, --infer_expt_dir or a recipe's --config")
    if not has_model and not (arguments.output or arguments.dump_folder):
        parser.error("name --dump_folder, for the results and a page, or --output")
    for name in ("infer_testing_set", "vocoder_dir", "gpu"):
        if not has_model and getattr(arguments, name) != parser.get_default(name):
            parser.error(f"--{name} is for a model: leave it out with --generated_folder")
    require_config(parser, arguments)
    if not has_model and (arguments.whisper_model or arguments.transcriber) and not arguments.texts:
        parser.error("word errors need --texts besides the transcriber")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
