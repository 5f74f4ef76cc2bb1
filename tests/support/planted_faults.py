"""A corpus with planted faults, and how `bins.check_data` judges it.

python -m tests.support.planted_faults make ../shared/data/kathleen ../shared/data/three_voices/kerstin /tmp/planted
python -m bins.check_data --config /tmp/planted/exp_config.json --no_mos
python -m tests.support.planted_faults count /tmp/planted
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyworld
import scipy.signal
import soundfile
import soxr

N_EACH, N_GOOD = 10, 300
RNG = np.random.default_rng(13)

Change = Callable[[np.ndarray, int], np.ndarray]


def _level(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform**2)))


def another_speaker(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Return the sentence at 0.55 of the pitch, with a vocal tract a fifth longer."""
    f0, spectrum, aperiodicity = pyworld.wav2world(waveform.astype(np.float64), rate)
    places = np.minimum(np.arange(spectrum.shape[1]) * 1.2, spectrum.shape[1] - 1).astype(int)
    return np.asarray(pyworld.synthesize(0.55 * f0, np.ascontiguousarray(spectrum[:, places]), aperiodicity, rate))


def music(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Return the sentence over chords that are as loud."""
    times = np.arange(len(waveform)) / rate
    roots = 220 * 2 ** (np.array([0, 5, 7, 0])[(times * 2).astype(int) % 4] / 12)
    phase = 2 * np.pi * np.cumsum(roots) / rate
    chords = sum(np.sin(phase * ratio * k) / k for ratio in (1, 1.25, 1.5) for k in (1, 2, 3))
    return waveform + chords * _level(waveform) / _level(chords)


def echo(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Return the sentence in a room with a reverberation of 0.8 s, ten metres away."""
    times = np.arange(int(0.8 * rate)) / rate
    room = RNG.standard_normal(len(times)) * 10 ** (-3 * times / 0.8)
    wet = scipy.signal.fftconvolve(waveform, room)[: len(waveform)]
    return 0.2 * waveform + wet * _level(waveform) / _level(wet)


SOUND: dict[str, Change] = {
    "clipped": lambda x, rate: np.clip(x, -0.25 * abs(x).max(), 0.25 * abs(x).max()),
    "silence": lambda x, rate: 1e-5 * RNG.standard_normal(len(x)),
    "noise": lambda x, rate: x + 0.5 * _level(x) * RNG.standard_normal(len(x)),
    "another speaker": another_speaker,
    "end cut off": lambda x, rate: x[: int(0.6 * len(x))],
    "start cut off": lambda x, rate: x[int(0.4 * len(x)) :],
    "wrong rate": lambda x, rate: soxr.resample(x, rate, int(1.3 * rate)),
    "echo": echo,
    "music": music,
    "DC offset": lambda x, rate: x + 0.05,
    "faint": lambda x, rate: 0.02 * x,
    "telephone": lambda x, rate: soxr.resample(soxr.resample(x, rate, 8000), 8000, rate),
    "silence at the end": lambda x, rate: np.concatenate([x, 1e-4 * RNG.standard_normal(2 * rate)]),
}
KINDS = (*SOUND, "swapped texts", "duplicate", "another language", "empty text", "words added", "words missing",
         "truncated file")  # fmt: skip


def make(corpus: Path, foreign: Path, folder: Path) -> None:
    """Write a corpus in the layout of LJSpeech with `N_EACH` recordings of every kind of fault, and a list of them."""
    assert len(KINDS) == 20
    lines = (line.split("|") for line in (corpus / "metadata.csv").read_text(encoding="utf-8").splitlines())
    texts = {fields[0]: fields[1] for fields in lines}
    ids = [str(each) for each in RNG.permutation(sorted(texts))[: N_GOOD + N_EACH * len(KINDS)]]
    planted = {ids[n * N_EACH + k]: kind for n, kind in enumerate(KINDS) for k in range(N_EACH)}
    good = ids[N_EACH * len(KINDS) :]
    recordings = {path.stem: path for path in (corpus / "wavs").iterdir()}
    others = iter(sorted(foreign.glob("*.flac")))
    (folder / "corpus" / "wavs").mkdir(parents=True)
    written = {id_: texts[id_] for id_ in ids}
    for number, id_ in enumerate(ids):
        kind = planted.get(id_, "")
        waveform, rate = soundfile.read(recordings[id_])
        words = texts[id_].split()
        if kind in SOUND:
            waveform = SOUND[kind](waveform, rate)
        elif kind == "swapped texts":
            written[id_] = texts[ids[number ^ 1]]
        elif kind == "duplicate":
            waveform, rate = soundfile.read(recordings[good[number % N_EACH]])
            written[id_] = texts[good[number % N_EACH]]
        elif kind == "another language":
            path = next(others)
            waveform, rate = soundfile.read(path)
            written[id_] = path.with_suffix(".lab").read_text(encoding="utf-8").strip()
        elif kind == "empty text":
            written[id_] = ""
        elif kind == "words added":
            written[id_] = f"{texts[id_]} {' '.join(texts[good[number % 100]].split()[:4])}"
        elif kind == "words missing":
            written[id_] = " ".join(words[: len(words) // 2])
        path = folder / "corpus" / "wavs" / f"{id_}.wav"
        soundfile.write(path, np.clip(waveform, -1, 1), rate, subtype="PCM_16")
        if kind == "truncated file":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    rows = "".join(f"{id_}|{text}|{text}\n" for id_, text in sorted(written.items()))
    (folder / "corpus" / "metadata.csv").write_text(rows, encoding="utf-8")
    (folder / "planted.json").write_text(json.dumps(planted))
    config = {
        "base_config": "config/fastspeech2_small.json",
        "dataset": ["planted"],
        "dataset_path": {"planted": str(folder / "corpus")},
        "dataset_layout": {"planted": "ljspeech"},
        "preprocess": {"processed_dir": str(folder / "processed"), "language": "en"},
    }
    (folder / "exp_config.json").write_text(json.dumps(config))


def count(folder: Path) -> None:
    """Print for every kind how many are found and left out, and the findings about recordings without a fault."""
    planted = json.loads((folder / "planted.json").read_text())
    result = folder / "processed" / "planted"
    left_out = {line.split()[0] for line in (result / "leave_out.txt").read_text().splitlines() if line[0] != "#"}
    with (result / "data_check.csv").open(encoding="utf-8", newline="") as file:
        findings = {row["id"]: row["findings"] for row in csv.DictReader(file)}
    named: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for id_, kind in planted.items():
        # An empty text never reaches the check: the corpus's reader names it.
        named[kind].update(each.split(":")[0] for each in findings.get(id_, "empty text: ").split("; ") if each)
    print("| fault | found | left out | findings |\n|---|---|---|---|")
    for kind in KINDS:
        ids = [id_ for id_, each in planted.items() if each == kind]
        found = sum(bool(findings.get(id_, "empty text")) for id_ in ids)
        out = sum(id_ in left_out or id_ not in findings for id_ in ids)
        print(f"| {kind} | {found} | {out} | {', '.join(f'{name} {n}' for name, n in named[kind].most_common())} |")
    good = {id_: found for id_, found in findings.items() if id_ not in planted}
    accused = {id_: found for id_, found in good.items() if found}
    print(f"\nof {len(good)} without a fault, {len(accused)} named, {sum(id_ in left_out for id_ in good)} left out")
    for id_, found in accused.items():
        print(f"    {id_}{' (left out)' if id_ in left_out else ''}: {found}")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(*map(Path, sys.argv[2:5]))
    else:
        count(Path(sys.argv[2]))
