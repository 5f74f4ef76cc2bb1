"""Predicted (GTA) mels of a corpus by an acoustic model with teacher forcing, to fine-tune vocoders on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from models.bundle import Bundle
from models.bundles.locate import find_bundle
from models.contracts import AcousticModel, prosody_levels
from models.registry import kind_of, open_acoustic
from processors.datasets.acoustic_data import AcousticData, Voice, collate_acoustic, require_durations
from processors.datasets.batches import OrderedBatches, ordered_batches
from processors.datasets.open_split import open_split
from processors.feature_store import FeatureStore, ShardWriter, tidy_store
from processors.features import ACOUSTIC_FEATURES, PREDICTED_BY, PREDICTED_MEL, DataError, store_settings
from processors.speakers.sources import PREDICTED_SOURCES_FILE, write_sources
from processors.speakers.voice_folder import voice_folder
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.utterance import SPLITS, Utterance
from utils.console import Progress, info
from utils.errors import RecitalError
from utils.files import write_atomically
from utils.lock import sole_user
from utils.process_pool import Note, ThisProcess, Work, Workers, results_of
from utils.threads import flush_denormals

_BATCH_SIZE, _MAX_FRAMES_PER_BATCH = 16, 12_000
# At most this much is lost when a process is killed.
_BATCHES_PER_GROUP, _MAX_BYTES_HELD = 4, 16 * 2**20
_MODEL_FILE = "predicted_mels.json"
_STAMP_BYTES = 8


class PredictionError(RecitalError):
    """An acoustic model that does not match the features, or mels that another model predicted."""


def predict_mels(
    bundle: Bundle,
    processed_dir: Path,
    datasets: Sequence[str],
    *,
    device: torch.device | str = "cpu",
    overwrite: bool = False,
    cluster: Workers | None = None,
) -> int:
    """Predict the mel of every recording with teacher forcing, and add it to the feature store.

    The feature is `predicted_mel`, (T_mel, M), frame for frame with the recording's waveform. Existing mels of the same
    model are kept, so that an interrupted run resumes; mels of two models are never mixed.

    Args:
        bundle: of an acoustic model.
        processed_dir: as in stage 1.
        datasets: names of the corpora; of all their splits the recordings that have phones.
        device: of the network.
        overwrite: whether to predict all mels again, including those of another model.
        cluster: predicts, each of its processes on its own device, in place of this process.

    Returns:
        The number of mels predicted.

    Raises:
        PredictionError: the bundle is not an acoustic model's, was trained on other features or other speakers; or the
            store holds mels of another model.
        BundleError, DataError, ManifestError, StoreError: something is missing or damaged.
    """
    if kind_of(bundle.settings.model_type) != "acoustic":
        raise PredictionError(
            f"{bundle.folder}: holds a {bundle.settings.model_type}, which is not an acoustic model; choose one that is"
        )
    bundle.require_front_end()
    workers, stamp = cluster or ThisProcess(), _stamp(bundle)
    with sole_user(processed_dir):
        missing = {each: _missing(bundle, stamp, processed_dir, datasets, each, overwrite) for each in datasets}
        made = sum(len(utterances) for utterances in missing.values())
        for dataset, utterances in missing.items():
            if utterances:
                _write_model_file(bundle, stamp, processed_dir / dataset)
        source = (bundle, stamp, device) if cluster is None else (bundle.folder, stamp, None)
        with (
            Progress(made, "predicting mels", "recordings") as progress,
            workers.pool(_make_predictor, *source, preload=(__name__,), shared=[processed_dir]) as pool,
        ):
            groups = (each for dataset in datasets for each in _groups(processed_dir / dataset, missing[dataset]))
            for group, _ in results_of(pool, groups):
                progress.advance(len(group.utterances))
    info(f"{made} mels predicted" if made else "nothing to predict: all mels exist")
    return made


def _missing(
    bundle: Bundle, stamp: bytes, processed_dir: Path, datasets: Sequence[str], dataset: str, overwrite: bool
) -> list[Utterance]:
    """Return the utterances of a corpus whose mel is missing, another model's, or of another length."""
    listed, stores = open_split(processed_dir, [dataset], *SPLITS)
    store, folder = stores[dataset], processed_dir / dataset
    if not getattr(bundle.settings.model, "learns_durations", False):
        require_durations([store])
    _require_same_settings(bundle, store, voice_folder(processed_dir, datasets) / SYMBOLS_FILE)
    tidy_store(folder)
    utterances = [utterance for utterance in listed if utterance.phones]
    if not utterances:
        raise DataError(f"{folder}: no recording has phones; run stage 1 of the acoustic model's recipe")
    for utterance in utterances:
        if utterance.speaker not in bundle.speakers:
            raise PredictionError(
                f"{bundle.folder}: was not trained on {utterance.speaker}, the speaker of {utterance.id} in "
                f"{folder.name}; choose a model that was trained on this corpus"
            )
    if overwrite:
        return utterances
    stamps = {utterance.id: _stored_stamp(store, utterance.id) for utterance in utterances}
    last_model = _read_model_file(folder)
    if last_model.get("stamp") != stamp.hex() and (others := set(stamps.values()) - {b"", stamp}):
        raise PredictionError(
            f"{folder}: holds mels of {'another model' if len(others) == 1 else 'other models'}"
            f"{', ' + last_model['bundle'] if 'bundle' in last_model else ''}; replace them by those of "
            f"{bundle.folder} with --overwrite"
        )
    return [
        utterance
        for utterance in utterances
        if stamps[utterance.id] != stamp
        or store.length(utterance.id, PREDICTED_MEL) != store.length(utterance.id, "mel")
    ]


