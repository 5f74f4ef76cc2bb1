"""A folder of long recordings, cut to a corpus in the layout `jsonl`: `bins.segment`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.corpora import recordings as recordings_layout
from processors.corpora.corpus import some
from processors.segmenting.report import write_report
from processors.segmenting.segment_recording import segment_recording
from processors.segmenting.segments import (
    KEPT_FOLDER,
    REJECTED_FOLDER,
    RecordingResult,
    Segment,
    SegmentingSettings,
)
from processors.utterance import Utterance, read_text_file
from utils.console import Progress, info, warn
from utils.errors import RecitalError
from utils.files import remove_partial_files, write_atomically
from utils.lock import InUseError, joint_user, sole_user
from utils.process_pool import Died, Failed, Finished, LocalProcesses, Note, Work, Workers
from utils.share import Share

MANIFEST, REJECTED, REPORT = "manifest.jsonl", "rejected.jsonl", "index.html"
_ORIGIN = "segmenting.json"


class SegmentingError(RecitalError):
    """Recordings that cannot be segmented, or a folder that holds something else."""


@dataclass(frozen=True)
class Job:
    """One recording to segment: as an utterance without text, its path within the folder, and what is spoken."""

    recording: Utterance
    source: str
    text: str


@dataclass(frozen=True)
class Summary:
    """The result for a folder.

    Attributes:
        kept: number of utterances.
        rejected: number of rejected ones.
        hours_kept: of speech.
        hours: of recordings.
        problems: recordings that cannot be used, with the reason.
    """

    kept: int
    rejected: int
    hours_kept: float
    hours: float
    problems: tuple[str, ...]


def find_jobs(folder: Path, texts: Path | None, language: str) -> list[Job]:
    """Return the recordings of a folder and its sub-folders, with their texts.

    Args:
        folder: of the recordings, or one recording.
        texts: the text of all, as a book that its chapters' recordings are read from; or a folder with `<name>.txt` for
            each recording, of the same path within it. None for texts beside the recordings, where there are some.
        language: what is spoken, as a code.

    Raises:
        RecitalError: there is no recording, or a text cannot be read.
    """
    of_all = read_text_file(texts) if texts is not None and texts.is_file() else ""
    if texts is not None and texts.is_file() and not of_all.strip():
        raise SegmentingError(f"{texts}: is empty; name the text that is read, or leave out --texts")
    root = folder.parent if folder.is_file() else folder
    corpus = recordings_layout.read(root.name or "recordings", root, language=language)
    jobs = []
    for recording in sorted(corpus.for_audio_only().utterances, key=lambda each: str(each.audio_path)):
        if folder.is_file() and recording.audio_path != folder:
            continue
        source = recording.audio_path.relative_to(root)
        beside = ((texts if texts is not None and texts.is_dir() else root) / source).with_suffix(".txt")
        text = of_all or (read_text_file(beside) if beside.is_file() else "")
        jobs.append(Job(recording, source.as_posix(), text))
    without = [job.source for job in jobs if not job.text]
    if texts is not None and len(without) == len(jobs):
        raise SegmentingError(f"{texts}: has no text of {some(without)}; expected <name>.txt for each recording")
    if without and len(without) < len(jobs):
        warn(f"{len(without)} recordings have no text, and are transcribed: {some(without)}")
    return jobs


def segment_folder(
    jobs: Sequence[Job],
    output: Path,
    settings: SegmentingSettings,
    *,
    share: Share | None = None,
    num_workers: int = 1,
    overwrite: bool = False,
    cluster: Workers | None = None,
) -> Summary | None:
    """Segment recordings, and write the corpus, the rejected utterances and a report.

    It may be killed at any time, and continues where it stopped. With other settings, readings are kept.

    Args:
        jobs: of the whole folder.
        output: folder to write to.
        settings: of segmenting.
        share: of this machine, if several share the work in one output folder; the last one completes the whole.
        num_workers: processes, one recording each.
        overwrite: whether to delete what the folder holds of an earlier run.
        cluster: segments the recordings, in place of processes of this machine.

    Returns:
        The summary of the whole; None while other machines have work left.

    Raises:
        RecitalError: the folder holds another corpus, or the recogniser fails.
    """
    finishing = f"{output}: another run is completing the corpus; waiting"
    mine = [job for job in jobs if share is None or share.has(job.recording.id)]
    own = output / "work" / f"share-{share.number}-of-{share.count}" if share else output
    with joint_user(output, waits=True, message=finishing) if share else sole_user(output):
        _require_own(output, jobs, overwrite)
        with sole_user(own) if share else nullcontext():
            _segment_all(mine, output, settings, num_workers, cluster)
    try:
        with sole_user(output):
            results = [RecordingResult.load(output / "work" / f"{job.recording.id}.json") for job in jobs]
            left = [
                job.source
                for job, result in zip(jobs, results, strict=True)
                if result is None or not result.identity.endswith(settings.identity(job.text))
            ]
            if left:
                info(
                    f"share {share} is done; {len(left)} recordings are left for other machines, the last of which "
                    f"completes the corpus ({some(left)}). If none is running any more, run without --shard"
                )
                return None
            return _complete([each for each in results if each is not None], output, settings)
    except InUseError:
        if share is None:
            raise
        info(f"share {share} is done; another machine is still working and will complete the corpus")
        return None


def _require_own(output: Path, jobs: Sequence[Job], overwrite: bool) -> None:
    """Refuse a folder with something else in it, and note what this one is made from."""
    origin = json.dumps({"recordings": [job.source for job in jobs]}, ensure_ascii=False, indent=1) + "\n"
    path = output / _ORIGIN
    if not path.is_file():
        if others := [each.name for each in output.iterdir() if not each.name.startswith(".") and each.name != "work"]:
            raise SegmentingError(f"{output}: holds {some(sorted(others))}, not of bins.segment; name another folder")
    elif not overwrite:
        former = set(json.loads(path.read_text(encoding="utf-8"))["recordings"])
        if not former & {job.source for job in jobs}:
            raise SegmentingError(
                f"{output}: holds the utterances of other recordings ({some(sorted(former))}); name another folder, or "
                "replace them: --overwrite"
            )
    if overwrite:
        for each in (output / "work").glob("*.json*"):
            each.unlink()
    write_atomically(path, origin)


def _segment_all(
    jobs: Sequence[Job], output: Path, settings: SegmentingSettings, num_workers: int, cluster: Workers | None
) -> None:
    if cluster is None and (num_workers <= 1 or len(jobs) <= 1):
        for job in jobs:
            segment_recording(job.recording, job.source, job.text, settings, output, shows_progress=True)
        return
    workers = cluster or LocalProcesses(num_workers)
    shared = (output, *(job.recording.audio_path for job in jobs))
    with (
        workers.pool(_worker, output, settings, preload=(__name__,), shared=shared, at_most=len(jobs)) as pool,
        Progress(len(jobs), "segmenting", "recordings") as progress,
    ):
        for job in jobs:
            pool.submit(job)
        for event in pool.events():
            if isinstance(event, Finished):
                progress.advance()
            elif isinstance(event, Failed):
                raise event.error
            elif isinstance(event, Died):
                raise SegmentingError(
                    f"{event.task.source}: its process {event.how}; run the command again to go on, with a smaller "
                    "--num_workers if memory ran out"
                )


def _worker(output: Path, settings: SegmentingSettings) -> Work:
    def work(job: Job, note: Note) -> None:
        segment_recording(job.recording, job.source, job.text, settings, output, shows_progress=False)

    return work


def _complete(results: Sequence[RecordingResult], output: Path, settings: SegmentingSettings) -> Summary:
    segments = [(result, segment) for result in results for segment in result.segments]
    names = {segment.audio_name(settings) for _, segment in segments}
    for folder in (KEPT_FOLDER, REJECTED_FOLDER):
        remove_partial_files(output / folder)
        for path in (output / folder).glob("*"):
            if f"{folder}/{path.name}" not in names:
                path.unlink()  # of other settings
    for name, is_kept in ((MANIFEST, True), (REJECTED, False)):
        lines = (_line(result, each, settings) for result, each in segments if bool(each.reason) != is_kept)
        write_atomically(output / name, "".join(lines))
    write_report(output / REPORT, results, settings, output)
    kept = [segment for _, segment in segments if not segment.reason]
    return Summary(
        len(kept),
        len(segments) - len(kept),
        sum(each.duration_s for each in kept) / 3600,
        sum(each.duration_s for each in results) / 3600,
        tuple(f"{each.source}: {each.problem}" for each in results if each.problem),
    )


def _line(result: RecordingResult, segment: Segment, settings: SegmentingSettings) -> str:
    fields: dict[str, Any] = {
        "id": segment.id,
        "audio_filepath": segment.audio_name(settings),
        "text": segment.text,
        "duration": round(segment.duration_s, 6),
        "language": settings.language,
        "speaker": settings.speaker,
        "error": segment.error,
        "transcript": segment.transcript,
        "source": result.source,
        "start": segment.start_s,
        "end": segment.end_s,
        "reason": segment.reason,
    }
    kept = {name: value for name, value in fields.items() if value not in ("", None)}
    return json.dumps(kept, ensure_ascii=False) + "\n"
