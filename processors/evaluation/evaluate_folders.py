"""Evaluation of folders of synthesised speech, by file names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from processors.audio.audio_file import AUDIO_SUFFIXES, AudioError, audio_info, read_audio
from processors.evaluation.intervals import Interval, Sample, mean_interval
from processors.evaluation.metric import Measurement, Metric
from processors.evaluation.metrics import METRICS, measure_pair
from processors.evaluation.pair import Pair
from processors.evaluation.texts import Text
from processors.evaluation.transcriber import Transcribes
from processors.speakers.speaker_encoders import SpeakerEncoder
from utils.console import Progress, warn
from utils.errors import RecitalError
from utils.process_pool import Note, ThisProcess, Work, Workers, results_of
from utils.suggestions import did_you_mean

# Padding of an encoder, or samples beyond the last whole frame.
_DURATION_TOLERANCE_S = 0.1


class EvaluationError(RecitalError):
    """Folders that cannot be compared."""


@dataclass(frozen=True)
class Yardsticks:
    """Metrics to compute, and their inputs besides the speech.

    Attributes:
        metrics: names of those to compute; empty for all whose packages are installed.
        texts: what was to be spoken, by file names.
        transcriber: for word errors; None without.
        speaker_encoder: for the speaker's similarity; None for statistics.
    """

    metrics: tuple[str, ...] = ()
    texts: Mapping[str, Text] = field(default_factory=dict)
    transcriber: Transcribes | None = None
    speaker_encoder: SpeakerEncoder | None = None

    def require_known(self) -> None:
        """Raise an `EvaluationError` where a metric is unknown, or its package missing: of the names alone, at once."""
        known = {metric.name: metric for metric in METRICS}
        for name in self.metrics:
            if name not in known:
                raise EvaluationError(
                    f"no metric {name}; known are {', '.join(known)}{did_you_mean(name, list(known))}"
                )
            if not known[name].is_installed:
                raise EvaluationError(f"{name}: its package is missing; sh env.sh evaluate installs it")

    def require_for_free_speech(self, model: Path) -> None:
        """Raise an `EvaluationError` where metrics were asked for by name that free speech cannot have.

        Args:
            model: whose speech is to be measured; named in the message.
        """
        needing = [metric.name for metric in METRICS if metric.name in self.metrics and metric.needs_equal_timing]
        if needing:
            raise EvaluationError(
                f"{model}: an acoustic model times its speech itself, and {_needs_alignment(needing)}; leave "
                f"{'it' if len(needing) == 1 else 'them'} out of --metrics"
            )

    def chosen(self) -> list[Metric]:
        """Return the metrics to compute, with a warning about those whose packages are missing.

        Raises:
            EvaluationError: a name is unknown, a metric was asked for whose package is missing, or word errors
                without a model or texts.
        """
        self.require_known()
        for name in ("wer", "cer"):
            if name in self.metrics and not (self.transcriber and self.texts):
                raise EvaluationError(f"{name}: needs texts and a Whisper model, or another transcriber")
        if self.metrics:
            return [metric for metric in METRICS if metric.name in self.metrics]
        if missing := [metric.name for metric in METRICS if not metric.is_installed]:
            warn(f"skipped for missing packages: {', '.join(missing)}; sh env.sh evaluate installs them")
        return [metric for metric in METRICS if metric.is_installed]

    def text_of(self, name: str) -> Text:
        """Return the text of a file, by its path or else by its name alone; an empty one if there is none."""
        return self.texts.get(name) or self.texts.get(name.rpartition("/")[2]) or Text("", "")


@dataclass(frozen=True)
class Evaluated:
    """The figures of a folder.

    Attributes:
        folder: of the synthesised speech.
        files: by recording.
        figures: by recording and metric.
        transcripts: by recording, where they were made.
    """

    folder: Path
    files: Mapping[str, Path]
    figures: Mapping[str, Mapping[str, Measurement]]
    transcripts: Mapping[str, str]

    def sample(self, metric: str, names: Collection[str] | None = None) -> Sample:
        """Return a metric's values of the recordings that have it, in their order."""
        figures = [self.figures[name][metric] for name in self.names(metric) if names is None or name in names]
        return Sample(*(np.array([each[index] for each in figures]) for index in (0, 1)))

    def names(self, metric: str) -> list[str]:
        """Return the recordings that have a metric."""
        return [name for name, found in self.figures.items() if metric in found]

    def interval(self, metric: str) -> Interval:
        """Return a metric's mean with its interval."""
        return mean_interval(self.sample(metric))

    def difference(self, metric: str, other: Evaluated) -> tuple[Interval, int] | None:
        """Return its mean minus another folder's with the paired interval, and over how many recordings; None for 0."""
        names = set(self.names(metric)) & set(other.names(metric))
        if not names:
            return None
        return mean_interval(self.sample(metric, names), other.sample(metric, names)), len(names)


