"""Forced alignment of corpora by a trained aligner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from config.schema import PreprocessSettings
from models.bundle import Bundle
from models.contracts import AlignerNetwork
from models.registry import kind_of, open_aligner
from processors.alignment.durations import alignment_from_durations
from processors.alignment.textgrid import read_textgrid, textgrid_origin, write_textgrid
from processors.alignment.textgrid_folders import TextGrids
from processors.datasets.aligner_data import (
    AlignerBatch,
    AlignerData,
    collate_aligner,
    open_aligner_corpora,
    open_symbols,
)
from processors.datasets.batches import OrderedBatches
from processors.feature_store import FeatureStore
from processors.features import ALIGNER_FEATURES, RECORDING_S, SOURCE, store_settings
from processors.preparation.fingerprints import Fingerprints
from processors.preparation.textgrid_origin import SCORE, origin_prefix
from processors.text.front_end import FrontEnds
from processors.text.phone_sequence import PhoneSequence
from processors.text.symbols import SymbolTable
from processors.text.tokens import PAUSES
from processors.utterance import SPLITS, Utterance
from utils.console import Progress, info, warn
from utils.errors import RecitalError

_BATCH_SIZE, _MAX_FRAMES_PER_BATCH = 32, 16_000
_collate = partial(collate_aligner, length_step=8)


class AligningError(RecitalError):
    """A model that is not an aligner, or that lacks phones of a corpus."""


@dataclass(frozen=True)
class Summary:
    """Counts of an alignment run.

    Attributes:
        made: TextGrids written.
        kept: existing TextGrids left as they are.
        failed: ids of utterances too short for their phones, which have no TextGrid.
    """

    made: int
    kept: int
    failed: tuple[str, ...]


def align_corpora(
    bundle: Bundle,
    processed_dir: Path,
    datasets: Sequence[str],
    textgrid_dirs: Mapping[str, Path],
    *,
    device: str = "cpu",
    batch_size: int = _BATCH_SIZE,
    overwrite: bool = False,
    compare_phones: bool = False,
) -> Summary:
    """Write a TextGrid for every utterance in the feature store of the aligner's recipe.

    Existing TextGrids are kept if they were made from the same recording and text, so that an interrupted run resumes,
    or by another program.

    Args:
        bundle: the aligner.
        processed_dir: of the aligner's recipe.
        datasets: names of the corpora.
        textgrid_dirs: for each corpus, the folder for `<speaker>/<id>.TextGrid`.
        device: of the network.
        batch_size: utterances per batch.
        overwrite: whether to replace TextGrids that Recital made.
        compare_phones: whether to replace those with other phones than the store, as of a former front end; reads all.

    Raises:
        AligningError: the bundle holds no aligner, or one with other phones.
    """
    settings = bundle.settings
    if kind_of(settings.model_type) != "aligner" or bundle.symbols is None:
        raise AligningError(f"{bundle.folder}: holds a {settings.model_type}, which is not an aligner")
    expect = store_settings(settings.preprocess, ALIGNER_FEATURES, bundle.symbols.symbols)
    utterances, stores = open_aligner_corpora(processed_dir, datasets, SPLITS, expect=expect)
    if not bundle.symbols.has_the_numbers_of(open_symbols(processed_dir, datasets)):
        raise AligningError(
            f"{bundle.folder}: its symbol table differs from that of {processed_dir}; choose the aligner that was "
            "trained on these features"
        )
    places = {dataset: TextGrids(None, textgrid_dirs[dataset]) for dataset in datasets}
    missing, foreign = [], 0
    for utterance in utterances:
        path = places[utterance.dataset].own(utterance)
        found = textgrid_origin(path) if path.exists() else ""
        if path.exists() and not found:
            foreign += 1
        elif (
            overwrite
            or not found.startswith(_origin(settings.preprocess, utterance, stores))
            or (compare_phones and _phones_in(path) != _stored_phones(utterance, stores, bundle.symbols))
        ):
            missing.append(utterance)
    kept = len(utterances) - len(missing)
    if foreign:
        warn(f"{foreign} recordings have a TextGrid that Recital did not write; those are kept")
    if not missing:
        info(f"nothing to align: all {kept} TextGrids exist")
        return Summary(0, kept, ())
    failed = _align(bundle, missing, stores, places, device, batch_size)
    if failed:
        warn(f"{len(failed)} recordings are too short for their texts and have no TextGrid: {', '.join(failed[:5])}")
    return Summary(len(missing) - len(failed), kept, tuple(failed))


def _align(
    bundle: Bundle,
    missing: Sequence[Utterance],
    stores: Mapping[str, FeatureStore],
    places: Mapping[str, TextGrids],
    device: str,
    batch_size: int,
) -> list[str]:
    """Write the TextGrids; return the ids of utterances that are too short for one."""
    preprocess = bundle.settings.preprocess
    aligner = open_aligner(bundle, device)
    front_ends = FrontEnds(preprocess)
    by_key = {(utterance.dataset, utterance.id): utterance for utterance in missing}
    data = AlignerData(missing, stores)
    batches = OrderedBatches(
        data, _collate, data.lengths, batch_size=batch_size, max_frames_per_batch=_MAX_FRAMES_PER_BATCH
    )
    failed = []
    with Progress(len(data), "aligning", "clips") as progress, torch.inference_mode():
        for batch in batches:
            for key, durations, score in _durations_and_scores(aligner, batch.to(device)):
                utterance = by_key[key]
                progress.advance()
                if not durations.any():
                    failed.append(utterance.id)
                    continue
                sequence = PhoneSequence.with_silences(front_ends[utterance.language].tokens(utterance.text))
                if len(sequence.phones) != len(durations):
                    raise AligningError(
                        f"{utterance.id}: has {len(durations)} phones in the feature store, but {len(sequence.phones)} "
                        "from the front end now; run stage 1 again with --overwrite"
                    )
                alignment = alignment_from_durations(
                    sequence,
                    durations,
                    frame_s=preprocess.hop_size / preprocess.sample_rate,
                    duration_s=float(stores[utterance.dataset].read(utterance.id, RECORDING_S)[0]),
                    score=score,
                )
                origin = f"{_origin(preprocess, utterance, stores)} {SCORE}{score:.3f}"
                write_textgrid(places[utterance.dataset].own(utterance), alignment, origin)
    return failed


def _phones_in(textgrid: Path) -> list[str]:
    return [phone.label for phone in read_textgrid(textgrid).phones if not phone.is_silence]


def _stored_phones(utterance: Utterance, stores: Mapping[str, FeatureStore], symbols: SymbolTable) -> list[str]:
    phones = symbols.phones(stores[utterance.dataset].read(utterance.id, "phonemes").tolist())
    return [phone for phone in phones if phone not in PAUSES]


def _origin(settings: PreprocessSettings, utterance: Utterance, stores: Mapping[str, FeatureStore]) -> str:
    return origin_prefix(settings, Fingerprints.from_array(stores[utterance.dataset].read(utterance.id, SOURCE)))


def _durations_and_scores(
    aligner: AlignerNetwork, batch: AlignerBatch
) -> list[tuple[tuple[str, str], npt.NDArray[np.int32], float]]:
    """Return each utterance's key, the (T_text,) durations of its phones in frames, and its mean score."""
    scored = aligner.score(batch)
    durations = scored.durations(batch.mel_lengths)
    of_phones = scored.states.durations_of_phones(durations, batch.phoneme_ids.shape[1]).cpu().numpy()
    of_states, is_optional = durations.cpu().numpy(), scored.states.is_optional.cpu().numpy()
    scores, lengths = scored.scores.float().cpu().numpy(), batch.phoneme_lengths.tolist()
    found = []
    for row, key in enumerate(zip(batch.datasets, batch.ids, strict=True)):
        state_of_frame = np.repeat(np.arange(of_states.shape[1]), of_states[row])
        chosen = scores[row, np.arange(len(state_of_frame)), state_of_frame]
        is_spoken = ~is_optional[row, state_of_frame]
        score = float(chosen[is_spoken].mean()) if is_spoken.any() else 0.0
        found.append((key, of_phones[row, : lengths[row]], score))
    return found
