"""All measures of two folders of recordings, file by file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from processors.audio.audio_file import AUDIO_SUFFIXES, AudioError, audio_info, read_audio
from processors.evaluation.measures import judge, mel_error
from processors.evaluation.perception import is_installed, predicted_mos
from utils.console import Progress, warn
from utils.errors import RecitalError
from utils.files import write_atomically

# Measures by name: what they are, and whether more is better.
_MEANINGS = {
    "mel": "mean absolute error of the log-mel, full band; less is better",
    "spectral_convergence": "difference of the spectra, as a share; less is better",
    "log_magnitude": "difference of the spectra's logarithms; less is better",
    "pesq": "wide-band PESQ, 1 to 4.64",
    "stoi": "intelligibility, up to 1",
    "mos": "predicted opinion of what was made, 1 to 5",
    "reference_mos": "predicted opinion of the recordings",
}
# An encoder's padding, or the samples beyond the last whole frame.
_DURATION_TOLERANCE_S = 0.1


class JudgingError(RecitalError):
    """Folders that cannot be compared."""


def judge_folders(reference_dir: Path, made_dir: Path, output: Path) -> list[str]:
    """Measure every file of one folder that has one of the same name in the other, and write all figures down.

    Names are paths from the folder, without ending. Where rates differ the reference is resampled.

    Args:
        reference_dir: recordings.
        made_dir: what was made of them.
        output: JSON with `means`, `counts` (of recordings that a mean is taken over) and `recordings`.

    Returns:
        The lines of a table of the means.

    Raises:
        JudgingError: a folder is missing, no name is in both, or lengths say that names do not mean the same.
        AudioError: a file cannot be read.
    """
    references, made = _files(reference_dir), _files(made_dir)
    names = sorted(references.keys() & made.keys())
    if not names:
        raise JudgingError(
            f"{made_dir}: none of its {len(made)} recordings has the name of one in {reference_dir}, which has "
            f"{len(references)}"
        )
    if alone := len(references) + len(made) - 2 * len(names):
        warn(f"{alone} recordings are in one of the folders only; they are left out")
    for measure in ("pesq", "stoi", "mos"):
        if not is_installed(measure):
            warn(f"{measure} is not measured, its package is missing: sh env.sh judge")
    figures: dict[str, dict[str, float]] = {}
    with Progress(len(names), "judging", "recordings") as progress:
        for name in names:
            figures[name] = _judged(references[name], made[name])
            progress.advance()
    of_measure = {measure: [found[measure] for found in figures.values() if measure in found] for measure in _MEANINGS}
    means = {measure: sum(values) / len(values) for measure, values in of_measure.items() if values}
    counts = {measure: len(of_measure[measure]) for measure in means}
    report = {
        "reference_dir": str(reference_dir),
        "made_dir": str(made_dir),
        "means": means,
        "counts": counts,
        "recordings": figures,
    }
    write_atomically(output, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return list(_table(means, counts))


def _judged(reference_path: Path, made_path: Path) -> dict[str, float]:
    sample_rate = audio_info(made_path).sample_rate
    reference = read_audio(reference_path, sample_rate)
    try:
        made = read_audio(made_path, sample_rate)
    except AudioError as error:
        if error.fault != "silent":
            raise
        warn(f"{error}; it is left out of the means")
        return {}
    difference_s = abs(len(reference) - len(made)) / sample_rate
    if difference_s > _DURATION_TOLERANCE_S:
        raise JudgingError(
            f"{made_path}: lasts {len(made) / sample_rate:.2f} s, {reference_path} "
            f"{len(reference) / sample_rate:.2f} s; only speech in step with its recording can be compared"
        )
    figures: dict[str, float | None] = {
        "mel": mel_error(reference, made, sample_rate),
        **judge(reference, made, sample_rate),
        "reference_mos": predicted_mos(reference, sample_rate),
    }
    return {name: value for name, value in figures.items() if value is not None}


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise JudgingError(f"{folder}: there is no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise JudgingError(f"{folder}: {found[name].name} and {path.name} have one name; keep one of them")
            found[name] = path
    if not found:
        raise JudgingError(f"{folder}: no recording in it ({', '.join(AUDIO_SUFFIXES)})")
    return found


def _table(means: Mapping[str, float], counts: Mapping[str, int]) -> Iterator[str]:
    yield f"{'measure':<22}{'mean':>9}{'recordings':>12}"
    for measure, mean in means.items():
        yield f"{measure:<22}{mean:>9.4f}{counts[measure]:>12}  {_MEANINGS[measure]}"
