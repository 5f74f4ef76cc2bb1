"""Stage 3 of acoustic models: a WAV, a picture and a TextGrid for each text."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from config.schema import ExperimentSettings
from models.contracts import Prosody
from models.inference.output_files import refuse_existing, report_failures
from models.inference.speech_plan import SpeechPlan
from models.inference.symbol_prosody import SynthesisError
from models.inference.synthesizer import TEXTS_AT_ONCE, Speech, Synthesizer
from models.inference.text_tables import read_texts
from models.inference.times_files import NO_FURTHER_TIMES, TimesFiles
from processors.alignment.textgrid import write_textgrid
from processors.audio.audio_file import write_wav
from processors.datasets.open_split import read_split
from processors.reports.speech_pictures import utterance_picture
from processors.text.marked_text import Markup
from processors.utterance import decoded_text, read_text_file
from utils.console import Progress, info
from utils.files import write_atomically
from utils.pictures import png

_MAX_NAME_LENGTH = 40
_TAG = re.compile("<[^<>]*>")


@dataclass(frozen=True)
class Request:
    """A text to synthesize.

    Attributes:
        name: of its files, with `/` between folders.
        text: of any length.
        speaker: None for the only one.
        language: None for the speaker's.
        factors: numbers of `Prosody` by name, in place of those for all.
        markup: whether the text is SSML.
    """

    name: str
    text: str
    speaker: str | None = None
    language: str | None = None
    factors: tuple[tuple[str, float], ...] = ()
    markup: Markup = "auto"


def request_from_text(text: str) -> Request:
    """Return a request for one text, named by its first words."""
    spoken = _TAG.sub(" ", text) if "<speak" in text else text
    plain = unicodedata.normalize("NFKD", spoken).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain.lower())
    name = ""
    for word in words:
        if name and len(name) + 1 + len(word) > _MAX_NAME_LENGTH:
            break
        name = f"{name}_{word}" if name else word[:_MAX_NAME_LENGTH]
    return Request(name or "speech", text)


def request_from_text_file(path: str) -> Request:
    """Return a request for the text of a file, named by the file; `-` is standard input.

    Raises:
        ManifestError: the file cannot be read.
    """
    if path != "-":
        return Request(Path(path).stem, read_text_file(Path(path)))
    return request_from_text(decoded_text(Path("standard input"), sys.stdin.buffer.read()))


def requests_from_file(path: Path) -> list[Request]:
    """Read a file of texts; see `read_texts`.

    Raises:
        TextTableError: no text, a name that cannot be a file name, or a duplicate name; with the line.
        ManifestError: the file cannot be read.
    """
    return [Request(row.name, row.text, row.speaker, row.language, row.factors) for row in read_texts(path)]


def requests_from_dataset(
    processed_dir: Path, dataset: str, testing_set: str, known_speakers: Sequence[str]
) -> list[Request]:
    """Return the texts of a split of a corpus.

    Raises:
        ManifestError: there is no manifest of that split; lists those there are.
    """
    utterances = read_split(processed_dir, dataset, testing_set)
    return [
        Request(
            utterance.id,
            utterance.text,
            utterance.speaker if utterance.speaker in known_speakers else None,
            utterance.language,
        )
        for utterance in utterances
    ]


def choose_requests(
    synthesizer: Synthesizer,
    settings: ExperimentSettings,
    *,
    text: str | None,
    is_file: bool,
    dataset: str | None,
    testing_set: str,
    speaker: str | None,
    language: str | None,
    markup: Markup = "auto",
    text_file: str | None = None,
) -> list[Request]:
    """Return what a command asks for: a text, the texts of a file, or those of a split of a corpus.

    Args:
        synthesizer: the voice.
        settings: name the corpora and their features.
        text: to synthesize, or the path of a file of texts; None for a split.
        is_file: whether it is a path.
        dataset: the corpus, the first of the settings unless given.
        testing_set: the split.
        speaker, language: of all texts, in place of their own.
        markup: of all texts.
        text_file: a file of one text, in place of `text`.

    Raises:
        ManifestError, TextTableError: the texts cannot be read.
        SynthesisError: the voice does not speak the language.
    """
    if text is None and text_file is None:
        name = dataset or settings.dataset[0]
        requests = requests_from_dataset(settings.preprocess.processed_path, name, testing_set, synthesizer.speakers)
    else:
        if text is None:
            requests = [request_from_text_file(str(text_file))]
        else:
            requests = requests_from_file(Path(text)) if is_file else [request_from_text(text)]
        if speaker is None and len(synthesizer.speakers) == 1:
            requests = _for_one_speaker(requests, synthesizer.speakers[0])
    if language is not None:
        synthesizer.check_language(language)
        requests = [replace(request, language=language) for request in requests]
    if speaker is not None:
        requests = [replace(request, speaker=speaker) for request in requests]
    return [replace(request, markup=markup) for request in requests]


def _for_one_speaker(requests: Sequence[Request], speaker: str) -> list[Request]:
    """Return requests without the names of other voices, such as those of the corpus that a table comes from."""
    others = dict.fromkeys(each.speaker for each in requests if each.speaker not in (None, speaker))
    if others:
        info(f"the voice has one speaker, {speaker}, who reads the texts of {', '.join(map(str, others))}, too")
    return [replace(each, speaker=None) if each.speaker in others else each for each in requests]


def with_recording(prosody: Prosody, synthesizer: Synthesizer, path: Path | str, request: Request) -> Prosody:
    """Return prosody with that of a recording of a request's text; see `Synthesizer.prosody_of`."""
    recording = synthesizer.prosody_of(path, request.text, language=request.language, markup=request.markup)
    return replace(prosody, recording=recording)


