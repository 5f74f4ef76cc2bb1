"""Free space on the disk of a folder that need not exist yet."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from models.doctor.finding import Finding, size

LITTLE_DISK = 2**28
"""Bytes that logbooks, reports and temporary files may take, whatever else is written."""


def free_space(folder: Path, need: int, what: str = "") -> Iterator[Finding]:
    """Compare the space that is free for a folder with what is needed, and look whether it can be written to.

    Args:
        folder: its nearest existing parent counts.
        need: bytes.
        what: the need in words; empty for none.
    """
    there = existing(folder)
    free = shutil.disk_usage(there).free
    text = f"{folder}: {size(free)} free{f', {size(need)} needed for {what}' if what else ''}"
    if free < need:
        yield Finding(f"{text}: the disk is too full", f"df -h {shlex.quote(str(there))}")
    else:
        yield Finding(text)
    if not there.is_dir() or not os.access(there, os.W_OK):
        problem = "cannot be written to" if there.is_dir() else "is a file, where a folder is to be"
        yield Finding(f"{there}: {problem}", f"ls -ld {shlex.quote(str(there))}")


def existing(folder: Path) -> Path:
    """Return a folder, or its nearest parent that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())
