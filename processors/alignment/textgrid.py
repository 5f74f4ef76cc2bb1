"""TextGrid files of Praat, as the Montreal Forced Aligner reads and writes them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tgt

from processors.alignment.intervals import (
    Alignment,
    AlignmentError,
    Interval,
    only_words,
    without_gaps,
    words_without_gaps,
)
from utils.files import atomic_file

# Praat reads quoted strings, flags, and numbers that stand alone; whatever else is there, such as `intervals [1]:`, are
# remarks that make the long format of the short one.
_TOKEN = re.compile(r'!.*|"(?P<string>(?:[^"]|"")*)"|(?<!\S)(?P<number>-?\d{1,15}(?:\.\d*)?(?:[eE][-+]?\d\d?)?)(?!\S)')
_SIZE_OF_ENTRY = {"IntervalTier": 3, "TextTier": 2}
# Programs round times to hundredths of a second, at worst.
_ROUNDING_S = 0.0101
_ORIGIN_TIER = "made by recital"
# In the long format and in the short one, to which another program may have converted the file.
_ORIGIN = re.compile(rf'"{_ORIGIN_TIER}".*?"([^"]+)"', re.DOTALL)


@dataclass(frozen=True)
class _Tier:
    """A tier of intervals; of points if it has no intervals.

    Attributes:
        name: of the tier.
        end_s: as stated, or the end of its last interval if that is later.
        intervals: in order of time.
    """

    name: str
    end_s: float
    intervals: tuple[Interval, ...]


def read_textgrid(path: Path | str, speaker: str = "") -> Alignment:
    """Read the words and phones of one recording.

    Supports the long and the short text format in UTF-8 or UTF-16, with tiers called `words` and
    `phones`, or `<speaker> - words` and `<speaker> - phones`. Stated numbers of intervals may be wrong if the
    intervals reach the end of their tier; intervals may overlap by a rounding error.

    Args:
        path: the TextGrid file.
        speaker: whose tiers to read if the file holds several speakers.

    Returns:
        The alignment from 0 to the end stated in the file, gaps of the tiers filled with silence.

    Raises:
        AlignmentError: the file is unreadable, not a TextGrid, truncated, lacks a tier, or its intervals are not in
            order of time.
    """
    path = Path(path)
    try:
        tiers = _tiers(_text(path))
    except _MalformedError as error:
        raise AlignmentError(f"{path}: {error}; make it again") from None
    words, phones = (_tier_of(tiers, kind, speaker, path).intervals for kind in ("words", "phones"))
    end_s = max(tier.end_s for tier in tiers)
    return Alignment(words_without_gaps(only_words(words, phones), end_s), without_gaps(phones, end_s))


def write_textgrid(
    path: Path | str,
    alignment: Alignment,
    origin: str = "",
    *,
    visemes: Sequence[Interval] = (),
    marks: Sequence[tuple[str, float]] = (),
) -> None:
    """Write the words and phones of one recording in Praat's long format, atomically.

    Intervals without length are omitted, since Praat does not allow them.

    Args:
        path: the file to write.
        alignment: for the tiers `words` and `phones`.
        origin: aligner and its input, kept in a further tier for `textgrid_origin`; empty for none.
        visemes: for a tier of that name; empty for none.
        marks: names and times in seconds of the points of a further tier; empty for none.
    """
    textgrid = tgt.core.TextGrid()
    for name, intervals in (("words", alignment.words), ("phones", alignment.phones), ("visemes", visemes)):
        if name == "visemes" and not intervals:
            continue
        tier = tgt.core.IntervalTier(0.0, alignment.end_s, name)
        for interval in intervals:
            start, end = round(interval.start_s, 6), round(interval.end_s, 6)
            if tgt.core.Time(start) < end:
                tier.add_interval(tgt.core.Interval(start, end, interval.label))
        textgrid.add_tier(tier)
    if marks:
        points: dict[float, str] = {}
        for name, time_s in marks:  # Praat has one point at a time
            points[round(time_s, 6)] = " ".join(filter(None, (points.get(round(time_s, 6)), name)))
        listed = [tgt.core.Point(time_s, name) for time_s, name in sorted(points.items())]
        textgrid.add_tier(tgt.core.PointTier(0.0, alignment.end_s, "marks", listed))
    if origin:
        interval = tgt.core.Interval(0.0, round(alignment.end_s, 6), origin)
        textgrid.add_tier(tgt.core.IntervalTier(0.0, alignment.end_s, _ORIGIN_TIER, [interval]))
    with atomic_file(path) as partial:
        tgt.io.write_to_file(textgrid, str(partial), format="long", encoding="utf-8")


def textgrid_origin(path: Path | str) -> str:
    """Return the `origin` that `write_textgrid` wrote; empty for a file from elsewhere."""
    try:
        text = _text(Path(path))
    except AlignmentError:
        return ""
    found = _ORIGIN.search(text)
    return found.group(1) if found else ""


class _MalformedError(ValueError):
    """A text that is no whole TextGrid."""


def _text(path: Path) -> str:
    """Return the text of a file in UTF-8 or UTF-16, with or without a byte order mark."""
    content = path.read_bytes()
    encoding = "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif 0 in content[:2]:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        return content.decode(encoding)
    except UnicodeError as error:
        raise AlignmentError(f"{path}: is neither UTF-8 nor UTF-16 text; save it again as UTF-8") from error


def _tiers(text: str) -> list[_Tier]:
    """Return the tiers of a TextGrid.

    Raises:
        _MalformedError: it is none, or was cut off, or its intervals are not in order.
    """
    tokens: list[str | float] = []
    for match in _TOKEN.finditer(text):
        string, number = match.group("string", "number")
        if string is not None:
            tokens.append(string.replace('""', '"'))
        elif number is not None:
            tokens.append(float(number))
    shape = "".join("s" if isinstance(token, str) else "n" for token in tokens[:5])
    if "TextGrid" not in tokens[:2] or shape != "ssnnn"[: len(shape)] or "<exists>" not in text:
        raise _MalformedError("is no TextGrid")
    if len(tokens) < 5:
        raise _MalformedError("was cut off")
    n_tiers, at = int(float(tokens[4])), 5
    tiers: list[_Tier] = []
    while at < len(tokens):
        tier, at = _tier_at(tokens, at)
        tiers.append(tier)
    if len(tiers) < n_tiers:
        raise _MalformedError(f"was cut off: it states {n_tiers} tiers and holds {len(tiers)}")
    return tiers


def _tier_at(tokens: Sequence[str | float], at: int) -> tuple[_Tier, int]:
    """Return the tier that begins at a token, and where the next one begins."""
    kind, head = tokens[at], tokens[at : at + 5]
    if [type(token) for token in head] != [str, str, float, float, float] or kind not in _SIZE_OF_ENTRY:
        raise _MalformedError("was cut off, or is damaged" if len(head) < 5 else f"is damaged: {kind!r} is no tier")
    name, end_s, stated = str(head[1]), float(head[3]), int(float(head[4]))
    size = _SIZE_OF_ENTRY[str(kind)]
    at += 5
    intervals: list[Interval] = []
    found = 0
    while at < len(tokens) and isinstance(tokens[at], float):
        entry = tokens[at : at + size]
        if [type(token) for token in entry] != [float] * (size - 1) + [str]:
            raise _MalformedError(f"was cut off, or is damaged, in the tier {name!r} after {found} entries")
        if kind == "IntervalTier":
            interval = Interval(float(entry[0]), float(entry[1]), str(entry[2]).strip())
            intervals += _in_order(interval, intervals[-1] if intervals else None, name)
        at, found = at + size, found + 1
    reached_s = intervals[-1].end_s if intervals else 0.0
    edges = [float(head[2]), *(edge for each in intervals for edge in (each.start_s, each.end_s)), end_s]
    gaps = (following - edge for edge, following in zip(edges[::2], edges[1::2], strict=True))
    if found != stated and max(map(abs, gaps)) > _ROUNDING_S:
        raise _MalformedError(
            f"was cut off: its tier {name!r} states {stated} intervals, holds {found}, and they do not join from "
            f"{edges[0]:.2f} to {end_s:.2f} s"
        )
    return _Tier(name, max(end_s, reached_s), tuple(intervals)), at


def _in_order(interval: Interval, before: Interval | None, tier: str) -> list[Interval]:
    """Return an interval with its start after the end of the one before, or nothing for an empty one without length."""
    earliest_s = before.end_s if before else 0.0
    start_s = max(interval.start_s, earliest_s)
    if start_s - interval.start_s > _ROUNDING_S or start_s - interval.end_s > _ROUNDING_S:
        raise _MalformedError(
            f"has intervals that overlap or are not in order in the tier {tier!r}, at {interval.start_s:.3f} s"
        )
    end_s = max(interval.end_s, start_s)
    return [Interval(start_s, end_s, interval.label)] if end_s > start_s or interval.label else []


def _tier_of(tiers: Sequence[_Tier], kind: str, speaker: str, path: Path) -> _Tier:
    """Return the tier of a kind, `words` or `phones`; that of the speaker if there are several."""
    of_kind = [tier for tier in tiers if tier.name.split(" - ")[-1].strip().casefold() == kind]
    wanted = [
        tier for tier in of_kind if tier.name.casefold() == kind or tier.name.rsplit(" - ", 1)[0].strip() == speaker
    ]
    if not wanted and len(of_kind) == 1:
        wanted = of_kind
    if len(wanted) != 1:
        names = ", ".join(repr(tier.name) for tier in tiers) or "none"
        raise AlignmentError(
            f"{path}: needs one tier {kind!r} or '{speaker or '<speaker>'} - {kind}', its tiers are {names}; "
            "rename them"
        )
    return wanted[0]
