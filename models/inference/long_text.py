"""Long texts, spoken piece by piece into files, with which a run that was killed goes on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from models.bundle import Bundle
from models.bundles.locate import find_bundle
from models.bundles.vocoder import find_vocoder
from models.contracts import Prosody
from models.inference.output_files import OutputError, refuse_existing
from models.inference.speech_plan import PlannedChunk, SpeechPlan
from models.inference.synthesize import Request
from models.inference.synthesizer import Synthesizer
from models.inference.times_files import NO_FURTHER_TIMES, TimesFiles
from models.inference.vocoder import NeuralVocoder
from processors.alignment.textgrid import write_textgrid
from processors.audio.audio_file import AudioError, to_int16
from processors.audio.growing_wav import HEADER_BYTES, wav_header
from utils.console import Progress, format_duration, info, warn
from utils.failures import is_disk_full
from utils.files import atomic_file
from utils.lock import sole_user
from utils.memory import return_free_memory
from utils.version import VERSION

WavPer = Literal["text", "paragraph"]
LONG_TEXT = 10_000
"""Longer texts, in characters, are spoken piece by piece: some ten minutes."""
_PHONES_PER_PIECE = 400
"""About half a minute, which is what a kill loses at most."""
_S_PER_PHONE = 0.085
_BLOCK = 2**20
_NUMBERED = re.compile(r"\d{4,}\.(wav|TextGrid|json|srt|vtt)")


@dataclass(frozen=True)
class _Output:
    """A WAV file and what is spoken into it.

    Attributes:
        path: of the file.
        plan: of all that is spoken into it.
        pieces: at least one, each a plan of its own.
        first: index of its first piece among those of the whole text.
    """

    path: Path
    plan: SpeechPlan
    pieces: tuple[SpeechPlan, ...]
    first: int

    @property
    def end(self) -> int:
        """Index of the piece after its last."""
        return self.first + len(self.pieces)


def is_long(request: Request, text_file: str | None, wav_per: WavPer) -> bool:
    """Return whether a text is spoken piece by piece: one of a file, in several files, or of many characters."""
    return text_file is not None or wav_per != "text" or len(request.text) > LONG_TEXT


def speak_long(
    synthesizer: Synthesizer,
    request: Request,
    folder: Path,
    prosody: Prosody,
    made_by: Mapping[str, str],
    *,
    wav_per: WavPer = "text",
    overwrite: bool = False,
    times: TimesFiles = NO_FURTHER_TIMES,
) -> None:
    """Speak a request into `<folder>/<name>.wav`, or the folder `<name>`, and print where; see `speak_long_text`."""
    if len(request.text) > LONG_TEXT:
        info(f"reading {len(request.text):,} characters")
    plan = synthesizer.plan(
        request.text, speaker=request.speaker, language=request.language, prosody=prosody, markup=request.markup
    )
    path = folder / f"{request.name}.wav"
    written = speak_long_text(
        synthesizer, plan, path, made_by=made_by, wav_per=wav_per, overwrite=overwrite, times=times
    )
    if wav_per == "text":
        further = "".join(f", {each}" for each in times.shown(path))
        info(f"wrote {path}, with the times of words and phones in {path.with_suffix('.TextGrid').name}{further}")
    else:
        info(f"wrote {len(written)} recordings with TextGrids to {written[0].parent}")


def speak_long_text(
    synthesizer: Synthesizer,
    plan: SpeechPlan,
    path: Path,
    *,
    made_by: Mapping[str, str],
    wav_per: WavPer = "text",
    overwrite: bool = False,
    times: TimesFiles = NO_FURTHER_TIMES,
) -> list[Path]:
    """Speak a text of any length into WAV files with TextGrids, without keeping the speech in memory.

    Pieces of a paragraph, each beginning and ending in a pause, are spoken one by one, always the same ones, and are
    appended to a file in a hidden folder beside the target; the same call goes on with them, to the same bytes. Fades
    and the scaling to a peak of 1 are of each file, in a second pass over its samples.

    Args:
        synthesizer: the voice.
        plan: of the text.
        path: the WAV file; per paragraph, its name without suffix is a folder of files `0001.wav`, `0002.wav`, ...
        made_by: facts beside the plan that the sound depends on; see `models_of`.
        wav_per: what a file holds.
        overwrite: whether to replace existing files, and what was begun with another text or other settings.
        times: further files with times.

    Returns:
        The WAV files in the order of the text.

    Raises:
        OutputError: the files exist, or another text was begun there.
        InUseError: another process speaks it.
    """
    outputs = _outputs(plan, path, wav_per)
    fingerprint = _fingerprint(plan, {**made_by, "wav_per": wav_per})
    with sole_user(unfinished_folder(path)):
        work = _Work(unfinished_folder(path), fingerprint, synthesizer.sample_rate, plan.prosody)
        try:
            if not work.is_begun or work.is_of_another:
                _begin(work, outputs, [path, *times.of(path)], wav_per, overwrite=overwrite)
            _speak(synthesizer, outputs, work, times)
        except OSError as error:
            if is_disk_full(error) and error.filename is None:
                error.filename = str(work.folder)
            raise
        shutil.rmtree(work.folder)
    return [output.path for output in outputs]


def unfinished_folder(path: Path) -> Path:
    """Return the folder in which the speech of a WAV file is kept until it is whole."""
    return path.with_name(f".{path.stem}.unfinished")


def models_of(acoustic: Path | str, vocoder: Path | str | None, synthesizer: Synthesizer) -> dict[str, str]:
    """Return digests of a voice's networks.

    Args:
        acoustic: what the synthesizer was opened from.
        vocoder: likewise; None for its choice.
        synthesizer: opened from these.
    """
    digests = {"acoustic": _digest(find_bundle(acoustic)), "vocoder": "griffin_lim"}
    if isinstance(synthesizer.vocoder, NeuralVocoder):
        digests["vocoder"] = _digest(find_vocoder(vocoder or synthesizer.vocoder.folder))
    return {**digests, "device": str(synthesizer.device), "recital": VERSION, "torch": torch.__version__}


def contents_of(paths: Iterable[Path | str]) -> str:
    """Return a digest of files' contents."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(hashlib.blake2b(Path(path).read_bytes()).digest())
    return digest.hexdigest()


