"""Stage 0: download of the corpora that a recipe names."""

from __future__ import annotations

import argparse

from bins.command import load, make_parser, run


def main(arguments: argparse.Namespace) -> None:
    from processors.corpora.downloads import ARCHIVES, download_corpus, is_downloadable
    from processors.corpora.layouts import layout_of
    from utils.console import info

    settings = load(arguments).settings
    for dataset in settings.dataset:
        folder = settings.corpus_path(dataset)
        if is_downloadable(dataset, layout_of(dataset, settings.dataset_layout)):
            download_corpus(
                dataset,
                folder,
                subset=settings.dataset_subset.get(dataset, ()),
                mirror=arguments.mirror,
                keep_archives=arguments.keep_archives,
            )
        else:
            state = "is there" if folder.exists() else "is not there yet"
            info(f"{dataset}: must be downloaded manually ({folder} {state}); stage 0 downloads {', '.join(ARCHIVES)}")


if __name__ == "__main__":
    parser = make_parser(
        "bins.download",
        "Download, verify and unpack the corpora that a recipe names into their dataset_path. Existing files are kept; "
        "an interrupted download is resumed.",
    )
    parser.add_argument(
        "--mirror",
        default="",
        metavar="URL",
        help="URL with the archives under their official file names, in place of the official ones",
    )
    parser.add_argument("--keep_archives", action="store_true", help="keep the archives beside their contents")
    run(main, parser)
