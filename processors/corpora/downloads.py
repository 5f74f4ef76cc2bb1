"""Download URLs and checksums of published corpora, and their download in stage 0."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processors.corpora.corpus import CorpusError
from processors.corpora.layouts import LAYOUT_OF_DATASET, RECIPES
from processors.corpora.lhotse_adapter import Part, chosen_parts
from utils.console import info
from utils.download import download
from utils.files import read_table, write_atomically
from utils.lock import sole_user
from utils.suggestions import did_you_mean
from utils.unpack import unpack

_RECORD = ".downloads.json"
_WORKPLACE = ".download"
# Losslessly compressed speech expands to at most about one and a half times its size.
_UNPACKED_FACTOR = 1.5


@dataclass(frozen=True)
class Archive:
    """An archive of a corpus, or of a part of it.

    Attributes:
        url: the official address.
        holds: a file or folder in the corpus's folder; its path in the archive determines that folder.
        checksum: published by the host or by other toolkits; empty if none is.
        part: of the corpus, as `dataset_subset` names it.
    """

    url: str
    holds: str
    checksum: str = ""
    part: Part = field(default_factory=lambda: Part(""))

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


def _read_archives() -> dict[str, tuple[Archive, ...]]:
    archives: dict[str, tuple[Archive, ...]] = {}
    for row in read_table(Path(__file__).with_name("archives.tsv")):
        dataset, part, kind, holds, checksum, url = ("" if column == "-" else column for column in row)
        archives[dataset] = (*archives.get(dataset, ()), Archive(url, holds, checksum, Part(part, kind=kind)))
    return archives


ARCHIVES = _read_archives()
"""Archives by name of the corpus."""


def is_downloadable(dataset: str, layout: str) -> bool:
    """Return whether a dataset is a corpus of `ARCHIVES`, and not the user's own under the same name."""
    return dataset in ARCHIVES and layout in (LAYOUT_OF_DATASET[dataset], f"{LAYOUT_OF_DATASET[dataset]}_official")


def download_corpus(
    dataset: str, folder: Path, *, subset: Sequence[str] = (), mirror: str = "", keep_archives: bool = False
) -> None:
    """Download, verify and unpack the missing archives of a corpus; existing files are kept.

    May be stopped or killed at any moment; the next call continues.

    Args:
        dataset: a key of `ARCHIVES`.
        folder: destination, `dataset_path`.
        subset: the parts to download, `dataset_subset`; all of them if empty.
        mirror: a URL with the archives under the same file names, in place of the official ones.
        keep_archives: whether to keep the archives.

    Raises:
        DownloadError: an archive cannot be downloaded, or its checksum differs.
        UnpackError: an archive is damaged or unsafe.
        CorpusError: an archive has other contents, or a part's name is misspelt.
    """
    archives = ARCHIVES[dataset]
    parts = [archive.part for archive in archives]
    _refuse_near_names(dataset, subset, {name for part in parts for name in (part.name, part.kind)} - {""})
    chosen = chosen_parts(parts, subset)
    wanted = [archive for archive in archives if archive.part in chosen]
    missing = [archive for archive in wanted if not _is_there(folder, archive)]
    there = [archive.holds for archive in wanted if archive not in missing]
    is_manual = not _record(folder)
    if not missing or (is_manual and len(archives) == 1 and _is_corpus(dataset, folder)):
        info(f"{dataset}: is in {folder}")
        return
    names_parts = any({part.name, part.kind} & set(subset) for part in parts)
    if there and not names_parts and (is_manual or subset):
        # Not tens of gigabytes that were not asked for.
        info(f"{dataset}: {folder} has {', '.join(there)}; name other parts in dataset_subset to download them")
        return
    info(f"{dataset}: downloading {', '.join(archive.name for archive in missing)} to {folder}")
    created = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        with sole_user(folder):
            for archive in missing:
                if not _is_there(folder, archive):
                    _download_archive(dataset, folder, archive, mirror, keep_archives)
    finally:
        (folder / ".lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: something was downloaded
            for empty in (folder / _WORKPLACE, *created):
                empty.rmdir()


def _refuse_near_names(dataset: str, subset: Sequence[str], known: Set[str]) -> None:
    """Raise a `CorpusError` for a misspelt part: taken for a speaker, it would download all parts."""
    for name in subset:
        if name not in known and (meant := did_you_mean(name, sorted(known), cutoff=0.8)):
            raise CorpusError(f"dataset_subset.{dataset}: unknown part {name!r}{meant}")


def _is_corpus(dataset: str, folder: Path) -> bool:
    """Return whether a folder holds any version or part of a corpus."""
    recipe = RECIPES.get(LAYOUT_OF_DATASET.get(dataset, ""))
    return recipe is not None and folder.is_dir() and bool(recipe.parts(folder))


def _is_there(folder: Path, archive: Archive) -> bool:
    recorded = _record(folder).get(archive.name)
    if recorded is not None and not recorded.get("is_unpacked"):
        return False
    return (folder / archive.holds).exists()


def _download_archive(dataset: str, folder: Path, archive: Archive, mirror: str, keep_archives: bool) -> None:
    workplace = folder / _WORKPLACE
    packed = workplace / archive.name
    url = f"{mirror.rstrip('/')}/{archive.name}" if mirror else archive.url
    recorded = _record(folder).get(archive.name, {})
    expected = archive.checksum or recorded.get("sha256", "")
    found = download(url, packed, checksum=expected, room_factor=_UNPACKED_FACTOR)
    if archive.checksum:
        info(f"{dataset}: {archive.name} has the published checksum")
    elif expected:
        info(f"{dataset}: {archive.name} has the checksum of its first download")
    else:
        info(f"{dataset}: no checksum of {archive.name} is published; recorded {found} for the next download")
    # Until it is unpacked completely, the folder may hold a part of it.
    _add_to_record(folder, archive, url=url, sha256=found, is_unpacked=False)
    unpacked = workplace / f"{archive.name}.unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpack(packed, unpacked)
    _merge(_root(unpacked, archive), folder)
    _add_to_record(folder, archive, url=url, sha256=found, is_unpacked=True)
    shutil.rmtree(unpacked)
    if not keep_archives:
        packed.unlink()
    if not any(workplace.iterdir()):
        workplace.rmdir()


def _root(unpacked: Path, archive: Archive) -> Path:
    """Return the corpus's folder in an unpacked archive, at most two levels down."""
    for pattern in ("", "*/", "*/*/"):
        for found in sorted(unpacked.glob(f"{pattern}{archive.holds}")):
            return found.parent
    raise CorpusError(f"{archive.name}: holds no {archive.holds}, so that it is not the expected archive")


def _merge(source: Path, target: Path) -> None:
    """Move the contents of a folder into another, replacing files of the same name."""
    target.mkdir(parents=True, exist_ok=True)
    for inner in sorted(source.iterdir()):
        destination = target / inner.name
        if inner.is_dir() and destination.is_dir():
            _merge(inner, destination)
        else:
            os.replace(inner, destination)


def _record(folder: Path) -> dict[str, Any]:
    """Return the records of downloads by archive."""
    try:
        recorded = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


def _add_to_record(folder: Path, archive: Archive, **facts: object) -> None:
    write_atomically(folder / _RECORD, json.dumps(_record(folder) | {archive.name: facts}, indent=2) + "\n")