def _digest(bundle: Bundle) -> str:
    digest = hashlib.blake2b(bundle.settings.model_dump_json().encode(), digest_size=16)
    for name, tensor in sorted(bundle.weights.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _fingerprint(plan: SpeechPlan, facts: Mapping[str, str]) -> str:
    """Return a digest of all that the sound depends on."""
    prosody = plan.prosody
    ends = [f"{prosody.fade_out_ms:g}", str(prosody.peak_normalize), str(plan.speaker_id), str(plan.language_id)]
    digest = hashlib.blake2b(json.dumps([sorted(facts.items()), ends]).encode(), digest_size=16)
    for chunk in plan.chunks:
        parts = (chunk.phoneme_ids, chunk.min_durations, chunk.last_pause, chunk.ends_paragraph)
        whose = (chunk.speaker_id, chunk.language_id, chunk.sequence.words)
        for value in (*parts, *whose, *_values(chunk.prosody)):
            digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return digest.hexdigest()


def _values(record: Any) -> Iterator[Any]:
    """Yield the values of a record and of those within it."""
    for each in fields(record):
        value = getattr(record, each.name)
        if hasattr(value, "__dataclass_fields__"):
            yield from _values(value)
        else:
            yield value


def _outputs(plan: SpeechPlan, path: Path, wav_per: WavPer) -> list[_Output]:
    """Return the files of a text, and their pieces, which end where paragraphs do."""
    paragraphs: list[list[PlannedChunk]] = [[]]
    for chunk in plan.chunks:
        paragraphs[-1].append(chunk)
        if chunk.ends_paragraph:
            paragraphs.append([])
    # Fades and peaks are those of files.
    bare = replace(plan, prosody=replace(plan.prosody, fade_out_ms=0.0, peak_normalize=False), marks=())
    if wav_per == "text":
        pieces = [piece for chunks in paragraphs for piece in _pieces(bare, chunks)]
        return [_Output(path, plan, tuple(pieces), 0)]
    digits = max(len(str(len(paragraphs))), 4)
    outputs: list[_Output] = []
    word = 0
    for number, chunks in enumerate(paragraphs, start=1):
        chunks[-1] = replace(chunks[-1], last_pause=0)
        end = word + sum(len(chunk.sequence.words) for chunk in chunks)
        is_last = number == len(paragraphs)
        marks = tuple((name, at - word) for name, at in plan.marks if word <= at < end + is_last)
        whole = replace(plan, chunks=tuple(chunks), marks=marks, first_word=plan.first_word + word)
        file = path.with_suffix("") / f"{number:0{digits}}.wav"
        outputs.append(_Output(file, whole, _pieces(bare, chunks), outputs[-1].end if outputs else 0))
        word = end
    return outputs


def _pieces(plan: SpeechPlan, chunks: Sequence[PlannedChunk]) -> tuple[SpeechPlan, ...]:
    pieces: list[list[PlannedChunk]] = []
    room = 0
    for chunk in chunks:
        if not pieces or len(chunk.phoneme_ids) > room:
            pieces.append([])
            room = _PHONES_PER_PIECE
        pieces[-1].append(chunk)
        room -= len(chunk.phoneme_ids)
    return tuple(replace(plan, chunks=tuple(piece)) for piece in pieces)


class _Work:
    """Speech of a text that is not whole yet: durations of all pieces, and samples of the file that is being spoken.

    Each line of the journal is a piece whose samples are on the disk.

        journal   {"fingerprint"} {piece 0} {piece 1} {pie         the last line was not written whole
        samples   |== piece 0 ==|==== piece 1 ====|== pi           neither was piece 2: it is cut off

    Attributes:
        folder: with both files.
        sample_rate: in Hz.
        durations: (T_text,) frames of each piece that is done.
        is_begun: whether there is a journal.
        is_of_another: whether it is that of other speech.
    """

    def __init__(self, folder: Path, fingerprint: str, sample_rate: int, prosody: Prosody) -> None:
        self.folder, self._fingerprint, self.sample_rate, self._prosody = folder, fingerprint, sample_rate, prosody
        self._journal = folder / "journal"
        is_scaled = bool(prosody.peak_normalize or prosody.fade_out_ms)
        self._type = np.dtype("<f4" if is_scaled else "<i2")
        self._ends: list[int] = []  # samples of its file up to each piece's end
        self.durations: list[np.ndarray] = []
        lines = _whole_lines(self._journal)
        self.is_begun = bool(lines)
        self.is_of_another = self.is_begun and lines[0].get("fingerprint") != fingerprint
        for line in lines[1:]:
            self._ends.append(line["end"])
            self.durations.append(np.array(line["durations"], np.int32))

    def begin(self) -> None:
        """Drop what there is, and write the first line of the journal."""
        self._ends, self.durations = [], []
        for path in (*self.folder.glob("*.samples"), self._journal):
            path.unlink(missing_ok=True)
        _append(self._journal, json.dumps({"fingerprint": self._fingerprint}).encode() + b"\n")

    @property
    def n_done(self) -> int:
        """Number of pieces that are done."""
        return len(self._ends)

    def seconds(self, outputs: Sequence[_Output]) -> float:
        """Return the duration of all that is done."""
        lasts = [min(output.end, self.n_done) - 1 for output in outputs if output.first < self.n_done]
        return sum(self._ends[last] for last in lasts) / self.sample_rate

    def add(self, output: _Output, waveform: np.ndarray, durations: np.ndarray) -> None:
        """Append a piece to the file that is being spoken, after what is whole of it.

        Raises:
            AudioError: the waveform holds NaN or infinite samples.
            OutputError: samples that were there are gone.
        """
        if not np.isfinite(waveform).all():
            raise AudioError(f"{output.path}: the waveform holds NaN or infinite samples", "not a number")
        before = 0 if self.n_done == output.first else self._ends[-1]
        samples = to_int16(waveform) if self._type == np.dtype("<i2") else waveform
        at = HEADER_BYTES + before * self._type.itemsize
        _append(self._samples_of(output), samples.astype(self._type).tobytes(), at=at)
        self._ends.append(before + len(waveform))
        self.durations.append(durations.astype(np.int32))
        line = json.dumps({"end": self._ends[-1], "durations": durations.tolist()})
        _append(self._journal, line.encode() + b"\n")

    def finish(self, output: _Output, synthesizer: Synthesizer, times: TimesFiles) -> None:
        """Make the WAV file that has been spoken, with its times; nothing if that was done."""
        spoken, n_samples = self._samples_of(output), self._ends[output.end - 1]
        if not spoken.exists():
            return
        durations = np.concatenate(self.durations[output.first : output.end])
        speech = synthesizer.without_sound(output.plan, durations)
        write_textgrid(output.path.with_suffix(".TextGrid"), speech.alignment)
        times.write(output.path, speech)
        header = wav_header(n_samples, self.sample_rate)
        if self._type == np.dtype("<i2"):
            _write_at_start(spoken, header)
            os.replace(spoken, output.path)
            return
        with atomic_file(output.path) as partial, partial.open("wb") as file:
            file.write(header)
            for block in self._finished_blocks(spoken, n_samples):
                file.write(to_int16(block).astype("<i2").tobytes())
        spoken.unlink()

    def _samples_of(self, output: _Output) -> Path:
        return self.folder / f"{output.first}.samples"

    def _finished_blocks(self, spoken: Path, count: int) -> Iterator[np.ndarray]:
        """Yield the samples, faded out and scaled to a peak of 1 where asked for, as `Synthesizer.speak` does."""
        n_faded = min(round(self._prosody.fade_out_ms / 1000 * self.sample_rate), count)
        fade = torch.linspace(1.0, 0.0, n_faded).numpy()

        def faded() -> Iterator[np.ndarray]:
            start = 0
            with spoken.open("rb") as file:
                file.seek(HEADER_BYTES)
                while start < count:
                    block = np.fromfile(file, self._type, _BLOCK)
                    first = max(count - n_faded - start, 0)  # of the fade, within the block
                    if first < len(block):
                        of_fade = start + first - (count - n_faded)
                        block[first:] *= fade[of_fade : of_fade + len(block) - first]
                    start += len(block)
                    yield block

        if not self._prosody.peak_normalize:
            yield from faded()
            return
        peak = max(max(float(np.abs(block).max()) for block in faded()), 1e-5)
        yield from (block / np.float32(peak) for block in faded())


def _append(path: Path, content: bytes, at: int | None = None) -> None:
    """Append to a file, after its first `at` bytes if given, and wait until it is on the disk.

    Raises:
        OutputError: the file is shorter.
    """
    with path.open("ab") as file:
        if at is not None:
            if path.stat().st_size < at > HEADER_BYTES:
                raise OutputError(f"{path}: is shorter than its journal says; begin again with --overwrite")
            file.truncate(at)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _write_at_start(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal, of which a last one that was not written whole is cut off."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def _begin(work: _Work, outputs: Sequence[_Output], files: Sequence[Path], wav_per: WavPer, *, overwrite: bool) -> None:
    """Begin the work, or refuse to where other files would be lost or mixed with it."""
    if work.is_of_another and not overwrite:
        raise OutputError(
            f"{work.folder}: holds the beginning of another text, or of this one with another voice or other settings; "
            "go on with those, choose another --infer_output_dir, or drop it with --overwrite"
        )
    path = files[0]
    folder = path.with_suffix("")
    numbered = sorted(each for each in folder.glob("*") if _NUMBERED.fullmatch(each.name))
    existing = numbered if wav_per == "paragraph" else files
    if not overwrite:
        refuse_existing(existing)
    elif wav_per == "paragraph":  # those of a longer text would stay between the new ones
        for each in numbered:
            each.unlink()
    n_phones = sum(_n_phones(piece) for output in outputs for piece in output.pieces)
    wanted = n_phones * _S_PER_PHONE * 2 * work.sample_rate
    if (free := shutil.disk_usage(work.folder).free) < wanted:
        warn(f"{path.parent}: about {wanted / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are free")
    work.begin()


def _speak(synthesizer: Synthesizer, outputs: Sequence[_Output], work: _Work, times: TimesFiles) -> None:
    ends = np.cumsum([_n_phones(piece) for output in outputs for piece in output.pieces])
    spoken_s = work.seconds(outputs)
    if work.n_done:
        info(f"going on after {work.n_done} of {len(ends)} pieces, {format_duration(spoken_s)} of speech")
    with Progress(len(ends), "speaking", "pieces") as progress:
        progress.skip(work.n_done)
        for output in outputs:
            if output.end < work.n_done:
                continue
            for piece in output.pieces[max(work.n_done - output.first, 0) :]:
                speech = next(synthesizer.speak([piece]))
                work.add(output, speech.waveform, speech.durations)
                spoken_s += speech.duration_s
                return_free_memory()
                percent = 100 * ends[work.n_done - 1] / ends[-1]
                progress.advance(note=f"{percent:.0f} %, {format_duration(spoken_s)} of speech")
            work.finish(output, synthesizer, times)


def _n_phones(piece: SpeechPlan) -> int:
    return sum(len(chunk.phoneme_ids) for chunk in piece.chunks)
