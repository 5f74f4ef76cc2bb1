"""Atomic writing of files and folders, and reading of small tables."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# It can be read only by setting it, which is safe before there are threads.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


def _partial_beside(path: Path) -> Path:
    # The dot hides the partial file from globs; the random part separates two writers.
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yield a path to write to, which replaces `path` when the block ends without an error.

    A kill at any moment leaves the old file or the new one. The parent folder is created if missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_beside(path)
    try:
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        # Some libraries write files that only their owner may read; folders may be shared.
        partial.chmod(0o666 & ~_UMASK)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path | str, content: str | bytes) -> None:
    """Write a text (as UTF-8) or bytes to `path`; a kill leaves the old content or the new."""
    with atomic_file(path) as partial:
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield an empty folder to fill, which becomes `path` when the block ends without an error.

    An existing `path` is replaced; between the two renames neither exists, but never a partial one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_beside(path)
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            old = _partial_beside(path)
            os.replace(path, old)
            os.replace(partial, path)
            shutil.rmtree(old)
        else:
            os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_partial_files(folder: Path | str) -> None:
    """Remove partial files that killed processes left in a folder to which no other process writes."""
    for leftover in Path(folder).glob(".*.partial"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def read_table(path: Path) -> list[list[str]]:
    """Read the rows of a table whose columns are separated by white space; lines that begin with "# " are comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line and not line.startswith("# ")]
