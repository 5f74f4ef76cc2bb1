"""What stage 3 does alike whatever it writes: spare what exists, and account for what could not be made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from utils.errors import RecitalError
from utils.files import write_atomically


class OutputError(RecitalError):
    """Files that cannot be written as asked."""


def refuse_existing(paths: Sequence[Path]) -> None:
    """Raise an `OutputError` where one of these files exists."""
    existing = [path for path in paths if path.exists()]
    if existing:
        others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise OutputError(
            f"{existing[0]}{others} exist already; choose another --infer_output_dir, or replace them with --overwrite"
        )


def report_failures(counted: str, failures: Sequence[str], report: Path, *, n_made: int) -> str:
    """List in a file what could not be made, and give the message that ends the run.

    Args:
        counted: how many of how many could not be made.
        failures: what and why, one line each.
        report: the file, in the folder where lies what could be made.
        n_made: how many could be made.
    """
    write_atomically(report, "\n".join(failures) + "\n")
    where = f", the others lie in {report.parent}" if n_made else ""
    return f"{counted}{where}: {failures[0]}" + (f" (all: {report})" if len(failures) > 1 else "")
