"""Evaluations written to files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from processors.evaluation.evaluate_folders import Yardsticks, evaluate
from processors.evaluation.evaluation_page import page
from processors.evaluation.evaluation_tables import LEGEND, compared_rows, comparison, csv_of, lines_of, result
from processors.reports.report_page import Section, markdown
from utils.files import write_atomically
from utils.process_pool import Workers

RESULT_FILE, CSV_FILE, PAGE_FILE, TABLE_FILE = "result.json", "result.csv", "index.html", "table.md"


def evaluate_folders(
    reference_dir: Path | None,
    degraded_dir: Path,
    output: Path | None = None,
    *,
    dump_folder: Path | None = None,
    compare_dir: Path | None = None,
    yardsticks: Yardsticks | None = None,
    workers: Workers | None = None,
) -> list[str]:
    """Compute the metrics of every file that all folders have, and write them to files; see `evaluate`.

    Means have 95 % bootstrap intervals over recordings; those of word errors are weighted by words.

    Args:
        reference_dir: recordings; None for none.
        degraded_dir: synthesised speech.
        output: JSON with `means`, `intervals`, `counts` (of recordings that a mean is taken over) and `recordings`.
        dump_folder: folder for the same as `result.json`, `result.csv` and the page `index.html`.
        compare_dir: another folder of synthesised speech, or the recordings themselves; the differences of the means
            get paired intervals.
        yardsticks: metrics, texts and speech recognition; all that is installed by default.
        workers: that measure; this process if None.

    Returns:
        The lines of a table of the means.

    Raises:
        EvaluationError, AudioError: as `evaluate`.
    """
    systems = {"generated": degraded_dir}
    if compare_dir is not None:
        systems["recordings" if compare_dir == reference_dir else "compared"] = compare_dir
    evaluation = evaluate(reference_dir, systems, yardsticks or Yardsticks(), workers)
    if output is not None:
        _write_json(output, result(evaluation))
    if dump_folder is not None:
        _write_json(dump_folder / RESULT_FILE, result(evaluation))
        write_atomically(dump_folder / CSV_FILE, csv_of(evaluation))
        write_atomically(dump_folder / PAGE_FILE, page(evaluation, f"Evaluation of {degraded_dir}"))
    return lines_of(evaluation)


def compare_folders(
    reference_dir: Path | None, systems: Mapping[str, Path], dump_folder: Path, yardsticks: Yardsticks
) -> str:
    """Compute the metrics of several systems, and write result.json, result.csv, table.md and the page index.html.

    Args:
        reference_dir: recordings; None for none.
        systems: folders of speech by name; all are compared with the first.
        dump_folder: for the files.
        yardsticks: metrics, texts and speech recognition.

    Returns:
        The table in Markdown.

    Raises:
        EvaluationError, AudioError: as `evaluate`.
    """
    evaluation = evaluate(reference_dir, systems, yardsticks)
    title = f"Comparison of {', '.join(systems)}"
    header, rows = compared_rows(evaluation)
    table = markdown(title, [Section("Means", [LEGEND, *evaluation.notes], header, rows)])
    _write_json(dump_folder / RESULT_FILE, comparison(evaluation))
    write_atomically(dump_folder / CSV_FILE, csv_of(evaluation))
    write_atomically(dump_folder / TABLE_FILE, table)
    write_atomically(dump_folder / PAGE_FILE, page(evaluation, title))
    return table


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
