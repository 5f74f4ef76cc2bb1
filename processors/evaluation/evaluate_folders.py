"""Evaluation of folders of synthesised speech, by file names."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from processors.audio.audio_file import AUDIO_SUFFIXES, AudioError, audio_info, read_audio
from processors.evaluation.intervals import Interval, Sample, mean_interval
from processors.evaluation.metrics import METRICS, Measurement, Metric, Pair, measure_pair
from processors.evaluation.texts import Text
from processors.evaluation.transcriber import Transcriber
from utils.console import Progress, warn
from utils.errors import RecitalError
from utils.files import write_atomically
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
    """

    metrics: tuple[str, ...] = ()
    texts: Mapping[str, Text] = field(default_factory=dict)
    transcriber: Transcriber | None = None

    def chosen(self) -> list[Metric]:
        """Return the metrics to compute, with a warning about those whose packages are missing.

        Raises:
            EvaluationError: a name is unknown, a metric was asked for whose package is missing, or word errors
                without a model or texts.
        """
        known = {metric.name: metric for metric in METRICS}
        for name in self.metrics:
            if name not in known:
                raise EvaluationError(
                    f"no metric {name}; known are {', '.join(known)}{did_you_mean(name, list(known))}"
                )
            if not known[name].is_installed:
                raise EvaluationError(f"{name}: its package is missing; sh env.sh evaluate installs it")
        if "wer" in self.metrics and not (self.transcriber and self.texts):
            raise EvaluationError("wer: needs texts and a Whisper model")
        if self.metrics:
            return [known[name] for name in known if name in self.metrics]
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
        figures: by recording and metric.
        transcripts: by recording, where they were made.
    """

    folder: Path
    figures: Mapping[str, Mapping[str, Measurement]]
    transcripts: Mapping[str, str]

    def sample(self, metric: str, names: Collection[str] | None = None) -> Sample:
        """Return a metric's values of the recordings that have it, in their order."""
        figures = [self.figures[name][metric] for name in self.names(metric) if names is None or name in names]
        return Sample(*(np.array([each[index] for each in figures]) for index in (0, 1)))

    def names(self, metric: str) -> list[str]:
        """Return the recordings that have a metric."""
        return [name for name, found in self.figures.items() if metric in found]


