"""Stage 1: corpora become features, manifests, statistics and a report."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.load import write_settings
from config.paths import rooted
from config.schema import ExperimentSettings, PreprocessSettings
from processors.corpora.corpus import Corpus, some
from processors.corpora.exclusions import tell_what_is_left_out
from processors.corpora.load import languages_of, read_dataset
from processors.feature_store import FeatureStore
from processors.preparation.alignment_check import AlignmentCheck
from processors.preparation.corpus_result import (
    SPLITS,
    Outcome,
    Tally,
    completed,
    outcome_of,
    without_untrained_speakers,
)
from processors.preparation.extraction import make_features
from processors.preparation.front_ends import SYMBOLS_FILE, front_ends_of, symbol_table
from processors.preparation.plan import Plan, Share, make_plan, remove_partial_files
from processors.preparation.report import write_report
from processors.preparation.work import (
    ACOUSTIC_FEATURES,
    ALIGNMENT_SCORE,
    SILENCE_IN_WORDS_S,
    needs_alignment,
    needs_text,
)
from processors.speakers.speaker_embeddings import EMBEDDINGS_FILE, embed_speakers
from processors.speakers.speaker_encoders import SpeakerEncoder, make_speaker_encoder
from processors.speakers.statistics import SpeakerStatistics, StatisticsCollector, save_statistics
from processors.text.phone_extractor import PhoneExtractor
from processors.text.symbols import SymbolTable
from processors.utterance import Utterance, read_manifest, write_manifest
from utils.console import say, warn
from utils.errors import RecitalError
from utils.files import write_atomically
from utils.lock import InUseError, joint_user, sole_user
from utils.process_pool import available_cores

# Less than this is known to give poor voices.
_ADVISED_MINUTES_PER_SPEAKER = 30


class PreparationError(RecitalError):
    """Corpora of which too little can be used."""


@dataclass(frozen=True)
class Summary:
    """What stage 1 has done, in numbers.

    Attributes:
        made: utterances made in this run; the rest were there.
        good: usable utterances.
        bad: recordings left out.
        frames: of the usable utterances.
        hours: of speech in them.
        speakers: their number.
        utterances: by split.
        processed_dir: where everything is.
        reports: one for each corpus.
    """

    made: int
    good: int
    bad: int
    frames: int
    hours: float
    speakers: int
    utterances: Mapping[str, int]
    processed_dir: Path
    reports: tuple[Path, ...]


def prepare(
    settings: ExperimentSettings,
    *,
    num_workers: int = 0,
    overwrite: bool = False,
    features: Sequence[str] = ACOUSTIC_FEATURES,
) -> Summary:
    """Make what is missing of the features of all corpora, and everything that training reads beside them.

    It may be stopped or killed at any moment: alignments are kept one by one, features by groups of some dozens of
    utterances, and what comes after reads like the result of one go.

    Args:
        settings: of the whole experiment.
        num_workers: processes; 0 for the setting's number, or one per core where that is 0.
        overwrite: whether to forget features that were made before, e.g. with other settings; TextGrids stay.
        features: which features training will read.

    Raises:
        RecitalError: a corpus cannot be read, was prepared with other settings, or too many of its recordings are bad.
    """
    preprocess = settings.preprocess
    processed_dir = rooted(preprocess.processed_dir)
    with_text = needs_text(features)
    corpora = {dataset: read_dataset(settings, dataset, with_text) for dataset in settings.dataset}
    tell_what_is_left_out(corpora, preprocess)
    front_ends = front_ends_of(languages_of(settings), preprocess) if with_text else {}
    # An aligner knows no speaker by name: it needs nobody's embedding, and aligns those whom nobody trains as well.
    knows_speakers = not with_text or needs_alignment(features)
    encoder = make_speaker_encoder(preprocess) if needs_alignment(features) else None
    with sole_user(processed_dir):
        remove_partial_files(processed_dir, deeper=False)
        symbols = _symbols_of(corpora, front_ends, preprocess, overwrite=overwrite) if with_text else None
        inventory = symbols.symbols if symbols else ()
        plans = [
            make_plan(dataset, corpus, preprocess, features, inventory=inventory, overwrite=overwrite)
            for dataset, corpus in corpora.items()
        ]
        if symbols is not None:
            # Now that no store has refused it, and before anything is numbered by it.
            symbols.save(processed_dir / SYMBOLS_FILE)
        if not with_text and not overwrite:
            for plan in plans:
                _refuse_to_train_on_held_out(plan)
        workers = num_workers or preprocess.num_workers or available_cores()
        try:
            failures = make_features(plans, preprocess, features, workers)
        except BaseException:
            for plan in plans:
                remove_partial_files(plan.folder)
            raise
        outcomes = [
            outcome_of(
                plan,
                preprocess,
                features,
                failed={id_: bad for (store, id_), bad in failures.items() if store == plan.folder},
                problems=corpora[plan.dataset].problems,
                notes=corpora[plan.dataset].notes,
            )
            for plan in plans
        ]
        if knows_speakers:
            outcomes = [without_untrained_speakers(outcome) for outcome in outcomes]
        return _write_down(outcomes, settings, symbols, encoder, for_voice=knows_speakers)


def prepare_share(
    settings: ExperimentSettings,
    share: Share,
    *,
    num_workers: int = 0,
    features: Sequence[str] = ACOUSTIC_FEATURES,
) -> Summary | None:
    """Do one machine's share of stage 1 in a folder that several machines see; the last one does what `prepare` does.

    Machines may begin, be killed and begin again in any order; one that begins while another finishes the whole waits
    for it. They need the same settings and the same corpora.

    Args:
        settings: of the whole experiment.
        share: which part is this machine's.
        num_workers: as for `prepare`.
        features: which features training will read.

    Returns:
        What there is now, or None while something is left to be made by others.

    Raises:
        RecitalError: as `prepare`; or this share is being made by another process.
    """
    preprocess = settings.preprocess
    processed_dir = rooted(preprocess.processed_dir)
    with_text = needs_text(features)
    corpora = {dataset: read_dataset(settings, dataset, with_text) for dataset in settings.dataset}
    tell_what_is_left_out(corpora, preprocess)
    front_ends = front_ends_of(languages_of(settings), preprocess) if with_text else {}

    shares = processed_dir / ".shares"
    finishing = f"{processed_dir}: another run is making the whole of it; waiting"
    own_folder = shares / f"{share.number}-of-{share.count}"
    with joint_user(processed_dir, waits=True, tells=finishing), sole_user(own_folder):
        symbols = _symbols_of(corpora, front_ends, preprocess) if with_text else None
        inventory = symbols.symbols if symbols else ()

        def plans_of(part: Share) -> list[Plan]:
            return [
                make_plan(dataset, corpus, preprocess, features, inventory=inventory, share=part)
                for dataset, corpus in corpora.items()
            ]

        plans = plans_of(share)
        if symbols is not None:
            # All machines read the same texts, so this is the same table whoever writes it.
            symbols.save(processed_dir / SYMBOLS_FILE)
        if not with_text:
            for plan in plans:
                _refuse_to_train_on_held_out(plan)
        make_features(plans, preprocess, features, num_workers or preprocess.num_workers or available_cores())
    try:
        # One after the other, so that of machines that end together the last to look sees what all have made.
        with sole_user(shares, waits=True), joint_user(processed_dir):
            left = sum(len(plan.jobs) for plan in plans_of(Share(1, 1)))
        if not left:
            return prepare(settings, num_workers=num_workers, features=features)
    except InUseError:
        say(f"share {share} is done; another machine is at work, and finishes the whole")
        return None
    say(
        f"share {share} is done; {left} utterances are left for others, the last of whom finishes the whole. Once "
        "nobody is at work any more, stage 1 without --shard makes what may be left"
    )
    return None


def _symbols_of(
    corpora: Mapping[str, Corpus],
    front_ends: Mapping[str, PhoneExtractor],
    settings: PreprocessSettings,
    *,
    overwrite: bool = False,
) -> SymbolTable:
    utterances = [utterance for corpus in corpora.values() for utterance in corpus.utterances]
    processed_dir = rooted(settings.processed_dir)
    forget = [processed_dir / dataset for dataset in corpora] if overwrite else ()
    return symbol_table(front_ends, utterances, settings, forget=forget)


def _refuse_to_train_on_held_out(plan: Plan) -> None:
    """Raise a `PreparationError` if a vocoder would hear in training what a voice of this corpus is judged by.

    The recordings themselves are compared: another layout gives them other ids, and by these another split.
    """
    held_out = {
        utterance.audio_path.resolve(): utterance.id
        for split in ("valid", "test")
        if (plan.folder / f"{split}.jsonl").is_file()
        for utterance in read_manifest(plan.folder / f"{split}.jsonl")
        if utterance.phones
    }
    if not held_out:
        return
    training = {utterance.audio_path.resolve() for utterance in plan.utterances if utterance.split == "train"}
    if heard := [id_ for path, id_ in held_out.items() if path in training]:
        raise PreparationError(
            f"{plan.folder}: {len(heard)} recordings that a voice is validated or tested on would train the vocoder "
            f"({some(heard)}); give it the voice's dataset_layout, split_seed, valid_size and test_size, or run "
            "the voice's stage 1 again if its corpus has changed"
        )


def _write_down(
    outcomes: Sequence[Outcome],
    settings: ExperimentSettings,
    symbols: SymbolTable | None,
    encoder: SpeakerEncoder | None,
    *,
    for_voice: bool,
) -> Summary:
    """Write reports, then, if enough is usable, all that training reads; advise how much a voice wants.

    A recipe that asks for no text keeps what one that did has left: its voice and the phones in its manifests.
    """
    processed_dir = rooted(settings.preprocess.processed_dir)
    with_text = symbols is not None
    if not with_text:
        symbols = _symbols_left_in(processed_dir)
    collector = StatisticsCollector()
    tallies = {outcome.dataset: _tally(outcome, symbols, collector, settings.preprocess) for outcome in outcomes}
    statistics = collector.statistics()
    reports = []
    for outcome in outcomes:
        say(f"{outcome.dataset}: writing the report")
        reports.append(write_report(outcome, tallies[outcome.dataset], statistics, symbols, settings.preprocess))
    _refuse_if_too_few(outcomes, settings.preprocess)
    if with_text or symbols is None:
        _write_voice(outcomes, settings, symbols, statistics)
    if encoder is not None:
        _embed_speakers(outcomes, settings.preprocess, encoder)
    for outcome in outcomes:
        store = FeatureStore.open(outcome.folder)
        for split in SPLITS:
            members = (utterance for utterance in outcome.good if utterance.split == split)
            write_manifest(outcome.folder / f"{split}.jsonl", completed(members, store, symbols))
    if for_voice:
        _warn_of_little_speech(list(tallies.values()), settings.preprocess)
    return _summary(outcomes, list(tallies.values()), settings.preprocess, reports)


def _symbols_left_in(processed_dir: Path) -> SymbolTable | None:
    """Give the symbol table that a recipe with texts has left, if there was one."""
    path = processed_dir / SYMBOLS_FILE
    return SymbolTable.open(path) if path.is_file() else None


def _write_voice(
    outcomes: Sequence[Outcome],
    settings: ExperimentSettings,
    symbols: SymbolTable | None,
    statistics: Mapping[str, SpeakerStatistics],
) -> None:
    processed_dir = rooted(settings.preprocess.processed_dir)
    if symbols is not None:
        symbols.save(processed_dir / SYMBOLS_FILE)
    save_statistics(processed_dir / "statistics.json", statistics)
    speakers = sorted({utterance.speaker for outcome in outcomes for utterance in outcome.good})
    rows = {speaker: row for row, speaker in enumerate(speakers)}
    write_atomically(processed_dir / "speakers.json", json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    languages = json.dumps(_languages_of_speakers(outcomes), indent=2, ensure_ascii=False)
    write_atomically(processed_dir / "languages.json", languages + "\n")
    write_settings(processed_dir / "settings.json", settings)


def _embed_speakers(outcomes: Sequence[Outcome], settings: PreprocessSettings, encoder: SpeakerEncoder) -> None:
    embeddings = embed_speakers(
        [utterance for outcome in outcomes for utterance in outcome.good if utterance.split == "train"],
        {outcome.dataset: FeatureStore.open(outcome.folder) for outcome in outcomes},
        encoder,
        name=settings.speaker_encoder,
        sample_rate=settings.sample_rate,
    )
    embeddings.save(rooted(settings.processed_dir) / EMBEDDINGS_FILE)


def _languages_of_speakers(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Give the language that each speaker speaks most often."""
    spoken: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        for utterance in outcome.good:
            spoken[utterance.speaker][utterance.language] += 1
    return {speaker: max(sorted(counts), key=counts.__getitem__) for speaker, counts in sorted(spoken.items())}


