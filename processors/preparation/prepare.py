"""Stage 1: features, manifests, statistics and reports of corpora."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from config.schema import ExperimentSettings, PreprocessSettings
from processors.corpora.corpus import Corpus, some
from processors.corpora.exclusions import report_exclusions
from processors.corpora.load import languages_of, read_dataset
from processors.feature_store import FeatureStore
from processors.features import ACOUSTIC_FEATURES, for_voice, needs_text
from processors.preparation.bandwidth_check import note_on_bandwidth
from processors.preparation.corpus_result import PreparationError, collect_result, without_untrained_speakers
from processors.preparation.extraction import make_features
from processors.preparation.former_phones import record_front_end
from processors.preparation.language_check import require_its_language
from processors.preparation.plan import CorpusPlan, make_plan, remove_partial_files
from processors.preparation.symbol_table import symbol_table
from processors.preparation.voice_files import PreparationSummary, write_voice_files
from processors.speakers.sources import read_sources, write_sources
from processors.speakers.speaker_encoders import make_speaker_encoder
from processors.text.front_end import FrontEnds
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.utterance import read_manifest
from utils.console import info, warn
from utils.lock import InUseError, joint_user, sole_user
from utils.process_pool import LocalProcesses, Workers, available_cores
from utils.share import Share


def prepare(
    settings: ExperimentSettings,
    *,
    num_workers: int = 0,
    overwrite: bool = False,
    features: Sequence[str] = ACOUSTIC_FEATURES,
    cluster: Workers | None = None,
) -> PreparationSummary:
    """Compute missing features of all corpora, and write everything else that training reads.

    It may be killed at any time: finished alignments and groups of some dozens of utterances are kept, and the next
    run continues to the same result.

    Args:
        settings: of the whole experiment.
        num_workers: processes; 0 for the setting's number, or one per core where that is 0.
        overwrite: whether to delete existing features, such as those made with other settings; TextGrids stay.
        features: those that training will read.
        cluster: computes the features, in place of processes of this machine.

    Raises:
        RecitalError: a corpus cannot be read, was prepared with other settings, or has too many bad recordings.
    """
    preprocess = settings.preprocess
    processed_dir = preprocess.processed_path
    inputs = _Inputs.read(settings, features)
    # Aligners are speaker-independent: no embeddings, and speakers without training utterances stay.
    with_speakers = not needs_text(features) or for_voice(features)
    encoder = make_speaker_encoder(preprocess) if for_voice(features) else None
    with sole_user(processed_dir):
        remove_partial_files(processed_dir, deeper=False)
        symbols, plans = inputs.begin(overwrite=overwrite)
        workers = cluster or _processes(preprocess, num_workers)
        try:
            failures = make_features(plans, preprocess, features, workers)
        except BaseException:
            for plan in plans:
                remove_partial_files(plan.folder)
            raise
        if "phonemes" in features and not failures:
            for plan in plans:
                record_front_end(FeatureStore.open(plan.folder), plan.utterances)
        results = [
            collect_result(
                plan,
                preprocess,
                features,
                failed={id_: rejected for (store, id_), rejected in failures.items() if store == plan.folder},
                problems=inputs.corpora[plan.dataset].problems,
                notes=inputs.corpora[plan.dataset].notes,
            )
            for plan in plans
        ]
        if with_speakers:
            results = [without_untrained_speakers(result) for result in results]
        return write_voice_files(results, settings, symbols, encoder, for_voice=with_speakers)


def _processes(settings: PreprocessSettings, num_workers: int) -> LocalProcesses:
    return LocalProcesses(num_workers or settings.num_workers or available_cores())


def prepare_share(
    settings: ExperimentSettings,
    share: Share,
    *,
    num_workers: int = 0,
    features: Sequence[str] = ACOUSTIC_FEATURES,
) -> PreparationSummary | None:
    """Prepare one machine's share of the utterances in a shared folder; the last machine runs `prepare` at the end.

    Machines need the same settings and corpora. They may start, be killed and restart in any order; one that starts
    while another finishes the whole waits for it.

    Args:
        settings: of the whole experiment.
        share: this machine's.
        num_workers: as for `prepare`.
        features: those that training will read.

    Returns:
        The summary of the whole, or None while other machines have work left.

    Raises:
        RecitalError: as `prepare`; or another process is preparing this share.
    """
    preprocess = settings.preprocess
    processed_dir = preprocess.processed_path
    inputs = _Inputs.read(settings, features)
    shares = processed_dir / ".shares"
    finishing = f"{processed_dir}: another run is finishing stage 1; waiting"
    own_folder = shares / f"{share.number}-of-{share.count}"
    with joint_user(processed_dir, waits=True, message=finishing), sole_user(own_folder):
        symbols, plans = inputs.begin(share=share)
        make_features(plans, preprocess, features, _processes(preprocess, num_workers))
    try:
        # One at a time: of machines that finish together, the last to look sees the work of all.
        with sole_user(shares, waits=True), joint_user(processed_dir):
            left = sum(len(plan.jobs) for plan in inputs.plans(symbols, share=Share(1, 1)))
        if not left:
            return prepare(settings, num_workers=num_workers, features=features)
    except InUseError:
        info(f"share {share} is done; another machine is still working and will finish stage 1")
        return None
    info(
        f"share {share} is done; {left} utterances are left for other machines, the last of which finishes stage 1. "
        "If none is running any more, run stage 1 without --shard to prepare what is left"
    )
    return None


@dataclass(frozen=True)
class _Inputs:
    """The input of stage 1.

    Attributes:
        settings: of preprocessing.
        folders: of the corpora, by dataset.
        features: to compute.
        corpora: by dataset.
        front_ends: by language; empty if the features need no text.
    """

    settings: PreprocessSettings
    folders: Mapping[str, Path]
    features: Sequence[str]
    corpora: Mapping[str, Corpus]
    front_ends: FrontEnds

    @classmethod
    def read(cls, settings: ExperimentSettings, features: Sequence[str]) -> _Inputs:
        with_text = needs_text(features)
        corpora = {dataset: read_dataset(settings, dataset, with_text) for dataset in settings.dataset}
        report_exclusions(corpora, settings.preprocess)
        for dataset, corpus in corpora.items():
            if note := note_on_bandwidth(corpus.utterances, settings.preprocess):
                warn(f"{dataset}: {note}")
                corpora[dataset] = replace(corpus, notes=(*corpus.notes, note))
        front_ends = FrontEnds(settings.preprocess)
        if with_text:
            front_ends.require(languages_of(settings))
            if settings.preprocess.check_language:
                for corpus in corpora.values():
                    require_its_language(corpus.utterances, settings.preprocess)
        folders = {dataset: settings.corpus_path(dataset) for dataset in settings.dataset}
        return cls(settings.preprocess, folders, features, corpora, front_ends)

    def begin(
        self, *, overwrite: bool = False, share: Share | None = None
    ) -> tuple[SymbolTable | None, list[CorpusPlan]]:
        """Collect the symbols, plan all corpora, and write the symbol table."""
        symbols = self._symbols(overwrite) if self.front_ends else None
        plans = self.plans(symbols, overwrite=overwrite, share=share)
        if symbols is not None:
            # After every store has accepted it, and before features use its numbers. Machines that share the work read
            # the same texts, so each writes the same table.
            symbols.save(self.settings.processed_path / SYMBOLS_FILE)
        elif not overwrite:
            for plan in plans:
                _refuse_to_train_on_held_out(plan)
        for plan in plans:
            self._copy_sources(plan)
        return symbols, plans

    def _copy_sources(self, plan: CorpusPlan) -> None:
        folder = self.folders[plan.dataset]
        sources = read_sources(folder if folder.is_dir() else folder.parent)
        write_sources(plan.folder, sources)
        for source in sources:
            info(f"{plan.dataset}: speech of {source}, which every bundle trained on it will name")

    def plans(
        self, symbols: SymbolTable | None, *, overwrite: bool = False, share: Share | None = None
    ) -> list[CorpusPlan]:
        inventory = symbols.symbols if symbols else ()
        return [
            make_plan(
                dataset, corpus, self.settings, self.features, inventory=inventory, overwrite=overwrite, share=share
            )
            for dataset, corpus in self.corpora.items()
        ]

    def _symbols(self, overwrite: bool) -> SymbolTable:
        utterances = [utterance for corpus in self.corpora.values() for utterance in corpus.utterances]
        processed_dir = self.settings.processed_path
        forget = [processed_dir / dataset for dataset in self.corpora] if overwrite else ()
        return symbol_table(self.front_ends, utterances, self.settings, forget=forget)


def _refuse_to_train_on_held_out(plan: CorpusPlan) -> None:
    """Raise a `PreparationError` if a vocoder would train on recordings with which a voice is validated or tested.

    Paths of recordings are compared: with another layout they have other ids, and therefore other splits.
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
    if shared := [id_ for path, id_ in held_out.items() if path in training]:
        raise PreparationError(
            f"{plan.folder}: {len(shared)} validation or test recordings of the voice are in the vocoder's training "
            f"split ({some(shared)}); use the voice's dataset_layout, split_seed, valid_size and test_size, or run "
            "the voice's stage 1 again if its corpus has changed"
        )
