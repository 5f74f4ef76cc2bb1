"""A corpus looked through before training: a page, a table, and a list of recordings to leave out."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from config.paths import rooted
from config.schema import ExperimentSettings, PreprocessSettings
from processors.audio.audio_file import read_audio, to_int16
from processors.audio.mel import MelSpectrogram
from processors.corpora.corpus import Corpus
from processors.corpora.registry import WITHOUT_TEXTS, layout_of, read_corpus
from processors.data_check.findings import (
    Finding,
    by_speaker,
    findings_of_opinion,
    findings_of_pace,
    findings_of_repetition,
    findings_of_sound,
)
from processors.data_check.listening import (
    PRELOAD,
    Compare,
    Compared,
    Heard,
    Listen,
    listens_to,
    make_listener,
    rivals_of,
)
from processors.report_page import Section, Shown, page, wav_bytes
from processors.speech_pictures import utterance_picture
from processors.utterance import Utterance
from utils.console import Progress, format_duration, say, warn
from utils.files import write_atomically
from utils.pictures import png
from utils.process_pool import Died, Failed, Finished, ProcessPool, available_cores

_ADVISED_MINUTES = 30
_N_RIVALS = 5
# Texts that suit their recordings worst are compared with others; where a tenth of a corpus is wrong, all of it is.
_DOUBTED_SHARE = 0.2
_RARE_PHONE = 5
_MOST_SHOWN = 10
_MOST_SHOWN_S = 15.0
_MOST_LISTED = 500
_MEASURES = (
    "duration_s",
    "sample_rate",
    "level_dbfs",
    "peak_dbfs",
    "clipped_share",
    "dc_offset",
    "snr_db",
    "leading_silence_s",
    "trailing_silence_s",
    "bandwidth_hz",
)


@dataclass(frozen=True)
class Checked:
    """What was found in one corpus.

    Attributes:
        dataset: its name.
        n_utterances: recordings looked at.
        findings: worst first within each kind.
        page: the page with pictures and players.
        table: every recording's figures.
        leave_out: the ids of those with a grave finding, as `preprocess.leave_out` reads them.
        n_left_out: how many these are.
    """

    dataset: str
    n_utterances: int
    findings: tuple[Finding, ...]
    page: Path
    table: Path
    leave_out: Path
    n_left_out: int


def check_data(
    settings: ExperimentSettings, *, output_dir: Path | None = None, num_workers: int = 0, with_mos: bool = True
) -> list[Checked]:
    """Look through the corpora of an experiment.

    Args:
        settings: of the experiment.
        output_dir: gets a folder for each corpus; `processed_dir` if None.
        num_workers: processes; 0 for one per core.
        with_mos: whether to predict listeners' opinions, which takes longer than all the rest.

    Raises:
        RecitalError: a corpus cannot be read.
    """
    corpora = {dataset: _read(settings, dataset) for dataset in settings.dataset}
    workers = num_workers or settings.preprocess.num_workers or available_cores()
    folder = output_dir or rooted(settings.preprocess.processed_dir)
    return [
        _check(dataset, corpus, settings.preprocess, folder / dataset, workers, with_mos)
        for dataset, corpus in corpora.items()
    ]


def _read(settings: ExperimentSettings, dataset: str) -> Corpus:
    layout = layout_of(dataset, settings.dataset_layout)
    folder = rooted(settings.dataset_path[dataset])
    needs_text = layout not in WITHOUT_TEXTS
    return read_corpus(dataset, layout, folder, language=settings.preprocess.language, needs_text=needs_text)


def _check(
    dataset: str, corpus: Corpus, settings: PreprocessSettings, folder: Path, num_workers: int, with_mos: bool
) -> Checked:
    heard, compared = _listen(corpus.utterances, settings, num_workers, with_mos)
    findings = sorted(
        _findings(corpus, heard, compared, settings), key=lambda finding: (finding.kind, -finding.severity)
    )
    grave = {finding.utterance_id for finding in findings if finding.is_grave}
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
    write_atomically(checked.table, _table(corpus.utterances, heard, of_id))
    write_atomically(checked.leave_out, _leave_out(dataset, left_out, of_id))
    sections = list(_sections(corpus, heard, checked, settings))
    shown = _shown(corpus.utterances, of_id, settings)
    note = f"The worst recordings, {_MOST_SHOWN} at most, as they are in the corpus."
    html = page(f"Data check: {dataset}", sections, shown, gallery="To be looked at", gallery_note=note)
    write_atomically(checked.page, html)
    return checked


def _listen(
    utterances: Sequence[Utterance], settings: PreprocessSettings, num_workers: int, with_mos: bool
) -> tuple[dict[str, Heard], dict[str, Compared]]:
    heard: dict[str, Heard] = {}
    compared: dict[str, Compared] = {}
    num_workers = min(num_workers, max(len(utterances), 1))
    with ProcessPool(num_workers, make_listener, settings, with_mos, preload=PRELOAD) as pool:
        for task in utterances:
            pool.submit(Listen(task))
        _gather(pool, len(utterances), "listening", heard, compared)
        doubted = list(_doubted(utterances, heard)) if listens_to(settings) else []
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
    scores = [each.score for each in heard.values() if each.score is not None]
    if not scores:
        return
    limit = float(np.quantile(scores, _DOUBTED_SHARE))
    sizes = {id_: len(each.phones) for id_, each in heard.items()}
    for utterance in utterances:
        score = heard[utterance.id].score
        if score is not None and score <= limit:
            yield Compare(utterance, rivals_of(utterance, utterances, sizes, _N_RIVALS))


def _findings(
    corpus: Corpus, heard: Mapping[str, Heard], compared: Mapping[str, Compared], settings: PreprocessSettings
) -> Iterator[Finding]:
    clips = {id_: each.clip for id_, each in heard.items() if each.clip is not None}
    for each in heard.values():
        if each.fault:
            yield Finding(each.utterance_id, "unreadable" if each.clip is None else "text", each.fault, 1.0)
        elif each.is_lost:
            yield Finding(each.utterance_id, "text", "its words are not to be found in the recording", 2.0)
    for id_, other in compared.items():
        own = heard[id_].score
        if own is not None and other.score is not None and other.score > own:
            told = f"another text suits the recording better: {other.text!r}"
            yield Finding(id_, "text", told, 1.0 + other.score - own)
    yield from findings_of_sound(clips)
    for of_speaker in by_speaker(corpus.utterances).values():
        names = [utterance.id for utterance in of_speaker if utterance.id in clips]
        if listens_to(settings):
            sizes, unit = {id_: len(heard[id_].phones) for id_ in names}, "phones"
        else:
            sizes = {each.id: sum(map(str.isalnum, each.text)) for each in of_speaker if each.id in clips}
            unit = "letters"
        yield from findings_of_pace({id_: clips[id_] for id_ in names}, sizes, unit)
    yield from findings_of_repetition(corpus.utterances, clips)
    yield from findings_of_opinion({id_: each.mos for id_, each in heard.items() if each.mos is not None})


# What is written


def _table(
    utterances: Sequence[Utterance], heard: Mapping[str, Heard], findings: Mapping[str, Sequence[Finding]]
) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "speaker", *_MEASURES, "text_score", "predicted_mos", "findings", "text"])
    for utterance in utterances:
        each = heard[utterance.id]
        figures = [_figure(getattr(each.clip, name)) if each.clip else "" for name in _MEASURES]
        told = "; ".join(f"{finding.kind}: {finding.told}" for finding in findings.get(utterance.id, ()))
        scores = [_figure(value) if value is not None else "" for value in (each.score, each.mos)]
        writer.writerow([utterance.id, utterance.speaker, *figures, *scores, told, utterance.text])
    return text.getvalue()


def _figure(value: float) -> str:
    return f"{value:.6g}"


def _leave_out(dataset: str, left_out: Sequence[str], findings: Mapping[str, Sequence[Finding]]) -> str:
    lines = [f"# {dataset}: recordings that training is better off without; delete the lines of those to keep"]
    for id_ in left_out:
        kinds = dict.fromkeys(finding.kind for finding in findings[id_] if finding.is_grave)
        lines.append(f"{id_}  # {', '.join(kinds)}")
    return "\n".join(lines) + "\n"


def _sections(
    corpus: Corpus, heard: Mapping[str, Heard], checked: Checked, settings: PreprocessSettings
) -> Iterator[Section]:
    seconds: defaultdict[str, float] = defaultdict(float)
    number: Counter[str] = Counter()
    for utterance in corpus.utterances:
        number[utterance.speaker] += 1
        if clip := heard[utterance.id].clip:
            seconds[utterance.speaker] += clip.speech_s
    short = [name for name in number if seconds[name] < _ADVISED_MINUTES * 60]
    advice = f"Less than the {_ADVISED_MINUTES} minutes that a voice should have: {', '.join(short)}." if short else ""
    listened = (
        "Texts were compared with their recordings."
        if listens_to(settings)
        else 'Texts were not compared with their recordings, which is done for English (language "en") alone.'
    )
    yield Section(
        "What there is",
        [
            f"{len(corpus.utterances)} recordings; {checked.n_left_out} of them are in {checked.leave_out.name}, which "
            f"stage 1 heeds if preprocess.leave_out names it. Every figure is in {checked.table.name}. {listened}",
            *([advice] if advice else []),
        ],
        ("speaker", "recordings", "speech"),
        [(name, str(n), format_duration(seconds[name])) for name, n in number.most_common()],
    )
    kinds: dict[tuple[str, bool], int] = Counter((finding.kind, finding.is_grave) for finding in checked.findings)
    yield Section(
        "Findings",
        ["Nothing was found."] if not kinds else [],
        ("kind", "recordings", "left out"),
        [(kind, str(n), "yes" if grave else "no") for (kind, grave), n in sorted(kinds.items())],
    )
    if corpus.problems:
        yield Section(
            "Lines of the corpus that cannot be used",
            header=("where", "what"),
            rows=[(problem.where, f"{problem.utterance_id} {problem.reason}") for problem in corpus.problems],
        )
    if checked.findings:
        yield Section(
            "One by one",
            [f"The first {_MOST_LISTED} of {len(checked.findings)}."] if len(checked.findings) > _MOST_LISTED else [],
            ("recording", "kind", "what was found"),
            [(each.utterance_id, each.kind, each.told) for each in checked.findings[:_MOST_LISTED]],
        )
    counts = Counter(phone for each in heard.values() for phone in each.phones)
    if counts:
        rare = [f"{phone} ({n})" for phone, n in sorted(counts.items(), key=lambda item: item[1]) if n < _RARE_PHONE]
        absent = _absent_phones(settings, counts)
        yield Section(
            "Phones",
            [
                f"Never: {' '.join(absent) or 'none'}.",
                f"Fewer than {_RARE_PHONE} times: {' '.join(rare) or 'none'}.",
            ],
        )


def _absent_phones(settings: PreprocessSettings, counts: Mapping[str, int]) -> list[str]:
    from processors.preparation.work import make_front_end
    from processors.text.arpabet import PAUSES, SPOKEN_NOISE

    inventory = make_front_end(settings).inventory
    return [phone for phone in inventory if phone not in counts and phone not in PAUSES and phone != SPOKEN_NOISE]


def _shown(
    utterances: Sequence[Utterance], findings: Mapping[str, Sequence[Finding]], settings: PreprocessSettings
) -> Iterator[Shown]:
    """Show the worst of every kind in turn, so that no kind hides another."""
    of_id = {utterance.id: utterance for utterance in utterances}
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for of_utterance in findings.values():
        for finding in of_utterance:
            by_kind[finding.kind].append(finding)
    queues = [sorted(found, key=lambda finding: -finding.severity) for found in by_kind.values()]
    ids: list[str] = []
    while any(queues) and len(ids) < _MOST_SHOWN:
        for queue in queues:
            if queue and (id_ := queue.pop(0).utterance_id) not in ids:
                ids.append(id_)
    mel = MelSpectrogram.from_settings(settings)
    for id_ in ids[:_MOST_SHOWN]:
        told = "; ".join(f"{finding.kind}: {finding.told}" for finding in findings[id_])
        if shown := _draw(of_id[id_], told, mel):
            yield shown


def _draw(utterance: Utterance, told: str, mel: MelSpectrogram) -> Shown | None:
    try:
        waveform = read_audio(utterance.audio_path, mel.sample_rate)[: int(_MOST_SHOWN_S * mel.sample_rate)]
    except Exception:  # what cannot be read is in the table
        return None
    n_frames = len(waveform) // mel.hop_size
    if n_frames == 0:
        return None
    waveform = waveform[: n_frames * mel.hop_size]
    with torch.inference_mode():
        picture = mel(torch.from_numpy(waveform)).numpy().T
    figure = utterance_picture(
        to_int16(waveform), picture, sample_rate=mel.sample_rate, hop_size=mel.hop_size, title=""
    )
    caption = f"{utterance.id} ({told}): {utterance.text}"
    return Shown(caption, png(figure), wav_bytes(to_int16(waveform), mel.sample_rate))


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
