"""Records of segmenting: settings, utterances kept or rejected, and the result for one recording."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from processors.segmenting.cuts import Lengths
from processors.segmenting.readers import ReaderSettings
from utils.files import write_atomically
from utils.fingerprint import stamp

KEPT_FOLDER, REJECTED_FOLDER = "wavs", "rejected"

Reason = Literal["", "readings differ", "not in the text", "no words", "too short", "too long", "pace"]
REASONS: Mapping[Reason, str] = {
    "readings differ": "more errors between the readings than --most_errors",
    "not in the text": "speech without a counterpart in the text",
    "no words": "nothing was recognised",
    "too short": "shorter than --shortest",
    "too long": "longer than --longest, without a pause to cut at",
    "pace": "far more or fewer letters per second than the recording's median",
}


@dataclass(frozen=True)
class SegmentingSettings:
    """Settings of segmenting.

    Attributes:
        reader: recogniser of the first reading.
        check: recogniser of the second.
        lengths: of utterances.
        most_errors: largest share of an utterance in which its readings may differ, as of `share_of_errors`.
        audio_format: `flac` or `wav`.
        speaker: of all recordings; empty for none.
    """

    reader: ReaderSettings
    check: ReaderSettings
    lengths: Lengths = field(default_factory=Lengths)
    most_errors: float = 0.05
    audio_format: Literal["flac", "wav"] = "flac"
    speaker: str = ""

    @property
    def language(self) -> str:
        """The language that is spoken, as a code."""
        return self.reader.language

    def identity(self, text: str) -> str:
        """Return a stamp of all that the result for a recording depends on, besides the recording itself."""
        return stamp(
            *(each.identity(text) for each in (self.reader, self.check)),
            asdict(self.lengths),
            *(self.most_errors, self.audio_format, self.speaker, text),
        ).hex()


@dataclass(frozen=True)
class Segment:
    """An utterance found in a long recording.

    Attributes:
        id: of the recording, with a number.
        start_s, end_s: in the recording, in seconds.
        text: as written in the text, or as first read.
        transcript: as read a second time.
        error: share of the text in which the two differ, as of `share_of_errors`; None if they were not compared.
        reason: why it was rejected; empty if it is kept.
    """

    id: str
    start_s: float
    end_s: float
    text: str
    transcript: str = ""
    error: float | None = None
    reason: Reason = ""

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.end_s - self.start_s

    def audio_name(self, settings: SegmentingSettings) -> str:
        """Return the path of its sound within the output folder; empty for what is too long to be cut out."""
        folder = REJECTED_FOLDER if self.reason else KEPT_FOLDER
        return "" if self.reason == "too long" else f"{folder}/{self.id}.{settings.audio_format}"


@dataclass(frozen=True)
class RecordingResult:
    """The result for one recording.

    Attributes:
        recording: its id.
        source: its path within the folder.
        duration_s: its length; 0 if it cannot be read.
        segments: in order.
        problem: why it cannot be used; empty if it can.
        identity: of all that it was made from.
    """

    recording: str
    source: str
    duration_s: float
    segments: tuple[Segment, ...]
    problem: str = ""
    identity: str = ""

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        write_atomically(path, json.dumps(asdict(self), ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> RecordingResult | None:
        """Read what `save` wrote; None if there is no such file."""
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return cls(**{**fields, "segments": tuple(Segment(**each) for each in fields["segments"])})
