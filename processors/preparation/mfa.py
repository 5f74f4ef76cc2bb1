"""TextGrids by the Montreal Forced Aligner that the user has installed."""

from __future__ import annotations

import shutil
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from config.paths import rooted
from config.schema import ExperimentSettings, PreprocessSettings
from processors.alignment.intervals import AlignmentError
from processors.alignment.textgrid import read_textgrid, textgrid_origin, write_textgrid
from processors.alignment.textgrid_folders import TextGrids
from processors.audio.audio_file import read_audio, write_wav
from processors.corpora.load import read_dataset
from processors.preparation.fingerprints import Fingerprints
from processors.preparation.textgrid_origin import origin_beforehand, stamp_of_lexicon, stamp_of_text
from processors.text.front_end import FrontEnd, FrontEnds
from processors.text.tokens import Word
from processors.utterance import Utterance
from utils.console import Progress, say, warn
from utils.errors import RecitalError
from utils.files import write_atomically
from utils.fingerprint import stamp_of_file
from utils.process_pool import available_cores

_PROGRAM = "mfa"
_FOLDER = "mfa"
_LOG = "mfa.log"
_LINES_TOLD = 4


class MfaError(AlignmentError):
    """An MFA that is not installed, has failed, or was given what does not exist."""


def align_by_mfa(settings: ExperimentSettings, *, num_workers: int = 0) -> None:
    """Let `mfa align` write a TextGrid of every recording that has none made of the same recording and text.

    MFA reads copies of the recordings with their normalised words, from a folder that is deleted when it has
    succeeded. A recording that it leaves out has no TextGrid, and stage 1 lists it as bad.

    Raises:
        MfaError: there is no `mfa`, its dictionary or acoustic model is a file that does not exist, or it failed.
    """
    preprocess = settings.preprocess
    program = shutil.which(_PROGRAM)
    if program is None:
        raise MfaError(
            "preprocess.alignment is mfa, but there is no program mfa here; install it (conda install -c conda-forge "
            "montreal-forced-aligner) and start it once, or choose learned (any language), pocketsphinx (English) or "
            "textgrid"
        )
    resources = [_resource(preprocess, name) for name in ("mfa_dictionary", "mfa_acoustic_model")]
    for dataset in settings.dataset:
        corpus = read_dataset(settings, dataset)
        folder = preprocess.processed_path / dataset
        places = TextGrids(None, folder / "TextGrid")
        wanted = {
            utterance: origin
            for utterance, origin in _origins(corpus.utterances, preprocess)
            if _lacks(places, utterance, origin)
        }
        if not wanted:
            say(f"{dataset}: nothing for mfa to align, all TextGrids are there")
            continue
        work = folder / _FOLDER
        shutil.rmtree(work, ignore_errors=True)  # what a run that was stopped has left
        n_written = _write_corpus(work / "corpus", list(wanted), preprocess)
        if n_written:
            jobs = str(num_workers or preprocess.num_workers or available_cores())
            places_of_mfa = [str(work / "corpus"), *resources, str(work / "aligned")]
            _run([program, "align", "--clean", "--num_jobs", jobs, *places_of_mfa], folder / _LOG)
        missing = _take_over(work / "aligned", places, wanted)
        shutil.rmtree(work, ignore_errors=True)  # nothing is there where no recording could be handed over
        say(f"{dataset}: mfa has aligned {len(wanted) - len(missing)} of {len(wanted)} recordings")
        if missing:
            others = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            warn(f"{dataset}: mfa gave no TextGrid of {', '.join(missing[:5])}{others}; {folder / _LOG} may say why")


def _resource(settings: PreprocessSettings, name: str) -> str:
    """Give a dictionary or acoustic model as `mfa` takes it: the path of a file, or a name that it knows."""
    value: str = getattr(settings, name)
    if "/" not in value and not Path(value).suffix:
        return value
    path = rooted(value)
    if not path.is_file():
        raise MfaError(f"preprocess.{name}: {path}: no such file; give a file, or a name from `mfa model download`")
    return str(path)


def _origins(utterances: Sequence[Utterance], settings: PreprocessSettings) -> Iterator[tuple[Utterance, str]]:
    lexicon = stamp_of_lexicon(settings)
    for utterance in utterances:
        if utterance.text:
            fingerprints = Fingerprints(
                stamp_of_file(utterance.audio_path), stamp_of_text(utterance, lexicon, settings)
            )
            yield utterance, origin_beforehand(settings, fingerprints)


def _lacks(places: TextGrids, utterance: Utterance, origin: str) -> bool:
    path = places.own(utterance)
    if not path.exists():
        return True
    found = textgrid_origin(path)
    return bool(found) and not found.startswith(origin)


def _write_corpus(folder: Path, utterances: Sequence[Utterance], settings: PreprocessSettings) -> int:
    """Write `<speaker>/<id>.wav` and `.lab`; what cannot be read or spoken is left for stage 1 to tell."""
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
            place = folder / utterance.speaker / utterance.id
            place.parent.mkdir(parents=True, exist_ok=True)
            write_wav(place.with_name(f"{utterance.id}.wav"), waveform, settings.sample_rate)
            write_atomically(place.with_name(f"{utterance.id}.lab"), words + "\n")
            n_written += 1
    return n_written


def _words(front_end: FrontEnd, text: str) -> str:
    return " ".join(token.text for token in front_end.tokens(text) if isinstance(token, Word))


def _run(command: Sequence[str], log: Path) -> None:
    """Run a program, its output into a file.

    Raises:
        MfaError: it ended with another exit code than 0; the last lines of its output are told.
    """
    say(f"running {' '.join(command)}; its output goes to {log}")
    with log.open("w", encoding="utf-8") as output:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
            )
        except OSError as error:
            raise MfaError(f"{command[0]}: cannot be run ({error.strerror}); install mfa again") from error
    if done.returncode:
        with log.open(encoding="utf-8", errors="replace") as output:
            last = deque((line.strip() for line in output if line.strip()), maxlen=_LINES_TOLD)
        raise MfaError(f"mfa ended with exit code {done.returncode}: {' / '.join(last) or 'no output'} (all: {log})")


def _take_over(aligned: Path, places: TextGrids, wanted: dict[Utterance, str]) -> list[str]:
    """Put MFA's TextGrids where stage 1 looks for them; give the ids of those that are missing or damaged."""
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
        place = places.own(utterance)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_textgrid(place, alignment, origin=origin)
    return missing
