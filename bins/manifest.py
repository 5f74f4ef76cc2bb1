"""List a recipe's corpora as JSON lines, for NeMo and others."""

from __future__ import annotations

import argparse

from bins.command import load, make_parser, run


def main(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from processors.corpora import jsonl
    from processors.preparation.export_manifest import absolute, utterances_of
    from utils.console import info

    settings = load(arguments).settings
    for dataset in settings.dataset:
        utterances = [absolute(utterance) for utterance in utterances_of(settings, dataset)]
        hours = sum(utterance.duration_s for utterance in utterances) / 3600
        speakers = {utterance.speaker for utterance in utterances}
        info(f"{dataset}: {len(utterances)} utterances of {len(speakers)} speaker(s), {hours:.2f} hours")
        for path in jsonl.write(Path(arguments.to_jsonl).absolute() / dataset, utterances):
            info(f"written: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.manifest",
        "List a recipe's corpora: audio_filepath, text, duration, speaker, language, id, one object per line. After "
        "stage 1 these are the utterances that it found usable, before it what the corpora list.",
    )
    parser.add_argument(
        "--to_jsonl",
        "--to-jsonl",
        required=True,
        metavar="DIR",
        help="write DIR/<dataset>/<split>.jsonl, which the layout jsonl reads back with the splits",
    )
    return parser


if __name__ == "__main__":
    run(main, _parser())
