"""Output of stage 1 besides features: reports, symbol table, speakers, statistics and manifests."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config.load import write_settings
from config.schema import ExperimentSettings, PreprocessSettings
from processors.feature_store import FeatureStore
from processors.features import ALIGNMENT_SCORE, SILENCE_IN_WORDS_S
from processors.preparation.alignment_check import AlignmentCheck
from processors.preparation.corpus_result import CorpusCounts, CorpusResult, PreparationError, completed
from processors.preparation.report import write_report
from processors.speakers.speaker_embeddings import EMBEDDINGS_FILE, embed_speakers
from processors.speakers.speaker_encoders import SpeakerEncoder
from processors.speakers.statistics import STATISTICS_FILE, SpeakerStatistics, StatisticsCollector, save_statistics
from processors.speakers.voice_folder import LANGUAGES_FILE, SPEAKERS_FILE, kept_voice_folder
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.utterance import GOLDEN_TEST, SPLITS, Utterance, write_manifest
from utils.console import info, warn
from utils.files import write_atomically

# Less than this is known to make poor voices.
_ADVISED_MINUTES_PER_SPEAKER = 30
_GOLDEN_UTTERANCES = 10


@dataclass(frozen=True)
class PreparationSummary:
    """The result of stage 1 in numbers.

    Attributes:
        prepared: number of utterances prepared in this run; the others were up to date.
        usable: number of usable utterances.
        rejected: number of rejected recordings.
        frames: of the usable utterances.
        hours: of speech in them.
        speakers: number of speakers.
        utterances: by split.
        processed_dir: the output folder.
        reports: one per corpus.
    """

    prepared: int
    usable: int
    rejected: int
    frames: int
    hours: float
    speakers: int
    utterances: Mapping[str, int]
    processed_dir: Path
    reports: tuple[Path, ...]


def write_voice_files(
    results: Sequence[CorpusResult],
    settings: ExperimentSettings,
    symbols: SymbolTable | None,
    encoder: SpeakerEncoder | None,
    *,
    for_voice: bool,
) -> PreparationSummary:
    """Write reports and, if enough is usable, what training reads; warn of speakers with little speech.

    A recipe without texts keeps the speakers, and the phones in manifests, of one with texts.

    Raises:
        PreparationError: too little of a corpus is usable.
    """
    processed_dir = settings.preprocess.processed_path
    with_text = symbols is not None
    if not with_text:
        symbols = _symbols_left_in(processed_dir)
    preprocess = settings.preprocess
    collector = StatisticsCollector(preprocess.pitch_scale, of_corpus=preprocess.pitch_statistics == "corpus")
    counts = {result.dataset: _count(result, symbols, collector, settings.preprocess) for result in results}
    statistics = collector.statistics()
    reports = []
    for result in results:
        info(f"{result.dataset}: writing the report")
        reports.append(write_report(result, counts[result.dataset], statistics, symbols, settings.preprocess))
    _refuse_if_too_few(results, settings.preprocess)
    if with_text or symbols is None:
        _write_voice(results, settings, symbols, statistics)
    if encoder is not None:
        _embed_speakers(results, settings, encoder)
    for result in results:
        store = FeatureStore.open(result.folder)
        for split in SPLITS:
            members = (utterance for utterance in result.usable if utterance.split == split)
            write_manifest(result.folder / f"{split}.jsonl", completed(members, store, symbols))
        golden = golden_test(result.usable, settings.preprocess.golden_test)
        write_manifest(result.folder / f"{GOLDEN_TEST}.jsonl", completed(iter(golden), store, symbols))
    usable = {utterance.id for result in results for utterance in result.usable}
    if missing := [id_ for id_ in settings.preprocess.golden_test if id_ not in usable]:
        warn(f"preprocess.golden_test: no usable utterance {', '.join(missing)}")
    if for_voice:
        _warn_of_little_speech(list(counts.values()), settings.preprocess)
    return _summary(results, list(counts.values()), settings.preprocess, reports)


def golden_test(utterances: Sequence[Utterance], ids: Sequence[str]) -> list[Utterance]:
    """Return the utterances of these ids; if there are none, ten of the test split, spread over its lengths."""
    if ids:
        by_id = {utterance.id: utterance for utterance in utterances}
        return [by_id[id_] for id_ in ids if id_ in by_id]
    tested = [utterance for utterance in utterances if utterance.split == "test"]
    by_length = sorted(tested, key=lambda utterance: (utterance.duration_s, utterance.id))
    places = np.linspace(0, len(by_length) - 1, min(_GOLDEN_UTTERANCES, len(by_length))).round().astype(int)
    return [by_length[place] for place in places]


def _symbols_left_in(processed_dir: Path) -> SymbolTable | None:
    """Return the symbol table of an earlier recipe with texts, if there was one."""
    path = processed_dir / SYMBOLS_FILE
    return SymbolTable.open(path) if path.is_file() else None


def _write_voice(
    results: Sequence[CorpusResult],
    settings: ExperimentSettings,
    symbols: SymbolTable | None,
    statistics: Mapping[str, SpeakerStatistics],
) -> None:
    speakers = sorted({utterance.speaker for result in results for utterance in result.usable})
    rows = {speaker: row for row, speaker in enumerate(speakers)}
    languages = json.dumps(_languages_of_speakers(results), indent=2, ensure_ascii=False)
    for folder in _voice_folders(settings):
        if symbols is not None:
            symbols.save(folder / SYMBOLS_FILE)
        save_statistics(folder / STATISTICS_FILE, statistics)
        write_atomically(folder / SPEAKERS_FILE, json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        write_atomically(folder / LANGUAGES_FILE, languages + "\n")
        write_settings(folder / "settings.json", settings)


def _voice_folders(settings: ExperimentSettings) -> tuple[Path, Path]:
    processed_dir = settings.preprocess.processed_path
    return kept_voice_folder(processed_dir, settings.dataset), processed_dir


def _embed_speakers(results: Sequence[CorpusResult], settings: ExperimentSettings, encoder: SpeakerEncoder) -> None:
    embeddings = embed_speakers(
        [utterance for result in results for utterance in result.usable if utterance.split == "train"],
        {result.dataset: FeatureStore.open(result.folder) for result in results},
        encoder,
        name=settings.preprocess.speaker_encoder,
        sample_rate=settings.preprocess.sample_rate,
    )
    for folder in _voice_folders(settings):
        embeddings.save(folder / EMBEDDINGS_FILE)


def _languages_of_speakers(results: Sequence[CorpusResult]) -> dict[str, str]:
    """Return each speaker's most frequent language."""
    spoken: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        for utterance in result.usable:
            spoken[utterance.speaker][utterance.language] += 1
    return {speaker: max(sorted(counts), key=counts.__getitem__) for speaker, counts in sorted(spoken.items())}


