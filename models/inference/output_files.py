"""Output files of stage 3: protection of existing files, and reports of failures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from utils.errors import RecitalError
from utils.files import write_atomically


class OutputError(RecitalError):
    """Output files that cannot be written."""


def refuse_existing(paths: Sequence[Path]) -> None:
    """Raise an `OutputError` if one of these files exists."""
    existing = [path for path in paths if path.exists()]
    if existing:
        others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise OutputError(
            f"{existing[0]}{others} exist already; choose another --infer_output_dir, or replace them with --overwrite"
        )


def report_failures(counted: str, failures: Sequence[str], report: Path, *, n_made: int) -> str:
    """Write the failures to a file, and return the run's final error message.

    Args:
        counted: how many of how many failed.
        failures: name and reason, one line each.
        report: the file to write, in the output folder.
        n_made: how many succeeded.
    """
    write_atomically(report, "\n".join(failures) + "\n")
    where = f", the others are in {report.parent}" if n_made else ""
    return f"{counted}{where}: {failures[0]}" + (f" (all: {report})" if len(failures) > 1 else "")
