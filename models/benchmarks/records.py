"""Records of benchmarks: earlier figures beside those of today."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.benchmarks.run import Report
from models.benchmarks.timing import Section, as_table
from utils.console import info, warn
from utils.errors import RecitalError
from utils.files import write_atomically

# Columns that state what a row measures; the others are results.
_SUBJECT = (
    "config", "step", "discriminators", "formulation", "precision", "batch", "segment", "voice", "vocoder",
    "characters", "feature",
)  # fmt: skip
_SPEEDS = ("frames per s", "speech s per s")  # the first that a row has
_CONDITIONS = ("processor", "torch")


class RecordError(RecitalError):
    """A file that holds no record of a benchmark."""


def announce(report: Report, record: str | None, page: str | None) -> None:
    """Print a report, and write it as JSON and as tables in Markdown where a path is given."""
    info(f"\n{report.headline()}")
    info(as_table(report.sections))
    info(f"\npeak memory of this process: {report.peak_memory_mib} MiB")
    if record:
        write_atomically(Path(record), json.dumps(asdict(report), indent=2) + "\n")
        info(f"the same in figures: {record}")
    if page:
        text = f"# {Path(page).stem}\n\n{report.headline()}.\n{as_table(report.sections)}\n"
        write_atomically(Path(page), text)
        info(f"the same tables: {page}")


def read_record(path: Path) -> dict[str, Any]:
    """Read the JSON that `bins.benchmark --json` wrote.

    Raises:
        RecordError: the file is something else.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _speeds(record["sections"])
        assert record["machine"]["processor"] and record["threads"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise RecordError(f"{path}: is not a record that bins.benchmark --json has written") from error
    return record


def is_slower(report: Report, before: Mapping[str, Any], name: str, tolerance: float) -> bool:
    """Print the speeds of a report beside those of a record, and return whether any is slower.

    Raises:
        RecordError: they have no row in common.
    """
    if differences := list(_other_conditions(before, report)):
        warn(f"{name} was measured under other conditions: {'; '.join(differences)}")
    comparison = _compared(before, report, tolerance)
    info(as_table([comparison]))
    n_slower: int = sum(row["verdict"] == "slower" for row in comparison.rows)
    info(f"\n{n_slower} of {len(comparison.rows)} slower than {name} by more than {tolerance:.0%}")
    return n_slower > 0


def _compared(before: Mapping[str, Any], report: Report, tolerance: float) -> Section:
    """Compare the speeds of a report with those of a record, row by row.

    Args:
        before: from `read_record`.
        report: of today.
        tolerance: share of the speed that may be lost before a row counts as slower.

    Returns:
        Speeds before and now and their ratio, for rows that both have; `verdict` is "slower", "faster" or "".

    Raises:
        RecordError: they have no row in common.
    """
    earlier = _speeds(before["sections"])
    today = _speeds([{"title": section.title, "rows": section.rows} for section in report.sections])
    rows = []
    for subject, speed in today.items():
        if subject not in earlier:
            continue
        ratio = speed / earlier[subject]
        verdict = "slower" if ratio < 1.0 - tolerance else "faster" if ratio > 1.0 / (1.0 - tolerance) else ""
        title, *values = subject
        measured = f"{title}: {', '.join(value for value in values if value)}"
        rows.append(
            {"measured": measured, "before": earlier[subject], "now": speed, "ratio": ratio, "verdict": verdict}
        )
    if not rows:
        raise RecordError("the record has none of the rows measured now: name the same --configs and --batch_size")
    return Section("Beside the record", f"ratios of speeds; slower: by more than {tolerance:.0%}", rows)


def _other_conditions(before: Mapping[str, Any], report: Report) -> Iterator[str]:
    """Yield in words how the machine of a record differs, which makes ratios of speeds meaningless."""
    for name in _CONDITIONS:
        if before["machine"].get(name) != report.machine[name]:
            yield f"{name} {before['machine'].get(name)}, now {report.machine[name]}"
    for name, now in (("threads", report.threads), ("device", report.device)):
        if before.get(name, "cpu") != now:
            yield f"{name} {before.get(name, 'cpu')}, now {now}"


def _speeds(sections: list[Mapping[str, Any]]) -> dict[tuple[str, ...], float]:
    """Return the speed of each row that has one, by the section's title and the values of the subject's columns."""
    speeds = {}
    for section in sections:
        for row in section["rows"]:
            if speed := next((float(row[name]) for name in _SPEEDS if name in row), 0.0):
                values = [str(row.get(name, "")).removeprefix("-") for name in _SUBJECT]
                subject = (section["title"], *values)
                speeds[subject] = speed
    return speeds