def _count(
    result: CorpusResult, symbols: SymbolTable | None, collector: StatisticsCollector, settings: PreprocessSettings
) -> CorpusCounts:
    """Count a corpus's utterances, and collect statistics of speakers over its training split."""
    store = FeatureStore.open(result.folder)
    counts = CorpusCounts(AlignmentCheck(settings.hop_size / settings.sample_rate))

    def stored_number(utterance: Utterance, feature: str) -> float | None:
        return float(store.read(utterance.id, feature)[0]) if store.has(utterance.id, (feature,)) else None

    for utterance in completed(result.usable, store, symbols):
        counts.add(utterance)
        energy = store.read(utterance.id, "energy") if store.has(utterance.id, ("energy",)) else None
        counts.alignments.add(
            utterance,
            energy=energy,
            score=stored_number(utterance, ALIGNMENT_SCORE),
            silence_in_words_s=stored_number(utterance, SILENCE_IN_WORDS_S) or 0.0,
        )
        if utterance.split == "train" and store.has(utterance.id, ("f0",)):
            collector.add(utterance.speaker, store.read(utterance.id, "f0"), np.zeros(0) if energy is None else energy)
    return counts


def _refuse_if_too_few(results: Sequence[CorpusResult], settings: PreprocessSettings) -> None:
    for result in results:
        total = len(result.usable) + len(result.rejected)
        report = result.folder / "report.md"
        is_refused = result.rejected_share > settings.max_bad_share or not result.has_training
        for split in (*SPLITS, GOLDEN_TEST) if is_refused else ():
            # Manifests of an earlier run may list utterances that are rejected now.
            (result.folder / f"{split}.jsonl").unlink(missing_ok=True)
        if result.rejected_share > settings.max_bad_share:
            raise PreparationError(
                f"{result.dataset}: {len(result.rejected)} of {total} recordings are bad ({result.rejected_share:.0%}, "
                f"preprocess.max_bad_share allows {settings.max_bad_share:.0%}); {report} lists them"
            )
        if not result.has_training:
            raise PreparationError(f"{result.dataset}: no usable utterance to train on; see {report}")


def _warn_of_little_speech(counts: Sequence[CorpusCounts], settings: PreprocessSettings) -> None:
    frames: Counter[str] = Counter()
    for each in counts:
        frames.update(each.speaker_frames)
    minutes = {name: n_frames * settings.hop_size / settings.sample_rate / 60 for name, n_frames in frames.items()}
    short = sorted(name for name, of_speaker in minutes.items() if of_speaker < _ADVISED_MINUTES_PER_SPEAKER)
    if short:
        shown = ", ".join(f"{name} ({minutes[name]:.1f})" for name in short[:5])
        warn(
            f"less than {_ADVISED_MINUTES_PER_SPEAKER} minutes of speech of {shown}"
            + (f" and {len(short) - 5} more speakers" if len(short) > 5 else "")
            + "; a good voice needs more"
        )


def _summary(
    results: Sequence[CorpusResult],
    counts: Sequence[CorpusCounts],
    settings: PreprocessSettings,
    reports: Sequence[Path],
) -> PreparationSummary:
    frames = sum(each.frames.total() for each in counts)
    utterances: Counter[str] = Counter()
    for each in counts:
        utterances.update(each.utterances)
    return PreparationSummary(
        prepared=sum(result.n_prepared for result in results),
        usable=sum(len(result.usable) for result in results),
        rejected=sum(len(result.rejected) for result in results),
        frames=frames,
        hours=frames * settings.hop_size / settings.sample_rate / 3600,
        speakers=len({speaker for each in counts for speaker in each.speaker_frames}),
        utterances={split: utterances[split] for split in SPLITS},
        processed_dir=settings.processed_path,
        reports=tuple(reports),
    )
