"""Hi-Fi TTS, read by lhotse's recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from processors.corpora.lhotse_adapter import SPLIT_OF, Found, Listed, Part, Recipe


def _parts(folder: Path) -> list[Part]:
    """List one part per manifest, <reader>_manifest_<clean|other>_<train|dev|test>.json."""
    parts = []
    for path in sorted(folder.glob("*_manifest_*_*.json")):
        reader, _, kind, split = path.stem.split("_", 3)
        if split in SPLIT_OF:
            parts.append(Part(f"{reader}_{kind}_{split}", SPLIT_OF[split], kind))
    return parts


def _listed(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[Listed]:
    from lhotse.recipes.hifitts import prepare_single_partition

    for part in parts:
        reader, kind, split = part.name.split("_", 2)
        manifest = folder / f"{reader}_manifest_{kind}_{split}.json"
        yield part, *prepare_single_partition(manifest, folder, reader, kind)
    if len(parts) > 1:
        of_reader = {part.name.rpartition("_")[0].replace("_", "_manifest_") for part in parts}
        for name in (f"{each}_{split}.json" for each in sorted(of_reader) for split in SPLIT_OF):
            if not (folder / name).exists():
                found.notes.append(f"{folder}: has no {name}, so that what it lists is not used")


RECIPE = Recipe(
    "92_manifest_clean_train.json and the like",
    _parts,
    _listed,
    text=lambda supervision: supervision.custom["text_punct"],  # the other has neither case nor punctuation
    speaker=lambda part, supervision: part.name.split("_")[0],  # as the corpus numbers its readers
)
