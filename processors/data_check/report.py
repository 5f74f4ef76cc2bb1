"""Report of the data check: a page, a table, and a list of recordings to leave out."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from config.schema import PreprocessSettings
from processors.audio.audio_file import read_audio, to_int16
from processors.audio.mel import MelSpectrogram
from processors.corpora.corpus import Corpus, some
from processors.data_check.clip_analysis import ClipAnalysis
from processors.data_check.findings import Finding, narrow_speakers
from processors.reports.report_page import ReportedUtterance, Section, html_page, wav_bytes
from processors.reports.speech_pictures import utterance_picture
from processors.text.errors import TextError
from processors.text.front_end import FrontEnds
from processors.text.tokens import PAUSES, SPOKEN_NOISE
from processors.utterance import Utterance
from utils.console import format_duration
from utils.files import write_atomically
from utils.pictures import png

_ADVISED_MINUTES = 30
_RARE_PHONE = 5
_MAX_SHOWN = 10
_MAX_SHOWN_S = 15.0
_MAX_LISTED = 500
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
    """The result of the data check for one corpus.

    Attributes:
        dataset: its name.
        n_utterances: number of recordings.
        findings: worst first within each kind.
        page: path of the page with pictures and players.
        table: path of the table with all figures.
        leave_out: path of the list of recordings to leave out, as `preprocess.leave_out` reads it.
        n_left_out: number of these.
    """

    dataset: str
    n_utterances: int
    findings: tuple[Finding, ...]
    page: Path
    table: Path
    leave_out: Path
    n_left_out: int


def write_data_report(
    checked: Checked,
    corpus: Corpus,
    analyses: Mapping[str, ClipAnalysis],
    findings: Mapping[str, Sequence[Finding]],
    left_out: Sequence[str],
    settings: PreprocessSettings,
    with_texts: bool,
) -> None:
    """Write table, list and page of one corpus.

    Args:
        checked: the summary, which names the files.
        corpus: the corpus.
        analyses: by utterance id.
        findings: by utterance id, for those with any.
        left_out: ids of the recordings with a finding for which to leave them out.
        settings: of mel and front end.
        with_texts: whether texts were checked.
    """
    write_atomically(checked.table, _table(corpus.utterances, analyses, findings))
    write_atomically(checked.leave_out, _leave_out(checked.dataset, left_out, findings))
    sections = list(_sections(corpus, analyses, checked, settings, with_texts))
    shown = _shown(corpus.utterances, findings, settings)
    note = f"The worst recordings, at most {_MAX_SHOWN}, unprocessed."
    html = html_page(f"Data check: {checked.dataset}", sections, shown, gallery="Worst recordings", gallery_note=note)
    write_atomically(checked.page, html)


def _table(
    utterances: Sequence[Utterance], analyses: Mapping[str, ClipAnalysis], findings: Mapping[str, Sequence[Finding]]
) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "speaker", *_MEASURES, "text_score", "predicted_mos", "findings", "text"])
    for utterance in utterances:
        each = analyses[utterance.id]
        figures = [_figure(getattr(each.clip, name)) if each.clip else "" for name in _MEASURES]
        listed = "; ".join(f"{finding.kind}: {finding.description}" for finding in findings.get(utterance.id, ()))
        scores = [_figure(value) if value is not None else "" for value in (each.score, each.mos)]
        writer.writerow([utterance.id, utterance.speaker, *figures, *scores, listed, utterance.text])
    return text.getvalue()


def _figure(value: float) -> str:
    return f"{value:.6g}"


def _leave_out(dataset: str, left_out: Sequence[str], findings: Mapping[str, Sequence[Finding]]) -> str:
    lines = [f"# {dataset}: recordings to leave out of training; delete the lines of those to keep"]
    for id_ in left_out:
        kinds = dict.fromkeys(finding.kind for finding in findings[id_] if finding.leaves_out)
        lines.append(f"{id_}  # {', '.join(kinds)}")
    return "\n".join(lines) + "\n"


def _sections(
    corpus: Corpus,
    analyses: Mapping[str, ClipAnalysis],
    checked: Checked,
    settings: PreprocessSettings,
    with_texts: bool,
) -> Iterator[Section]:
    seconds: defaultdict[str, float] = defaultdict(float)
    languages: defaultdict[str, set[str]] = defaultdict(set)
    number: Counter[str] = Counter()
    compared: Counter[str] = Counter()
    for utterance in corpus.utterances:
        each = analyses[utterance.id]
        number[utterance.speaker] += 1
        compared[utterance.speaker] += each.is_compared
        languages[utterance.speaker].add(utterance.language)
        seconds[utterance.speaker] += each.clip.speech_s if each.clip else 0.0
    short = [name for name in number if seconds[name] < _ADVISED_MINUTES * 60]
    clips = {id_: each.clip for id_, each in analyses.items() if each.clip is not None}
    speaker_of = {utterance.id: utterance.speaker for utterance in corpus.utterances}
    ends = narrow_speakers(clips, speaker_of, settings.sample_rate / 2)
    narrow = (
        f"preprocess.sample_rate {settings.sample_rate} holds frequencies up to {settings.sample_rate / 2:.0f} Hz; "
        "most recordings of these speakers have a smaller bandwidth: "
        f"{', '.join(f'{name} ({hz:.0f} Hz)' for name, hz in ends.items())}."
        if ends
        else ""
    )
    advice = (
        f"Less than the {_ADVISED_MINUTES} minutes of speech that a voice needs: {', '.join(short)}." if short else ""
    )
    yield Section(
        "Overview",
        [
            f"{len(corpus.utterances)} recordings; {checked.n_left_out} of them are in {checked.leave_out.name}, which "
            f"stage 1 leaves out if preprocess.leave_out is set to it. All figures are in {checked.table.name}.",
            _scope_of_comparison(compared, number, with_texts),
            *([narrow] if narrow else []),
            *([advice] if advice else []),
        ],
        ("speaker", "language", "recordings", "speech", "texts compared"),
        [
            (name, ", ".join(sorted(languages[name])), str(n), format_duration(seconds[name]), str(compared[name]))
            for name, n in number.most_common()
        ],
    )
    kinds: dict[tuple[str, bool], int] = Counter((finding.kind, finding.leaves_out) for finding in checked.findings)
    yield Section(
        "Findings",
        ["No findings."] if not kinds else [],
        ("kind", "recordings", "left out") if kinds else (),
        [(kind, str(n), "yes" if leaves_out else "no") for (kind, leaves_out), n in sorted(kinds.items())],
    )
    if corpus.problems:
        yield Section(
            "Lines of the corpus that cannot be used",
            header=("where", "reason"),
            rows=[(problem.where, f"{problem.utterance_id} {problem.reason}") for problem in corpus.problems],
        )
    if checked.findings:
        yield Section(
            "Findings by recording",
            [f"The first {_MAX_LISTED} of {len(checked.findings)}."] if len(checked.findings) > _MAX_LISTED else [],
            ("recording", "kind", "details"),
            [(each.utterance_id, each.kind, each.description) for each in checked.findings[:_MAX_LISTED]],
        )
    counts = Counter(phone for each in analyses.values() for phone in each.phones)
    if counts:
        rare = [f"{phone} ({n})" for phone, n in sorted(counts.items(), key=lambda item: item[1]) if n < _RARE_PHONE]
        absent = _absent_phones(settings, {utterance.language for utterance in corpus.utterances}, counts)
        yield Section(
            "Letters" if settings.phone_extractor == "char" else "Phones",
            [
                *([f"Never: {' '.join(absent) or 'none'}."] if absent is not None else []),
                f"Fewer than {_RARE_PHONE} times: {', '.join(rare) or 'none'}.",
            ],
        )


def _scope_of_comparison(compared: Mapping[str, int], number: Mapping[str, int], with_texts: bool) -> str:
    if not with_texts:
        return "Texts were not checked: the model of these settings is trained on recordings alone."
    names = [name for name in number if compared[name]]
    if not names:
        return "No texts were compared with their recordings, which is done for English only."
    if len(names) == len(number):
        return "Texts were compared with their recordings."
    return f"Texts were compared with their recordings (English only) for {some(names, most=20)}."


def _absent_phones(
    settings: PreprocessSettings, languages: Iterable[str], counts: Mapping[str, int]
) -> list[str] | None:
    """Return the phones of the inventory that never occur; None if the inventory is open."""
    front_ends = FrontEnds(settings)
    inventory: dict[str, None] = {}
    for language in languages:
        with suppress(TextError):  # reported for every text of that language
            if front_ends[language].is_open:
                return None
            inventory.update(dict.fromkeys(front_ends[language].inventory))
    return [phone for phone in inventory if phone not in counts and phone not in PAUSES and phone != SPOKEN_NOISE]


def _shown(
    utterances: Sequence[Utterance], findings: Mapping[str, Sequence[Finding]], settings: PreprocessSettings
) -> Iterator[ReportedUtterance]:
    """Yield the worst recordings of every kind of finding in turn."""
    by_id = {utterance.id: utterance for utterance in utterances}
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for of_utterance in findings.values():
        for finding in of_utterance:
            by_kind[finding.kind].append(finding)
    queues = [sorted(found, key=lambda finding: -finding.severity) for found in by_kind.values()]
    ids: list[str] = []
    while any(queues) and len(ids) < _MAX_SHOWN:
        for queue in queues:
            if queue and (id_ := queue.pop(0).utterance_id) not in ids:
                ids.append(id_)
    mel = MelSpectrogram.from_settings(settings)
    for id_ in ids[:_MAX_SHOWN]:
        listed = "; ".join(f"{finding.kind}: {finding.description}" for finding in findings[id_])
        if shown := _draw(by_id[id_], listed, mel):
            yield shown


def _draw(utterance: Utterance, listed: str, mel: MelSpectrogram) -> ReportedUtterance | None:
    try:
        waveform = read_audio(utterance.audio_path, mel.sample_rate)[: int(_MAX_SHOWN_S * mel.sample_rate)]
    except Exception:  # unreadable recordings are in the table
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
    caption = f"{utterance.id} ({listed}): {utterance.text}"
    return ReportedUtterance(caption, png(figure), wav_bytes(to_int16(waveform), mel.sample_rate))