def _require_same_settings(bundle: Bundle, store: FeatureStore, symbols_path: Path) -> None:
    assert bundle.symbols is not None
    learned = store_settings(bundle.settings.preprocess, ACOUSTIC_FEATURES, bundle.symbols.symbols)
    learned = json.loads(json.dumps(learned))
    differing = [
        f"{name} {store.settings.get(name, 'unknown')!r} (the model: {value!r})"
        for name, value in learned.items()
        if store.settings.get(name) != value
    ]
    if symbols_path.is_file() and not bundle.symbols.has_the_numbers_of(SymbolTable.open(symbols_path)):
        differing.append(f"a symbol table that differs from the model's, {symbols_path}")
    if differing:
        raise PredictionError(
            f"{store.folder}: holds other features than {bundle.folder} was trained on: {', '.join(differing)}; "
            "choose the model's own processed_dir, or a model that was trained on these features"
        )


@dataclass(frozen=True)
class _Group:
    """Utterances of a few successive batches, whose mels are written together."""

    folder: Path
    utterances: tuple[Utterance, ...]


def _groups(folder: Path, utterances: Sequence[Utterance]) -> Iterator[_Group]:
    store = FeatureStore.open(folder)
    lengths = [store.length(utterance.id, "mel") for utterance in utterances]
    batches = ordered_batches(lengths, batch_size=_BATCH_SIZE, max_frames_per_batch=_MAX_FRAMES_PER_BATCH)
    for first in range(0, len(batches), _BATCHES_PER_GROUP):
        members = [utterances[index] for batch in batches[first : first + _BATCHES_PER_GROUP] for index in batch]
        yield _Group(folder, tuple(members))


