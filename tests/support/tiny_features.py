"""Synthetic features in the form that stage 1 writes, for tests of training."""

from __future__ import annotations

import json
from pathlib import Path

import json5
import numpy as np

from config.paths import REPOSITORY
from config.schema import PreprocessSettings
from processors.audio.mel import MEL_FLOOR
from processors.feature_store import ShardWriter, prepare_store
from processors.features import ACOUSTIC_FEATURES, store_settings
from processors.speakers.statistics import StatisticsCollector, save_statistics
from processors.text.arpabet import INVENTORY
from processors.text.symbols import SymbolTable
from processors.utterance import Utterance, write_manifest

HOP_SIZE = 64
N_MEL = 12
PREPROCESS = (
    "preprocess.sample_rate=8000",
    "preprocess.n_fft=256",
    f"preprocess.hop_size={HOP_SIZE}",
    "preprocess.win_size=256",
    f"preprocess.n_mel={N_MEL}",
    "preprocess.fmax=4000",
)
"""Settings that match the features."""


def _preprocess_settings() -> PreprocessSettings:
    values = json5.loads((REPOSITORY / "config" / "base.json").read_text(encoding="utf-8"))["preprocess"]
    for override in PREPROCESS:
        name, _, value = override.removeprefix("preprocess.").partition("=")
        values[name] = json.loads(value)
    return PreprocessSettings.model_validate_json(json.dumps(values))


def write_features(
    processed_dir: Path,
    dataset: str = "tiny",
    n_train: int = 10,
    n_valid: int = 3,
    speakers: tuple[str, ...] = ("a", "b"),
    inventory: tuple[str, ...] = INVENTORY,
) -> list[Utterance]:
    """Write the training data to `processed_dir`; lengths, pitch and energy differ between utterances."""
    rng = np.random.default_rng(1)
    symbols = SymbolTable(inventory)
    folder = processed_dir / dataset
    prepare_store(folder, store_settings(_preprocess_settings(), ACOUSTIC_FEATURES, symbols.symbols))
    collector = StatisticsCollector()
    utterances = []
    with ShardWriter(folder) as writer:
        for number in range(n_train + n_valid):
            speaker = speakers[number % len(speakers)]
            n_phones = int(rng.integers(5, 12))
            phones = ["sil", *rng.choice(symbols.symbols[8:], n_phones).tolist(), "."]
            durations = rng.integers(1, 9, len(phones)).astype(np.int32)
            durations[0] = 0
            n_frames = int(durations.sum())
            f0_hz = rng.uniform(90, 300, n_frames).astype(np.float32)
            f0_hz[rng.uniform(size=n_frames) < 0.3] = 0.0
            energy = rng.uniform(0.1, 30, n_frames).astype(np.float32)
            mel = np.repeat(rng.normal(-5, 2, (len(phones), N_MEL)), durations, axis=0)
            features: dict[str, np.ndarray] = {
                "mel": np.maximum(mel, np.log(MEL_FLOOR)).astype(np.float32),
                "f0": f0_hz,
                "energy": energy,
                "durations": durations,
                "phonemes": np.array(symbols.ids(phones, "test"), dtype=np.int32),
                "waveform": (rng.normal(size=n_frames * HOP_SIZE) * 3000).astype(np.int16),
            }
            utterance = Utterance(
                id=f"utterance-{number:02d}",
                dataset=dataset,
                speaker=speaker,
                language="en",
                text="made up",
                audio_path=Path("none.wav"),
                duration_s=n_frames * HOP_SIZE / 8000,
                split="train" if number < n_train else "valid",
                phones=tuple(phones),
                frames=n_frames,
                durations=tuple(durations.tolist()),
            )
            writer.add(utterance.id, features)
            collector.add(speaker, f0_hz, energy)
            utterances.append(utterance)
    for split in ("train", "valid", "test"):
        write_manifest(folder / f"{split}.jsonl", [utterance for utterance in utterances if utterance.split == split])
    symbols.save(processed_dir / "symbols.json")
    save_statistics(processed_dir / "statistics.json", collector.statistics())
    (processed_dir / "speakers.json").write_text(json.dumps({name: row for row, name in enumerate(speakers)}))
    return utterances
