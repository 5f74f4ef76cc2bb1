"""Frames of MP3 files: libsndfile estimates their number by the first one's bit rate if no header states it."""

from __future__ import annotations

import io
import mmap
import struct
from pathlib import Path
from typing import Any, NamedTuple

# By version (2.5, reserved, 2, 1), as in the bits of a frame's header.
_SAMPLE_RATES = ((11025, 12000, 8000), (), (22050, 24000, 16000), (44100, 48000, 32000))
# By layer (reserved, III, II, I), in kbit/s: of version 1, and of the others.
_HIGH_RATES = (
    (),
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
)
_LOW_RATES = (
    (),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
)
_VERSION_1, _LAYER_3, _LAYER_1, _MONO = 3, 1, 3, 3
_COUNTS = (b"Xing", b"Info", b"VBRI")
_HEADER_BYTES = 4
_HAS_COUNT = 1  # flag of a Xing header


class _Frame(NamedTuple):
    """A frame by its header.

    Attributes:
        kind: what all frames of a file share: version, layer and sample rate.
        size: in bytes.
        samples: of each channel.
        count_at: where a header that states the number of frames has its name.
    """

    kind: bytes
    size: int
    samples: int
    count_at: int


def with_stated_count(path: Path, estimated_samples: int) -> io.RawIOBase | None:
    """Return an MP3 file under a header that states how many frames it has; the file is not held in memory.

    Args:
        path: the file; not empty.
        estimated_samples: of each channel, by libsndfile.

    Returns:
        The file; None if a header states the number already, the estimate is right, or no frames are found.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        first, frame = _next_frame(content, _after_tag(content))
        if frame is None or any(name in content[first : first + frame.size] for name in _COUNTS):
            return None
        n_frames, place, found = 1, *_next_frame(content, first + frame.size, frame.kind)
        while found is not None:
            n_frames, place, found = n_frames + 1, *_next_frame(content, place + found.size, frame.kind)
        if n_frames * frame.samples == estimated_samples:
            return None
        header = bytearray(content[first : first + _HEADER_BYTES])
    header[1] |= 1  # no checksum follows
    stated = bytes(header).ljust(frame.count_at, b"\0") + _COUNTS[0] + struct.pack(">II", _HAS_COUNT, n_frames)
    return _Headed(stated.ljust(frame.size, b"\0"), path, first)


class _Headed(io.RawIOBase):
    """A file whose beginning is replaced.

    Args:
        head: what it begins with.
        path: the file that goes on.
        first: its first byte after the head.
    """

    def __init__(self, head: bytes, path: Path, first: int) -> None:
        self._head, self._first, self._at = head, first, 0
        self._file = path.open("rb")
        self._size = len(head) + self._file.seek(0, io.SEEK_END) - first

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, and return it."""
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read bytes of the head, or of the file behind it, into a buffer; return their number."""
        if self._at < len(self._head):
            found = self._head[self._at : self._at + len(buffer)]
        else:
            self._file.seek(self._at - len(self._head) + self._first)
            found = self._file.read(len(buffer))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _after_tag(content: mmap.mmap) -> int:
    """Return where the content begins after an ID3 tag, which states its size in seven bits per byte."""
    if content[:3] != b"ID3" or len(content) < 10:
        return 0
    size = 0
    for byte in content[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _next_frame(content: mmap.mmap, place: int, kind: bytes | None = None) -> tuple[int, _Frame | None]:
    """Return the next whole frame, of a kind if one is given; one that is not at the place needs another behind it."""
    start = place
    while (place := content.find(b"\xff", place)) >= 0:
        frame = _frame(content, place)
        if frame is not None and place + frame.size <= len(content) and kind in (None, frame.kind):
            behind = _frame(content, place + frame.size)
            if (kind is not None and place == start) or (behind is not None and behind.kind == frame.kind):
                return place, frame
        place += 1
    return len(content), None


def _frame(content: mmap.mmap, place: int) -> _Frame | None:
    """Return the frame whose header is at a place; None if there is none, or it does not state its size."""
    header = content[place : place + _HEADER_BYTES]
    if len(header) < _HEADER_BYTES or header[0] != 0xFF or header[1] >> 5 != 0b111:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate, sample_rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    kilobits = (_HIGH_RATES if version == _VERSION_1 else _LOW_RATES)[layer]
    if not kilobits or not 1 <= rate <= len(kilobits) or sample_rate >= len(_SAMPLE_RATES[version]):
        return None
    is_short = layer == _LAYER_3 and version != _VERSION_1
    samples = 384 if layer == _LAYER_1 else 576 if is_short else 1152
    slot = 4 if layer == _LAYER_1 else 1  # sizes are whole slots
    size = (samples // 8 // slot * kilobits[rate - 1] * 1000 // _SAMPLE_RATES[version][sample_rate] + padding) * slot
    is_mono = header[3] >> 6 == _MONO
    side = (17 if is_mono else 32) if version == _VERSION_1 else (9 if is_mono else 17)
    return _Frame(bytes((header[1] & 0xFE, header[2] & 0x0C)), size, samples, _HEADER_BYTES + side)
