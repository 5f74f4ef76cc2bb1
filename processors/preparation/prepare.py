"""Stage 1: corpora become features, manifests, statistics and a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.schema import ExperimentSettings, PreprocessSettings
from processors.corpora.corpus import Corpus, some
from processors.corpora.exclusions import tell_what_is_left_out
from processors.corpora.load import languages_of, read_dataset
from processors.features import ACOUSTIC_FEATURES, needs_alignment, needs_text
from processors.preparation.corpus_result import PreparationError, collect_result, without_untrained_speakers
from processors.preparation.extraction import make_features
from processors.preparation.plan import CorpusPlan, Share, make_plan, remove_partial_files
from processors.preparation.symbol_table import symbol_table
from processors.preparation.voice_files import PreparationSummary, write_voice_files
from processors.speakers.speaker_encoders import make_speaker_encoder
from processors.text.front_end import FrontEnds
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.utterance import read_manifest
from utils.console import say
from utils.lock import InUseError, joint_user, sole_user
from utils.process_pool import available_cores


def prepare(
    settings: ExperimentSettings,
    *,
    num_workers: int = 0,
    overwrite: bool = False,
    features: Sequence[str] = ACOUSTIC_FEATURES,
) -> PreparationSummary:
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
    processed_dir = preprocess.processed_path
    opened = _Opened.read(settings, features)
    # Aligners are speaker-independent: no embeddings, and speakers without training utterances stay.
    knows_speakers = not needs_text(features) or needs_alignment(features)
    encoder = make_speaker_encoder(preprocess) if needs_alignment(features) else None
    with sole_user(processed_dir):
        remove_partial_files(processed_dir, deeper=False)
        symbols, plans = opened.begin(overwrite=overwrite)
        workers = num_workers or preprocess.num_workers or available_cores()
        try:
            failures = make_features(plans, preprocess, features, workers)
        except BaseException:
            for plan in plans:
                remove_partial_files(plan.folder)
            raise
        results = [
            collect_result(
                plan,
                preprocess,
                features,
                failed={id_: rejected for (store, id_), rejected in failures.items() if store == plan.folder},
                problems=opened.corpora[plan.dataset].problems,
                notes=opened.corpora[plan.dataset].notes,
            )
            for plan in plans
        ]
        if knows_speakers:
            results = [without_untrained_speakers(result) for result in results]
        return write_voice_files(results, settings, symbols, encoder, for_voice=knows_speakers)


def prepare_share(
    settings: ExperimentSettings,
    share: Share,
    *,
    num_workers: int = 0,
    features: Sequence[str] = ACOUSTIC_FEATURES,
) -> PreparationSummary | None:
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
    processed_dir = preprocess.processed_path
    opened = _Opened.read(settings, features)
    shares = processed_dir / ".shares"
    finishing = f"{processed_dir}: another run is making the whole of it; waiting"
    own_folder = shares / f"{share.number}-of-{share.count}"
    with joint_user(processed_dir, waits=True, message=finishing), sole_user(own_folder):
        symbols, plans = opened.begin(share=share)
        make_features(plans, preprocess, features, num_workers or preprocess.num_workers or available_cores())
    try:
        # One after the other, so that of machines that end together the last to look sees what all have made.
        with sole_user(shares, waits=True), joint_user(processed_dir):
            left = sum(len(plan.jobs) for plan in opened.plans(symbols, share=Share(1, 1)))
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


@dataclass(frozen=True)
class _Opened:
    """What stage 1 reads before it plans.

    Attributes:
        settings: of preparation.
        features: the wanted ones.
        corpora: by dataset.
        front_ends: by language; none where the features need no text.
    """

    settings: PreprocessSettings
    features: Sequence[str]
    corpora: Mapping[str, Corpus]
    front_ends: FrontEnds

    @classmethod
    def read(cls, settings: ExperimentSettings, features: Sequence[str]) -> _Opened:
        with_text = needs_text(features)
        corpora = {dataset: read_dataset(settings, dataset, with_text) for dataset in settings.dataset}
        tell_what_is_left_out(corpora, settings.preprocess)
        front_ends = FrontEnds(settings.preprocess)
        if with_text:
            front_ends.require(languages_of(settings))
        return cls(settings.preprocess, features, corpora, front_ends)

    def begin(
        self, *, overwrite: bool = False, share: Share | None = None
    ) -> tuple[SymbolTable | None, list[CorpusPlan]]:
        """Collect the symbols, plan all corpora, and write the symbol table."""
        symbols = self._symbols(overwrite) if self.front_ends else None
        plans = self.plans(symbols, overwrite=overwrite, share=share)
        if symbols is not None:
            # Now that no store has refused it, and before anything is numbered by it. Machines that share the work
            # read the same texts, so this is the same table whoever writes it.
            symbols.save(self.settings.processed_path / SYMBOLS_FILE)
        elif not overwrite:
            for plan in plans:
                _refuse_to_train_on_held_out(plan)
        return symbols, plans

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
    """Raise a `PreparationError` if a vocoder would train on recordings that a voice of this corpus is evaluated on.

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
    if shared := [id_ for path, id_ in held_out.items() if path in training]:
        raise PreparationError(
            f"{plan.folder}: {len(shared)} recordings that a voice is validated or tested on would train the vocoder "
            f"({some(shared)}); give it the voice's dataset_layout, split_seed, valid_size and test_size, or run "
            "the voice's stage 1 again if its corpus has changed"
        )
