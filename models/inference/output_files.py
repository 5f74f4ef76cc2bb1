"""Output files of stage 3: protection of existing files, and reports of failures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from utils.errors import RecitalError
from utils.files import write_atomically


class OutputError(RecitalError):
    """Output files that cannot be written."""


def refuse_existing(paths: Sequence[Path], flag: str = "--infer_output_dir") -> None:
    """Raise an `OutputError` if one of these files exists; `flag` is what names another place."""
    existing = [path for path in paths if path.exists()]
    if existing:
        others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise OutputError(
            f"{existing[0]}{others} exist already; choose another {flag}, or replace them with --overwrite"
        )


def require_writable(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Raise an `OutputError` if one of these files cannot be written, or exists and is not to be replaced."""
    for path in paths:
        folder = next(each for each in path.absolute().parents if each.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise OutputError(f"{path}: cannot be written: {folder} is no folder that one may write to")
        if path.is_dir() or (path.exists() and not overwrite):
            what = "is a folder" if path.is_dir() else "exists already; choose another name, or --overwrite"
            raise OutputError(f"{path}: {what}")


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
