"""Baker (Chinese Standard Mandarin), read by lhotse's recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from processors.corpora.lhotse_adapter import Found, Listed, Part, Recipe


def _parts(folder: Path) -> list[Part]:
    return [Part("all")] if (folder / "ProsodyLabeling" / "000001-010000.txt").is_file() else []


def _listed(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[Listed]:
    from lhotse.recipes.baker_zh import prepare_baker_zh

    manifests = prepare_baker_zh(folder)
    yield parts[0], manifests["recordings"], manifests["supervisions"]


RECIPE = Recipe(
    "ProsodyLabeling/000001-010000.txt and Wave/",
    _parts,
    _listed,
    text=lambda supervision: supervision.custom["normalized_text"],  # without the marks of prosody, #1 to #4
)
