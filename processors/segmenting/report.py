"""The page of segmenting: counts, hours, scores, and the utterances nearest to the threshold to play."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from processors.audio.audio_file import read_recording, to_int16
from processors.reports.report_page import ReportedUtterance, Section, html_page, wav_bytes
from processors.segmenting.segments import REASONS, RecordingResult, Segment, SegmentingSettings
from utils.console import format_duration
from utils.files import write_atomically
from utils.pictures import Curve, Panel, draw, png

_BOUNDS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
_N_SHOWN = 10
_BAR = 40
_MOST_LISTED = 200


def write_report(path: Path, results: Sequence[RecordingResult], settings: SegmentingSettings, folder: Path) -> None:
    """Write the page as self-contained HTML.

    Args:
        path: of the page.
        results: of all recordings.
        settings: of segmenting.
        folder: of the sound.
    """
    segments = [segment for result in results for segment in result.segments]
    kept = [each for each in segments if not each.reason]
    worst = sorted(kept, key=lambda each: (-(each.error or 0.0), each.id))[:_N_SHOWN]
    differing = [each for each in segments if each.reason == "readings differ" and each.error is not None]
    nearest = sorted(differing, key=lambda each: (each.error or 0.0, each.id))[:_N_SHOWN]
    page = html_page(
        "Segmenting",
        list(_sections(results, segments, settings)),
        (_drawn(each, settings, folder) for each in [*worst, *nearest]),
        gallery="Worst kept, best dropped",
        gallery_note=f"The {len(worst)} kept utterances whose readings differ most, then the "
        f"{len(nearest)} rejected ones whose readings differ least. --most_errors moves the border; readings "
        "are not repeated.",
    )
    write_atomically(path, page)


def _sections(
    results: Sequence[RecordingResult], segments: Sequence[Segment], settings: SegmentingSettings
) -> Iterator[Section]:
    total_s = sum(result.duration_s for result in results)
    kept = [each for each in segments if not each.reason]
    by_reason: defaultdict[str, list[Segment]] = defaultdict(list)
    for each in segments:
        by_reason[each.reason].append(each)
    rows = [("kept", "", *_amount(kept, total_s))]
    rows += [(reason, REASONS[reason], *_amount(by_reason[reason], total_s)) for reason in REASONS if by_reason[reason]]
    rest_s = total_s - sum(each.duration_s for each in segments)
    rows.append(("silence", "pauses between utterances", "", format_duration(rest_s), _percent(rest_s, total_s)))
    yield Section(
        "Overview",
        [
            f"First reading by {settings.reader.name}, second by {settings.check.name}; an utterance is kept if they "
            f"differ in at most {100 * settings.most_errors:g} % of its characters, or in English phones."
        ],
        ("", "meaning", "utterances", "length", "share"),
        rows,
    )
    yield Section(
        "Differences between the readings",
        header=("errors in %", "utterances", "kept up to here", ""),
        rows=list(_histogram(segments)),
    )
    yield Section(
        "Recordings",
        header=("recording", "length", "kept", "rejected", "length kept", "problem"),
        rows=[
            (
                result.source,
                format_duration(result.duration_s),
                str(sum(not each.reason for each in result.segments)),
                str(sum(bool(each.reason) for each in result.segments)),
                format_duration(sum(each.duration_s for each in result.segments if not each.reason)),
                result.problem or ("" if result.segments else "has no speech"),
            )
            for result in results
        ],
    )
    rejected = [each for each in segments if each.reason]
    if rejected:
        yield Section(
            "Rejected",
            [f"The first {_MOST_LISTED} of {len(rejected)}."] if len(rejected) > _MOST_LISTED else [],
            ("utterance", "reason", "errors", "text", "second reading"),
            [
                (each.id, each.reason, _error(each), each.text[:300], each.transcript[:300])
                for each in rejected[:_MOST_LISTED]
            ],
        )


def _amount(segments: Sequence[Segment], total_s: float) -> tuple[str, str, str]:
    seconds = sum(each.duration_s for each in segments)
    return str(len(segments)), format_duration(seconds), _percent(seconds, total_s)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _error(segment: Segment) -> str:
    return "" if segment.error is None else f"{100 * segment.error:.1f} %"


def _histogram(segments: Sequence[Segment]) -> Iterator[tuple[str, str, str, str]]:
    errors = [each.error for each in segments if each.error is not None]
    below = 0
    for lower, upper in zip((-1.0, *_BOUNDS), (*_BOUNDS, float("inf")), strict=True):
        count = sum(lower < error <= upper for error in errors)
        below += count
        name = "0" if upper == 0 else f"up to {100 * upper:g}" if upper <= 1 else "more"
        yield name, str(count), _percent(below, len(errors)), "█" * round(_BAR * count / max(len(errors), 1))


def _drawn(segment: Segment, settings: SegmentingSettings, folder: Path) -> ReportedUtterance:
    recording = read_recording(folder / segment.audio_name(settings))
    panel = Panel(curves=[Curve(recording.waveform, step=1 / recording.sample_rate)], y_range=(-1.0, 1.0), height=0.5)
    kind = "rejected" if segment.reason else "kept"
    caption = f"{segment.id} ({kind}, {_error(segment)}): {segment.text} | second reading: {segment.transcript}"
    return ReportedUtterance(
        caption, png(draw([panel])), wav_bytes(to_int16(recording.waveform), recording.sample_rate)
    )
