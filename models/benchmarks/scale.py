"""Cost of large corpora apart from their recordings: reading, planning, manifests, opening, batches, resuming."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from config.schema import ExperimentSettings
from models.benchmarks.made_up import made_up_settings
from models.benchmarks.timing import Section
from processors.audio.audio_file import write_wav
from processors.corpora.load import read_dataset
from processors.datasets.acoustic_data import collate_acoustic, open_acoustic_data, open_voice
from processors.datasets.batches import training_batches
from processors.feature_store import ShardWriter, prepare_store
from processors.features import ACOUSTIC_FEATURES, RECORDING_S, SOURCE, store_settings
from processors.preparation.fingerprints import Fingerprints
from processors.preparation.plan import make_plan
from processors.preparation.prepare import prepare
from processors.preparation.textgrid_origin import stamp_of_lexicon, stamp_of_text
from processors.text.arpabet import INVENTORY
from processors.text.front_end_version import FRONT_END, FRONT_END_VERSION
from processors.text.symbols import SymbolTable
from processors.utterance import Utterance, write_manifest
from utils.fingerprint import stamp, stamp_of_file
from utils.machine import forget_peak_memory, peak_memory_mib
from utils.memory import return_free_memory

_DATASET = "made-up"
_SPEAKERS = 100
_IN_SHARD = 64  # as stage 1 groups them
_PHONES, _FRAMES, _N_MEL, _HOP = 60, 60, 2, 8  # phones as many as those of 6 s of speech; frames are few and small
_OVERRIDES = (
    "preprocess.sample_rate=8000",
    "preprocess.n_fft=32",
    f"preprocess.hop_size={_HOP}",
    "preprocess.win_size=32",
    f"preprocess.n_mel={_N_MEL}",
    "preprocess.fmax=4000",
    "preprocess.min_duration_s=0",
    "preprocess.valid_size=0.001",
    "preprocess.test_size=0.001",
    "preprocess.check_language=false",
    "preprocess.speaker_encoder=none",
    f'dataset_layout={{"{_DATASET}": "jsonl"}}',
)


def measure_scale(counts: Sequence[int], folder: Path | None = None) -> list[Section]:
    """Measure made-up corpora of so many utterances, whose features are there already: stage 1 has none to compute.

    All utterances have one recording, so that files are looked at but not read; features take 1.5 kB each.

    Args:
        counts: numbers of utterances.
        folder: for the corpora, which are deleted afterwards; the system's folder for temporary files by default.
    """
    rows: list[dict[str, Any]] = []
    for count in counts:
        with tempfile.TemporaryDirectory(dir=folder) as home:
            rows += _measure(Path(home), count)
    note = "Memory is what the process holds at most during the step, above what it holds before."
    return [Section("Large corpora, of whose features none are missing", note, rows)]


def _measure(home: Path, count: int) -> list[dict[str, Any]]:
    settings = made_up_settings(
        "config/fastspeech2_small.json",
        [
            *_OVERRIDES,
            f"preprocess.processed_dir={home / 'processed'}",
            f'dataset_path={{"{_DATASET}": "{home}"}}',
            "train.batch_size=16",
            "train.num_workers=0",
        ],
    )
    rows: list[dict[str, Any]] = []

    measured = partial(_measured, rows, count)
    measured("written", lambda: _write_corpus(home, settings, count))
    processed_dir = settings.preprocess.processed_path
    _measure_plan(settings, measured)
    measured("whole stage 1", lambda: prepare(settings))
    voice = open_voice(processed_dir, settings.dataset)
    data = measured("split opened", lambda: open_acoustic_data(processed_dir, settings.dataset, "train", voice))
    batches = training_batches(data, collate_acoustic, settings, rank=0, world_size=1)
    measured("first batch", lambda: next(iter(batches.groups(0))))
    middle = batches.groups_per_epoch(3) // 2
    measured("batch after resuming", lambda: next(iter(batches.groups(3, middle))))
    return rows


def _measure_plan(settings: ExperimentSettings, measured: Callable[[str, Callable[[], Any]], Any]) -> None:
    corpus = measured("corpus read", lambda: read_dataset(settings, _DATASET))
    of_all = partial(make_plan, _DATASET, corpus, settings.preprocess, ACOUSTIC_FEATURES)
    plan = measured("planned", lambda: of_all(inventory=SymbolTable(INVENTORY).symbols))
    assert not plan.jobs, "the features that this file writes are those that stage 1 expects"


def _measured(rows: list[dict[str, Any]], count: int, step: str, work: Callable[[], Any]) -> Any:
    """Add the cost of a step to the rows, and return its result."""
    gc.collect()
    return_free_memory()
    forget_peak_memory()
    held, started, worked = peak_memory_mib(), time.perf_counter(), time.process_time()
    result = work()
    cpu_s = time.process_time() - worked
    rows.append(
        {
            "utterances": count,
            "step": step,
            "s": round(time.perf_counter() - started, 2),
            "CPU s": round(cpu_s, 2),
            "CPU us per utterance": round(1e6 * cpu_s / count),
            "MiB": peak_memory_mib() - held,
        }
    )
    return result


def _write_corpus(home: Path, settings: ExperimentSettings, count: int) -> None:
    """Write a manifest, and the features of its utterances as stage 1 would have written them."""
    preprocess = settings.preprocess
    audio = home / "recording.wav"
    write_wav(audio, np.zeros(800, dtype=np.float32), preprocess.sample_rate)
    write_manifest(home / "manifest.jsonl", _utterances(audio, count))
    folder, symbols = preprocess.processed_path / _DATASET, SymbolTable(INVENTORY)
    front_end = {FRONT_END: FRONT_END_VERSION.as_dict()}
    prepare_store(folder, store_settings(preprocess, ACOUSTIC_FEATURES, symbols.symbols), front_end)
    lexicon, limits = stamp_of_lexicon(preprocess), stamp(preprocess.min_duration_s, preprocess.max_duration_s)
    of_audio = stamp_of_file(audio)
    rng = np.random.default_rng(0)
    writer = ShardWriter(folder)
    for number, utterance in enumerate(_utterances(audio, count), start=1):
        text = stamp_of_text(utterance, lexicon, preprocess)
        frames = int(rng.integers(_FRAMES // 2, _FRAMES + 1))
        durations = np.bincount(rng.integers(0, _PHONES, frames), minlength=_PHONES)
        writer.add(
            utterance.id,
            {
                "mel": np.zeros((frames, _N_MEL), dtype=np.float32),
                "f0": np.full(frames, 100.0, dtype=np.float32),
                "energy": np.ones(frames, dtype=np.float32),
                "durations": durations.astype(np.int32),
                "phonemes": rng.integers(8, len(symbols.symbols), _PHONES).astype(np.int32),
                "waveform": np.zeros(frames * _HOP, dtype=np.int16),
                RECORDING_S: np.array([6.0]),
                SOURCE: Fingerprints(of_audio, text, limits=limits).as_array(),
            },
        )
        if number % _IN_SHARD == 0:
            writer.publish()
    writer.publish()


def _utterances(audio: Path, count: int) -> Iterator[Utterance]:
    for number in range(count):
        text = (
            f"This is sentence number {number}, which is about as long as those that are read aloud, or a little more."
        )
        speaker = f"speaker-{number % _SPEAKERS:03d}"
        yield Utterance(f"{speaker}_{number:08d}", _DATASET, speaker, "en", text, audio, 6.0)
