"""Report of stage 1 beside a corpus's features: `report.md`, and `report.html` with pictures and sound."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from config.schema import PreprocessSettings
from processors.feature_store import FeatureStore
from processors.preparation.alignment_check import MAX_SILENCE_S, SPREADS, AlignmentCheck, Anomaly, worst_of_each
from processors.preparation.corpus_result import CorpusCounts, CorpusResult, completed
from processors.reports.report_page import ReportedUtterance, Section, html_page, markdown, wav_bytes
from processors.reports.speech_pictures import utterance_picture
from processors.speakers.statistics import SpeakerStatistics
from processors.text.symbols import LATER, SymbolTable
from processors.utterance import SPLITS, Utterance
from utils.console import format_duration
from utils.files import write_atomically
from utils.pictures import png

_N_SHOWN = 4
_N_WORST = 10
_N_DESCRIBED = 3
_MAX_SHOWN_S = 15.0
_MAX_SPEAKERS = 200
_RARE = 5
_GALLERY_NOTE = (
    "Edge silence is trimmed. Lines on the mel are phone boundaries, the light blue curve is F0; phones of zero "
    "duration have no label."
)


def write_report(
    result: CorpusResult,
    counts: CorpusCounts,
    statistics: Mapping[str, SpeakerStatistics],
    symbols: SymbolTable | None,
    settings: PreprocessSettings,
) -> Path:
    """Write both reports of one corpus.

    Args:
        result: of the corpus.
        counts: of its utterances.
        statistics: by speaker.
        symbols: to look up phones; None if there are none.
        settings: of the features.

    Returns:
        The path of `report.md`; `report.html` is beside it.
    """
    anomalies = counts.alignments.anomalies()
    sections = list(_sections(result, counts, anomalies, statistics, symbols, settings))
    title = f"Stage 1: {result.dataset}"
    path = result.folder / "report.md"
    write_atomically(path, markdown(title, sections))
    shown = _shown(result, counts, anomalies, symbols, settings)
    html = html_page(
        title, sections, shown, gallery="Sample utterances and the worst alignments", gallery_note=_GALLERY_NOTE
    )
    write_atomically(result.folder / "report.html", html)
    return path


def _sections(
    result: CorpusResult,
    counts: CorpusCounts,
    anomalies: Sequence[Anomaly],
    statistics: Mapping[str, SpeakerStatistics],
    symbols: SymbolTable | None,
    settings: PreprocessSettings,
) -> Iterator[Section]:
    seconds_per_frame = settings.hop_size / settings.sample_rate

    def length(frames: int) -> str:
        return format_duration(frames * seconds_per_frame)

    total = len(result.usable) + len(result.rejected)
    share = f"{result.rejected_share:.1%} of {total}"
    yield Section(
        "Overview",
        [
            f"{len(result.usable)} utterances are usable, {len(result.rejected)} were left out ({share}).",
            *(f"Note: {note}" for note in result.notes),
        ],
        ("split", "utterances", "speech", "frames"),
        [
            (split, str(counts.utterances[split]), length(counts.frames[split]), str(counts.frames[split]))
            for split in SPLITS
        ],
    )
    of_log = " (of log F0)" if settings.pitch_scale == "log" else ""
    yield Section(
        "Speakers",
        [f"Mean F0 over the training split{of_log}, and two standard deviations to either side."],
        ("speaker", "utterances", "speech", "F0 in Hz"),
        [
            (name, str(counts.speaker_utterances[name]), length(frames), _pitch(statistics.get(name)))
            for name, frames in counts.speaker_frames.most_common(_MAX_SPEAKERS)
        ],
    )
    if result.rejected:
        kinds = Counter(each.kind for each in result.rejected)
        yield Section(
            "Left out, by reason",
            header=("reason", "recordings"),
            rows=[(kind, str(n)) for kind, n in kinds.most_common()],
        )
        yield Section(
            "Left out",
            header=("utterance", "reason", "details"),
            rows=[(each.utterance_id or "?", each.kind, each.reason) for each in result.rejected],
        )
    yield from _alignment_sections(result, counts.alignments, anomalies)
    if symbols is not None and (trained := counts.training_phones):
        absent = [symbol for symbol in symbols.symbols[1:] if not trained[symbol] and symbol != LATER]
        rare = [f"{symbol} ({trained[symbol]})" for symbol in symbols.symbols[1:] if 0 < trained[symbol] < _RARE]
        yield Section(
            "Phones in training",
            [
                f"Never: {' '.join(absent) or 'none'}.",
                f"Fewer than {_RARE} times: {' '.join(rare) or 'none'}.",
            ],
        )


def _alignment_sections(
    result: CorpusResult, alignments: AlignmentCheck, anomalies: Sequence[Anomaly]
) -> Iterator[Section]:
    if not alignments.n_checked:
        return
    descriptions: defaultdict[str, list[str]] = defaultdict(list)
    for anomaly in anomalies:
        descriptions[anomaly.utterance_id].append(anomaly.description)
    worst = "; report.html shows the worst" if descriptions else ""
    yield Section(
        "Alignment",
        [
            f"{len(descriptions)} of {alignments.n_checked} utterances have anomalies of alignment{worst}.",
            f"Anomalies are: a phone whose log duration is {SPREADS:g} spreads from its median in this corpus (a "
            "spread is half the width of the middle 68 %); silence within a word; more than "
            f"{MAX_SILENCE_S * 1000:.0f} ms near the noise floor without a marked pause; a score {SPREADS:g} "
            "spreads below the median.",
        ],
        ("utterance", "anomalies") if descriptions else (),
        [(id_, "; ".join(lines[:_N_DESCRIBED])) for id_, lines in list(descriptions.items())[:_N_WORST]],
    )
    if scores := alignments.scores:
        texts = {utterance.id: utterance.text for utterance in result.usable}
        yield Section(
            "Lowest alignment scores",
            [
                "The aligner's score of text and recording has the median "
                f"{np.median([score for score, _ in scores]):.1f} here; far below it, text and recording may differ."
            ],
            ("utterance", "score", "text"),
            [(id_, f"{score:.2f}", texts[id_]) for score, id_ in sorted(scores)[:_N_WORST]],
        )


def _pitch(of_speaker: SpeakerStatistics | None) -> str:
    if of_speaker is None or not of_speaker.pitch.n_frames:
        return "unknown"
    pitch = of_speaker.pitch
    middle, low, high = (pitch.mean + k * pitch.std for k in (0, -2, 2))
    if of_speaker.pitch_scale == "log":
        middle, low, high = np.exp([middle, low, high])
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def _shown(
    result: CorpusResult,
    counts: CorpusCounts,
    anomalies: Sequence[Anomaly],
    symbols: SymbolTable | None,
    settings: PreprocessSettings,
) -> Iterator[ReportedUtterance]:
    """Draw some utterances, the slowest and the fastest, whose texts may be wrong, and the ten worst aligned."""
    store = FeatureStore.open(result.folder)
    longest = int(_MAX_SHOWN_S * settings.sample_rate / settings.hop_size)
    by_id = {
        utterance.id: utterance
        for utterance in result.usable
        if store.has(utterance.id, ("waveform",)) and store.length(utterance.id, "mel") <= longest
    }
    paces = sorted(pace for pace in counts.paces if pace[1] in by_id)
    why = {}
    if len(paces) > _N_SHOWN:
        why = {paces[0][1]: "the slowest", paces[-1][1]: "the fastest"}
    worst = _worst_aligned(anomalies, counts.alignments.scores, by_id)
    why |= {id_: ", ".join(filter(None, [why.get(id_), reason])) for id_, reason in worst.items()}
    ids = list(by_id)
    between = [ids[index] for index in np.linspace(0, len(ids) - 1, min(_N_SHOWN, len(ids))).astype(int)]
    for utterance_id in dict.fromkeys([*between, *why]):
        (utterance,) = completed([by_id[utterance_id]], store, symbols)
        yield _draw(utterance, store, settings, why.get(utterance_id, ""))


def _worst_aligned(
    anomalies: Sequence[Anomaly], scores: Sequence[tuple[float, str]], by_id: Container[str]
) -> dict[str, str]:
    """Return the worst aligned utterances with their reasons: first by anomalies, then by scores."""
    shown = (anomaly for anomaly in worst_of_each(anomalies) if anomaly.utterance_id in by_id)
    worst = {anomaly.utterance_id: f"anomaly: {anomaly.description}" for anomaly in itertools.islice(shown, _N_WORST)}
    if len(scores) > _N_WORST:
        for score, id_ in sorted(scores):
            if len(worst) == _N_WORST:
                break
            if id_ in by_id:
                worst.setdefault(id_, f"among the lowest scores: {score:.2f}")
    return worst


def _draw(utterance: Utterance, store: FeatureStore, settings: PreprocessSettings, why: str) -> ReportedUtterance:
    waveform = store.read(utterance.id, "waveform")
    figure = utterance_picture(
        waveform,
        store.read(utterance.id, "mel"),
        sample_rate=settings.sample_rate,
        hop_size=settings.hop_size,
        f0_hz=store.read(utterance.id, "f0") if store.has(utterance.id, ("f0",)) else None,
        phones=utterance.phones if utterance.durations else (),
        durations=utterance.durations,
    )
    caption = f"{utterance.id} ({', '.join(filter(None, [utterance.speaker, utterance.split, why]))}): {utterance.text}"
    return ReportedUtterance(caption, png(figure), wav_bytes(waveform, settings.sample_rate))
