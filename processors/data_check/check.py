"""The data check: analysis of corpora before training."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from config.schema import ExperimentSettings, PreprocessSettings
from processors.corpora.corpus import Corpus
from processors.corpora.load import languages_of, read_dataset
from processors.data_check.clip_analysis import (
    PRELOAD,
    AnalyzeClip,
    ClipAnalysis,
    CompareTexts,
    TextComparison,
    alternative_texts,
    make_analyzer,
)
from processors.data_check.findings import (
    Finding,
    by_speaker,
    findings_of_opinion,
    findings_of_pace,
    findings_of_repetition,
    findings_of_sound,
    findings_of_text,
    suspicious_score,
)
from processors.data_check.report import Checked, write_data_report
from processors.text.front_end import FrontEnds
from processors.utterance import Utterance
from utils.console import Progress, info, warn
from utils.errors import RecitalError
from utils.process_pool import Died, Failed, Finished, LocalProcesses, Pool, Workers, available_cores

_N_ALTERNATIVES = 5


class DataCheckError(RecitalError):
    """An output folder that cannot be written to."""


def check_data(
    settings: ExperimentSettings,
    *,
    output_dir: Path | None = None,
    num_workers: int = 0,
    with_texts: bool = True,
    with_mos: bool = True,
    cluster: Workers | None = None,
) -> list[Checked]:
    """Check the corpora of an experiment.

    Args:
        settings: of the experiment.
        output_dir: gets a folder for each corpus; `processed_dir` if None.
        num_workers: processes; 0 for one per core.
        with_texts: whether to check texts, which vocoders do not need.
        with_mos: whether to predict mean opinion scores, which takes longest.
        cluster: analyzes the recordings, in place of processes of this machine.

    Raises:
        RecitalError: a corpus cannot be read, the front end lacks its language, or the folder is not writable.
    """
    corpora = {dataset: read_dataset(settings, dataset, with_texts) for dataset in settings.dataset}
    if with_texts:
        FrontEnds(settings.preprocess).require(languages_of(settings))  # fail early
    workers = cluster or LocalProcesses(num_workers or settings.preprocess.num_workers or available_cores())
    folder = output_dir or settings.preprocess.processed_path
    for dataset in corpora:
        _make_writable(folder / dataset)
    return [
        _check(dataset, corpus, settings.preprocess, folder / dataset, workers, with_texts, with_mos)
        for dataset, corpus in corpora.items()
    ]


def _make_writable(folder: Path) -> None:
    """Create a folder if missing, and try to write to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = error.strerror or error
        raise DataCheckError(f"{folder}: cannot be written to ({what}); set another folder by --output_dir") from None


def _check(
    dataset: str,
    corpus: Corpus,
    settings: PreprocessSettings,
    folder: Path,
    workers: Workers,
    with_texts: bool,
    with_mos: bool,
) -> Checked:
    analyses, comparisons = _analyze(corpus.utterances, settings, workers, with_texts, with_mos)
    findings = sorted(
        _findings(corpus, analyses, comparisons, settings), key=lambda finding: (finding.kind, -finding.severity)
    )
    left_out_ids = _left_out(findings)
    left_out = [utterance.id for utterance in corpus.utterances if utterance.id in left_out_ids]
    by_id = defaultdict(list)
    for finding in findings:
        by_id[finding.utterance_id].append(finding)
    checked = Checked(
        dataset,
        len(corpus.utterances),
        tuple(findings),
        folder / "data_check.html",
        folder / "data_check.csv",
        folder / "leave_out.txt",
        len(left_out),
    )
    write_data_report(checked, corpus, analyses, by_id, left_out, settings, with_texts)
    return checked


