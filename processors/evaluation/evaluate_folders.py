"""Evaluation of a folder of synthesised speech against one of recordings, by file names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from processors.audio.audio_file import AUDIO_SUFFIXES, AudioError, audio_info, read_audio
from processors.evaluation.metrics import METRICS, compare
from processors.evaluation.perception import is_installed
from utils.console import Progress, warn
from utils.errors import RecitalError
from utils.files import write_atomically

# Padding of an encoder, or samples beyond the last whole frame.
_DURATION_TOLERANCE_S = 0.1


class EvaluationError(RecitalError):
    """Folders that cannot be compared."""


def evaluate_folders(reference_dir: Path, degraded_dir: Path, output: Path) -> list[str]:
    """Compute the metrics of every file that both folders have, and write them to a file.

    Names are paths within the folder, without suffix. If sample rates differ the reference is resampled.

    Args:
        reference_dir: recordings.
        degraded_dir: synthesised speech.
        output: JSON with `means`, `counts` (of recordings that a mean is taken over) and `recordings`.

    Returns:
        The lines of a table of the means.

    Raises:
        EvaluationError: a folder is missing, no name is in both, or lengths differ.
        AudioError: a file cannot be read.
    """
    references, degraded = _files(reference_dir), _files(degraded_dir)
    names = sorted(references.keys() & degraded.keys())
    if not names:
        raise EvaluationError(
            f"{degraded_dir}: none of its {len(degraded)} files has the name of one of the {len(references)} in "
            f"{reference_dir}"
        )
    if unpaired := len(references) + len(degraded) - 2 * len(names):
        warn(f"{unpaired} files are in one of the folders only; they are ignored")
    if missing := [metric.name for metric in METRICS if metric.needs and not is_installed(metric.needs)]:
        warn(f"skipped for missing packages: {', '.join(missing)}; sh env.sh evaluate installs them")
    figures: dict[str, dict[str, float]] = {}
    with Progress(len(names), "evaluating", "recordings") as progress:
        for name in names:
            figures[name] = _evaluate(references[name], degraded[name])
            progress.advance()
    values_of = {
        metric.name: [found[metric.name] for found in figures.values() if metric.name in found] for metric in METRICS
    }
    means = {name: sum(values) / len(values) for name, values in values_of.items() if values}
    counts = {name: len(values_of[name]) for name in means}
    report = {
        "reference_dir": str(reference_dir),
        "made_dir": str(degraded_dir),
        "means": means,
        "counts": counts,
        "recordings": figures,
    }
    write_atomically(output, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return list(_table(means, counts))


def _evaluate(reference_path: Path, degraded_path: Path) -> dict[str, float]:
    sample_rate = audio_info(degraded_path).sample_rate
    reference = read_audio(reference_path, sample_rate)
    try:
        degraded = read_audio(degraded_path, sample_rate)
    except AudioError as error:
        if error.fault != "silent":
            raise
        warn(f"{error}; excluded from the means")
        return {}
    difference_s = abs(len(reference) - len(degraded)) / sample_rate
    if difference_s > _DURATION_TOLERANCE_S:
        raise EvaluationError(
            f"{degraded_path}: lasts {len(degraded) / sample_rate:.2f} s, {reference_path} "
            f"{len(reference) / sample_rate:.2f} s; only speech aligned with its recording can be compared"
        )
    return compare(reference, degraded, sample_rate)


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


def _table(means: Mapping[str, float], counts: Mapping[str, int]) -> Iterator[str]:
    yield f"{'metric':<22}{'mean':>9}{'recordings':>12}"
    for metric in METRICS:
        if metric.name in means:
            yield (
                f"{metric.name:<22}{means[metric.name]:>9.4f}{counts[metric.name]:>12}  "
                f"{metric.meaning}; {metric.better} is better"
            )
