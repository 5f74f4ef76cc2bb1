"""Alignment by the user's installation of the Montreal Forced Aligner (MFA)."""

from __future__ import annotations

import shutil
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from config.paths import resolve_path
from config.schema import ExperimentSettings, PreprocessSettings
from processors.alignment.intervals import AlignmentError
from processors.alignment.textgrid import read_textgrid, textgrid_origin, write_textgrid
from processors.alignment.textgrid_folders import TextGrids
from processors.audio.audio_file import read_audio, write_wav
from processors.corpora.load import read_dataset
from processors.preparation.fingerprints import Fingerprints
from processors.preparation.textgrid_origin import origin_prefix, stamp_of_lexicon, stamp_of_text
from processors.text.front_end import FrontEnd, FrontEnds
from processors.text.tokens import Word
from processors.utterance import Utterance
from utils.console import Progress, info, warn
from utils.errors import RecitalError
from utils.files import write_atomically
from utils.fingerprint import stamp_of_file
from utils.process_pool import available_cores

_PROGRAM = "mfa"
_FOLDER = "mfa"
_LOG = "mfa.log"
_LINES_SHOWN = 4


class MfaError(AlignmentError):
    """An MFA that is missing or failed, or a dictionary or acoustic model that does not exist."""


def align_by_mfa(settings: ExperimentSettings, *, num_workers: int = 0) -> None:
    """Align by `mfa align` every recording without a TextGrid of the same recording and text.

    MFA reads copies of the recordings with their normalised words, from a folder that is deleted on success. A
    recording that it skips has no TextGrid, and stage 1 rejects it.

    Raises:
        MfaError: `mfa` is not installed or failed, or its dictionary or acoustic model does not exist.
    """
    preprocess = settings.preprocess
    program = shutil.which(_PROGRAM)
    if program is None:
        raise MfaError(
            "preprocess.alignment is mfa, but the program mfa is not installed; install it (conda install -c "
            "conda-forge montreal-forced-aligner) and start it once, or choose learned (any language), pocketsphinx "
            "(English) or textgrid"
        )
    resources = [_resource(preprocess, name) for name in ("mfa_dictionary", "mfa_acoustic_model")]
    for dataset in settings.dataset:
        corpus = read_dataset(settings, dataset)
        folder = preprocess.processed_path / dataset
        textgrids = TextGrids(None, folder / "TextGrid")
        wanted = {
            utterance: origin
            for utterance, origin in _origins(corpus.utterances, preprocess)
            if _lacks(textgrids, utterance, origin)
        }
        if not wanted:
            info(f"{dataset}: nothing for mfa to align, all TextGrids are up to date")
            continue
        work_dir = folder / _FOLDER
        shutil.rmtree(work_dir, ignore_errors=True)  # of a run that was stopped
        n_written = _write_corpus(work_dir / "corpus", list(wanted), preprocess)
        if n_written:
            jobs = str(num_workers or preprocess.num_workers or available_cores())
            paths = [str(work_dir / "corpus"), *resources, str(work_dir / "aligned")]
            _run([program, "align", "--clean", "--num_jobs", jobs, *paths], folder / _LOG)
        missing = _copy_textgrids(work_dir / "aligned", textgrids, wanted)
        shutil.rmtree(work_dir, ignore_errors=True)  # missing if no recording could be written
        info(f"{dataset}: mfa has aligned {len(wanted) - len(missing)} of {len(wanted)} recordings")
        if missing:
            others = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            warn(f"{dataset}: mfa wrote no TextGrid of {', '.join(missing[:5])}{others}; see {folder / _LOG}")


def _resource(settings: PreprocessSettings, name: str) -> str:
    """Return a dictionary or acoustic model as an argument of `mfa`: a path, or a name of one of its own."""
    value: str = getattr(settings, name)
    if "/" not in value and not Path(value).suffix:
        return value
    path = resolve_path(value)
    if not path.is_file():
        raise MfaError(f"preprocess.{name}: {path}: no such file; set a file, or a name from `mfa model download`")
    return str(path)


def _origins(utterances: Sequence[Utterance], settings: PreprocessSettings) -> Iterator[tuple[Utterance, str]]:
    lexicon = stamp_of_lexicon(settings)
    for utterance in utterances:
        if utterance.text:
            fingerprints = Fingerprints(
                stamp_of_file(utterance.audio_path), stamp_of_text(utterance, lexicon, settings)
            )
            yield utterance, origin_prefix(settings, fingerprints)


def _lacks(textgrids: TextGrids, utterance: Utterance, origin: str) -> bool:
    path = textgrids.own(utterance)
    if not path.exists():
        return True
    found = textgrid_origin(path)
    return bool(found) and not found.startswith(origin)


def _write_corpus(folder: Path, utterances: Sequence[Utterance], settings: PreprocessSettings) -> int:
    """Write `<speaker>/<id>.wav` and `.lab`; stage 1 reports what cannot be read or pronounced."""
    front_ends = FrontEnds(settings)
    n_written = 0
    with Progress(len(utterances), "recordings for mfa", "clips") as progress:
        for utterance in utterances:
            progress.advance()
            try:
                words = _words(front_ends[utterance.language], utterance.text)
                waveform = read_audio(
                    utterance.audio_path,
                    settings.sample_rate,
                    min_duration_s=settings.min_duration_s,
                    max_duration_s=settings.max_duration_s,
                )
            except (RecitalError, OSError):
                continue
            speaker_folder = folder / utterance.speaker
            speaker_folder.mkdir(parents=True, exist_ok=True)
            write_wav(speaker_folder / f"{utterance.id}.wav", waveform, settings.sample_rate)
            write_atomically(speaker_folder / f"{utterance.id}.lab", words + "\n")
            n_written += 1
    return n_written


def _words(front_end: FrontEnd, text: str) -> str:
    return " ".join(token.text for token in front_end.tokens(text) if isinstance(token, Word))


def _run(command: Sequence[str], log: Path) -> None:
    """Run a program and write its output to a file.

    Raises:
        MfaError: its exit code is not 0; the message has the last lines of its output.
    """
    info(f"running {' '.join(command)}; its output goes to {log}")
    with log.open("w", encoding="utf-8") as output:
        try:
            process = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
            )
        except OSError as error:
            raise MfaError(f"{command[0]}: cannot be run ({error.strerror}); install mfa again") from error
    if process.returncode:
        with log.open(encoding="utf-8", errors="replace") as output:
            last = deque((line.strip() for line in output if line.strip()), maxlen=_LINES_SHOWN)
        raise MfaError(f"mfa ended with exit code {process.returncode}: {' / '.join(last) or 'no output'} (all: {log})")


def _copy_textgrids(aligned: Path, textgrids: TextGrids, wanted: dict[Utterance, str]) -> list[str]:
    """Copy MFA's TextGrids to stage 1's folder; return the ids of missing or damaged ones."""
    found = {(path.parent.name, path.stem): path for path in sorted(aligned.rglob("*.TextGrid"))}
    missing = []
    for utterance, origin in wanted.items():
        path = found.get((utterance.speaker, utterance.id))
        try:
            if path is None:
                raise AlignmentError("missing")
            alignment = read_textgrid(path, speaker=utterance.speaker)
        except AlignmentError:
            missing.append(utterance.id)
            continue
        target = textgrids.own(utterance)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_textgrid(target, alignment, origin=origin)
    return missing
