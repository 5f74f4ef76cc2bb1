"""Download URLs and checksums of published corpora, and their download in stage 0."""

from __future__ import annotations

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
from utils.console import say
from utils.download import download
from utils.files import write_atomically
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


def _libritts(base: str, md5_of: dict[str, str], dash: str) -> tuple[Archive, ...]:
    return tuple(
        Archive(f"{base}/{part.replace('-', dash)}.tar.gz", part, f"md5:{md5}", Part(part, kind=part.split("-")[1]))
        for part, md5 in md5_of.items()
    )


_ARCTIC_SHA256 = {
    "aew": "645cb33c0f0b2ce41384fdd8d3db2c3f5fc15c1e688baeb74d2e08cab18ab406",
    "ahw": "024664adeb892809d646a3efd043625b46b5bfa3e6189b3500b2d0d59dfab06c",
    "aup": "2c55bc3050caa996758869126ad10cf42e1441212111db034b3a45189c18b6fc",
    "awb": "d74a950c9739a65f7bfc4dfa6187f2730fa03de5b8eb3f2da97a51b74df64d3c",
    "axb": "dd65c3d2907d1ee52f86e44f578319159e60f4bf722a9142be01161d84e330ff",
    "bdl": "26b91aaf48b2799b2956792b4632c2f926cd0542f402b5452d5adecb60942904",
    "clb": "3f16dc3f3b97955ea22623efb33b444341013fc660677b2e170efdcc959fa7c6",
    "eey": "8a0ee4e5acbd4b2f61a4fb947c1730ab3adcc9dc50b195981d99391d29928e8a",
    "fem": "3fcff629412b57233589cdb058f730594a62c4f3a75c20de14afe06621ef45e2",
    "gka": "dc82e7967cbd5eddbed33074b0699128dbd4482b41711916d58103707e38c67f",
    "jmk": "3a37c0e1dfc91e734fdbc88b562d9e2ebca621772402cdc693bbc9b09b211d73",
    "ksp": "8029cafce8296f9bed3022c44ef1e7953332b6bf6943c14b929f468122532717",
    "ljm": "b23993765cbf2b9e7bbc3c85b6c56eaf292ac81ee4bb887b638a24d104f921a0",
    "lnh": "4faf34d71aa7112813252fb20c5433e2fdd9a9de55a00701ffcbf05f24a5991a",
    "rms": "c6dc11235629c58441c071a7ba8a2d067903dfefbaabc4056d87da35b72ecda4",
    "rxr": "1fa4271c393e5998d200e56c102ff46fcfea169aaa2148ad9e9469616fbfdd9b",
    "slp": "54345ed55e45c23d419e9a823eef427f1cc93c83a710735ec667d068c916abf1",
    "slt": "7c173297916acf3cc7fcab2713be4c60b27312316765a90934651d367226b4ea",
}

ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "LJSpeech": (
        Archive(
            "https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
            "metadata.csv",
            "sha256:be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
        ),
    ),
    "VCTK": (
        Archive(
            "https://datashare.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",
            "wav48_silence_trimmed",
            "md5:8a6ba2946b36fcbef0212cad601f4bfa",
        ),
    ),
    "LibriTTS": _libritts(
        "https://www.openslr.org/resources/60",
        {
            "train-clean-100": "4a8c202b78fe1bc0c47916a98f3a2ea8",
            "train-clean-360": "a84ef10ddade5fd25df69596a2767b2d",
            "train-other-500": "7b181dd5ace343a5f38427999684aa6f",
            "dev-clean": "0c3076c1e5245bb3f0af7d82087ee207",
            "dev-other": "815555d8d75995782ac3ccd7f047213d",
            "test-clean": "7bed3bdb047c4c197f1ad3bc412db59f",
            "test-other": "ae3258249472a13b5abef2a816f733e4",
        },
        "-",
    ),
    "LibriTTS_R": _libritts(
        "https://www.openslr.org/resources/141",
        {
            "train-clean-100": "6df668d8f5f33e70876bfa33862ad02b",
            "train-clean-360": "382eb3e64394b3da6a559f864339b22c",
            "train-other-500": "a37a8e9f4fe79d20601639bf23d1add8",
            "dev-clean": "2c1f5312914890634cc2d15783032ff3",
            "dev-other": "62d3a80ad8a282b6f31b3904f0507e4f",
            "test-clean": "4d373d453eb96c0691e598061bbafab7",
            "test-other": "dbc0959d8bdb6d52200595cabc9995ae",
        },
        "_",
    ),
    "HiFiTTS": (Archive("https://www.openslr.org/resources/109/hi_fi_tts_v0.tar.gz", "92_manifest_clean_train.json"),),
    "CMU_ARCTIC": tuple(
        Archive(
            f"http://festvox.org/cmu_arctic/packed/cmu_us_{speaker}_arctic.tar.bz2",
            f"cmu_us_{speaker}_arctic",
            f"sha256:{sha256}",
            Part(speaker),
        )
        for speaker, sha256 in _ARCTIC_SHA256.items()
    ),
    "AISHELL-3": (Archive("https://www.openslr.org/resources/93/data_aishell3.tgz", "spk-info.txt"),),
    "Baker": (
        # A copy; the publisher's needs a registration and is a RAR.
        Archive("https://huggingface.co/openspeech/BZNSYP/resolve/main/BZNSYP.tar.bz2", "ProsodyLabeling"),
    ),
}
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
        say(f"{dataset}: is in {folder}")
        return
    names_parts = any({part.name, part.kind} & set(subset) for part in parts)
    if there and not names_parts and (is_manual or subset):
        # Not tens of gigabytes that were not asked for.
        say(f"{dataset}: {folder} has {', '.join(there)}; name other parts in dataset_subset to download them")
        return
    say(f"{dataset}: downloading {', '.join(archive.name for archive in missing)} to {folder}")
    with sole_user(folder):
        for archive in missing:
            if not _is_there(folder, archive):
                _download_archive(dataset, folder, archive, mirror, keep_archives)
    (folder / ".lock").unlink(missing_ok=True)


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
        say(f"{dataset}: {archive.name} has the published checksum")
    elif expected:
        say(f"{dataset}: {archive.name} has the checksum of its first download")
    else:
        say(f"{dataset}: no checksum of {archive.name} is published; recorded {found} for the next download")
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
        place = target / inner.name
        if inner.is_dir() and place.is_dir():
            _merge(inner, place)
        else:
            os.replace(inner, place)


def _record(folder: Path) -> dict[str, Any]:
    """Return the records of downloads by archive."""
    try:
        recorded = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


def _add_to_record(folder: Path, archive: Archive, **facts: object) -> None:
    write_atomically(folder / _RECORD, json.dumps(_record(folder) | {archive.name: facts}, indent=2) + "\n")
