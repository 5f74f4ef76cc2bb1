"""A small corpus of tones and noise with known alignments."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import soundfile

from config.load import load_settings
from config.schema import ExperimentSettings
from models.registry import settings_class
from processors.alignment.intervals import Alignment, Interval
from processors.alignment.textgrid import write_textgrid
from processors.feature_store import FeatureStore

RATE = 16000
PHONE_S = 0.1
EDGE_S = 0.3
WORDS = {
    "see": ("S", "IY1"),
    "my": ("M", "AY1"),
    "new": ("N", "UW1"),
    "tea": ("T", "IY1"),
    "do": ("D", "UW1"),
    "so": ("S", "OW1"),
}
VOICED_HZ = 150.0


def texts(count: int) -> dict[str, str]:
    """Ids and sentences, all different."""
    rng = random.Random(0)
    found: dict[str, str] = {}
    while len(found) < count:
        sentence = " ".join(rng.choices(list(WORDS), k=5)).capitalize() + "."
        if sentence not in found.values():
            found[f"clip_{len(found):03d}"] = sentence
    return found


def alignment_of(text: str) -> Alignment:
    """Silence, the words without pauses between them, and silence."""
    words, phones, at = [Interval(0.0, EDGE_S, "")], [Interval(0.0, EDGE_S, "")], EDGE_S
    for word in text.lower().strip(".").split():
        start = at
        for phone in WORDS[word]:
            phones.append(Interval(at, at + PHONE_S, phone))
            at += PHONE_S
        words.append(Interval(start, at, word))
    end = Interval(at, at + EDGE_S, "")
    return Alignment((*words, end), (*phones, end))


def waveform_of(text: str, seed: int = 0) -> np.ndarray:
    """Tones for vowels, noise for other phones, near silence at both ends."""
    generator = np.random.default_rng(seed)
    alignment = alignment_of(text)
    waveform = 1e-4 * generator.standard_normal(round(alignment.end_s * RATE))
    for phone in alignment.phones:
        start, stop = round(phone.start_s * RATE), round(phone.end_s * RATE)
        time = np.arange(stop - start) / RATE
        if phone.label[-1:].isdigit():
            waveform[start:stop] += 0.2 * sum(np.sin(2 * np.pi * VOICED_HZ * k * time) / k for k in range(1, 8))
        elif phone.label:
            waveform[start:stop] += 0.02 * generator.standard_normal(stop - start)
    return waveform.astype(np.float32)


def write_clip(folder: Path, name: str, text: str, *, with_textgrid: bool = True) -> None:
    (folder / "wavs").mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "wavs" / f"{name}.wav", waveform_of(text), RATE, subtype="PCM_16")
    if with_textgrid:
        write_textgrid(folder / "TextGrid" / f"{name}.TextGrid", alignment_of(text))


def write_metadata(folder: Path, of_id: dict[str, str]) -> None:
    (folder / "metadata.csv").write_text("".join(f"{name}|{text}\n" for name, text in of_id.items()))


def make_corpus(folder: Path, count: int) -> dict[str, str]:
    """Write an LJSpeech-like corpus with TextGrids; return its ids and texts."""
    of_id = texts(count)
    for name, text in of_id.items():
        write_clip(folder, name, text)
    write_metadata(folder, of_id)
    return of_id


def write_config(folder: Path, corpus: Path, **preprocess: object) -> Path:
    """Write an `exp_config.json` for the corpus `toy`."""
    tree = {
        "base_config": "config/fastspeech2_small.json",
        "dataset": ["toy"],
        "dataset_path": {"toy": str(corpus)},
        "dataset_layout": {"toy": "ljspeech"},
        "preprocess": {
            "processed_dir": str(folder / "processed"),
            "sample_rate": RATE,
            "n_fft": 512,
            "win_size": 512,
            "hop_size": 128,
            "fmax": 8000,
            "n_mel": 40,
            "textgrid_dir": str(corpus / "TextGrid"),
            "valid_size": 2,
            "test_size": 2,
            "num_workers": 2,
            **preprocess,
        },
    }
    path = folder / "exp_config.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))
    return path


def load(config: Path, *overrides: str) -> ExperimentSettings:
    return load_settings(config, overrides, settings_class).settings


def everything(processed: Path) -> dict[str, bytes]:
    """Return all features of the corpus `toy`, and the files that stage 1 writes, without their folder's name."""
    store = FeatureStore.open(processed / "toy")
    made = {
        f"{id_} {feature}": store.read(id_, feature).tobytes()
        for feature in store.features
        for id_ in store.ids(feature)
    }
    for path in [*processed.glob("*.json"), *processed.glob("toy/*.jsonl"), processed / "toy" / "report.md"]:
        made[path.name] = path.read_bytes().replace(str(processed).encode(), b"")
    return made
