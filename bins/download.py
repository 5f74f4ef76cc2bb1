"""Stage 0: bring the corpora that a recipe names, where they can be had."""

from __future__ import annotations

import argparse

from bins.command import load, make_parser, run


def main(arguments: argparse.Namespace) -> None:
    from processors.corpora.downloads import ARCHIVES, bring, can_be_had
    from processors.corpora.layouts import layout_of
    from utils.console import say

    settings = load(arguments).settings
    for dataset in settings.dataset:
        folder = settings.corpus_path(dataset)
        if can_be_had(dataset, layout_of(dataset, settings.dataset_layout)):
            bring(
                dataset,
                folder,
                subset=settings.dataset_subset.get(dataset, ()),
                mirror=arguments.mirror,
                keep_archives=arguments.keep_archives,
            )
        else:
            state = "is there" if folder.exists() else "is not there yet"
            say(f"{dataset}: is brought by hand ({folder} {state}); what can be downloaded is {', '.join(ARCHIVES)}")


if __name__ == "__main__":
    parser = make_parser(
        "bins.download",
        "Download, check and unpack the corpora that a recipe names into their dataset_path. What is there is left "
        "alone; a download that broke off goes on where it was.",
    )
    parser.add_argument(
        "--mirror",
        default="",
        metavar="URL",
        help="an address that has the archives under their official file names; their official ones unless given",
    )
    parser.add_argument("--keep_archives", action="store_true", help="keep what was downloaded beside what it held")
    run(main, parser)
