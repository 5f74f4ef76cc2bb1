"""Results of evaluations: JSON, one line of CSV per recording, and tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from processors.evaluation.evaluate_folders import Evaluated, Evaluation
from processors.evaluation.intervals import Interval
from processors.evaluation.metric import Metric


def result(evaluation: Evaluation) -> dict[str, Any]:
    """Return the result of one folder: `means`, `intervals`, `counts`, `recordings`, `transcripts`, `comparison`."""
    made, *others = evaluation.systems.values()
    report = {**_header(evaluation), "made_dir": str(made.folder), **figures_of(made, evaluation)}
    for other in others:
        report["comparison"] = {
            "compare_dir": str(other.folder),
            **_differences(made, other, evaluation),
            "recordings": _by_recording(other),
            "transcripts": other.transcripts,
        }
    return report


def comparison(evaluation: Evaluation) -> dict[str, Any]:
    """Return the results of several systems by name, all but the first with their differences to it."""
    first = next(iter(evaluation.systems))
    systems = {}
    for name, each in evaluation.systems.items():
        systems[name] = {"folder": str(each.folder), **figures_of(each, evaluation)}
        if name != first:
            systems[name]["minus_first"] = _differences(each, evaluation.systems[first], evaluation)
    return {**_header(evaluation), "first": first, "systems": systems}


def figures_of(evaluated: Evaluated, evaluation: Evaluation) -> dict[str, Any]:
    """Return the means of a folder with intervals and counts, and every recording's figures."""
    names = [metric.name for metric in evaluation.metrics if evaluated.names(metric.name)]
    intervals = {name: evaluated.interval(name) for name in names}
    return {
        "means": {name: interval.mean for name, interval in intervals.items()},
        "intervals": {name: interval[1:] for name, interval in intervals.items()},
        "counts": {name: len(evaluated.names(name)) for name in names},
        "recordings": _by_recording(evaluated),
        "transcripts": evaluated.transcripts,
    }


def _header(evaluation: Evaluation) -> dict[str, Any]:
    reference = evaluation.reference_dir
    return {
        "reference_dir": str(reference) if reference is not None else None,
        "notes": list(evaluation.notes),
        "units": {metric.name: metric.unit for metric in evaluation.metrics},
        "better": {metric.name: metric.better for metric in evaluation.metrics},
    }


def _differences(made: Evaluated, other: Evaluated, evaluation: Evaluation) -> dict[str, Any]:
    found = {metric.name: made.difference(metric.name, other) for metric in evaluation.metrics}
    differences = {name: each[0] for name, each in found.items() if each is not None}
    return {
        "differences": {name: interval.mean for name, interval in differences.items()},
        "intervals": {name: interval[1:] for name, interval in differences.items()},
    }


def _by_recording(evaluated: Evaluated) -> dict[str, dict[str, float]]:
    return {
        name: {metric: figure.value for metric, figure in found.items()} for name, found in evaluated.figures.items()
    }


def csv_of(evaluation: Evaluation) -> str:
    """Return a line per recording and system: system, name, text, transcript, and a column per metric."""
    names = [metric.name for metric in evaluation.metrics]
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(["system", "recording", *names, "text", "transcript"])
    for system, evaluated in evaluation.systems.items():
        for recording, figures in evaluated.figures.items():
            values = [f"{figures[name].value:.6g}" if name in figures else "" for name in names]
            texts = [evaluation.texts.get(recording, ""), evaluated.transcripts.get(recording, "")]
            writer.writerow([system, recording, *values, *texts])
    return content.getvalue()


def lines_of(evaluation: Evaluation) -> list[str]:
    """Return the table of a folder's means, and of their differences to another's."""
    made, *others = evaluation.systems.values()
    metrics = [metric for metric in evaluation.metrics if made.names(metric.name)]
    intervals = {metric.name: made.interval(metric.name) for metric in metrics}
    counts = {metric.name: len(made.names(metric.name)) for metric in metrics}
    lines = list(_table("metric", metrics, intervals, counts))
    for other in others:
        found = {metric.name: each for metric in metrics if (each := made.difference(metric.name, other)) is not None}
        differences = {name: interval for name, (interval, _) in found.items()}
        of_both = {name: count for name, (_, count) in found.items()}
        lines += [f"minus {other.folder}, paired:", *_table("difference", metrics, differences, of_both)]
    return lines


def _table(
    head: str, metrics: list[Metric], intervals: Mapping[str, Interval], counts: Mapping[str, int]
) -> Iterator[str]:
    yield f"{head:<22}{'mean':>10}{'95 % interval':>24}{'recordings':>12}"
    for metric in metrics:
        if metric.name in intervals:
            mean, low, high = intervals[metric.name]
            unit = f", in {metric.unit}" if metric.unit else ""
            yield (
                f"{metric.name:<22}{mean:>10.4f}{f'{low:.4f} to {high:.4f}':>24}{counts[metric.name]:>12}  "
                f"{metric.meaning}{unit}; {metric.direction}"
            )


def compared_rows(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table of systems: means, half their intervals' widths, marks of `LEGEND`."""
    first, *_ = evaluation.systems.values()
    header = ["metric", "better", *evaluation.systems]
    rows = []
    for metric in evaluation.metrics:
        if not any(each.names(metric.name) for each in evaluation.systems.values()):
            continue
        unit = f" ({metric.unit})" if metric.unit else ""
        row = [f"{metric.name}{unit}", metric.better]
        for each in evaluation.systems.values():
            if not each.names(metric.name):
                row.append("")
                continue
            mean, low, high = each.interval(metric.name)
            mark = "" if each is first else _mark(metric, each, first)
            row.append(f"{short(mean)} ± {short((high - low) / 2)}{mark}")
        rows.append(row)
    return header, rows


LEGEND = "+ better, - worse and ≠ other than the first system: the paired 95 % interval of the difference leaves 0 out."


def _mark(metric: Metric, evaluated: Evaluated, first: Evaluated) -> str:
    found = evaluated.difference(metric.name, first)
    if found is None or found[0].low <= 0 <= found[0].high:
        return ""
    if metric.better == "near":
        return " ≠"
    return " +" if (found[0].mean > 0) == (metric.better == "more") else " -"


def short(value: float) -> str:
    """Return a figure with three digits, or two after the point."""
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"
