"""TextGrid files of Praat, as the Montreal Forced Aligner reads and writes them."""

from __future__ import annotations

import codecs
import re
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

# Lines of the long format that only number what the short format lists.
_NUMBERING = re.compile(r"(item|intervals|points) ?\[\d*\]:?$")
_ORIGIN_TIER = "made by recital"
# In the long format and in the short one, to which another program may have converted the file.
_ORIGIN = re.compile(rf'"{_ORIGIN_TIER}".*?"([^"]+)"', re.DOTALL)
_LINES_PER_ENTRY = {"IntervalTier": 3, "TextTier": 2}


def read_textgrid(path: Path | str, speaker: str = "") -> Alignment:
    """Read the words and phones of one recording.

    Supports the long and the short text format in UTF-8 or UTF-16, with tiers called `words` and
    `phones`, or `<speaker> - words` and `<speaker> - phones`.

    Args:
        path: the TextGrid file.
        speaker: whose tiers to read if the file holds several speakers.

    Returns:
        The alignment from 0 to the end stated in the file, gaps of the tiers filled with silence.

    Raises:
        AlignmentError: the file is unreadable, not a TextGrid, truncated, or lacks a tier.
    """
    path = Path(path)
    encoding = _encoding(path)
    try:
        textgrid = tgt.io.read_textgrid(str(path), encoding=encoding, include_empty_intervals=True)
        stated_sizes = _stated_sizes(path.read_text(encoding=encoding))
    except UnicodeError as error:
        raise AlignmentError(f"{path}: is neither UTF-8 nor UTF-16 text; save it again as UTF-8") from error
    except Exception as error:  # tgt raises whatever its parser fails with
        raise AlignmentError(f"{path}: is no TextGrid, or was cut off; make it again") from error
    sizes = [len(tier) for tier in textgrid.tiers]
    if sizes != stated_sizes:
        raise AlignmentError(
            f"{path}: was cut off: it states tiers of {stated_sizes} intervals and holds {sizes}; make it again"
        )
    words, phones = (_intervals_of(textgrid, kind, speaker, path) for kind in ("words", "phones"))
    end_s = float(textgrid.end_time)
    return Alignment(words_without_gaps(only_words(words, phones), end_s), without_gaps(phones, end_s))


def write_textgrid(path: Path | str, alignment: Alignment, origin: str = "") -> None:
    """Write the words and phones of one recording in Praat's long format, atomically.

    Intervals without length are omitted, since Praat does not allow them.

    Args:
        path: the file to write.
        alignment: for the tiers `words` and `phones`.
        origin: aligner and its input, kept in a third tier for `textgrid_origin`; empty for none.
    """
    textgrid = tgt.core.TextGrid()
    for name, intervals in (("words", alignment.words), ("phones", alignment.phones)):
        tier = tgt.core.IntervalTier(0.0, alignment.end_s, name)
        for interval in intervals:
            start, end = round(interval.start_s, 6), round(interval.end_s, 6)
            if tgt.core.Time(start) < end:
                tier.add_interval(tgt.core.Interval(start, end, interval.label))
        textgrid.add_tier(tier)
    if origin:
        interval = tgt.core.Interval(0.0, round(alignment.end_s, 6), origin)
        textgrid.add_tier(tgt.core.IntervalTier(0.0, alignment.end_s, _ORIGIN_TIER, [interval]))
    with atomic_file(path) as partial:
        tgt.io.write_to_file(textgrid, str(partial), format="long", encoding="utf-8")


def textgrid_origin(path: Path | str) -> str:
    """Return the `origin` that `write_textgrid` wrote; empty for a file from elsewhere."""
    path = Path(path)
    try:
        text = path.read_text(encoding=_encoding(path))
    except UnicodeError:
        return ""
    found = _ORIGIN.search(text)
    return found.group(1) if found else ""


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig"


def _stated_sizes(text: str) -> list[int]:
    """Return the number of intervals or points that each tier states.

    tgt raises no error if a file ends between two intervals, so that these numbers have to be compared with
    what it read.
    """
    lines = [line.strip() for line in text.splitlines()]
    values = [re.split(r" = |: size = ", line)[-1] for line in lines if line and not _NUMBERING.match(line)]
    values = values[values.index("tiers? <exists>" if "tiers? <exists>" in values else "<exists>") + 1 :]
    sizes, at = [], 1
    for _ in range(int(values[0])):
        kind, size = values[at].strip('"'), int(values[at + 4])
        sizes.append(size)
        at += 5 + size * _LINES_PER_ENTRY[kind]
    return sizes


def _intervals_of(textgrid: tgt.core.TextGrid, kind: str, speaker: str, path: Path) -> list[Interval]:
    """Return the intervals of the tier of a kind, `words` or `phones`; of the speaker if there are several."""
    tiers = {tier.name: tier for tier in textgrid.tiers if isinstance(tier, tgt.core.IntervalTier)}
    of_kind = {name: tier for name, tier in tiers.items() if name.split(" - ")[-1].strip().casefold() == kind}
    wanted = [name for name in of_kind if name.casefold() == kind or name.rsplit(" - ", 1)[0].strip() == speaker]
    if not wanted and len(of_kind) == 1:
        wanted = list(of_kind)
    if len(wanted) != 1:
        names = ", ".join(repr(name) for name in tiers) or "none"
        raise AlignmentError(
            f"{path}: needs one tier {kind!r} or '{speaker or '<speaker>'} - {kind}', its tiers are {names}; "
            "rename them"
        )
    return [Interval(float(each.start_time), float(each.end_time), each.text.strip()) for each in of_kind[wanted[0]]]