def evaluate_folders(
    reference_dir: Path | None,
    degraded_dir: Path,
    output: Path,
    *,
    compare_dir: Path | None = None,
    yardsticks: Yardsticks | None = None,
) -> list[str]:
    """Compute the metrics of every file that all folders have, and write them to a file.

    Names are paths within the folder, without suffix. If sample rates differ the reference is resampled. Means have
    95 % bootstrap intervals over recordings; that of word errors is weighted by words.

    Args:
        reference_dir: recordings; None for none.
        degraded_dir: synthesised speech. Where files last longer or shorter than their recordings it is free speech,
            and metrics that need equal timing are left out.
        output: JSON with `means`, `intervals`, `counts` (of recordings that a mean is taken over) and `recordings`.
        compare_dir: another folder of synthesised speech, or the recordings themselves; the differences of the means
            get paired intervals.
        yardsticks: metrics, texts and speech recognition; all that is installed by default.

    Returns:
        The lines of a table of the means.

    Raises:
        EvaluationError: a folder is missing, no name is in all of them, or a metric was asked for that cannot be
            computed.
        AudioError: a file cannot be read.
    """
    yardsticks = yardsticks or Yardsticks()
    metrics = yardsticks.chosen()
    folders = [folder for folder in (reference_dir, degraded_dir, compare_dir) if folder is not None]
    files = {folder: _files(folder) for folder in folders}
    names = sorted(set.intersection(*(set(found) for found in files.values())))
    if not names:
        raise EvaluationError(
            f"{degraded_dir}: none of its {len(files[degraded_dir])} files has the name of one of those in "
            f"{' and '.join(str(folder) for folder in folders if folder != degraded_dir)}"
        )
    if unpaired := sum(len(found) - len(names) for found in files.values()):
        warn(f"{unpaired} files are in one of the folders only; they are ignored")
    references = files[reference_dir] if reference_dir is not None else {}
    evaluated = [
        _evaluate(folder, {name: files[folder][name] for name in names}, references, metrics, yardsticks)
        for folder in (degraded_dir, compare_dir)
        if folder is not None
    ]
    report, lines = _report(evaluated, reference_dir, metrics)
    write_atomically(output, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return lines


def _evaluate(
    folder: Path,
    files: Mapping[str, Path],
    references: Mapping[str, Path],
    metrics: Sequence[Metric],
    yardsticks: Yardsticks,
) -> Evaluated:
    has_equal_timing = _has_equal_timing(files, references, metrics, asked=bool(yardsticks.metrics))
    figures: dict[str, Mapping[str, Measurement]] = {}
    transcripts = {}
    with Progress(len(files), f"evaluating {folder.name}", "recordings") as progress:
        for name, path in files.items():
            text = yardsticks.text_of(name)
            sample_rate = audio_info(path).sample_rate
            reference = read_audio(references[name], sample_rate) if references else None
            figures[name] = {}
            try:
                degraded = read_audio(path, sample_rate)
            except AudioError as error:
                if error.fault != "silent":
                    raise
                warn(f"{error}; excluded from the means")
            else:
                pair = Pair(
                    reference,
                    degraded,
                    sample_rate,
                    has_equal_timing=has_equal_timing,
                    text=text.text,
                    language=text.language,
                    transcriber=yardsticks.transcriber,
                )
                figures[name] = measure_pair(pair, metrics)
                if "wer" in figures[name]:
                    transcripts[name] = pair.transcript
            progress.advance()
    return Evaluated(folder, figures, transcripts)


def _has_equal_timing(
    files: Mapping[str, Path], references: Mapping[str, Path], metrics: Sequence[Metric], *, asked: bool
) -> bool:
    """Return whether every file lasts as long as its recording.

    Raises:
        EvaluationError: one does not, and metrics were asked for by name that need it.
    """
    differing = []
    for name, reference in references.items():
        if name in files:
            durations = [audio_info(path).duration_s for path in (files[name], reference)]
            if abs(durations[0] - durations[1]) > _DURATION_TOLERANCE_S:
                differing.append(f"{files[name]}: lasts {durations[0]:.2f} s, {reference} {durations[1]:.2f} s")
    needing = [metric.name for metric in metrics if metric.needs_equal_timing]
    if differing and needing:
        what = f"{', '.join(needing)} can compare only speech aligned with its recording"
        if asked:
            raise EvaluationError(f"{differing[0]}; {what}")
        warn(
            f"{len(differing)} of {len(files)} files last longer or shorter than their recordings, as free speech "
            f"does; {what}, and are left out"
        )
    return not differing


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


def _report(
    evaluated: Sequence[Evaluated], reference_dir: Path | None, metrics: Sequence[Metric]
) -> tuple[dict[str, Any], list[str]]:
    """Return the report, and the lines of its table."""
    made, *others = evaluated
    samples = {metric.name: made.sample(metric.name) for metric in metrics if made.names(metric.name)}
    intervals = {name: mean_interval(sample) for name, sample in samples.items()}
    counts = {name: len(sample.values) for name, sample in samples.items()}
    report: dict[str, Any] = {
        "reference_dir": str(reference_dir) if reference_dir is not None else None,
        "made_dir": str(made.folder),
        "means": {name: interval.mean for name, interval in intervals.items()},
        "intervals": {name: interval[1:] for name, interval in intervals.items()},
        "counts": counts,
        "recordings": _by_recording(made),
        "transcripts": made.transcripts,
    }
    lines = list(_table("metric", metrics, intervals, counts))
    for other in others:
        differences = {}
        for name in samples:
            names = set(made.names(name)) & set(other.names(name))
            if names:
                differences[name] = mean_interval(made.sample(name, names), other.sample(name, names))
                counts[name] = len(names)
        report["comparison"] = {
            "compare_dir": str(other.folder),
            "differences": {name: interval.mean for name, interval in differences.items()},
            "intervals": {name: interval[1:] for name, interval in differences.items()},
            "recordings": _by_recording(other),
            "transcripts": other.transcripts,
        }
        lines += [f"minus {other.folder}, paired:", *_table("difference", metrics, differences, counts)]
    return report, lines


def _by_recording(evaluated: Evaluated) -> dict[str, dict[str, float]]:
    return {
        name: {metric: figure.value for metric, figure in found.items()} for name, found in evaluated.figures.items()
    }


def _table(
    head: str, metrics: Sequence[Metric], intervals: Mapping[str, Interval], counts: Mapping[str, int]
) -> Iterator[str]:
    yield f"{head:<22}{'mean':>10}{'95 % interval':>24}{'recordings':>12}"
    for metric in metrics:
        if metric.name in intervals:
            mean, low, high = intervals[metric.name]
            better = "near the recordings' is better" if metric.better == "near" else f"{metric.better} is better"
            yield (
                f"{metric.name:<22}{mean:>10.4f}{f'{low:.4f} to {high:.4f}':>24}{counts[metric.name]:>12}  "
                f"{metric.meaning}; {better}"
            )
