"""LibriTTS and LibriTTS-R, read by lhotse's recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from processors.corpora.lhotse_adapter import SPLIT_OF, Found, Lack, Listed, Part, Recipe
from processors.utterance import numbered_lines

# Known to lhotse's recipe as unreadable.
_DAMAGED = "1092_134562_000013_000004.wav"


def _parts(folder: Path) -> list[Part]:
    names = (
        "train-clean-100",
        "train-clean-360",
        "train-other-500",
        "dev-clean",
        "dev-other",
        "test-clean",
        "test-other",
    )
    return [
        Part(name, SPLIT_OF[name.split("-")[0]], kind=name.split("-")[1]) for name in names if (folder / name).is_dir()
    ]


def _listed(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[Listed]:
    from lhotse.recipes.libritts import prepare_libritts

    manifests = prepare_libritts(folder, dataset_parts=[part.name for part in parts])
    for part in parts:
        supervisions = manifests[part.name]["supervisions"]
        found.lacks.extend(_lacks(folder / part.name, part, {each.id for each in supervisions}))
        yield part, manifests[part.name]["recordings"], supervisions


def _lacks(folder: Path, part: Part, complete: Set[str]) -> Iterator[Lack]:
    for table in sorted(folder.glob("*/*/[!.]*.trans.tsv")):
        for number, line in numbered_lines(table):
            name = line.split("\t")[0]
            if name not in complete:
                is_damaged = f"{name}.wav" == _DAMAGED
                reason = "known to be damaged as published" if is_damaged else f"no recording {name}.wav"
                yield Lack(name.split("_")[0], f"{table}:{number}", name, reason)
    for path in sorted(folder.glob("*/*/[!.]*.wav")):
        if path.stem not in complete and path.name != _DAMAGED:
            reason = f"no text in {path.parent.parent.name}_{path.parent.name}.trans.tsv"
            yield Lack(path.parent.parent.name, str(path), path.stem, reason, path, part.split)


RECIPE = Recipe("train-clean-100/, dev-clean/ and the like", _parts, _listed, has_all_lacks=True)
