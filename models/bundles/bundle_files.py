"""Files of a bundle beside its weights; read without torch."""

from __future__ import annotations

import json
from pathlib import Path

from config.load import SettingsError, read_settings
from config.schema import ExperimentSettings
from models.bundle import SETTINGS_FILE, VERSION_FILE, VOCODER_FILE, Bundle, BundleError
from models.registry import settings_class
from processors.speakers.sources import read_sources
from processors.speakers.speaker_embeddings import EMBEDDINGS_FILE, SpeakerEmbeddings
from processors.speakers.statistics import STATISTICS_FILE, open_statistics
from processors.speakers.voice_folder import LANGUAGES_FILE, SPEAKERS_FILE, open_languages
from processors.text.front_end_version import FrontEndVersion
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from utils.bundle_file import is_file, read_text, require_sound
from utils.version import VERSION, release


def open_without_weights(folder: Path) -> Bundle:
    """Read a bundle but for its weights, which are left empty.

    Args:
        folder: the bundle, or a bundle file.

    Raises:
        BundleFileError: a bundle file is damaged.
        BundleError: the folder is no bundle, a file in it is damaged, or a later Recital wrote it whose bundles
            this one cannot read.
    """
    require_sound(folder)
    if not is_file(folder / SETTINGS_FILE):
        raise BundleError(f"{folder}: is no bundle: it has no {SETTINGS_FILE}")
    version, front_end = _read_versions(folder / VERSION_FILE)
    return Bundle(
        settings=_read_settings(folder / SETTINGS_FILE, version),
        weights={},
        symbols=SymbolTable.open(folder / SYMBOLS_FILE) if is_file(folder / SYMBOLS_FILE) else None,
        statistics=open_statistics(folder / STATISTICS_FILE) if is_file(folder / STATISTICS_FILE) else {},
        speakers=_read_speakers(folder / SPEAKERS_FILE) if is_file(folder / SPEAKERS_FILE) else {},
        embeddings=SpeakerEmbeddings.open(path) if is_file(path := folder / EMBEDDINGS_FILE) else None,
        languages=open_languages(folder / LANGUAGES_FILE),
        folder=folder,
        version=version,
        front_end=front_end,
        vocoder_name=_read_vocoder_name(folder / VOCODER_FILE),
        sources=read_sources(folder),
    )


def _read_versions(path: Path) -> tuple[str, FrontEndVersion]:
    """Read which Recital wrote a bundle, empty where the bundle does not say, and the front end's version.

    Raises:
        BundleError: the file is damaged, or of a later major version.
    """
    if not is_file(path):
        return "", FrontEndVersion()
    try:
        versions = json.loads(read_text(path))
        version = versions["recital"]
        major, _, _ = release(version)
        front_end = FrontEndVersion.read(versions)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path}: is damaged: {error}; copy the bundle again") from error
    if major > release(VERSION)[0]:
        raise BundleError(
            f"{path.parent}: was written by Recital {version}, whose bundles Recital {VERSION} cannot read; "
            "update Recital"
        )
    return str(version), front_end


def _read_vocoder_name(path: Path) -> str:
    if not is_file(path):
        return ""
    try:
        name = json.loads(read_text(path))["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: is damaged: {error!r}; copy the bundle again") from error
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise BundleError(f"{path}: found {name!r}; expected the name of a folder in ckpts/vocoder")
    return name


def _read_settings(path: Path, version: str) -> ExperimentSettings:
    try:
        return read_settings(path, settings_class)
    except SettingsError as error:
        if not version or release(version) <= release(VERSION):
            raise
        raise BundleError(
            f"{error}\n  the bundle was written by Recital {version}, this is {VERSION}: update Recital"
        ) from error


def _read_speakers(path: Path) -> dict[str, int]:
    try:
        speakers = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    if not isinstance(speakers, dict) or sorted(speakers.values()) != list(range(len(speakers))):
        raise BundleError(f"{path}: must give each speaker's name its row, counted from 0")
    return speakers
