"""Repetition in the sources and in the tests."""

from __future__ import annotations

from collections import defaultdict

import pytest

from config.paths import REPOSITORY
from tests.support.sources import FLOORS, sources

GROUP = 6
PUNCTUATION = set("()[]{},:")


def significant_lines(path):
    """Return line numbers and texts without blank lines, comments, imports and lone punctuation."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        text = line.strip()
        if text and not text.startswith(("#", "import ", "from ")) and not set(text) <= PUNCTUATION:
            yield number, text


def repeated_share(lines_of):
    """Return the share of lines that are in a group of six equal lines elsewhere, and where the groups are."""
    places = defaultdict(set)
    total = 0
    for name, lines in lines_of.items():
        total += len(lines)
        for start in range(len(lines) - GROUP + 1):
            group = lines[start : start + GROUP]
            places[tuple(text for _, text in group)].add((name, tuple(number for number, _ in group)))
    repeated = [found for found in places.values() if len(found) > 1]
    lines = {(name, number) for found in repeated for name, numbers in found for number in numbers}
    return len(lines) / total, sorted((name, numbers[0] + 1) for found in repeated for name, numbers in found)


def test_groups_of_six_equal_lines_are_found_wherever_they_are():
    lines = [(number, f"line {number}") for number in range(20)]
    shared = [(number + 50, f"line {number}") for number in range(6)]
    assert repeated_share({"a.py": lines, "b.py": shared}) == (12 / 26, [("a.py", 1), ("b.py", 51)])
    assert repeated_share({"a.py": lines, "b.py": shared[:5]}) == (0, [])


@pytest.mark.parametrize("folders", [FLOORS, ("tests",)], ids=["sources", "tests"])
def test_under_one_percent_of_the_lines_is_repeated(folders):
    share, places = repeated_share(
        {str(path.relative_to(REPOSITORY)): list(significant_lines(path)) for path in sources(*folders)}
    )
    assert share < 0.01, places