def _tally(
    outcome: Outcome, symbols: SymbolTable | None, collector: StatisticsCollector, settings: PreprocessSettings
) -> Tally:
    """Count a corpus through, its training split into the speakers' statistics."""
    store = FeatureStore.open(outcome.folder)
    tally = Tally(AlignmentCheck(settings.hop_size / settings.sample_rate))

    def number(utterance: Utterance, feature: str) -> float | None:
        return float(store.read(utterance.id, feature)[0]) if store.has(utterance.id, (feature,)) else None

    for utterance in completed(outcome.good, store, symbols):
        tally.add(utterance)
        energy = store.read(utterance.id, "energy") if store.has(utterance.id, ("energy",)) else None
        tally.alignments.add(
            utterance,
            energy=energy,
            score=number(utterance, ALIGNMENT_SCORE),
            silence_in_words_s=number(utterance, SILENCE_IN_WORDS_S) or 0.0,
        )
        if utterance.split == "train" and energy is not None and store.has(utterance.id, ("f0",)):
            collector.add(utterance.speaker, store.read(utterance.id, "f0"), energy)
    return tally


def _refuse_if_too_few(outcomes: Sequence[Outcome], settings: PreprocessSettings) -> None:
    for outcome in outcomes:
        total = len(outcome.good) + len(outcome.bad)
        report = outcome.folder / "report.md"
        is_refused = outcome.bad_share > settings.max_bad_share or not outcome.has_training
        for split in SPLITS if is_refused else ():
            # Those of an earlier run may name utterances that are bad now.
            (outcome.folder / f"{split}.jsonl").unlink(missing_ok=True)
        if outcome.bad_share > settings.max_bad_share:
            raise PreparationError(
                f"{outcome.dataset}: {len(outcome.bad)} of {total} recordings are bad ({outcome.bad_share:.0%}, "
                f"preprocess.max_bad_share allows {settings.max_bad_share:.0%}); {report} lists them"
            )
        if not outcome.has_training:
            raise PreparationError(f"{outcome.dataset}: nothing is left to train on; {report} says why")


