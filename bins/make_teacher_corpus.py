"""Make a corpus of speech that another program, the teacher, synthesizes from texts."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import load, make_parser, run, say_next

_SAMPLE_RATE = 22050


def main(arguments: argparse.Namespace) -> None:
    from processors.corpora.sentences import read_sentences
    from processors.corpora.teacher_corpus import Teacher, make_teacher_corpus
    from processors.speakers.sources import Source
    from utils.console import info
    from utils.process_pool import available_cores

    folder, sample_rate = _place(arguments)
    hours = make_teacher_corpus(
        read_sentences(arguments.texts, seed=arguments.seed),
        Teacher(arguments.teacher, Source(arguments.teacher_name, arguments.licence)),
        folder,
        hours=arguments.hours,
        sample_rate=sample_rate,
        num_workers=arguments.num_workers or available_cores(),
    )
    info(f"{folder}: {hours:.2f} hours of speech in wavs/, their texts in metadata.csv, the teacher in sources.json")
    if arguments.config:
        say_next(arguments, "bins.preprocess", 1)


def _place(arguments: argparse.Namespace) -> tuple[Path, int]:
    """Return folder and sample rate of the corpus: those given, else those of the recipe's first corpus."""
    folder, sample_rate = arguments.output_dir, arguments.sample_rate
    if arguments.config:
        settings = load(arguments).settings
        folder = folder or settings.corpus_path(settings.dataset[0])
        sample_rate = sample_rate or settings.preprocess.sample_rate
    return folder, sample_rate or _SAMPLE_RATE


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.make_teacher_corpus",
        "Make a corpus of speech that another program, the teacher, synthesizes from texts; the same command again "
        "resumes it. Its name and licence go with the corpus, the features, and every model trained on them.",
        config_required=False,
    )
    add = parser.add_argument
    add(
        "--teacher",
        required=True,
        metavar="CMD",
        help="command that speaks: {output} is the WAV file to write, {text} the text, which otherwise arrives by "
        "standard input; or, for a program that takes long to start, {table} is a file with many lines of "
        "output, tab and text",
    )
    add("--teacher_name", required=True, metavar="NAME", help="the teacher, with its version and voice")
    add("--licence", required=True, help="the teacher's licence, such as Apache-2.0")
    add(
        "--texts",
        required=True,
        action="append",
        type=Path,
        metavar="FILE",
        help="texts, a sentence per line; or Debian's package wordnet-base or fortunes, whose sentences are extracted; "
        "or a folder of these; may be repeated",
    )
    add("--hours", required=True, type=float, help="how much speech to make")
    add("--output_dir", type=Path, metavar="DIR", help="folder of the corpus; with --config, the recipe's first corpus")
    add("--sample_rate", type=int, metavar="HZ", help=f"of the recordings; {_SAMPLE_RATE}, or the recipe's")
    add("--num_workers", type=int, default=0, metavar="N", help="calls of the teacher at a time; 0 for one per core")
    add("--seed", type=int, default=0, help="of the order of texts")
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if not (arguments.output_dir or arguments.config):
        parser.error("name the folder of the corpus: --output_dir, or a recipe's --config")
    if arguments.set and not arguments.config:
        parser.error("argument --set: goes with --config only")
    if not arguments.hours > 0:
        parser.error(f"argument --hours: {arguments.hours:g} hours is no amount of speech")
    if arguments.num_workers < 0:
        parser.error(f"argument --num_workers: {arguments.num_workers} is no number of calls")
    if arguments.sample_rate is not None and not 8000 <= arguments.sample_rate <= 192000:
        parser.error(f"argument --sample_rate: {arguments.sample_rate} Hz is not between 8000 and 192000")
    if not (arguments.teacher_name.strip() and arguments.licence.strip()):
        parser.error("--teacher_name and --licence: may not be empty; every model trained on the corpus names them")


if __name__ == "__main__":
    run(main, _parser(), _check)
