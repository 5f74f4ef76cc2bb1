"""Version of Recital."""

from __future__ import annotations

import platform
import sys

VERSION = "0.2.0"
"""The current or next release; `pyproject.toml` and `CITATION.cff` repeat it."""
OLDEST_PYTHON = (3, 10)
"""Likewise of Python, as in `pyproject.toml` and `env.sh`."""


def is_old_python() -> bool:
    """Return whether this Python is older than `OLDEST_PYTHON`."""
    return tuple(sys.version_info[:2]) < OLDEST_PYTHON


def python_needed() -> str:
    """Return the message for a Python that is too old."""
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return (
        f"{sys.executable} is Python {platform.python_version()}, and Recital needs {oldest} or newer: sh env.sh finds "
        "one, or names what to install; PYTHON must not name an older one"
    )


def release(version: str) -> tuple[int, int, int]:
    """Return the three numbers of a version such as `1.4.0` or `1.4.0.dev2`.

    Raises:
        ValueError: it is not a version.
    """
    numbers = version.split(".")[:3]
    if len(numbers) < 3 or not all(number.isdecimal() for number in numbers):
        raise ValueError(f"{version!r} is not a version such as {VERSION}")
    major, minor, patch = map(int, numbers)
    return major, minor, patch
