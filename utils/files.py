"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What new files are not to allow; it can be read only by setting it, which one thread alone may do.
_WITHHELD_RIGHTS = os.umask(0o077)
os.umask(_WITHHELD_RIGHTS)


def _place_beside(path: Path) -> Path:
    # The dot hides the half-written file from globs; the random part keeps two writers apart.
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` once the block ends without an error.

    A kill at any moment leaves the old file or the new one. The parent folder is made if missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _place_beside(path)
    try:
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        # Some libraries write what only its owner may read, which helps nobody who shares a folder.
        partial.chmod(0o666 & ~_WITHHELD_RIGHTS)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path | str, content: str | bytes) -> None:
    """Write a text (as UTF-8) or bytes to `path` so that a kill leaves the old content or the new."""
    with atomic_file(path) as partial:
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Give an empty folder to fill, which appears as `path` once the block ends without an error.

    An existing `path` is replaced; between the two renames neither exists, but nothing half-written does.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _place_beside(path)
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            old = _place_beside(path)
            os.replace(path, old)
            os.replace(partial, path)
            shutil.rmtree(old)
        else:
            os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sweep(folder: Path | str) -> None:
    """Remove what killed processes left half written in a folder; only for where nobody else may be writing."""
    for leftover in Path(folder).glob(".*.partial"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
