"""Made-up experiments: settings, tasks and batches without a corpus."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from config.load import load_settings
from config.schema import ExperimentSettings
from models.bundle import Bundle
from models.bundles.locate import open_bundle
from models.registry import make_task, settings_class
from processors.datasets.batches import BatchPlan
from processors.speakers.statistics import STATISTICS_FILE, SpeakerStatistics, Spread, save_statistics
from processors.speakers.voice_folder import SPEAKERS_FILE
from processors.text.arpabet import INVENTORY
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from utils.files import write_atomically
from utils.task import Task

FRAMES_PER_PHONE = 6
# LJSpeech's recordings last from 1.1 to 10.1 s, 6.6 s on average, and have 6.4 frames per phone.
_MIN_S, _MAX_S, _SKEW = 1.1, 10.1, (4.0, 2.2)
_N_UTTERANCES = 4000


def made_up_settings(config: str, overrides: Sequence[str]) -> ExperimentSettings:
    """Read a model's config, which names no corpus, as if a recipe had refined it.

    Raises:
        SettingsError: the file or an override is faulty.
    """
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "exp_config.json"
        recipe.write_text(
            json.dumps({"base_config": config, "dataset": ["made-up"], "dataset_path": {"made-up": "none"}})
        )
        return load_settings(recipe, overrides, settings_class).settings


def made_up_task(settings: ExperimentSettings) -> Task:
    """Return a task with random weights that has one speaker and the English phones."""
    scale = settings.preprocess.pitch_scale
    pitch = Spread(5.0, 0.25, 4.0, 6.0, 1) if scale == "log" else Spread(150.0, 40.0, 50.0, 400.0, 1)
    spread = SpeakerStatistics(pitch, Spread(30.0, 15.0, 0.0, 100.0, 1), scale)
    with tempfile.TemporaryDirectory() as folder:
        processed_dir = Path(folder)
        SymbolTable(INVENTORY).save(processed_dir / SYMBOLS_FILE)
        save_statistics(processed_dir / STATISTICS_FILE, {"speaker": spread})
        write_atomically(processed_dir / SPEAKERS_FILE, json.dumps({"speaker": 0}))
        preprocess = settings.preprocess.model_copy(update={"processed_dir": str(processed_dir)})
        torch.manual_seed(0)
        return make_task(settings.model_copy(update={"preprocess": preprocess}))


def untrained_bundle(settings: ExperimentSettings) -> Bundle:
    """Return the bundle of a task that has not learned anything."""
    with tempfile.TemporaryDirectory() as folder:
        made_up_task(settings).bundle(Path(folder))
        return open_bundle(folder)


def _lengths(settings: ExperimentSettings) -> np.ndarray:
    seconds = np.clip(np.random.default_rng(0).beta(*_SKEW, _N_UTTERANCES) * 10.3, _MIN_S, _MAX_S)
    return (seconds * settings.preprocess.sample_rate / settings.preprocess.hop_size).astype(int)


def bucketed_lengths(settings: ExperimentSettings, count: int) -> Iterator[np.ndarray]:
    """Yield the frames of each recording of some batches of like lengths, from the shortest to the longest batch."""
    lengths = _lengths(settings)
    groups = [members for [members] in BatchPlan(lengths, batch_size=settings.train.batch_size).groups(0)]
    by_length = sorted(groups, key=lambda members: lengths[members].sum())
    for number in range(count):
        yield lengths[by_length[int((number + 0.5) / count * len(by_length))]]


def random_lengths(settings: ExperimentSettings, count: int) -> Iterator[np.ndarray]:
    """Yield the frames of each recording of some batches drawn at random."""
    size, lengths = settings.train.batch_size, _lengths(settings)
    for start in range(0, count * size, size):
        yield lengths[start : start + size]
