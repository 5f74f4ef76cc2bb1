"""Make a small corpus with known phone times: sentences of this project, spoken by espeak-ng."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import make_parser, run


def main(arguments: argparse.Namespace) -> None:
    from processors.corpora.demo_corpus import make_demo_corpus
    from utils.console import info

    count = make_demo_corpus(arguments.output_dir, count=arguments.sentences, sample_rate=arguments.sample_rate)
    info(f"{arguments.output_dir}: {count} recordings in wavs/, their texts in metadata.csv, phone times in TextGrid/")


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if not 8000 <= arguments.sample_rate <= 192000:
        parser.error(f"argument --sample_rate: {arguments.sample_rate} Hz is not between 8000 and 192000")


if __name__ == "__main__":
    parser = make_parser("bins.make_demo_corpus", "Make a small corpus with known phone times.", with_config=False)
    parser.add_argument("--output_dir", required=True, type=Path, metavar="DIR", help="where to put it")
    parser.add_argument("--sentences", type=int, metavar="N", help="how many; all of them if not given")
    parser.add_argument("--sample_rate", type=int, default=22050, metavar="HZ", help="of the recordings")
    run(main, parser, check)
