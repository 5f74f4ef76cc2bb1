"""A hundred texts in two languages, and eight threads that work on them at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_NAMES = ("Anna", "Schoeffer", "Wilbrand", "the judge", "Zuzanna")
TEXTS = [
    text
    for number in range(10)
    for name in _NAMES
    for text in (
        ("en", f"On May {number + 1}, {name} saw {3 * number}.{number} apples; who read the read book? The old owl!"),
        (
            "de",
            f"{name.title()} möchte {number},{number + 2} Äpfel, z.B. heute. Die Pfütze: tschüss, {7 * number}?",
        ),
    )
]
"""(language, text), the languages in turn."""


def by_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Do the work of each item in one of eight threads, which change places much more often than usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(work, items))
    finally:
        sys.setswitchinterval(interval)
