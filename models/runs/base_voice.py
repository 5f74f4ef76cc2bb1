"""The shipped base voice as the initial weights of a fine-tuning that names no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from config import paths
from config.load import read_settings
from config.schema import ExperimentSettings
from models.bundle import SETTINGS_FILE, WEIGHTS_FILE
from models.registry import settings_class
from processors.audio.mel_settings import MEL_SETTINGS
from processors.corpora.load import languages_of
from processors.text.language_codes import primary_language


def fitting_base(settings: ExperimentSettings) -> Path | None:
    """Return the folder of the base voice if it is there and fits: network, mels, language and phones."""
    base = paths.SHIPPED_BASE
    if not (base / WEIGHTS_FILE).is_file() or not (base / SETTINGS_FILE).is_file():
        return None
    theirs = read_settings(base / SETTINGS_FILE, settings_class)
    is_same_model = theirs.model_type == settings.model_type
    return base if is_same_model and _decisive(theirs) == _decisive(settings) else None


def _decisive(settings: ExperimentSettings) -> dict[str, Any]:
    """Return the settings on which the shapes of weights, and the meaning of symbols and mels, depend."""
    tree = settings.model_dump(mode="json")
    network = {name: value for name, value in tree["model"].items() if "dropout" not in name}
    preprocess = {name: tree["preprocess"][name] for name in (*MEL_SETTINGS, "phone_extractor")}
    languages = {primary_language(language) for language in languages_of(settings).values()}
    return {**network, **preprocess, "languages": sorted(languages)}
