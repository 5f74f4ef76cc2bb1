"""Evaluation of synthesised speech, against its recordings and texts."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import make_parser, run


def main(arguments: argparse.Namespace) -> int:
    from processors.evaluation.evaluate_folders import Yardsticks, evaluate_folders
    from processors.evaluation.texts import read_texts
    from processors.evaluation.transcriber import Transcriber
    from utils.console import info

    yardsticks = Yardsticks(
        metrics=tuple(arguments.metrics.split(",")) if arguments.metrics else (),
        texts=read_texts(Path(arguments.texts), arguments.language) if arguments.texts else {},
        transcriber=Transcriber(arguments.whisper_model) if arguments.whisper_model else None,
    )
    table = evaluate_folders(
        Path(arguments.reference_dir) if arguments.reference_dir else None,
        Path(arguments.made_dir),
        Path(arguments.output),
        compare_dir=Path(arguments.compare_dir) if arguments.compare_dir else None,
        yardsticks=yardsticks,
    )
    for line in table:
        info(line)
    info(f"every recording's figures: {arguments.output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.evaluate",
        "Measure synthesised speech, file by file of the same name: copies of recordings, as bins.vocode leaves them "
        "in pred/ beside gt/, and free speech of their texts. With what `sh env.sh evaluate` installs: PESQ, STOI, "
        "predicted MOS by DistillMOS and DNSMOS, and word errors. Free speech is compared with its recordings by what "
        "needs no equal timing.",
        with_config=False,
    )
    add = parser.add_argument
    add("--reference_dir", metavar="DIR", help="the recordings, sub-folders included")
    add("--made_dir", required=True, metavar="DIR", help="what was made, under the same names")
    add(
        "--compare_dir",
        metavar="DIR",
        help="other speech of the same names, or the recordings: each mean minus theirs, with a paired interval",
    )
    add("--texts", metavar="FILE", help="for word errors: a manifest of stage 1, metadata.csv, or lines `name|text`")
    add("--language", default="en", metavar="CODE", help="of the texts, where they are not in a manifest")
    add(
        "--whisper_model",
        metavar="DIR|NAME",
        help="for word errors: a Whisper model in CTranslate2's format, or a name such as base.en to download",
    )
    add("--metrics", metavar="NAME,...", help="compute these alone, e.g. distillmos,wer; all that can be unless given")
    add("--output", required=True, metavar="FILE", help="JSON file for the means and every recording's figures")
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if bool(arguments.texts) != bool(arguments.whisper_model):
        parser.error("word errors need both --texts and --whisper_model")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
