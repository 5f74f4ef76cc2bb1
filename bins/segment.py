"""Stage -1: cut hours of recordings, with or without their text, to a corpus of utterances."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bins.command import add_sharing_flags, check_sharing, make_parser, run, share_numbers

if TYPE_CHECKING:
    from processors.segmenting.segments import SegmentingSettings


def main(arguments: argparse.Namespace) -> int:
    from processors.segmenting.segment_folder import MANIFEST, REJECTED, REPORT, find_jobs, segment_folder
    from utils.cluster import open_cluster
    from utils.console import info, warn
    from utils.process_pool import available_cores
    from utils.share import Share

    texts = Path(arguments.texts) if arguments.texts else None
    jobs = find_jobs(Path(arguments.recordings), texts, arguments.language)
    output = Path(arguments.output_dir)
    cores = arguments.num_workers or available_cores()
    # A function of the user may not survive in other processes.
    workers = 1 if arguments.transcriber else min(cores, len(jobs))
    with open_cluster(arguments.cluster) as cluster:
        summary = segment_folder(
            jobs,
            output,
            _settings(arguments, 1 if arguments.cluster else cores // workers, has_texts=all(job.text for job in jobs)),
            share=Share(*share_numbers(arguments.shard)) if arguments.shard else None,
            num_workers=workers,
            overwrite=arguments.overwrite,
            cluster=cluster,
        )
    if summary is None:
        return 0
    for problem in summary.problems:
        warn(problem)
    info(f"kept: {summary.kept} utterances, {summary.hours_kept:.2f} of {summary.hours:.2f} hours: {output / MANIFEST}")
    info(f"rejected: {summary.rejected}: {output / REJECTED}; reasons, scores and players: {output / REPORT}")
    if not summary.kept:
        warn("no utterance was kept; the report shows why")
        return 1
    info(f'next: in the settings, dataset_path: {{ mine: "{output}" }}, dataset_layout: {{ mine: "jsonl" }}')
    return 0


def _settings(arguments: argparse.Namespace, num_threads: int, *, has_texts: bool) -> SegmentingSettings:
    from models.inference.prosody_file import load_function
    from processors.segmenting.cuts import Lengths
    from processors.segmenting.readers import ReaderSettings, default_engine
    from processors.segmenting.segments import SegmentingSettings

    model, language, place = arguments.whisper_model or "", arguments.language, arguments.transcriber
    if place:
        file = Path(place.rpartition(":")[0])
        reader = ReaderSettings("", "function", language, num_threads, load_function(place), file)
    else:
        engine = arguments.reader or ("whisper" if model else default_engine(language, has_texts))
        reader = ReaderSettings(model, engine, language, num_threads)
    other = arguments.check_model
    return SegmentingSettings(
        reader,
        ReaderSettings(other, "whisper", language, num_threads) if other else reader,
        Lengths(arguments.shortest, arguments.longest, arguments.edge_silence / 1000),
        arguments.most_errors / 100,
        arguments.format,
        arguments.speaker,
    )


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.segment",
        "Cut long recordings, such as a book or a podcast, at their pauses to a corpus that stage 1 reads (layout "
        "jsonl), with their text or transcribed. An utterance is kept if two readings of its words agree. A run that "
        "was interrupted goes on where it stopped.",
        with_config=False,
    )
    add = parser.add_argument
    add("--recordings", required=True, metavar="DIR", help="the recordings, sub-folders included; or one of them")
    texts = "the text that they read, or a part of, or a folder with NAME.txt for each; texts beside recordings are "
    add("--texts", metavar="FILE", help=texts + "found without it, and recordings without a text are transcribed")
    add("--output_dir", required=True, metavar="DIR", help="for the corpus, the rejected utterances and the report")
    add("--language", default="en", metavar="CODE", help="what is spoken")
    add("--speaker", default="", metavar="NAME", help="who speaks, for voices of several speakers")
    model = "a Whisper model in CTranslate2's format, or a name to download; unless given, base.en, or base for others"
    add("--whisper_model", metavar="DIR|NAME", help=model)
    add("--check_model", metavar="DIR|NAME", help="another Whisper model for the second reading")
    sphinx = "pocketsphinx, for English with texts, takes over by itself where faster-whisper is not installed"
    add("--reader", choices=("whisper", "pocketsphinx"), help=sphinx)
    function = (
        "in place of Whisper: a function from a waveform at 16 kHz and a language to its words, a text or tuples "
    )
    add("--transcriber", metavar="FILE.py:NAME", help=function + "(word, start, end) in seconds")
    errors = "largest share of letters, or phones, in which the readings of a kept utterance differ"
    add("--most_errors", type=float, default=5.0, metavar="PERCENT", help=errors)
    add("--shortest", type=float, default=1.0, metavar="S", help="shortest utterance, without the silence at its edges")
    add("--longest", type=float, default=15.0, metavar="S", help="longest utterance")
    add("--edge_silence", type=float, default=200.0, metavar="MS", help="most silence left at each edge")
    add("--format", choices=("flac", "wav"), default="flac", help="of the utterances")
    add("--num_workers", type=int, default=0, metavar="N", help="recordings at once, one process each; 0: one per core")
    add_sharing_flags(parser, "output_dir")
    add("--overwrite", action="store_true", help="replace what the folder holds, readings included")
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    check_sharing(parser, arguments)
    if arguments.transcriber and arguments.cluster:
        parser.error("argument --transcriber: runs in this process alone, and cannot be sent to a --cluster")
    if not 0 < arguments.shortest < arguments.longest <= 28:
        parser.error("arguments --shortest and --longest: expected 0 < shortest < longest <= 28 seconds")
    if not 0 <= arguments.edge_silence <= 1000 or not 0 <= arguments.most_errors <= 100 or arguments.num_workers < 0:
        parser.error("expected --edge_silence of 0 to 1000 ms, --most_errors of 0 to 100 %, and --num_workers >= 0")
    if arguments.transcriber and (arguments.whisper_model or arguments.reader):
        parser.error("argument --transcriber: is in place of --whisper_model and --reader")
    if arguments.reader == "pocketsphinx" and arguments.whisper_model:
        parser.error("argument --whisper_model: not with --reader pocketsphinx")
    source, output = (Path(each).absolute() for each in (arguments.recordings, arguments.output_dir))
    if output == source or source in output.parents:
        parser.error("argument --output_dir: lies within --recordings, and would be read as recordings")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
