"""Models on the Hugging Face Hub: the files of a repository that a model is in, and their local copies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from models.bundle import LEXICON_FILE, SETTINGS_FILE, VERSION_FILE, VOCODER_FILE, VOCODER_FOLDER, WEIGHTS_FILE
from models.bundles.layouts import CONFIG_FILE
from models.hifigan.other_layouts import ARGUMENTS_FILE
from processors.speakers.sources import SOURCES_FILE
from processors.speakers.speaker_embeddings import EMBEDDINGS_FILE
from processors.speakers.statistics import STATISTICS_FILE
from processors.speakers.voice_folder import LANGUAGES_FILE, SPEAKERS_FILE
from processors.text.symbols import SYMBOLS_FILE
from utils.bundle_file import SUFFIX
from utils.hub import HubError, HubPlace, download, hub_place, is_hub_place

_BUNDLE_FILES = (
    *(SETTINGS_FILE, WEIGHTS_FILE, VERSION_FILE, SYMBOLS_FILE, SPEAKERS_FILE, STATISTICS_FILE, LANGUAGES_FILE),
    *(EMBEDDINGS_FILE, LEXICON_FILE, SOURCES_FILE, VOCODER_FILE),
)
_BESIDE = (CONFIG_FILE, ARGUMENTS_FILE)
_MODEL_FILE = re.compile(r".*\.(pt|pth|ckpt|bin|pkl|safetensors)|g_\d+|generator(_v\d)?", re.IGNORECASE)
_PART_OF_TRAINING = re.compile(r"(do_\d+|.*(optim|discrim|training_args|scheduler).*)", re.IGNORECASE)
_SHOWN = 8


def local_path(path: Path | str) -> Path:
    """Return a path as it is, or the local copy of a place on the Hub, downloaded if it is not there yet.

    Raises:
        HubError: it cannot be downloaded, or no file in it is of a model that may be read.
    """
    if not is_hub_place(path):
        return Path(path)
    place = hub_place(path)
    copy = download(place, lambda names: _needed(place, names))
    if place.folder and copy.is_file():
        return copy
    names = _needed(place, [each.relative_to(copy).as_posix() for each in sorted(copy.rglob("*")) if each.is_file()])
    of_model = [name for name in names if _is_model(name)]
    return copy / of_model[0] if len(of_model) == 1 and WEIGHTS_FILE not in of_model[0] else copy


def _needed(place: HubPlace, names: Sequence[str]) -> list[str]:
    """Return the files that a model needs: of a bundle, of a bundle file, or of a foreign model."""
    if names == [""]:
        return [""]
    for start in ("", "bundle/"):
        if {f"{start}{SETTINGS_FILE}", f"{start}{WEIGHTS_FILE}"} <= set(names):
            files = [f"{start}{vocoder}{name}" for vocoder in ("", f"{VOCODER_FOLDER}/") for name in _BUNDLE_FILES]
            return [name for name in files if name in names]
    found = [name for name in names if "/" not in name and _is_model(name)]
    bundle_files = [name for name in found if name.endswith(SUFFIX)]
    numbered = [name for name in found if re.fullmatch(r"g_\d+", name)]
    chosen = bundle_files or numbered[-1:] or found
    if len(chosen) == 1:
        return [*chosen, *(name for name in _BESIDE if name in names and name not in chosen)]
    if not chosen:
        there = f"it holds {', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''}" if names else "no files"
        folders = sorted({str(PurePosixPath(name).parent) for name in names if _is_model(name)})
        hint = f"; models are in {', '.join(f'{place}/{folder}' for folder in folders[:_SHOWN])}" if folders else ""
        raise HubError(
            f"{place}: no file there is of a model that is read: expected {SETTINGS_FILE} and {WEIGHTS_FILE}, a "
            f"{SUFFIX} file or a published checkpoint; {there}{hint}"
        )
    raise HubError(f"{place}: holds several models; name one: {', '.join(f'{place}/{name}' for name in chosen)}")


def _is_model(name: str) -> bool:
    file = PurePosixPath(name).name
    is_one = name.endswith(SUFFIX) or _MODEL_FILE.fullmatch(file) is not None
    return is_one and _PART_OF_TRAINING.fullmatch(file) is None
