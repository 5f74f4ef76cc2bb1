"""The data check: corpora looked through before training."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from config.schema import ExperimentSettings, PreprocessSettings
from processors.corpora.corpus import Corpus
from processors.corpora.load import languages_of, read_dataset
from processors.data_check.findings import (
    Finding,
    by_speaker,
    doubtful_below,
    findings_of_opinion,
    findings_of_pace,
    findings_of_repetition,
    findings_of_sound,
    findings_of_text,
)
from processors.data_check.listening import (
    PRELOAD,
    Compare,
    Compared,
    Heard,
    Listen,
    make_listener,
    rivals_of,
)
from processors.data_check.report import Checked, write_data_report
from processors.text.front_end import FrontEnds
from processors.utterance import Utterance
from utils.console import Progress, say, warn
from utils.errors import RecitalError
from utils.process_pool import Died, Failed, Finished, ProcessPool, available_cores

_N_RIVALS = 5


class DataCheckError(RecitalError):
    """A folder for what is found that cannot be used."""


def check_data(
    settings: ExperimentSettings,
    *,
    output_dir: Path | None = None,
    num_workers: int = 0,
    with_texts: bool = True,
    with_mos: bool = True,
) -> list[Checked]:
    """Look through the corpora of an experiment.

    Args:
        settings: of the experiment.
        output_dir: gets a folder for each corpus; `processed_dir` if None.
        num_workers: processes; 0 for one per core.
        with_texts: whether texts matter; a vocoder learns from recordings alone.
        with_mos: whether to predict listeners' opinions, which takes longer than all the rest.

    Raises:
        RecitalError: a corpus cannot be read, the front end does not speak its language, or the folder cannot be
            written to.
    """
    corpora = {dataset: read_dataset(settings, dataset, with_texts) for dataset in settings.dataset}
    if with_texts:
        FrontEnds(settings.preprocess).require(languages_of(settings))  # refuses now what it would refuse of each text
    workers = num_workers or settings.preprocess.num_workers or available_cores()
    folder = output_dir or settings.preprocess.processed_path
    for dataset in corpora:
        _make_writable(folder / dataset)
    return [
        _check(dataset, corpus, settings.preprocess, folder / dataset, workers, with_texts, with_mos)
        for dataset, corpus in corpora.items()
    ]


def _make_writable(folder: Path) -> None:
    """Make a folder if need be, and see before hours of listening that something can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        told = error.strerror or error
        raise DataCheckError(f"{folder}: cannot be written to ({told}); name another folder by --output_dir") from None


def _check(
    dataset: str,
    corpus: Corpus,
    settings: PreprocessSettings,
    folder: Path,
    num_workers: int,
    with_texts: bool,
    with_mos: bool,
) -> Checked:
    heard, compared = _listen(corpus.utterances, settings, num_workers, with_texts, with_mos)
    findings = sorted(
        _findings(corpus, heard, compared, settings), key=lambda finding: (finding.kind, -finding.severity)
    )
    grave = _grave(findings)
    left_out = [utterance.id for utterance in corpus.utterances if utterance.id in grave]
    of_id = defaultdict(list)
    for finding in findings:
        of_id[finding.utterance_id].append(finding)
    checked = Checked(
        dataset,
        len(corpus.utterances),
        tuple(findings),
        folder / "data_check.html",
        folder / "data_check.csv",
        folder / "leave_out.txt",
        len(left_out),
    )
    write_data_report(checked, corpus, heard, of_id, left_out, settings, with_texts)
    return checked


def _listen(
    utterances: Sequence[Utterance], settings: PreprocessSettings, num_workers: int, with_texts: bool, with_mos: bool
) -> tuple[dict[str, Heard], dict[str, Compared]]:
    heard: dict[str, Heard] = {}
    compared: dict[str, Compared] = {}
    num_workers = min(num_workers, max(len(utterances), 1))
    with ProcessPool(num_workers, make_listener, settings, with_texts, with_mos, preload=PRELOAD) as pool:
        for task in utterances:
            pool.submit(Listen(task))
        _gather(pool, len(utterances), "listening", heard, compared)
        doubted = list(_doubted(utterances, heard))
        for comparison in doubted:
            pool.submit(comparison)
        _gather(pool, len(doubted), "comparing texts", heard, compared)
    return heard, compared


def _gather(pool: ProcessPool, total: int, what: str, heard: dict[str, Heard], compared: dict[str, Compared]) -> None:
    if not total:
        return
    with Progress(total, what, "clips") as progress:
        for event in pool.events():
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Died):
                utterance_id = event.task.utterance.id
                warn(f"a process was {event.how} while it was at {utterance_id}, which is passed over")
                if isinstance(event.task, Listen):
                    heard[utterance_id] = Heard(utterance_id, None, f"processes end when they hear it ({event.how})")
                progress.advance()
            elif isinstance(event, Finished):
                result = event.result
                if isinstance(result, Heard):
                    heard[result.utterance_id] = result
                else:
                    compared[result.utterance_id] = result
                progress.advance()


def _doubted(utterances: Sequence[Utterance], heard: Mapping[str, Heard]) -> Iterator[Compare]:
    """Choose the texts that suit their recordings worst, each with others of its length."""
    compared = [utterance for utterance in utterances if heard[utterance.id].is_compared]
    sizes = {utterance.id: len(heard[utterance.id].phones) for utterance in compared}
    limit = doubtful_below([each.score for each in heard.values() if each.score is not None])
    for utterance in compared:
        score = heard[utterance.id].score
        if score is not None and score < limit:
            yield Compare(utterance, score, rivals_of(utterance, compared, sizes, _N_RIVALS))


def _findings(
    corpus: Corpus, heard: Mapping[str, Heard], compared: Mapping[str, Compared], settings: PreprocessSettings
) -> list[Finding]:
    clips = {id_: each.clip for id_, each in heard.items() if each.clip is not None}
    speaker_of = {utterance.id: utterance.speaker for utterance in corpus.utterances}
    findings = [
        Finding(each.utterance_id, "unreadable" if each.clip is None else "text", each.fault, 1.0)
        for each in heard.values()
        if each.fault
    ]
    findings += findings_of_sound(clips, speaker_of, settings.sample_rate / 2)
    findings += findings_of_text(heard, compared, _grave(findings))
    found = {id_ for id_, each in heard.items() if each.score is not None}
    unit = "letters" if settings.phone_extractor == "char" else "phones"
    for of_speaker in by_speaker(corpus.utterances).values():
        of_clips = {each.id: clips[each.id] for each in of_speaker if each.id in clips}
        findings += findings_of_pace(of_clips, {id_: len(heard[id_].phones) for id_ in of_clips}, unit, found)
    findings += findings_of_repetition(corpus.utterances, clips, _grave(findings))
    findings += findings_of_opinion({id_: each.mos for id_, each in heard.items() if each.mos is not None})
    return findings


def _grave(findings: Iterable[Finding]) -> set[str]:
    return {finding.utterance_id for finding in findings if finding.is_grave}


def announce(checked: Sequence[Checked]) -> None:
    """Say what was found, and where it stands."""
    for each in checked:
        kinds = Counter(finding.kind for finding in each.findings)
        listed = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()) or "nothing"
        say(f"{each.dataset}: {each.n_utterances} recordings; found: {listed}")
        say(f"look and listen: {each.page}; every figure: {each.table}")
        if each.n_left_out:
            say(
                f"{each.n_left_out} are better left out: set preprocess.leave_out to {each.leave_out} "
                "(with {dataset} for the corpus's name) before stage 1"
            )