def _analyze(
    utterances: Sequence[Utterance],
    settings: PreprocessSettings,
    workers: Workers,
    with_texts: bool,
    with_mos: bool,
) -> tuple[dict[str, ClipAnalysis], dict[str, TextComparison]]:
    analyses: dict[str, ClipAnalysis] = {}
    comparisons: dict[str, TextComparison] = {}
    with workers.pool(
        make_analyzer,
        settings,
        with_texts,
        with_mos,
        preload=PRELOAD,
        shared=[each.audio_path for each in utterances[:1]],
        at_most=len(utterances),
    ) as pool:
        for utterance in utterances:
            pool.submit(AnalyzeClip(utterance))
        _gather(pool, len(utterances), "analyzing", analyses, comparisons)
        tasks = list(_suspicious(utterances, analyses))
        for task in tasks:
            pool.submit(task)
        _gather(pool, len(tasks), "comparing texts", analyses, comparisons)
    # In the corpus's order, whichever was finished first.
    return {each.id: analyses[each.id] for each in utterances}, comparisons


def _gather(
    pool: Pool,
    total: int,
    what: str,
    analyses: dict[str, ClipAnalysis],
    comparisons: dict[str, TextComparison],
) -> None:
    if not total:
        return
    with Progress(total, what, "clips") as progress:
        for event in pool.events():
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Died):
                utterance_id = event.task.utterance.id
                warn(f"a worker process was {event.how} while analyzing {utterance_id}, which is skipped")
                if isinstance(event.task, AnalyzeClip):
                    analyses[utterance_id] = ClipAnalysis(
                        utterance_id, None, f"worker processes crash on it ({event.how})"
                    )
                progress.advance()
            elif isinstance(event, Finished):
                result = event.result
                if isinstance(result, ClipAnalysis):
                    analyses[result.utterance_id] = result
                else:
                    comparisons[result.utterance_id] = result
                progress.advance()


def _suspicious(utterances: Sequence[Utterance], analyses: Mapping[str, ClipAnalysis]) -> Iterator[CompareTexts]:
    """Yield the texts that match their recordings worst, each with alternatives of its length."""
    aligned = [utterance for utterance in utterances if analyses[utterance.id].is_compared]
    sizes = {utterance.id: len(analyses[utterance.id].phones) for utterance in aligned}
    limit = suspicious_score([each.score for each in analyses.values() if each.score is not None])
    for utterance in aligned:
        score = analyses[utterance.id].score
        if score is not None and score < limit:
            yield CompareTexts(utterance, score, alternative_texts(utterance, aligned, sizes, _N_ALTERNATIVES))


def _findings(
    corpus: Corpus,
    analyses: Mapping[str, ClipAnalysis],
    comparisons: Mapping[str, TextComparison],
    settings: PreprocessSettings,
) -> list[Finding]:
    clips = {id_: each.clip for id_, each in analyses.items() if each.clip is not None}
    speaker_of = {utterance.id: utterance.speaker for utterance in corpus.utterances}
    findings = [
        Finding(each.utterance_id, "unreadable" if each.clip is None else "text", each.fault, 1.0)
        for each in analyses.values()
        if each.fault
    ]
    findings += findings_of_sound(clips, speaker_of, settings.sample_rate / 2)
    findings += findings_of_text(analyses, comparisons, _left_out(findings))
    aligned = {id_ for id_, each in analyses.items() if each.score is not None}
    unit = "letters" if settings.phone_extractor == "char" else "phones"
    for of_speaker in by_speaker(corpus.utterances).values():
        of_clips = {each.id: clips[each.id] for each in of_speaker if each.id in clips}
        findings += findings_of_pace(of_clips, {id_: len(analyses[id_].phones) for id_ in of_clips}, unit, aligned)
    findings += findings_of_repetition(corpus.utterances, clips, _left_out(findings))
    findings += findings_of_opinion({id_: each.mos for id_, each in analyses.items() if each.mos is not None})
    return findings


def _left_out(findings: Iterable[Finding]) -> set[str]:
    return {finding.utterance_id for finding in findings if finding.leaves_out}


def announce(checked: Sequence[Checked]) -> None:
    """Print the findings, and the paths of the reports."""
    for each in checked:
        kinds = Counter(finding.kind for finding in each.findings)
        listed = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()) or "none"
        info(f"{each.dataset}: {each.n_utterances} recordings; findings: {listed}")
        info(f"report: {each.page}; all figures: {each.table}")
        if each.n_left_out:
            info(
                f"{each.n_left_out} should be left out: set preprocess.leave_out to {each.leave_out} "
                "(with {dataset} for the corpus's name) before stage 1"
            )