def _warn_of_little_speech(tallies: Sequence[Tally], settings: PreprocessSettings) -> None:
    frames: Counter[str] = Counter()
    for tally in tallies:
        frames.update(tally.speaker_frames)
    minutes = {name: count * settings.hop_size / settings.sample_rate / 60 for name, count in frames.items()}
    short = sorted(name for name, of_speaker in minutes.items() if of_speaker < _ADVISED_MINUTES_PER_SPEAKER)
    if short:
        shown = ", ".join(f"{name} ({minutes[name]:.1f})" for name in short[:5])
        warn(
            f"less than {_ADVISED_MINUTES_PER_SPEAKER} minutes of speech of {shown}"
            + (f" and {len(short) - 5} more speakers" if len(short) > 5 else "")
            + "; a voice wants more to sound well"
        )


def _summary(
    outcomes: Sequence[Outcome], tallies: Sequence[Tally], settings: PreprocessSettings, reports: Sequence[Path]
) -> Summary:
    frames = sum(tally.frames.total() for tally in tallies)
    utterances: Counter[str] = Counter()
    for tally in tallies:
        utterances.update(tally.utterances)
    return Summary(
        made=sum(outcome.n_made for outcome in outcomes),
        good=sum(len(outcome.good) for outcome in outcomes),
        bad=sum(len(outcome.bad) for outcome in outcomes),
        frames=frames,
        hours=frames * settings.hop_size / settings.sample_rate / 3600,
        speakers=len({speaker for tally in tallies for speaker in tally.speaker_frames}),
        utterances={split: utterances[split] for split in SPLITS},
        processed_dir=rooted(settings.processed_dir),
        reports=tuple(reports),
    )
