"""An acoustic model's mels of a corpus's recordings, stored beside the recordings' own for a vocoder to learn from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from models.bundle import Bundle
from models.contracts import AcousticModel, prosody_levels
from models.registry import kind_of, open_acoustic
from processors.datasets.acoustic_data import AcousticData, Voice, collate_acoustic
from processors.datasets.batches import OrderedBatches
from processors.datasets.open_split import open_split
from processors.feature_store import FeatureStore, ShardWriter, tidy_store
from processors.features import ACOUSTIC_FEATURES, PREDICTED_BY, PREDICTED_MEL, DataError, store_settings
from processors.speakers.voice_folder import voice_folder
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.utterance import SPLITS, Utterance
from utils.console import Progress, say
from utils.errors import RecitalError
from utils.files import write_atomically
from utils.lock import sole_user

_BATCH_SIZE, _MOST_FRAMES_PER_BATCH = 16, 12_000
# A kill loses at most so much.
_MOST_BYTES_HELD = 16 * 2**20
_MAKER_FILE = "predicted_mels.json"
_STAMP_BYTES = 8


class PredictionError(RecitalError):
    """An acoustic model that does not go with the features, or with mels that another one has left."""


def predict_mels(
    bundle: Bundle,
    processed_dir: Path,
    datasets: Sequence[str],
    *,
    device: torch.device | str = "cpu",
    overwrite: bool = False,
) -> int:
    """Store what an acoustic model makes of every recording when it is told durations, pitch and energy.

    The feature is `predicted_mel`, (T_mel, M), frame for frame with the recording's waveform. What is there is not made
    again, so a run that was stopped goes on where it was; mels of two models never mix.

    Args:
        bundle: of an acoustic model.
        processed_dir: what stage 1 wrote to.
        datasets: names of the corpora; all their splits are taken, as far as the recordings have phones.
        device: where to compute.
        overwrite: make all anew, also what another model has made.

    Returns:
        How many were made.

    Raises:
        PredictionError: the bundle is a vocoder's, was trained on other features or other speakers; or the store holds
            mels of another model.
        BundleError, DataError, ManifestError, StoreError: something is missing or damaged.
    """
    if kind_of(bundle.settings.model_type) != "acoustic":
        raise PredictionError(
            f"{bundle.folder}: holds a {bundle.settings.model_type}, which makes no mels; name an acoustic model"
        )
    bundle.require_front_end()
    model = open_acoustic(bundle, device)
    made = 0
    with sole_user(processed_dir):
        missing = {dataset: _missing(bundle, processed_dir, datasets, dataset, overwrite) for dataset in datasets}
        total = sum(len(utterances) for utterances in missing.values())
        with Progress(total, "predicting mels", "recordings") as progress:
            for dataset, utterances in missing.items():
                if utterances:
                    _note_maker(bundle, processed_dir / dataset)
                    _predict(model, bundle, processed_dir / dataset, utterances, device, progress)
                    made += len(utterances)
    say(f"{made} mels were made" if made else "nothing to make: all mels are there")
    return made


def _missing(
    bundle: Bundle, processed_dir: Path, datasets: Sequence[str], dataset: str, overwrite: bool
) -> list[Utterance]:
    """Give the utterances of a corpus whose mel is not there, or not this model's, or of another length."""
    listed, stores = open_split(processed_dir, [dataset], *SPLITS)
    store, folder = stores[dataset], processed_dir / dataset
    _require_same_settings(bundle, store, voice_folder(processed_dir, datasets) / SYMBOLS_FILE)
    tidy_store(folder)
    utterances = [utterance for utterance in listed if utterance.phones]
    if not utterances:
        raise DataError(f"{folder}: none of the recordings has phones; run stage 1 of the acoustic recipe")
    for utterance in utterances:
        if utterance.speaker not in bundle.speakers:
            raise PredictionError(
                f"{bundle.folder}: has never heard {utterance.speaker}, who speaks {utterance.id} of {folder.name}; "
                "name a model that was trained on this corpus"
            )
    if overwrite:
        return utterances
    stamp = _stamp(bundle)
    makers = {utterance.id: _maker(store, utterance.id) for utterance in utterances}
    known = _noted_maker(folder)
    if known.get("stamp") != stamp.hex() and (others := set(makers.values()) - {b"", stamp}):
        raise PredictionError(
            f"{folder}: holds mels of {'another model' if len(others) == 1 else 'other models'}"
            f"{', ' + known['bundle'] if 'bundle' in known else ''}; give --overwrite to have all made anew by "
            f"{bundle.folder}"
        )
    return [
        utterance
        for utterance in utterances
        if makers[utterance.id] != stamp
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
        differing.append(f"symbols that the model does not know, or knows by other numbers, in {symbols_path}")
    if differing:
        raise PredictionError(
            f"{store.folder}: holds other features than {bundle.folder} was trained on: {', '.join(differing)}; "
            "name the model's own processed_dir, or a model that was trained on these"
        )


def _predict(
    model: AcousticModel,
    bundle: Bundle,
    folder: Path,
    utterances: Sequence[Utterance],
    device: torch.device | str,
    progress: Progress,
) -> None:
    store = FeatureStore.open(folder)
    assert bundle.symbols is not None
    data = AcousticData(
        utterances,
        {folder.name: store},
        Voice(bundle.symbols, bundle.speakers, bundle.statistics),
        **prosody_levels(bundle.settings.model),
    )
    batches = OrderedBatches(
        data,
        partial(collate_acoustic, length_step=8),
        data.lengths,
        batch_size=_BATCH_SIZE,
        max_frames_per_batch=_MOST_FRAMES_PER_BATCH,
    )
    stamp = np.frombuffer(_stamp(bundle), dtype=np.uint8)
    with ShardWriter(folder, max_bytes=_MOST_BYTES_HELD) as writer, torch.inference_mode():
        for batch in batches:
            mels = model.teacher_forced(batch.to(device)).float().cpu()
            for utterance_id, mel, length in zip(batch.ids, mels, batch.mel_lengths.tolist(), strict=True):
                predicted = np.ascontiguousarray(mel[:, :length].numpy().T)  # (M, T_mel) -> (T_mel, M)
                if predicted.shape != (store.length(utterance_id, "mel"), bundle.settings.preprocess.n_mel):
                    raise PredictionError(
                        f"{folder}: {utterance_id}: the model gives {predicted.shape} for "
                        f"{store.length(utterance_id, 'mel')} frames; run stage 1 again"
                    )
                if not np.isfinite(predicted).all():
                    raise PredictionError(f"{bundle.folder}: makes NaN of {utterance_id}; name another checkpoint")
                writer.add(utterance_id, {PREDICTED_MEL: predicted, PREDICTED_BY: stamp})
            progress.advance(len(batch.ids))


def _stamp(bundle: Bundle) -> bytes:
    """Mark a model by what decides its mels, wherever it lies."""
    mark = hashlib.blake2b(digest_size=_STAMP_BYTES)
    for name in sorted(bundle.weights):
        tensor = bundle.weights[name].detach().cpu().contiguous()
        mark.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        mark.update(tensor.flatten().view(torch.uint8).numpy().data)
    of_speaker = {speaker: asdict(statistics) for speaker, statistics in bundle.statistics.items()}
    mark.update(json.dumps([of_speaker, dict(bundle.speakers)], sort_keys=True).encode())
    return mark.digest()


def _maker(store: FeatureStore, utterance_id: str) -> bytes:
    if not store.has(utterance_id, (PREDICTED_MEL, PREDICTED_BY)):
        return b""
    return store.read(utterance_id, PREDICTED_BY).tobytes()


def _note_maker(bundle: Bundle, folder: Path) -> None:
    """Note who is at work, so that a run that was to replace another model's mels may be stopped and go on."""
    noted = {"bundle": str(bundle.folder), "stamp": _stamp(bundle).hex()}
    write_atomically(folder / _MAKER_FILE, json.dumps(noted, indent=2, ensure_ascii=False) + "\n")


def _noted_maker(folder: Path) -> dict[str, str]:
    try:
        noted = json.loads((folder / _MAKER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}
