"""Files with the times of speech: TextGrid, JSON, SRT and VTT."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.inference.output_files import OutputError
from models.inference.synthesizer import Speech
from processors.alignment.captions import srt, vtt
from processors.alignment.speech_times import PARTS
from processors.alignment.textgrid import write_textgrid
from processors.text.visemes import VisemeError
from utils.console import warn
from utils.files import write_atomically

ENDINGS = ".TextGrid, .json, .srt or .vtt"


@dataclass(frozen=True)
class TimesFiles:
    """Which files with times are written for each text.

    Attributes:
        files: for a single text; the endings state their kinds.
        formats: endings, without a dot, of files beside each recording.
        vtt_words: whether each word has its time in captions of WebVTT.
    """

    files: tuple[Path, ...] = ()
    formats: tuple[str, ...] = ()
    vtt_words: bool = False

    def of(self, recording: Path) -> Iterable[Path]:
        """Return the files for a recording."""
        return (*self.files, *(recording.with_suffix(f".{each}") for each in self.formats))

    def shown(self, recording: Path) -> list[str]:
        """Return the files for a recording as they are named to users, who know its folder."""
        return [str(each) if each in self.files else each.name for each in self.of(recording)]

    def write(self, recording: Path, speech: Speech) -> None:
        """Write the files for a recording."""
        for path in self.of(recording):
            write_times(path, speech, vtt_words=self.vtt_words)


NO_FURTHER_TIMES = TimesFiles()


def write_times(path: Path | str, speech: Speech, *, vtt_words: bool = False) -> None:
    """Write when words, phones, visemes, marks or captions of speech begin and end; see `docs/times.md`.

    A voice whose symbols have no visemes gets none, with a warning.

    Args:
        path: ends in one of `ENDINGS`.
        speech: of a whole text.
        vtt_words: whether each word has its time in captions of WebVTT.

    Raises:
        OutputError: its ending is another.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".textgrid":
        visemes = speech.times.visemes if _has_visemes(path, speech) else ()
        write_textgrid(path, speech.alignment, visemes=visemes, marks=speech.marks)
    elif kind == ".json":
        parts = (each for each in PARTS if each != "visemes" or _has_visemes(path, speech))
        write_atomically(path, _as_json(speech, speech.times.as_json(*parts)))
    elif kind in (".srt", ".vtt"):
        captions = speech.times.captions
        write_atomically(path, srt(captions) if kind == ".srt" else vtt(captions, with_words=vtt_words))
    else:
        raise OutputError(f"{path}: expected a name that ends in {ENDINGS}")


def _as_json(speech: Speech, parts: Mapping[str, Sequence[object]]) -> str:
    """Return JSON with a line for each word, phone, viseme, mark and caption."""
    members = [("text", json.dumps(speech.times.source.text, ensure_ascii=False))]
    members.append(("duration", json.dumps(round(speech.duration_s, 6))))
    for name, values in parts.items():
        lines = ",\n".join(f"  {json.dumps(each, ensure_ascii=False)}" for each in values)
        members.append((name, f"[\n{lines}\n ]" if values else "[]"))
    return "{\n" + ",\n".join(f' "{name}": {value}' for name, value in members) + "\n}\n"


def _has_visemes(path: Path, speech: Speech) -> bool:
    try:
        return bool(speech.times.visemes)
    except VisemeError as error:
        warn(f"{path}: without visemes: {error}")
        return False
