"""Version of Recital."""

from __future__ import annotations

VERSION = "0.2.0"
"""The current or next release; `pyproject.toml` and `CITATION.cff` repeat it."""


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
