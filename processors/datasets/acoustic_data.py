"""Dataset for acoustic models: utterances with phones, durations, mel, pitch and energy."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from processors.alignment.textgrid import read_textgrid
from processors.alignment.textgrid_folders import TextGrids
from processors.datasets.acoustic_example import AcousticExample
from processors.datasets.further_utterances import FurtherSettings, FurtherUtterance, WordPlaces, further_utterances
from processors.datasets.open_split import open_split
from processors.datasets.prosody import average_per_phone, interpolate_unvoiced
from processors.datasets.utterance_data import UtteranceBatch, UtteranceData, collate_utterances, pad_arrays
from processors.datasets.word_starts import quiet_starts, word_starts
from processors.feature_store import FeatureStore
from processors.features import DataError, Level, lacks_durations
from processors.speakers.speaker_embeddings import EMBEDDINGS_FILE, SpeakerEmbeddings
from processors.speakers.statistics import STATISTICS_FILE, SpeakerStatistics, open_statistics
from processors.speakers.voice_folder import LANGUAGES_FILE, SPEAKERS_FILE, open_languages, voice_folder
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.text.tokens import PAUSES
from processors.utterance import Utterance


@dataclass(frozen=True)
class AcousticBatch(UtteranceBatch):
    """A batch for acoustic models.

    Attributes:
        speaker_ids: (B,) rows of the speaker table.
        durations: (B, T_text) frames per phoneme; a row adds up to its `mel_lengths`. All 0 where stage 1 made none.
        pitch: (B, T_text) or, at frame level, (B, T_mel); log F0, normalised per speaker; None if the model has none.
        energy: likewise, linear, normalised per speaker.
    """

    speaker_ids: Tensor
    durations: Tensor
    pitch: Tensor | None
    energy: Tensor | None


def collate_acoustic(examples: Sequence[AcousticExample], length_step: int = 1) -> AcousticBatch:
    """Pad utterances to the longest one; see `collate_utterances`."""

    def padded(values: Sequence[np.ndarray | None]) -> Tensor | None:
        present = [each for each in values if each is not None]
        return pad_arrays(present, length_step=length_step) if present else None

    return collate_utterances(
        AcousticBatch,
        examples,
        length_step,
        speaker_ids=torch.tensor([example.speaker_id for example in examples]),
        durations=pad_arrays([example.durations for example in examples], length_step=length_step).long(),
        pitch=padded([example.pitch for example in examples]),
        energy=padded([example.energy for example in examples]),
    )


@dataclass(frozen=True)
class Voice:
    """Symbols, speakers and statistics of an experiment's corpora, as stage 1 wrote them.

    Attributes:
        symbols: the front end's symbol table.
        speakers: name to row of the speaker table.
        statistics: by speaker's name.
        embeddings: likewise; None if stage 1 computed none.
        languages: likewise; the default is the settings' language.
    """

    symbols: SymbolTable
    speakers: Mapping[str, int]
    statistics: Mapping[str, SpeakerStatistics]
    embeddings: SpeakerEmbeddings | None = None
    languages: Mapping[str, str] = field(default_factory=dict)


def open_voice(processed_dir: Path, datasets: Collection[str]) -> Voice:
    """Read symbol table, speakers, statistics and, if present, speaker embeddings of an experiment's corpora.

    Args:
        processed_dir: the output of stage 1.
        datasets: all corpora of the experiment.

    Raises:
        DataError: a file is missing or damaged, or a speaker has no statistics.
        SpeakerEmbeddingsError: the embeddings are damaged.
    """
    processed_dir = voice_folder(processed_dir, datasets)
    try:
        symbols = SymbolTable.open(processed_dir / SYMBOLS_FILE)
        speakers = json.loads((processed_dir / SPEAKERS_FILE).read_text(encoding="utf-8"))
        languages = open_languages(processed_dir / LANGUAGES_FILE)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: no such file; run stage 1 first") from None
    except ValueError as error:
        raise DataError(
            f"{processed_dir}: {SPEAKERS_FILE} or {SYMBOLS_FILE} is damaged ({error}); run stage 1 again"
        ) from None
    statistics = open_statistics(processed_dir / STATISTICS_FILE)
    if missing := [name for name in speakers if name not in statistics]:
        raise DataError(f"{processed_dir / 'statistics.json'}: has no statistics of {missing[0]}; run stage 1 again")
    path = processed_dir / EMBEDDINGS_FILE
    embeddings = SpeakerEmbeddings.open(path) if path.is_file() else None
    return Voice(symbols, speakers, statistics, embeddings, languages)


class AcousticData(UtteranceData[AcousticExample]):
    """Utterances of one split of one or more corpora, read from their feature stores.

    Log-pitch is interpolated where unvoiced, so that every phone has a value; pitch in Hz is 0 there, as FastPitch has
    it. Small in memory and picklable.

    Args:
        utterances: of the split; their corpora are keys of `stores`.
        stores: corpus to its features.
        voice: speakers and statistics.
        pitch_level: whether pitch is per phone or per frame; None for no pitch.
        energy_level: likewise.
        further: what follows the utterances.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        stores: Mapping[str, FeatureStore],
        voice: Voice,
        *,
        pitch_level: Level | None = "phone",
        energy_level: Level | None = "phone",
        further: Sequence[FurtherUtterance] = (),
    ) -> None:
        super().__init__(utterances, stores)
        self._further = tuple(further)
        self._pauses = {pause: voice.symbols.ids([pause], "a pause")[0] for pause in PAUSES} if further else {}
        self.lengths = np.concatenate([self.lengths, np.array([each.frames for each in further], dtype=np.int64)])
        self._speakers, self._statistics = dict(voice.speakers), dict(voice.statistics)
        self._pitch_level, self._energy_level = pitch_level, energy_level
        self._speaker_names = [utterance.speaker for utterance in utterances]

    def __len__(self) -> int:
        return super().__len__() + len(self._further)

    def weights(self, dataset_weight: Mapping[str, float]) -> list[float]:
        weights = super().weights(dataset_weight)
        return weights + [weights[each.origin] for each in self._further]

    def __getitem__(self, index: int) -> AcousticExample:
        whole = super().__len__()
        if index < whole:
            return self._read(index)
        levels = {"pitch": self._pitch_level, "energy": self._energy_level}
        return self._further[index - whole].make(self._read, levels, self._pauses)

    def _read(self, index: int) -> AcousticExample:
        (dataset, id_), speaker = self._keys[index], self._speaker_names[index]
        store, statistics = self._stores[dataset], self._statistics[speaker]
        phoneme_ids, pitch, energy = store.read(id_, "phonemes"), None, None
        is_learned = lacks_durations(store.settings)
        durations = np.zeros(len(phoneme_ids), np.int32) if is_learned else store.read(id_, "durations")
        if self._pitch_level is not None:
            f0_hz = store.read(id_, "f0")
            pitch = statistics.normalize_pitch(f0_hz)
            if statistics.pitch_scale == "log":
                pitch = interpolate_unvoiced(pitch, f0_hz > 0)
        if self._energy_level is not None:
            energy = statistics.normalize_energy(store.read(id_, "energy"))
        return AcousticExample(
            id=id_,
            speaker_id=self._speakers[speaker],
            phoneme_ids=phoneme_ids,
            durations=durations,
            mel=store.read(id_, "mel"),
            pitch=_at_level(pitch, self._pitch_level, durations),
            energy=_at_level(energy, self._energy_level, durations),
        )


