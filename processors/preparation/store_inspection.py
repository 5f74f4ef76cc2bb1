"""Inspection of feature stores, and replacement of single features by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from config.schema import ExperimentSettings
from processors.alignment.intervals import Alignment, Interval
from processors.alignment.textgrid import write_textgrid
from processors.audio.audio_file import write_wav
from processors.feature_store import FeatureStore, ShardWriter, StoreError, is_store
from processors.features import PREDICTED_MEL, PROBLEM, RECORDING_S, SCALED_BY, SILENCE_IN_WORDS_S, stamp_of_symbols
from processors.preparation.rejected import Rejected
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.utterance import SPLITS, Utterance, read_manifest
from utils.console import warn
from utils.errors import RecitalError
from utils.files import atomic_file
from utils.lock import sole_user
from utils.suggestions import did_you_mean

_UNITS = {
    "mel": "ln of magnitude",
    PREDICTED_MEL: "ln of magnitude",
    "f0": "Hz, where voiced",
    "energy": "magnitude",
    "durations": "frames",
    "phonemes": "symbol number",
    "waveform": "1/32768",
    RECORDING_S: "seconds",
    SILENCE_IN_WORDS_S: "seconds",
    SCALED_BY: "factor",
}
_PER_FRAME = ("mel", "f0", "energy", PREDICTED_MEL)
_NOT_NEGATIVE = ("f0", "energy", "durations")
# Of stage 1's fingerprints and reasons, which are no measurements.
_INTERNAL_DTYPE = np.dtype(np.uint8)


class InspectionError(RecitalError):
    """An utterance or a feature that does not exist, or an array that cannot replace a feature."""


def stores_in(folder: Path) -> list[FeatureStore]:
    """Open the store of a corpus, or all stores in a `processed_dir`.

    Raises:
        StoreError: the folder is neither.
    """
    if is_store(folder):
        return _opened([folder])
    if found := sorted(path for path in folder.glob("*") if is_store(path)):
        return _opened(found)
    raise StoreError(f"{folder}: neither a feature store nor a folder of feature stores; pass preprocess.processed_dir")


def stores_of(settings: ExperimentSettings) -> list[FeatureStore]:
    """Open the stores of an experiment's corpora.

    Raises:
        StoreError: stage 1 has not been run for any of them.
    """
    processed_dir = settings.preprocess.processed_path
    if found := [processed_dir / dataset for dataset in settings.dataset if is_store(processed_dir / dataset)]:
        return _opened(found)
    raise StoreError(f"{processed_dir}: holds features of none of {', '.join(settings.dataset)}; run stage 1 first")


def store_of(stores: Sequence[FeatureStore], utterance_id: str) -> FeatureStore:
    """Return the store that holds an utterance.

    Raises:
        InspectionError: no store does, or several do.
    """
    holding = [store for store in stores if utterance_id in _ids(store)]
    if len(holding) == 1:
        return holding[0]
    folders = ", ".join(str(store.folder) for store in holding or stores)
    if holding:
        raise InspectionError(f"{utterance_id}: is in several corpora; pass the folder of one: {folders}")
    meant = did_you_mean(utterance_id, chain.from_iterable(map(_ids, stores)))
    raise InspectionError(f"{folders}: no utterance {utterance_id}{meant}; --list shows all")


def listing(stores: Iterable[FeatureStore]) -> Iterator[str]:
    """Yield a line per store, and one per utterance: split, length, and features with their shapes."""
    for store in stores:
        utterances = _utterances(store)
        seconds = {id_: _duration_s(store, id_) for id_ in _ids(store)}
        yield f"{store.folder}: {len(seconds)} utterances, {sum(seconds.values()) / 3600:.2f} hours"
        for id_, duration_s in seconds.items():
            if store.has(id_, (PROBLEM,)):
                yield f"{id_}  left out: {_problem(store, id_)}"
                continue
            split = utterances[id_].split if id_ in utterances else "no split"
            shapes = (f"{name} {_shape(store, id_, name)}" for name in _measured(store, id_))
            yield f"{id_}  {split}  {duration_s:.2f} s  {'  '.join(shapes)}"


def description(store: FeatureStore, utterance_id: str) -> Iterator[str]:
    """Yield lines that describe an utterance: text, phones, every feature with its range, disagreements.

    Raises:
        StoreError: a shard is damaged.
    """
    yield f"{utterance_id}: in {store.folder}"
    if (utterance := _utterances(store).get(utterance_id)) is not None:
        yield f"split: {utterance.split}   speaker: {utterance.speaker}   language: {utterance.language}"
        yield f"recording: {utterance.audio_path} ({utterance.duration_s:.2f} s)"
        yield f"text: {utterance.text}"
    if store.has(utterance_id, (PROBLEM,)):
        yield f"left out: {_problem(store, utterance_id)}"
    features = {name: store.read(utterance_id, name) for name in _measured(store, utterance_id)}
    if features:
        yield f"{'feature':<19}{'dtype':<9}{'shape':<13}{'min':>11}{'mean':>11}{'max':>11}  unit"
    for name, values in features.items():
        shape = _shape(store, utterance_id, name)
        yield f"{name:<19}{values.dtype.name:<9}{shape:<13}{_range(name, values)}  {_UNITS.get(name, '')}".rstrip()
    if phones := _phones(store, features):
        if len(durations := features.get("durations", ())) == len(phones):
            phones = [f"{phone}:{frames}" for phone, frames in zip(phones, durations, strict=True)]
        yield f"phones: {' '.join(phones)}"
    for fault in _disagreements(features, store.settings["hop_size"]):
        yield f"disagreement: {fault}"


def export(store: FeatureStore, utterance_id: str, folder: Path) -> list[Path]:
    """Write an utterance's features as files for other programs.

    These are `<id>.wav`, `<id>.TextGrid` with the phones' times in that WAV, and `<id>.<feature>.npy` for all others.

    Returns:
        The written paths.

    Raises:
        InspectionError: there is nothing to write, or one of the files exists.
        StoreError: a shard is damaged.
    """
    features = {name: store.read(utterance_id, name) for name in _measured(store, utterance_id)}
    if not features:
        raise InspectionError(f"{store.folder}: {utterance_id} has no features: {_problem(store, utterance_id)}")
    alignment = _alignment(store, features)
    paths = {name: folder / f"{utterance_id}.{'wav' if name == 'waveform' else f'{name}.npy'}" for name in features}
    textgrid = [folder / f"{utterance_id}.TextGrid"] if alignment is not None else []
    if existing := [str(path) for path in (*paths.values(), *textgrid) if path.exists()]:
        raise InspectionError(f"{existing[0]}: exists already; export to another folder")
    for name, path in paths.items():
        if name == "waveform":
            write_wav(path, features[name], store.settings["sample_rate"])
        else:
            with atomic_file(path) as partial, partial.open("wb") as file:
                np.save(file, features[name])
    if alignment is not None:
        write_textgrid(textgrid[0], alignment)
    return [*paths.values(), *textgrid]


def replace(folder: Path, utterance_id: str, name: str, file: Path) -> None:
    """Replace a feature by an array from a `.npy` file, under an exclusive lock.

    Stage 1 keeps it as long as recording, text and TextGrid are unchanged.

    Args:
        folder: the store.
        utterance_id: one that has the feature.
        name: the feature.
        file: an array of the feature's dtype and shape, without NaN.

    Raises:
        InspectionError: there is no such feature, or the file holds no array, or one that does not fit.
        InUseError: another process is using the features.
        StoreError: the store is damaged.
    """
    with sole_user(folder.parent):
        store = FeatureStore.open(folder)
        names = _measured(store, utterance_id)
        if name not in names:
            raise InspectionError(
                f"{folder}: {utterance_id} has no feature {name} to replace; it has "
                f"{', '.join(names) or 'none'}{did_you_mean(name, names)}"
            )
        features = {each: store.read(utterance_id, each) for each in names}
        values = _array_from(file)
        _refuse_unlike(file, name, values, features[name])
        if faults := _disagreements({**features, name: values}, store.settings["hop_size"]):
            raise InspectionError(f"{file}: does not agree with the other features of {utterance_id}: {faults[0]}")
        if name == "phonemes":
            _refuse_unknown_symbols(file, values, _symbols(store))
        with ShardWriter(folder) as writer:
            writer.add(utterance_id, {name: values})


def _opened(folders: Iterable[Path]) -> list[FeatureStore]:
    stores = [FeatureStore.open(folder, skip_damaged=True) for folder in folders]
    for path in chain.from_iterable(store.damaged for store in stores):
        warn(f"{path}: is damaged, its features are missing; run stage 1 again")
    for store in stores:
        if lacking := {"sample_rate", "hop_size"} - store.settings.keys():
            raise StoreError(f"{store.folder}: its settings lack {' and '.join(sorted(lacking))}; run stage 1 again")
    return stores


def _ids(store: FeatureStore) -> list[str]:
    return sorted({id_ for name in store.features for id_ in store.ids(name)})


def _utterances(store: FeatureStore) -> dict[str, Utterance]:
    """Return the records of a store's utterances that are in a split."""
    manifests = (store.folder / f"{split}.jsonl" for split in SPLITS)
    return {each.id: each for path in manifests if path.is_file() for each in read_manifest(path)}


