"""Examination of an installation, and of an experiment: what is wrong, and the next command to type."""

from __future__ import annotations

import argparse
import os

from bins.command import make_parser, require_config, run


def main(arguments: argparse.Namespace) -> int:
    from models.doctor.checks import examine
    from models.doctor.finding import Subject
    from models.doctor.report import as_json, lines

    if arguments.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = arguments.gpu  # before torch looks for them
    subject = Subject(
        config=arguments.config or "",
        overrides=tuple(arguments.set),
        name=arguments.name or "",
        model=arguments.infer_expt_dir or "",
        gpu=arguments.gpu,
    )
    found = examine(subject, raises=arguments.debug)
    print(as_json(found, subject) if arguments.json else "\n".join(lines(found, subject)))
    return int(any(each.finding.is_fault for each in found))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.doctor",
        "Look for what is wrong, and print the next command to type: versions, devices, memory, disk; with --config "
        "also settings, corpora, features, runs in progress, checkpoints and bundles. Nothing is changed. The exit "
        "code is 0 where nothing is wrong.",
        config_required=False,
    )
    add = parser.add_argument
    add("--name", help="the experiment in log_dir, all of whose checkpoints are read; of each the newest unless given")
    add("--infer_expt_dir", metavar="DIR", help="what shall speak: an experiment, a checkpoint inside one, or a bundle")
    add("--gpu", metavar="LIST", help='GPUs that training asks for, as in "0,1"')
    add("--json", action="store_true", help="print all findings as JSON")
    return parser


if __name__ == "__main__":
    run(main, _parser(), check=require_config, any_python=True)
