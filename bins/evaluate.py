"""Evaluation of synthesised speech against its recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import make_parser, run


def main(arguments: argparse.Namespace) -> int:
    from processors.evaluation.evaluate_folders import evaluate_folders
    from utils.console import say

    table = evaluate_folders(Path(arguments.reference_dir), Path(arguments.made_dir), Path(arguments.output))
    for line in table:
        say(line)
    say(f"every recording's figures: {arguments.output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.evaluate",
        "Compare recordings with what was made of them, file by file of the same name: the mel's absolute error over "
        "the full band, spectra at several resolutions and, with what `sh env.sh evaluate` installs, PESQ, STOI and "
        "predicted MOS. What bins.vocode leaves in gt/ and pred/ are such folders.",
        with_config=False,
    )
    add = parser.add_argument
    add("--reference_dir", required=True, metavar="DIR", help="the recordings, sub-folders included")
    add("--made_dir", required=True, metavar="DIR", help="what was made, under the same names")
    add("--output", required=True, metavar="FILE", help="JSON file for the means and every recording's figures")
    return parser


if __name__ == "__main__":
    run(main, _parser())