def _measured(store: FeatureStore, utterance_id: str) -> list[str]:
    """Return the features of an utterance, without stage 1's fingerprints and reasons."""
    names = [name for name in store.features if store.has(utterance_id, (name,))]
    return [name for name in names if store.read(utterance_id, name, 0, 0).dtype != _INTERNAL_DTYPE]


def _problem(store: FeatureStore, utterance_id: str) -> str:
    if not store.has(utterance_id, (PROBLEM,)):
        return "run stage 1 again"
    rejected = Rejected.from_array(utterance_id, store.read(utterance_id, PROBLEM))
    return f"{rejected.kind}: {rejected.reason}"


def _duration_s(store: FeatureStore, utterance_id: str) -> float:
    """Return the duration of an utterance's features in seconds; 0 if there are none."""
    sample_rate, hop_size = store.settings["sample_rate"], store.settings["hop_size"]
    for name, samples in (("waveform", 1), ("mel", hop_size)):
        if store.has(utterance_id, (name,)):
            return float(store.length(utterance_id, name) * samples / sample_rate)
    return 0.0


def _shape(store: FeatureStore, utterance_id: str, name: str) -> str:
    widths = store.read(utterance_id, name, 0, 0).shape[1:]
    return " x ".join(map(str, (store.length(utterance_id, name), *widths)))