@dataclass(frozen=True)
class Evaluation:
    """Folders of speech of the same recordings, evaluated.

    Attributes:
        reference_dir: recordings; None for none.
        references: by name.
        systems: folders by the names they go by; the first is what the others are compared with.
        metrics: computed.
        texts: what was to be spoken, by name; empty if unknown.
        notes: sentences on missing files and on different rates and lengths.
    """

    reference_dir: Path | None
    references: Mapping[str, Path]
    systems: Mapping[str, Evaluated]
    metrics: Sequence[Metric]
    texts: Mapping[str, str]
    notes: Sequence[str]


def evaluate(
    reference_dir: Path | None,
    systems: Mapping[str, Path],
    yardsticks: Yardsticks,
    workers: Workers | None = None,
) -> Evaluation:
    """Compute the metrics of every file that all folders have.

    Names are paths within the folder, without suffix. All files of a name are compared at the lowest of their sample
    rates, so that systems of different rates are compared in the band that all of them have.

    Args:
        reference_dir: recordings; None for none.
        systems: folders of synthesised speech by name. Where files last longer or shorter than their recordings it is
            free speech, and metrics that need equal timing are left out. Of the recordings as second or later system,
            what compares with recordings is left out, and the whole system where nothing else was asked for.
        yardsticks: metrics, texts and speech recognition.
        workers: that measure; this process if None.

    Raises:
        EvaluationError: a folder is missing, no name is in all of them, or a metric was asked for that cannot be
            computed.
        AudioError: a file cannot be read.
    """
    metrics = yardsticks.chosen()
    folders = [*([reference_dir] if reference_dir is not None else []), *systems.values()]
    files = {folder: _files(folder) for folder in folders}
    names = sorted(set.intersection(*(set(found) for found in files.values())))
    if not names:
        first = next(iter(systems.values()))
        raise EvaluationError(
            f"{first}: none of its {len(files[first])} files has the name of one of those in "
            f"{' and '.join(str(folder) for folder in folders if folder != first)}"
        )
    paths = {folder: {name: found[name] for name in names} for folder, found in files.items()}
    rates = {name: min(audio_info(found[name]).sample_rate for found in paths.values()) for name in names}
    references = paths[reference_dir] if reference_dir is not None else {}
    lengths = {folder: _other_lengths(paths[folder], references) for folder in systems.values()}
    needing = [metric.name for metric in metrics if metric.needs_equal_timing]
    notes = [*_notes(files, names), *_notes_on_lengths(lengths, len(names), needing, asked=bool(yardsticks.metrics))]
    for note in notes:
        warn(note)
    evaluated: dict[str, Evaluated] = {}
    for name, folder in systems.items():
        computed = metrics
        if evaluated and folder == reference_dir:  # beside others, recordings are not compared with themselves
            computed = [metric for metric in metrics if not {"recording", "equal timing"}.intersection(metric.takes)]
            if not computed:
                continue
        takes = [
            _Recording(each, path, references.get(each), rates[each], not lengths[folder], yardsticks.text_of(each))
            for each, path in paths[folder].items()
        ]
        evaluated[name] = _evaluate(folder, takes, computed, yardsticks, workers or ThisProcess())
    texts = {name: yardsticks.text_of(name).text for name in names}
    return Evaluation(reference_dir, references, evaluated, metrics, texts, notes)


def _notes(files: Mapping[Path, Mapping[str, Path]], names: Sequence[str]) -> Iterator[str]:
    """Yield sentences on files without a partner, and on sample rates and lengths that differ."""
    if unpaired := sum(len(found) - len(names) for found in files.values()):
        of_folders = [
            f"{folder}: {_some(sorted(found.keys() - set(names)))}"
            for folder, found in files.items()
            if len(found) > len(names)
        ]
        yield f"{unpaired} files are in one of the folders only; they are ignored ({'; '.join(of_folders)})"
    rates = {folder: sorted({audio_info(found[name]).sample_rate for name in names}) for folder, found in files.items()}
    if len({tuple(each) for each in rates.values()}) > 1:
        described = "; ".join(f"{folder}: {', '.join(map(str, each))} Hz" for folder, each in rates.items())
        yield f"sample rates differ, compared at the lowest of each recording ({described})"


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass(frozen=True)
class _Recording:
    """A file to evaluate, with its recording and what is known of both."""

    name: str
    path: Path
    reference: Path | None
    sample_rate: int
    has_equal_timing: bool
    text: Text


