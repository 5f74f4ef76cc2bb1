"""AISHELL-3, read by lhotse's recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from processors.corpora.lhotse_adapter import Found, Listed, Part, Recipe


def _parts(folder: Path) -> list[Part]:
    return [Part(name, name) for name in ("train", "test") if (folder / name / "content.txt").is_file()]


def _listed(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[Listed]:
    from lhotse import RecordingSet
    from lhotse.recipes.aishell3 import prepare_aishell3

    manifests = prepare_aishell3(folder)
    for part in parts:
        # lhotse 1.33 swaps the names of the two sets.
        sets = sorted(manifests[part.name].values(), key=lambda found: not isinstance(found, RecordingSet))
        yield part, *sets


RECIPE = Recipe("train/content.txt and test/content.txt", _parts, _listed)