def speak_all(
    synthesizer: Synthesizer,
    requests: Sequence[Request],
    folder: Path,
    prosody: Prosody,
    *,
    times: TimesFiles = NO_FURTHER_TIMES,
    overwrite: bool = False,
    number_existing: bool = False,
) -> list[Path]:
    """Synthesize each request to `<folder>/<name>.wav`, with a picture (.png) and a TextGrid beside it.

    Args:
        synthesizer: the voice.
        requests: names must differ.
        folder: created if missing.
        prosody: of all texts.
        times: further files with times.
        overwrite: whether to replace existing files.
        number_existing: whether to append `-2`, `-3`, ... to a name that exists, instead of an error.

    Returns:
        The WAV files, in the order of the requests.

    Raises:
        OutputError: files of these names already exist.
        SynthesisError: some texts could not be synthesized; the others were.
    """
    if number_existing and not overwrite:
        requests = [replace(request, name=_free_name(folder, request.name)) for request in requests]
    elif not overwrite:
        recordings = [folder / f"{request.name}.wav" for request in requests]
        refuse_existing([*recordings, *(path for each in recordings for path in times.of(each))])
    written: list[Path] = []
    failures: list[str] = []
    plans = _plans(synthesizer, requests, prosody, failures)
    with Progress(len(requests), "synthesizing", "texts") as progress:
        progress.advance(len(failures))
        for request, speech in _spoken(synthesizer, list(plans.items()), failures):
            written.append(_write(folder / f"{request.name}.wav", speech))
            times.write(written[-1], speech)
            progress.advance()
        progress.advance(len(plans) - len(written))
    if failures:
        counted = f"{len(failures)} of {len(requests)} texts could not be synthesized"
        raise SynthesisError(report_failures(counted, failures, folder / "not_spoken.txt", n_made=len(written)))
    return written


def _plans(
    synthesizer: Synthesizer, requests: Sequence[Request], prosody: Prosody, failures: list[str]
) -> dict[Request, SpeechPlan]:
    """Return the plans of all valid requests; append the reasons of the others to `failures`."""
    synthesizer.check_prosody(prosody)
    for speaker in dict.fromkeys(request.speaker for request in requests):
        synthesizer.check_speaker(speaker)
    plans = {}
    for request in requests:
        try:
            own = replace(prosody, **cast(dict[str, Any], dict(request.factors)))
            plans[request] = synthesizer.plan(
                request.text, speaker=request.speaker, language=request.language, prosody=own, markup=request.markup
            )
        except ValueError as error:
            failures.append(f"{request.name}: {error}")
    return plans


def _spoken(
    synthesizer: Synthesizer, plans: Sequence[tuple[Request, SpeechPlan]], failures: list[str]
) -> Iterator[tuple[Request, Speech]]:
    """Yield the speech of plans; append the reasons of those that fail, as a user's pitch function may."""
    for start in range(0, len(plans), TEXTS_AT_ONCE):
        together = plans[start : start + TEXTS_AT_ONCE]
        n_spoken = 0
        try:
            for speech in synthesizer.speak([plan for _, plan in together]):
                n_spoken += 1
                yield together[n_spoken - 1][0], speech
        except SynthesisError as error:
            if len(together) == 1:
                failures.append(f"{together[0][0].name}: {error}")
                continue
            for each in together[n_spoken:]:
                yield from _spoken(synthesizer, [each], failures)


def _write(path: Path, speech: Speech) -> Path:
    write_wav(path, speech.waveform, speech.sample_rate)
    write_textgrid(path.with_suffix(".TextGrid"), speech.alignment)
    write_atomically(path.with_suffix(".png"), _picture(speech))
    return path


def _picture(speech: Speech) -> bytes:
    return png(
        utterance_picture(
            speech.waveform,
            speech.mel.T,
            sample_rate=speech.sample_rate,
            hop_size=len(speech.waveform) // speech.mel.shape[1],
            f0_hz=speech.f0_hz,
            phones=speech.phones,
            durations=speech.durations,
            title=speech.text,
        )
    )


def _free_name(folder: Path, name: str) -> str:
    number = 2
    candidate = name
    while (folder / f"{candidate}.wav").exists():
        candidate = f"{name}-{number}"
        number += 1
    return candidate


def announce(written: Sequence[Path], folder: Path, times: TimesFiles = NO_FURTHER_TIMES) -> None:
    """Print where the files are: the only one, or the folder of them all."""
    if len(written) == 1:
        path = written[0]
        picture, textgrid = path.with_suffix(".png").name, path.with_suffix(".TextGrid").name
        further = "".join(f", {each}" for each in times.shown(path))
        info(f"wrote {path}, with a picture in {picture} and the times of words and phones in {textgrid}{further}")
    else:
        further = "".join(f", .{each} files" for each in times.formats)
        info(f"wrote {len(written)} recordings with pictures{further} and TextGrids to {folder}")
