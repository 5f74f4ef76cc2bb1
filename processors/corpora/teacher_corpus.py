"""Teacher corpora: speech that another program synthesizes from texts, in LJSpeech's layout."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from processors.audio.audio_file import AudioError, audio_info, read_audio, write_wav
from processors.speakers.sources import SOURCES_FILE, Source, read_sources, write_sources
from utils.console import Progress, info, warn
from utils.errors import RecitalError
from utils.files import remove_partial_files, write_atomically
from utils.fingerprint import stamp
from utils.lock import sole_user

REFUSED_FILE = "refused.tsv"
_PLACEHOLDER = re.compile(r"\{(output|text|table)\}")
_TABLE_SIZE = 64  # texts per call of a teacher that takes tables
_CALL_TIMEOUT_S = 600.0
_MAX_REFUSED_AT_FIRST = 20
_MIN_S, _MAX_S = 0.2, 60.0
_MAX_LETTERS_PER_S = 50.0
_REFUSALS_SHOWN = 5


class TeacherError(RecitalError):
    """A teacher that cannot be called, or whose speech cannot be used."""


@dataclass(frozen=True)
class Teacher:
    """A command that speaks texts into sound files; it is run without a shell.

    Attributes:
        command: with {output} for a WAV file to write, and {text} for the text, which otherwise arrives by standard
            input; or with {table} for a file of many texts, each in a line with the WAV file to write, a tab, and
            the text.
        source: its name and licence.
    """

    command: str
    source: Source

    def __post_init__(self) -> None:
        if ("{table}" in self.command) == ("{output}" in self.command):
            raise TeacherError(
                f"--teacher {self.command}: needs either {{output}}, the WAV file to write, with {{text}} or the text "
                "by standard input, or {table}, a file with lines of output, tab and text"
            )

    @property
    def texts_per_call(self) -> int:
        """How many texts a call speaks."""
        return _TABLE_SIZE if "{table}" in self.command else 1

    def speak(self, texts: Mapping[Path, str]) -> str:
        """Speak texts into files; return why the command failed, empty if it did not.

        Raises:
            TeacherError: there is no such command.
        """
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".tsv") as table:
            table.writelines(f"{output}\t{text}\n" for output, text in texts.items())
            table.flush()
            [(output, text), *_] = texts.items()
            values = {"output": str(output), "text": text, "table": table.name}
            try:
                done = subprocess.run(
                    [_PLACEHOLDER.sub(lambda found: values[found[1]], part) for part in shlex.split(self.command)],
                    input=text.encode(),
                    capture_output=True,
                    timeout=_CALL_TIMEOUT_S,
                )
            except subprocess.TimeoutExpired:
                return f"the teacher took more than {_CALL_TIMEOUT_S:.0f} s"
            except (OSError, ValueError) as error:
                raise TeacherError(f"--teacher {self.command}: cannot be run: {error}") from None
        if not done.returncode:
            return ""
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"the teacher ended with code {done.returncode}{': ' + lines[-1] if lines else ''}"


@dataclass(frozen=True)
class _Spoken:
    """One text's outcome: seconds of speech, or the reason for which it was refused."""

    id: str
    text: str
    duration_s: float = 0.0
    refused: str = ""


def make_teacher_corpus(
    texts: Sequence[str], teacher: Teacher, folder: Path, *, hours: float, sample_rate: int, num_workers: int
) -> float:
    """Have texts spoken, in their order, until there is speech enough, and write it as a corpus.

    Writes `wavs/<id>.wav`, `sources.json`, `refused.tsv` with texts that were not usable and the reason, and last
    `metadata.csv`. An id is the folder's name and a fingerprint of the text. Killed at any time, it continues with
    what is missing, and comes to the same corpus.

    Args:
        texts: all different; those that are not needed are not spoken.
        teacher: speaks them.
        folder: created if missing; a corpus of another teacher in it is never overwritten.
        hours: of speech.
        sample_rate: of the recordings, in Hz.
        num_workers: calls of the teacher at a time.

    Returns:
        The hours of speech; fewer where the texts did not suffice.

    Raises:
        TeacherError: the teacher cannot be run, its first results are all unusable, or the folder holds another
            corpus.
    """
    with sole_user(folder):
        _claim(folder, teacher)
        remove_partial_files(folder)
        total_s = 0.0
        lines: list[str] = []
        refused: list[_Spoken] = []
        with (
            Progress(None, "speech", "clips") as progress,
            tempfile.TemporaryDirectory(prefix=".spoken-", suffix=".partial", dir=folder) as scratch,
        ):
            for spoken in _spoken(texts, teacher, folder, Path(scratch), sample_rate, num_workers):
                if spoken.refused:
                    refused.append(spoken)
                    _report(spoken, len(refused), n_usable=len(lines))
                    continue
                total_s += spoken.duration_s
                lines.append(f"{spoken.id}|{spoken.text}\n")
                progress.advance(note=f"{total_s / 3600:.2f} of {hours:g} hours")
                if total_s >= hours * 3600:
                    break
        _finish(folder, lines, refused)
    if not lines:
        raise TeacherError(f"{folder}: no text was spoken; {REFUSED_FILE} there lists the reasons")
    if total_s < hours * 3600:
        warn(f"{folder}: all {len(texts)} texts are spoken, and are {total_s / 3600:.2f} of {hours:g} hours")
    return total_s / 3600


