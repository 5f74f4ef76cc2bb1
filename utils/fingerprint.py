"""Short fingerprints of values and files, to detect changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

STAMP_BYTES = 8
NOTHING = bytes(STAMP_BYTES)
"""Stamp of a missing file, and of what is not used."""


def stamp(*values: object) -> bytes:
    """Return a hash of JSON values, `STAMP_BYTES` long."""
    return hashlib.blake2b(json.dumps(values, ensure_ascii=False).encode(), digest_size=STAMP_BYTES).digest()


def stamp_of_file(path: Path | None) -> bytes:
    """Return a stamp of a file's size and modification time; `NOTHING` where there is no file."""
    if path is None:
        return NOTHING
    try:
        status = path.stat()
    except OSError:
        return NOTHING
    return stamp(status.st_size, status.st_mtime_ns)