def _at_level(values: np.ndarray | None, level: Level | None, durations: np.ndarray) -> np.ndarray | None:
    return average_per_phone(values, durations) if values is not None and level == "phone" else values


def open_acoustic_data(
    processed_dir: Path,
    datasets: Sequence[str],
    split: str,
    voice: Voice,
    *,
    expect: Mapping[str, Any] | None = None,
    pitch_level: Level | None = "phone",
    energy_level: Level | None = "phone",
    further: FurtherSettings | None = None,
    needs_durations: bool = True,
) -> AcousticData:
    """Open one split of all corpora of an experiment as a dataset.

    Args:
        processed_dir: the output of stage 1.
        datasets: names of the corpora.
        split: `train`, `valid`, ...
        voice: speakers and statistics.
        expect: the settings that the features must have been made with; see `FeatureStore.open`.
        pitch_level: whether pitch is per phone or per frame; None for no pitch.
        energy_level: likewise.
        further: further utterances to make from those of the split; None for none.
        needs_durations: whether features without durations are refused.

    Raises:
        ManifestError, StoreError: output of stage 1 is missing, damaged or made with other settings.
        DataError: a speaker is unknown, or the durations are missing.
    """
    utterances, stores = open_split(
        processed_dir, datasets, split, is_usable=lambda utterance, _: bool(utterance.phones), expect=expect
    )
    if needs_durations:
        require_durations(stores.values())
    for utterance in utterances:
        if utterance.speaker not in voice.speakers:
            raise DataError(
                f"{processed_dir / 'speakers.json'}: lacks {utterance.speaker}, the speaker of {utterance.id}; "
                "run stage 1 again"
            )
    made: Sequence[FurtherUtterance] = ()
    if further is not None:
        words = _words_of(processed_dir, utterances, stores, further) if further.phrases_share else None
        made = further_utterances(utterances, further, words)
    return AcousticData(utterances, stores, voice, pitch_level=pitch_level, energy_level=energy_level, further=made)


def require_durations(stores: Iterable[FeatureStore]) -> None:
    """Raise a `DataError` for features made without durations, for a model that learns them."""
    for store in stores:
        if lacks_durations(store.settings):
            raise DataError(
                f"{store.folder}: was made without durations, for a model that learns them; this one needs them: run "
                "its stage 1 with another processed_dir, or with --overwrite"
            )


def _words_of(
    processed_dir: Path,
    utterances: Sequence[Utterance],
    stores: Mapping[str, FeatureStore],
    further: FurtherSettings,
) -> WordPlaces:
    textgrids = {
        dataset: TextGrids(further.textgrid_dirs.get(dataset), processed_dir / dataset / "TextGrid")
        for dataset in stores
    }

    def places(index: int) -> tuple[list[int], list[int]]:
        utterance = utterances[index]
        of_dataset = textgrids[utterance.dataset]
        path = of_dataset.given(utterance) or of_dataset.own(utterance)
        if not path.is_file():
            return [], []
        starts = word_starts(utterance.phones, read_textgrid(path, speaker=utterance.speaker))
        return starts, quiet_starts(starts, utterance.durations, stores[utterance.dataset].read(utterance.id, "mel"))

    return places