@dataclass(frozen=True)
class _Measured:
    """The figures of a file, and its words where they were recognised; or why it has none."""

    figures: Mapping[str, Measurement] = field(default_factory=dict)
    transcript: str | None = None
    excluded: str = ""


def _evaluate(
    folder: Path,
    recordings: Sequence[_Recording],
    metrics: Sequence[Metric],
    yardsticks: Yardsticks,
    workers: Workers,
) -> Evaluated:
    shared = [path for path in (recordings[0].path, recordings[0].reference) if path is not None]
    names = tuple(metric.name for metric in metrics)
    measured: dict[str, _Measured] = {}
    with (
        Progress(len(recordings), f"evaluating {folder.name}", "recordings") as progress,
        workers.pool(
            _make_measurer,
            names,
            yardsticks.transcriber,
            yardsticks.speaker_encoder,
            preload=(__name__,),
            shared=shared,
            at_most=len(recordings),
        ) as pool,
    ):
        for recording, found in results_of(pool, recordings):
            measured[recording.name] = found
            if found.excluded:
                warn(f"{found.excluded}; excluded from the means")
            progress.advance()
    files = {each.name: each.path for each in recordings}
    transcripts = {name: words for name in files if (words := measured[name].transcript) is not None}
    return Evaluated(folder, files, {name: measured[name].figures for name in files}, transcripts)


def _make_measurer(
    metrics: Sequence[str], transcriber: Transcribes | None, speaker_encoder: SpeakerEncoder | None
) -> Work:
    chosen = [metric for metric in METRICS if metric.name in metrics]

    def measure(recording: _Recording, note: Note) -> _Measured:
        rate = recording.sample_rate
        reference = read_audio(recording.reference, rate) if recording.reference is not None else None
        try:
            degraded = read_audio(recording.path, rate)
        except AudioError as error:
            if error.fault != "silent":
                raise
            return _Measured(excluded=str(error))
        pair = Pair(
            reference,
            degraded,
            rate,
            has_equal_timing=recording.has_equal_timing,
            text=recording.text.text,
            language=recording.text.language,
            transcriber=transcriber,
            speaker_encoder=speaker_encoder,
        )
        figures = measure_pair(pair, chosen)
        return _Measured(figures, pair.transcript if {"wer", "cer"} & figures.keys() else None)

    return measure


def _other_lengths(files: Mapping[str, Path], references: Mapping[str, Path]) -> list[str]:
    """Return a sentence on each file that lasts longer or shorter than its recording."""
    differing = []
    for name, reference in references.items():
        durations = [audio_info(path).duration_s for path in (files[name], reference)]
        if abs(durations[0] - durations[1]) > _DURATION_TOLERANCE_S:
            differing.append(f"{files[name]}: lasts {durations[0]:.2f} s, {reference} {durations[1]:.2f} s")
    return differing


def _notes_on_lengths(
    lengths: Mapping[Path, Sequence[str]], n_files: int, needing: Sequence[str], *, asked: bool
) -> Iterator[str]:
    """Yield a sentence on each folder with files of other lengths than their recordings.

    Raises:
        EvaluationError: there is one, and metrics were asked for by name that need equal timing.
    """
    what = _needs_alignment(needing)
    for differing in lengths.values():
        if differing and needing and asked:
            raise EvaluationError(f"{differing[0]}; {what}")
        if differing:
            yield (
                f"{len(differing)} of {n_files} files last longer or shorter than their recordings, as free speech does"
                f"{f'; {what}, and are left out' if needing else ''} ({differing[0]})"
            )


def _needs_alignment(metrics: Sequence[str]) -> str:
    return f"{', '.join(metrics)} can compare only speech aligned with its recording"


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise EvaluationError(f"{folder}: there is no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise EvaluationError(f"{folder}: {found[name].name} and {path.name} share a name; keep one of them")
            found[name] = path
    if not found:
        raise EvaluationError(f"{folder}: contains no sound files ({', '.join(AUDIO_SUFFIXES)})")
    return found
