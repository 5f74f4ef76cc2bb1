"""Utterances and their manifests."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

from utils.errors import RecitalError
from utils.files import atomic_file

SPLITS = ("train", "valid", "test")
"""Names of the splits of a corpus."""
GOLDEN_TEST = "golden_test"
"""Name of a few utterances, mostly of the test split, to compare models by; a manifest beside those of the splits."""

# Separators, and what Windows refuses in file names.
_UNSAFE_CHARACTERS = re.compile(r'[/\\<>:"|?*\x00-\x1f\x7f]')
# Leaves room for a suffix such as `.TextGrid` within the 255 bytes of common file systems.
_MAX_ID_BYTES = 200
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class ManifestError(RecitalError):
    """A manifest, or a corpus's list of recordings, that cannot be read."""


@dataclass(frozen=True, slots=True)  # there may be millions
class Utterance:
    """One recording with its transcript.

    Attributes:
        id: unique within its dataset, and safe as a file name.
        dataset: name of the corpus, as in the setting `dataset`.
        speaker: the dataset's name if the corpus has a single speaker.
        language: code such as `en`.
        text: as the corpus has it, not normalised.
        audio_path: the recording.
        duration_s: length of the recording in seconds; 0 if unknown.
        split: `train`, `valid` or `test`; empty before splitting.
        phones: of the recording, pauses included; empty before stage 1.
        frames: mel frames; 0 before stage 1.
        durations: frames per phone, adding up to `frames`; empty before stage 1.
    """

    id: str
    dataset: str
    speaker: str
    language: str
    text: str
    audio_path: Path
    duration_s: float = 0.0
    split: str = ""
    phones: tuple[str, ...] = ()
    frames: int = 0
    durations: tuple[int, ...] = ()


def unsafe_name_reason(name: str) -> str:
    """Return why `name` (of an utterance or a speaker) cannot be a file name; empty if it can."""
    if not name.strip():
        return "is empty"
    if found := _UNSAFE_CHARACTERS.search(name):
        return f"contains {found.group()!r}, which file names cannot hold"
    if name.startswith("."):
        return "begins with a dot"
    if name != name.strip() or name.endswith("."):
        return "ends with a dot or has spaces around it"
    if not is_unicode(name):
        return "is not written in UTF-8"
    if len(name.encode("utf-8")) > _MAX_ID_BYTES:
        return f"is longer than {_MAX_ID_BYTES} bytes"
    return ""


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded: no lone surrogates, as JSON escapes or undecodable file names contain."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def write_manifest(path: Path | str, utterances: Iterable[Utterance]) -> None:
    """Write one JSON object per line, atomically.

    The names `audio_filepath`, `text` and `duration` (seconds) are those of NeMo's manifests, so NeMo can read ours;
    values that are not known before stage 1 are omitted.
    """
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_manifest_line(utterance) for utterance in utterances)


def _manifest_line(utterance: Utterance) -> str:
    fields: dict[str, Any] = {
        "id": utterance.id,
        "dataset": utterance.dataset,
        "speaker": utterance.speaker,
        "language": utterance.language,
        "audio_filepath": str(utterance.audio_path),
        "text": utterance.text,
        "duration": round(utterance.duration_s, 6),
    }
    for name in ("split", "phones", "frames", "durations"):
        if value := getattr(utterance, name):
            fields[name] = value
    return json.dumps(fields, ensure_ascii=False) + "\n"


def read_manifest(path: Path | str) -> list[Utterance]:
    """Read what `write_manifest` wrote; unknown names are ignored.

    Raises:
        ManifestError: no such file, or a line that is not an utterance; names file and line.
    """
    path = Path(path)
    utterances = []
    first_lines: dict[str, int] = {}
    for number, line in numbered_lines(path):
        where = f"{path}:{number}"
        utterance = _utterance_from(json_object(line, where), where)
        if utterance.id in first_lines:
            raise ManifestError(
                f"{where}: {utterance.id} is already on line {first_lines[utterance.id]}; "
                "run stage 1 again to rewrite the manifest"
            )
        first_lines[utterance.id] = number
        utterances.append(utterance)
    return utterances


