"""Tables of `tests/data`, one case per line."""

from __future__ import annotations

from config.paths import REPOSITORY


def read_table(name: str) -> list[tuple[str, ...]]:
    """Return the rows of `tests/data/NAME.tsv`, without the lines that begin with "# "."""
    text = (REPOSITORY / "tests" / "data" / f"{name}.tsv").read_text(encoding="utf-8")
    return [tuple(line.split("\t")) for line in text.splitlines() if not line.startswith("# ")]
