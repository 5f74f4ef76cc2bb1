"""Files of texts to synthesize: plain lines, filelists, tables with a header, JSON lines, as toolkits write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.inference.symbol_prosody import SynthesisError
from processors.corpora.columns import column_named, is_file_name, is_speech, repeats
from processors.utterance import numbered_lines, unsafe_name_reason
from utils.console import info

_COLUMNS = ("text", "name", "speaker", "language")
_REFUSED = {"pitch": "per-symbol pitch from files is not read; pitch_control is a factor on it"}
# The column of each number.
_FACTORS = {name: f"{name}_control" for name in ("duration", "pitch", "energy")} | {
    name: name
    for name in ("pace", "pitch_amplify", "pitch_shift_hz", "pitch_shift_semitones", "energy_db", "fade_out_ms")
}


class TextTableError(SynthesisError):
    """A file of texts that cannot be used; the message names file and line."""


@dataclass(frozen=True)
class TextRow:
    """One text to synthesize.

    Attributes:
        name: of its files, with `/` between folders.
        text: not empty.
        speaker: None for the request's own.
        language: likewise.
        factors: numbers of `Prosody` by name, those that the row gives.
    """

    name: str
    text: str
    speaker: str | None
    language: str | None
    factors: tuple[tuple[str, float], ...]


def read_texts(path: Path) -> list[TextRow]:
    """Read a file of texts, deciding by its content which kind it is; prints what was decided unless it is plain.

    Raises:
        TextTableError: no text, a name that cannot be a file name or comes twice, or columns without a text.
        ManifestError: the file cannot be read.
    """
    lines = list(numbered_lines(path))
    if not lines:
        raise TextTableError(f"{path}: holds no text; write one `name|text` or one text per line")
    kind, rows = _rows(path, lines)
    read = [_row(path, number, values) for number, values in rows]
    seen: dict[str, int] = {}
    for row, (number, _) in zip(read, rows, strict=True):
        if row.name.casefold() in seen:
            raise TextTableError(f"{path}:{number}: the name {row.name} is already on line {seen[row.name.casefold()]}")
        seen[row.name.casefold()] = number
    if not read:
        raise TextTableError(f"{path}: holds no text below its header")
    if kind:
        info(f"{path}: read as {kind}")
    return read


_Rows = list[tuple[int, dict[str, str]]]


def _rows(path: Path, lines: Sequence[tuple[int, str]]) -> tuple[str, _Rows]:
    """Return what a file is, empty for plain lines and `name|text`, and its rows by column."""
    first = lines[0][1].lstrip("\ufeff").strip()
    if first.startswith("{"):
        return "JSON lines", [(number, _json_row(path, number, line)) for number, line in lines]
    for delimiter, name in (("\t", "TSV"), (",", "CSV"), ("|", "a table")):
        header = [cell.strip().strip('"').lower() for cell in first.split(delimiter)]
        if len(header) > 1 and column_named("text", header) is not None:
            kind = f"{name} with the columns {', '.join(header)}{_unread(header)}"
            return kind, list(_table(path, lines, delimiter, header))
    if any("|" in line for _, line in lines):
        return _bars(path, lines)
    if all("\t" in line for _, line in lines):
        return _bars(path, [(number, line.replace("\t", "|")) for number, line in lines])
    return "", [(number, {"name": f"line_{number:04d}", "text": line}) for number, line in lines]


def _json_row(path: Path, number: int, line: str) -> dict[str, str]:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise TextTableError(f"{path}:{number}: is no JSON object: {error}") from None
    if not isinstance(fields, dict):
        raise TextTableError(f"{path}:{number}: is no JSON object")
    plain = {str(name): str(value) for name, value in fields.items() if isinstance(value, str | int | float)}
    return _known(path, number, plain)


def _table(
    path: Path, lines: Sequence[tuple[int, str]], delimiter: str, header: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in lines[1:]:
        # Quotes around a cell are CSV's alone; elsewhere they belong to the text.
        cells = next(csv.reader([line])) if delimiter == "," else line.split(delimiter)
        if len(cells) != len(header):
            raise TextTableError(f"{path}:{number}: has {len(cells)} columns, the header {len(header)}")
        yield number, _known(path, number, dict(zip(header, cells, strict=True)))


def _known(path: Path, number: int, cells: Mapping[str, str]) -> dict[str, str]:
    """Return a row by our own names of columns."""
    for name, reason in _REFUSED.items():
        if cells.get(name, "").strip():
            raise TextTableError(f"{path}:{number}: the column {name}: {reason}")
    row = {}
    for column in _COLUMNS:
        if (found := column_named(column, list(cells))) is not None:
            row[column] = cells[found]
    return row | {factor: cells[name] for factor, name in _FACTORS.items() if name in cells}


def _unread(header: Sequence[str]) -> str:
    """Return the end of a message about a header: the columns that are not read, if any."""
    read = {column_named(column, header) for column in _COLUMNS} | {*_FACTORS.values(), *_REFUSED}
    unread = [name for name in header if name not in read]
    return f"; not read: {', '.join(unread)}" if unread else ""


def _bars(path: Path, lines: Sequence[tuple[int, str]]) -> tuple[str, _Rows]:
    """Return rows of columns between bars, in any order: a name or path, a text, perhaps a normalised one, a speaker.

    Where all lines have two, the first is the name, and more bars belong to the text.
    """
    cells = [[cell.strip() for cell in line.split("|")] for _, line in lines]
    widths = {len(row) for row in cells}
    numbers = [number for number, _ in lines]
    if widths <= {1, 2} or len(widths) > 1:
        rows: _Rows = []
        for number, line in lines:
            head, bar, tail = line.partition("|")
            rows.append((number, {"name": head, "text": tail} if bar else {"name": f"line_{number:04d}", "text": line}))
        if all(is_file_name(row["name"]) for _, row in rows):
            return "a filelist: path|text", rows
        return "", rows
    columns = list(zip(*cells, strict=True))
    roles = _roles(columns)
    if "text" not in roles:
        raise TextTableError(f"{path}: none of its {len(columns)} columns is a text: {lines[0][1][:80]}")
    shown = "|".join(roles)
    made = [
        (number, {role: cell for role, cell in zip(roles, row, strict=True) if role in ("name", "text", "speaker")})
        for number, row in zip(numbers, cells, strict=True)
    ]
    return f"the columns {shown}", made


def _roles(columns: Sequence[Sequence[str]]) -> list[str]:
    """Return what each column is: `name`, `text`, `speaker` or `other`; of several texts the last is normalised."""
    roles = ["other"] * len(columns)
    speech = [is_speech(column) for column in columns]
    texts = [index for index, spoken in enumerate(speech) if spoken]
    if texts:
        roles[texts[-1]] = "text"
    files = [index for index, column in enumerate(columns) if all(map(is_file_name, column))]
    names = [index for index, column in enumerate(columns) if index not in texts and len(set(column)) == len(column)]
    for index in (files or names)[:1]:
        roles[index] = "name"
    for index, column in enumerate(columns):
        is_free = roles[index] == "other" and index not in texts and index not in files
        if is_free and repeats(column):
            roles[index] = "speaker"
            break
    return roles


def _row(path: Path, number: int, values: Mapping[str, str]) -> TextRow:
    where = f"{path}:{number}"
    name = _name(values.get("name", "").strip() or f"line_{number:04d}", where)
    text = values.get("text", "").strip()
    if not text:
        raise TextTableError(f"{where}: {name} has no text")
    if is_file_name(text):
        raise TextTableError(f"{where}: {text!r} is a file's name, not a text")
    factors = {}
    for factor in _FACTORS:
        if given := values.get(factor, "").strip():
            try:
                factors[factor] = float(given)
            except ValueError:
                raise TextTableError(f"{where}: {_FACTORS[factor]}: found {given!r}; expected a number") from None
    return TextRow(name, text, values.get("speaker") or None, values.get("language") or None, tuple(factors.items()))


def _name(given: str, where: str) -> str:
    """Return a name without the suffix of a sound or mel; `/` makes folders, none of them outside."""
    plain = given.replace("\\", "/")
    if is_file_name(plain):
        plain = plain[: -len(PurePosixPath(plain).suffix)]
    parts = plain.split("/")
    if plain.startswith("/"):  # an absolute path: its last part is a name
        parts = parts[-1:]
    for part in parts:
        if reason := unsafe_name_reason(part):
            raise TextTableError(f"{where}: the name {given!r} {reason}; rename it")
    return "/".join(parts)
