"""The report of a data check: a page, a table, and a list of recordings to leave out."""

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
from processors.data_check.findings import Finding, narrow_speakers
from processors.data_check.listening import Heard
from processors.reports.report_page import Section, Shown, page, wav_bytes
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


def write_data_report(
    checked: Checked,
    corpus: Corpus,
    heard: Mapping[str, Heard],
    findings: Mapping[str, Sequence[Finding]],
    left_out: Sequence[str],
    settings: PreprocessSettings,
    with_texts: bool,
) -> None:
    """Write table, list and page of one corpus.

    Args:
        checked: the summary, which names the files.
        corpus: its recordings.
        heard: measures by utterance.
        findings: by utterance, those without any missing.
        left_out: ids of the recordings with a grave finding.
        settings: of the mel and the front end.
        with_texts: whether texts were checked.
    """
    write_atomically(checked.table, _table(corpus.utterances, heard, findings))
    write_atomically(checked.leave_out, _leave_out(checked.dataset, left_out, findings))
    sections = list(_sections(corpus, heard, checked, settings, with_texts))
    shown = _shown(corpus.utterances, findings, settings)
    note = f"The worst recordings, {_MOST_SHOWN} at most, as they are in the corpus."
    html = page(f"Data check: {checked.dataset}", sections, shown, gallery="To be looked at", gallery_note=note)
    write_atomically(checked.page, html)


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
    corpus: Corpus, heard: Mapping[str, Heard], checked: Checked, settings: PreprocessSettings, with_texts: bool
) -> Iterator[Section]:
    seconds: defaultdict[str, float] = defaultdict(float)
    languages: defaultdict[str, set[str]] = defaultdict(set)
    number: Counter[str] = Counter()
    compared: Counter[str] = Counter()
    for utterance in corpus.utterances:
        each = heard[utterance.id]
        number[utterance.speaker] += 1
        compared[utterance.speaker] += each.is_compared
        languages[utterance.speaker].add(utterance.language)
        seconds[utterance.speaker] += each.clip.speech_s if each.clip else 0.0
    short = [name for name in number if seconds[name] < _ADVISED_MINUTES * 60]
    clips = {id_: each.clip for id_, each in heard.items() if each.clip is not None}
    speaker_of = {utterance.id: utterance.speaker for utterance in corpus.utterances}
    ends = narrow_speakers(clips, speaker_of, settings.sample_rate / 2)
    narrow = (
        f"preprocess.sample_rate {settings.sample_rate} has room up to {settings.sample_rate / 2:.0f} Hz; most "
        f"recordings of these speakers end below: {', '.join(f'{name} ({hz:.0f} Hz)' for name, hz in ends.items())}."
        if ends
        else ""
    )
    advice = f"Less than the {_ADVISED_MINUTES} minutes that a voice should have: {', '.join(short)}." if short else ""
    yield Section(
        "What there is",
        [
            f"{len(corpus.utterances)} recordings; {checked.n_left_out} of them are in {checked.leave_out.name}, which "
            f"stage 1 heeds if preprocess.leave_out names it. Every figure is in {checked.table.name}.",
            _told_of_comparing(compared, number, with_texts),
            *([narrow] if narrow else []),
            *([advice] if advice else []),
        ],
        ("speaker", "language", "recordings", "speech", "texts compared"),
        [
            (name, ", ".join(sorted(languages[name])), str(n), format_duration(seconds[name]), str(compared[name]))
            for name, n in number.most_common()
        ],
    )
    kinds: dict[tuple[str, bool], int] = Counter((finding.kind, finding.is_grave) for finding in checked.findings)
    yield Section(
        "Findings",
        ["Nothing was found."] if not kinds else [],
        ("kind", "recordings", "left out") if kinds else (),
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
        absent = _absent_phones(settings, {utterance.language for utterance in corpus.utterances}, counts)
        yield Section(
            "Letters" if settings.phone_extractor == "char" else "Phones",
            [
                *([f"Never: {' '.join(absent) or 'none'}."] if absent is not None else []),
                f"Fewer than {_RARE_PHONE} times: {', '.join(rare) or 'none'}.",
            ],
        )


def _told_of_comparing(compared: Mapping[str, int], number: Mapping[str, int], with_texts: bool) -> str:
    if not with_texts:
        return "Texts were not looked at: what these settings train learns from recordings alone."
    names = [name for name in number if compared[name]]
    if not names:
        return "No texts were compared with their recordings, which is done for English alone."
    if len(names) == len(number):
        return "Texts were compared with their recordings."
    return f"Texts were compared with their recordings, as is done for English alone, of {some(names, most=20)}."


def _absent_phones(
    settings: PreprocessSettings, languages: Iterable[str], counts: Mapping[str, int]
) -> list[str] | None:
    """Give the phones that nobody says; None where nobody knows which there are."""
    front_ends = FrontEnds(settings)
    inventory: dict[str, None] = {}
    for language in languages:
        with suppress(TextError):  # every text in that language has told
            if front_ends[language].is_open:
                return None
            inventory.update(dict.fromkeys(front_ends[language].inventory))
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
