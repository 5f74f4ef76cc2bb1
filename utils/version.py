"""The version of Recital, and which versions understand each other's files."""

from __future__ import annotations

VERSION = "0.2.0"
"""The release, or the one that these sources lead to; `pyproject.toml` and `CITATION.cff` state the same."""


def release(version: str) -> tuple[int, int, int]:
    """Return the three numbers of a version such as `1.4.0` or `1.4.0.dev2`.

    Raises:
        ValueError: it is no version.
    """
    numbers = version.split(".")[:3]
    if len(numbers) < 3 or not all(number.isdecimal() for number in numbers):
        raise ValueError(f"{version!r} is no version, as {VERSION} is")
    major, minor, patch = map(int, numbers)
    return major, minor, patch