def _claim(folder: Path, teacher: Teacher) -> None:
    """Name the teacher in a new folder; refuse one of another teacher."""
    path = folder / SOURCES_FILE
    if path.is_file():
        if (found := read_sources(folder)) != (teacher.source,):
            raise TeacherError(
                f"{path}: the corpus was begun with {', '.join(map(str, found)) or 'nobody'}, not with "
                f"{teacher.source}; choose another folder"
            )
    elif (folder / "metadata.csv").exists():
        raise TeacherError(f"{folder}: holds another corpus; choose another folder")
    else:
        write_sources(folder, [teacher.source])


def _spoken(
    texts: Sequence[str], teacher: Teacher, folder: Path, scratch: Path, sample_rate: int, num_workers: int
) -> Iterator[_Spoken]:
    """Yield the outcome of each text in the order of texts; some calls are made ahead."""
    chunk = teacher.texts_per_call
    ids = {f"{folder.name}_{stamp(text).hex()}": text for text in texts}

    def call(part: Mapping[str, str]) -> list[_Spoken]:
        return list(_speak_missing(part, teacher, folder / "wavs", scratch, sample_rate))

    items = list(ids.items())
    waiting = deque(dict(items[start : start + chunk]) for start in range(0, len(items), chunk))
    running: deque[Future[list[_Spoken]]] = deque()
    executor = ThreadPoolExecutor(num_workers)
    try:
        while waiting or running:
            while waiting and len(running) < 2 * num_workers:
                running.append(executor.submit(call, waiting.popleft()))
            yield from running.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def _speak_missing(
    texts: Mapping[str, str], teacher: Teacher, wavs: Path, scratch: Path, sample_rate: int
) -> Iterator[_Spoken]:
    missing = {id_: text for id_, text in texts.items() if not (wavs / f"{id_}.wav").is_file()}
    outputs = {id_: scratch / f"{id_}.wav" for id_ in missing}
    failure = teacher.speak({outputs[id_]: text for id_, text in missing.items()}) if missing else ""
    for id_, text in texts.items():
        place = wavs / f"{id_}.wav"
        if id_ in missing and (reason := _take(outputs[id_], place, text, sample_rate)):
            yield _Spoken(id_, text, refused=failure or reason)
        else:
            yield _Spoken(id_, text, audio_info(place).duration_s)


def _take(output: Path, place: Path, text: str, sample_rate: int) -> str:
    """Move what the teacher wrote into the corpus; return why it is refused, empty if it is not."""
    try:
        waveform = read_audio(output, sample_rate, min_duration_s=_MIN_S, max_duration_s=_MAX_S)
    except AudioError as error:
        return str(error).replace(f"{output}: ", "", 1)
    finally:
        output.unlink(missing_ok=True)
    duration_s = len(waveform) / sample_rate
    if len(text) > _MAX_LETTERS_PER_S * duration_s:
        return f"lasts {duration_s:.2f} s, too short for {len(text)} letters"
    write_wav(place, waveform, sample_rate)
    return ""


def _report(spoken: _Spoken, n_refused: int, *, n_usable: int) -> None:
    """Warn of the first refused texts.

    Raises:
        TeacherError: not one of many texts was usable.
    """
    if n_refused >= _MAX_REFUSED_AT_FIRST and not n_usable:
        raise TeacherError(f"--teacher: none of {n_refused} texts was spoken; {spoken.text!r}: {spoken.refused}")
    if n_refused <= _REFUSALS_SHOWN:
        warn(f"{spoken.id}: refused: {spoken.refused} ({spoken.text!r})")


def _finish(folder: Path, lines: Sequence[str], refused: Sequence[_Spoken]) -> None:
    """Write the lists, and remove recordings that were made ahead."""
    listed = {line.partition("|")[0] for line in lines}
    for path in (folder / "wavs").glob("*.wav"):
        if path.stem not in listed:
            path.unlink()
    rows = [f"{each.id}\t{' '.join(each.refused.split())}\t{each.text}\n" for each in refused]
    write_atomically(folder / REFUSED_FILE, "".join(rows))
    if refused:
        info(f"{folder}: {len(refused)} texts are refused; {REFUSED_FILE} lists them with the reasons")
    write_atomically(folder / "metadata.csv", "".join(lines))