def _make_predictor(bundle: Bundle | Path, stamp: bytes, device: torch.device | str | None) -> Work:
    """Return the work of one process: predict the mels of a `_Group`, and write them.

    Args:
        bundle: of the model; its folder, where the process has to open it.
        stamp: of the model.
        device: of the network; None for the first GPU that this process finds, else the CPU.
    """
    if isinstance(bundle, Path):
        bundle = find_bundle(bundle)
        if _stamp(bundle) != stamp:
            raise PredictionError(f"{bundle.folder}: was replaced meanwhile; run this again when it stays the same")
    if device is None:
        flush_denormals()
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = open_acoustic(bundle, device)
    stores: dict[Path, FeatureStore] = {}

    def predict(group: _Group, note: Note) -> None:
        if group.folder not in stores:
            stores[group.folder] = FeatureStore.open(group.folder)
        _predict(model, bundle, stamp, stores[group.folder], group.utterances, device)

    return predict


def _predict(
    model: AcousticModel,
    bundle: Bundle,
    stamp: bytes,
    store: FeatureStore,
    utterances: Sequence[Utterance],
    device: torch.device | str,
) -> None:
    folder = store.folder
    assert bundle.symbols is not None
    levels = prosody_levels(bundle.settings.model)
    data = AcousticData(
        utterances,
        {folder.name: store},
        Voice(bundle.symbols, bundle.speakers, bundle.statistics),
        pitch_level=levels["pitch_level"],
        energy_level=levels["energy_level"],
    )
    batches = OrderedBatches(
        data,
        partial(collate_acoustic, length_step=8),
        data.lengths,
        batch_size=_BATCH_SIZE,
        max_frames_per_batch=_MAX_FRAMES_PER_BATCH,
    )
    with ShardWriter(folder, max_bytes=_MAX_BYTES_HELD) as writer, torch.inference_mode():
        for batch in batches:
            mels = model.teacher_forced(batch.to(device)).float().cpu()
            for utterance_id, mel, length in zip(batch.ids, mels, batch.mel_lengths.tolist(), strict=True):
                predicted = np.ascontiguousarray(mel[:, :length].numpy().T)  # (M, T_mel) -> (T_mel, M)
                if predicted.shape != (store.length(utterance_id, "mel"), bundle.settings.preprocess.n_mel):
                    raise PredictionError(
                        f"{folder}: {utterance_id}: the predicted mel has shape {predicted.shape}, but the recording "
                        f"{store.length(utterance_id, 'mel')} frames; run stage 1 again"
                    )
                if not np.isfinite(predicted).all():
                    raise PredictionError(
                        f"{bundle.folder}: predicts NaN or infinity for {utterance_id}; choose another checkpoint"
                    )
                writer.add(utterance_id, {PREDICTED_MEL: predicted, PREDICTED_BY: np.frombuffer(stamp, dtype=np.uint8)})


def _stamp(bundle: Bundle) -> bytes:
    """Return a hash of what a model's mels depend on, independent of its folder."""
    hashed = hashlib.blake2b(digest_size=_STAMP_BYTES)
    for name in sorted(bundle.weights):
        tensor = bundle.weights[name].detach().cpu().contiguous()
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.flatten().view(torch.uint8).numpy().data)
    of_speaker = {speaker: asdict(statistics) for speaker, statistics in bundle.statistics.items()}
    hashed.update(json.dumps([of_speaker, dict(bundle.speakers)], sort_keys=True).encode())
    return hashed.digest()


def _stored_stamp(store: FeatureStore, utterance_id: str) -> bytes:
    if not store.has(utterance_id, (PREDICTED_MEL, PREDICTED_BY)):
        return b""
    return store.read(utterance_id, PREDICTED_BY).tobytes()


def _write_model_file(bundle: Bundle, stamp: bytes, folder: Path) -> None:
    """Record the model, so that an interrupted run that replaces another model's mels can resume."""
    model = {"bundle": str(bundle.folder), "stamp": stamp.hex()}
    write_atomically(folder / _MODEL_FILE, json.dumps(model, indent=2, ensure_ascii=False) + "\n")
    write_sources(folder, bundle.sources, PREDICTED_SOURCES_FILE)


def _read_model_file(folder: Path) -> dict[str, str]:
    try:
        model = json.loads((folder / _MODEL_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return model if isinstance(model, dict) else {}
