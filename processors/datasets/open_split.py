"""Opening of prepared splits: manifests and feature stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from processors.feature_store import FeatureStore
from processors.features import DataError
from processors.utterance import ManifestError, Utterance, read_manifest


def open_split(
    processed_dir: Path,
    datasets: Sequence[str],
    *splits: str,
    is_usable: Callable[[Utterance, FeatureStore], bool] | None = None,
    expect: Mapping[str, Any] | None = None,
) -> tuple[list[Utterance], dict[str, FeatureStore]]:
    """Open one or more splits of all corpora of an experiment.

    Args:
        processed_dir: the output of stage 1.
        datasets: names of the corpora; they replace the names in the manifests, which may be those of a former setting.
        *splits: `train`, `valid`, ...
        is_usable: whether an utterance has the required phones; None if none are required.
        expect: the settings that the features must have been made with; see `FeatureStore.open`.

    Returns:
        The usable utterances, and the feature store of each corpus.

    Raises:
        ManifestError, StoreError: a manifest or a store is damaged, or made with other settings.
        DataError: a manifest is missing, or lists nothing usable.
    """
    utterances: list[Utterance] = []
    stores = {}
    for dataset in datasets:
        manifests = [processed_dir / dataset / f"{split}.jsonl" for split in splits]
        for manifest in manifests:
            if not manifest.is_file():
                raise DataError(f"{manifest}: no such file; run stage 1 first")
        store = stores[dataset] = FeatureStore.open(processed_dir / dataset, expect)
        for manifest in manifests:
            listed = read_manifest(manifest)
            # Stage 1 of a vocoder also lists recordings whose text cannot be used.
            usable = [each for each in listed if is_usable is None or is_usable(each, store)]
            if listed and not usable:
                raise DataError(f"{manifest}: no recording has phones; run stage 1 of a recipe with texts")
            utterances += (each if each.dataset == dataset else replace(each, dataset=dataset) for each in usable)
    return utterances, stores


def read_split(processed_dir: Path, dataset: str, split: str) -> list[Utterance]:
    """Read the manifest of a split that the user has named.

    Raises:
        ManifestError: the manifest is missing (the message lists existing ones), empty or damaged.
    """
    path = processed_dir / dataset / f"{split}.jsonl"
    if not path.is_file():
        splits = sorted(
            str(found.relative_to(processed_dir))[: -len(".jsonl")] for found in processed_dir.glob("*/*.jsonl")
        )
        raise ManifestError(
            f"{path}: no such split; "
            + (f"found: {', '.join(splits)}" if splits else f"{processed_dir} has no splits yet: run stage 1")
        )
    utterances = read_manifest(path)
    if not utterances:
        raise ManifestError(f"{path}: the {split} split of {dataset} is empty")
    return utterances
