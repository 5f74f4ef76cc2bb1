"""Texts as words and phones, before a training or with a voice."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bins.command import load, make_parser, run

if TYPE_CHECKING:
    from config.schema import PreprocessSettings
    from processors.text.front_end import FrontEnd


def main(arguments: argparse.Namespace) -> int:
    from processors.text.errors import TextError
    from processors.text.front_end import describe_replacement
    from processors.text.pronounced_text import PronouncedText
    from utils.console import warn

    front_end, symbols = _front_end(arguments)
    code = 0
    for text in _texts(arguments):
        try:
            pronounced = PronouncedText.of(text, front_end, symbols)
        except TextError as error:
            print(f"error: {' '.join(text.split())!r}: {error}", file=sys.stderr)
            code = 1
            continue
        print(f"{pronounced.normalised}\t{' '.join(pronounced.phones)}", flush=True)
        for phone, others in pronounced.replaced.items():
            warn(describe_replacement(phone, others))
    return code


def _texts(arguments: argparse.Namespace) -> Iterator[str]:
    yield from arguments.text
    if arguments.file is not None:
        from pathlib import Path

        from processors.utterance import read_text_file

        yield from (line for line in read_text_file(Path(arguments.file)).splitlines() if line.strip())


def _front_end(arguments: argparse.Namespace) -> tuple[FrontEnd, Sequence[str]]:
    """Return the front end of a voice, of a recipe, or of the flags alone, and the symbols of the voice."""
    from processors.text.front_end import FrontEnds, make_front_end

    changes = {
        name: value
        for name, value in (
            ("phone_extractor", arguments.phone_extractor),
            ("normalizer", arguments.normalizer),
            ("lexicon_path", arguments.lexicon),
        )
        if value is not None
    }
    if arguments.infer_expt_dir is not None:
        from pathlib import Path

        from models.bundles.locate import find_bundle

        bundle = find_bundle(Path(arguments.infer_expt_dir))
        bundle.require_front_end()
        assert bundle.symbols is not None
        settings = bundle.settings.preprocess
        language = arguments.language or next(iter({**bundle.languages}.values()), settings.language)
        return FrontEnds(settings, bundle.lexicon_path)[language], bundle.symbols.symbols
    if arguments.config is not None:
        settings = _changed(load(arguments).settings.preprocess, changes)
        return FrontEnds(settings)[arguments.language or settings.language], ()
    from processors.text.language_codes import is_english

    language = arguments.language or "en"
    name = changes.pop("phone_extractor", "lexicon" if is_english(language) else "espeak")
    return make_front_end(name, language=language, **changes), ()


def _changed(settings: PreprocessSettings, changes: dict[str, str]) -> PreprocessSettings:
    return type(settings).model_validate(settings.model_dump() | changes)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.pronounce",
        "Print the normalised text and the phones of each text, separated by a tab. Texts that cannot be pronounced "
        "are listed on stderr with the reason, and the exit code is 1.",
        config_required=False,
    )
    add = parser.add_argument
    add("text", nargs="*", help="texts to pronounce")
    add("--file", metavar="FILE", help="pronounce each line of a text file")
    add("--infer_expt_dir", metavar="DIR", help="use the front end of a voice: an experiment, a checkpoint or a bundle")
    add("--language", metavar="CODE", help="language of the texts; that of the recipe or voice, or en, unless given")
    add(
        "--phone_extractor",
        choices=["lexicon", "espeak", "char"],
        help="the front end; that of the recipe unless given; without a recipe lexicon for English, else espeak",
    )
    add("--normalizer", choices=["rules", "wetext", "num2words"], help="what spells out numbers and abbreviations")
    add("--lexicon", metavar="FILE", help="your own pronunciations, as preprocess.lexicon_path")
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, as wrong usage."""
    if not arguments.text and arguments.file is None:
        parser.error("name a text, or a file by --file")
    if arguments.infer_expt_dir is not None and arguments.config is not None:
        parser.error("--config and --infer_expt_dir each choose a front end; give one of them")
    fixed = arguments.phone_extractor or arguments.normalizer or arguments.lexicon
    if arguments.infer_expt_dir is not None and fixed:
        parser.error("a voice keeps its front end: --phone_extractor, --normalizer and --lexicon need another source")
    if arguments.set and arguments.config is None:
        parser.error("--set needs --config")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