def _range(name: str, values: np.ndarray) -> str:
    counted = values[values > 0] if name == "f0" else values
    if not counted.size:
        return f"{'-':>11}" * 3
    return "".join(f"{number:>11.5g}" for number in (counted.min(), counted.mean(dtype=np.float64), counted.max()))


def _symbols(store: FeatureStore) -> SymbolTable | None:
    """Return the table that numbered a store's phonemes; None if it is missing or differs."""
    path = store.folder.parent / SYMBOLS_FILE
    table = SymbolTable.open(path) if path.is_file() else None
    return table if table and store.settings.get("symbols") == stamp_of_symbols(table.symbols) else None


def _phones(store: FeatureStore, features: Mapping[str, np.ndarray]) -> list[str]:
    """Return an utterance's phones, or their numbers if the symbol table is missing."""
    if "phonemes" not in features:
        return []
    numbers, symbols = features["phonemes"].tolist(), _symbols(store)
    return symbols.phones(numbers) if symbols is not None else [f"#{number}" for number in numbers]


def _alignment(store: FeatureStore, features: Mapping[str, np.ndarray]) -> Alignment | None:
    """Return the times of phones, silences labelled with their symbols; None without durations."""
    if "durations" not in features:
        return None
    ends_s = np.cumsum(features["durations"]) * (store.settings["hop_size"] / store.settings["sample_rate"])
    starts_s = [0.0, *ends_s[:-1].tolist()]
    return Alignment((), tuple(map(Interval, starts_s, ends_s.tolist(), _phones(store, features))))


def _disagreements(features: Mapping[str, np.ndarray], hop_size: int) -> list[str]:
    """Return contradictions between an utterance's features: different lengths, or negative values."""
    lengths = {name: len(features[name]) for name in _PER_FRAME if name in features}
    if "durations" in features:
        lengths["the sum of durations"] = int(features["durations"].sum())
    faults = []
    if len(set(lengths.values())) > 1:
        faults.append("frames of " + ", ".join(f"{name}: {length}" for name, length in lengths.items()))
    elif lengths and "waveform" in features:
        n_samples, n_frames = len(features["waveform"]), next(iter(lengths.values()))
        if n_samples != n_frames * hop_size:
            faults.append(f"{n_samples} samples of waveform, not {n_frames} frames of {hop_size}")
    if {"durations", "phonemes"} <= features.keys() and len(features["durations"]) != len(features["phonemes"]):
        faults.append(f"{len(features['durations'])} durations for {len(features['phonemes'])} phonemes")
    negative = [name for name in _NOT_NEGATIVE if name in features and (features[name] < 0).any()]
    return faults + [f"{name} below 0" for name in negative]


def _array_from(file: Path) -> np.ndarray:
    try:
        with file.open("rb") as opened:
            return np.lib.format.read_array(opened, allow_pickle=False)
    except FileNotFoundError:
        raise InspectionError(f"{file}: no such file") from None
    except (OSError, ValueError) as error:
        raise InspectionError(f"{file}: not a .npy file of numbers, as numpy.save writes it: {error}") from error


def _refuse_unlike(file: Path, name: str, values: np.ndarray, stored: np.ndarray) -> None:
    if values.dtype != stored.dtype:
        raise InspectionError(f"{file}: is {values.dtype}, {name} is {stored.dtype}; convert it")
    if values.shape != stored.shape:
        raise InspectionError(f"{file}: has shape {values.shape}, {name} has {stored.shape}; (time, ...) must stay")
    if not np.isfinite(values).all():
        raise InspectionError(f"{file}: holds NaN or infinite values")


def _refuse_unknown_symbols(file: Path, phonemes: np.ndarray, symbols: SymbolTable | None) -> None:
    if symbols is None:
        raise InspectionError(f"{file}: the symbol table that numbers phonemes is missing; run stage 1 again")
    if phonemes.size and not 0 < phonemes.min() <= phonemes.max() < len(symbols):
        raise InspectionError(
            f"{file}: holds numbers from {phonemes.min()} to {phonemes.max()}; symbols have 1 to {len(symbols) - 1}"
        )