def read_text_file(path: Path) -> str:
    """Read a text file as UTF-8, with or without byte-order mark and with any line endings.

    Raises:
        ManifestError: no such file, or bytes that are not UTF-8; names file and line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such file") from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    return decoded_text(path, content)


def decoded_text(path: Path, content: bytes, first_line: int = 1) -> str:
    """Decode the content of a text file, from a line on; see `read_text_file`."""
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig" if first_line == 1 else "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + first_line
        raise ManifestError(
            f"{path}:{line}: byte 0x{content[error.start]:02x} is not {encoding.removesuffix('-sig').upper()}; if the "
            f"file is in Latin-1, convert it: iconv -f WINDOWS-1252 -t UTF-8 '{path.name}' > converted"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and content of each non-blank line of a text file; see `read_text_file`."""
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            yield number, line


def _lines(path: Path) -> Iterator[str]:
    # Not splitlines(): it would also split at U+2028 and the like, which a text may contain.
    if _needs_to_be_read_whole(path):
        yield from read_text_file(path).split("\n")
        return
    with path.open("rb") as file:  # line by line: there may be millions
        for number, line in enumerate(file, start=1):
            yield from decoded_text(path, line, number).removesuffix("\n").split("\n")


def _needs_to_be_read_whole(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) in _UTF_16
    except OSError:
        return True  # `read_text_file` names the reason


def json_object(line: str, where: str) -> dict[str, Any]:
    """Return the JSON object in a line of a manifest.

    Raises:
        ManifestError: it is something else; the message begins with `where`.
    """
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{where}: not a JSON object: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ManifestError(f"{where}: not a JSON object: nested too deep") from None
    if not isinstance(fields, dict):
        raise ManifestError(f"{where}: expected a JSON object, found {type(fields).__name__}")
    return fields


def _utterance_from(fields: Mapping[str, Any], where: str) -> Utterance:
    utterance = Utterance(
        id=_field(fields, "id", str, where),
        dataset=intern(_field(fields, "dataset", str, where)),
        speaker=intern(_field(fields, "speaker", str, where)),
        language=intern(_field(fields, "language", str, where)),
        text=_field(fields, "text", str, where),
        audio_path=Path(_field(fields, "audio_filepath", str, where)),
        duration_s=float(_field(fields, "duration", (int, float), where)),
        split=_field(fields, "split", str, where, default=""),
        phones=tuple(map(intern, _items(fields, "phones", str, where))),
        frames=_field(fields, "frames", int, where, default=0),
        durations=_items(fields, "durations", int, where),
    )
    for what, name in (("id", utterance.id), ("speaker", utterance.speaker)):
        if reason := unsafe_name_reason(name):
            raise ManifestError(f"{where}: {what} {name!r} {reason}; rename it")
    if not (math.isfinite(utterance.duration_s) and utterance.duration_s >= 0):
        raise ManifestError(f"{where}: {utterance.id} lasts {utterance.duration_s} seconds")
    if len(utterance.durations) not in (0, len(utterance.phones)):
        raise ManifestError(
            f"{where}: {utterance.id} has {len(utterance.durations)} durations for {len(utterance.phones)} phones; "
            "run stage 1 again"
        )
    if utterance.durations and sum(utterance.durations) != utterance.frames:
        raise ManifestError(
            f"{where}: {utterance.id} has durations of {sum(utterance.durations)} frames in total "
            f"for {utterance.frames} frames; run stage 1 again"
        )
    return utterance


def _field(fields: Mapping[str, Any], name: str, kind: Any, where: str, default: Any = None) -> Any:
    value = fields.get(name, default)
    if value is None:
        raise ManifestError(f"{where}: has no {name!r}; found {', '.join(map(repr, fields)) or 'nothing'}")
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ManifestError(f"{where}: {name!r} should not be {value!r}")
    return value


def _items(fields: Mapping[str, Any], name: str, kind: type, where: str) -> tuple[Any, ...]:
    values = _field(fields, name, list, where, default=[])
    for value in values:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ManifestError(f"{where}: {name!r} should not contain {value!r}")
    return tuple(values)
