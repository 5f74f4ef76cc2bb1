"""Sizes and checksums that headers of sound files state: libsndfile believes them, or does not look at them."""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

# Programs that write into a pipe cannot return to their header: SoX leaves 0x7FFFF000, FFmpeg 0xFFFFFFFF, others 0.
_LEAST_PLACEHOLDER = 0x7F000000
# Some programs write headers that are wrong by some bytes; a truncated recording lacks more than this.
_SLOPPY_S = 0.01
_SLOPPY_BYTES = 512
_UNCOMPRESSED = (1, 3, 6, 7, 0xFFFE)  # PCM, floating point, A-law, mu-law, and any with an extended header
_LOGARITHMIC = (6, 7)
_CHUNK_NAME = re.compile(rb"[A-Za-z0-9]{3}[A-Za-z0-9 ]")


@dataclass(frozen=True)
class WavHeader:
    """The header of a WAV file (RIFF, RIFX or RF64) with the size of its samples.

    Attributes:
        format: content of the chunk `fmt `.
        begins: position of the samples.
        stated: size of the samples by the header, in bytes.
        found: size of the samples in the file; all that follow if the header states a placeholder.
        samples: number of samples stated by the chunk `fact`; 0 if there is none.
        goes_on: size of what follows the samples, in bytes, where it neither is a chunk nor lies beyond the stated end.
        order: byte order, as for `struct`.
        is_sloppy: whether a chunk of odd size lacks its padding, or an empty chunk of samples comes before the other.
    """

    format: bytes
    begins: int
    stated: int
    found: int
    samples: int
    goes_on: int
    order: str
    is_sloppy: bool

    @property
    def is_compressed(self) -> bool:
        """Return whether several samples share a block of bytes."""
        return self._fields[0] not in _UNCOMPRESSED

    @property
    def is_truncated(self) -> bool:
        """Return whether the file lacks more than a sloppy header explains."""
        return self.stated - self.found > max(_SLOPPY_S * self._byte_rate, self._fields[4])

    @property
    def contradiction(self) -> str:
        """Statements that cannot be true together; empty for most, and for mistakes that many programs make."""
        kind, channels, sample_rate, byte_rate, block = self._fields
        bits = int.from_bytes(self.format[14:16], "big" if self.order == ">" else "little")
        if self.goes_on > max(_SLOPPY_S * self._byte_rate, _SLOPPY_BYTES):
            return f"{self.stated_s:.2f} s, but it goes on for {self.goes_on / self._byte_rate:.2f} s"
        if self.is_compressed or not byte_rate or not block:
            return ""
        if block * 8 < channels * bits or block % channels or (kind in _LOGARITHMIC and block != channels):
            return f"{channels} channels of {bits} bits in {block} bytes"
        low, high = sorted((byte_rate, sample_rate * block))
        # Some write bits instead of bytes, or forget the channels.
        if low and high % low:
            return f"{sample_rate} samples of {block} bytes and {byte_rate} bytes per second"
        return ""

    @property
    def stated_s(self) -> float:
        """Length by the header, in seconds."""
        return self.stated / self._byte_rate

    @property
    def found_s(self) -> float:
        """Length by the size of the file, in seconds."""
        return self.found / self._byte_rate

    @property
    def _fields(self) -> tuple[int, ...]:
        """Kind, channels, sample rate, byte rate and block size."""
        return struct.unpack(f"{self.order}HHIIH", self.format[:14])

    @property
    def _byte_rate(self) -> int:
        _, _, sample_rate, byte_rate, block = self._fields
        # Only decoders of compressed formats read the byte rate, so that others may be wrong.
        return max(byte_rate if self.is_compressed else sample_rate * block, 1)

    def completed(self, path: Path) -> io.BytesIO:
        """Return the sound file under a header that states what the file holds."""
        samples = path.read_bytes()[self.begins : self.begins + self.found]
        chunks = b"".join(
            name + struct.pack(f"{self.order}I", len(content)) + content + b"\0" * (len(content) % 2)
            for name, content in ((b"fmt ", self.format), (b"data", samples))
        )
        name = b"RIFX" if self.order == ">" else b"RIFF"
        return io.BytesIO(name + struct.pack(f"{self.order}I", 4 + len(chunks)) + b"WAVE" + chunks)

    @property
    def needs_completion(self) -> bool:
        """Return whether libsndfile would stop before the last sample, or not find the first."""
        return self.is_sloppy or self.found > self.stated


def read_wav_header(file: BinaryIO) -> WavHeader | None:
    """Read the header of a WAV file; None if it holds no samples or does not describe them."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    order = ">" if file.read(12).startswith(b"RIFX") else "<"
    format_, samples, stated_by_ds64, is_sloppy = b"", 0, 0, False
    while len(head := file.read(8)) == 8:
        name, stated = struct.unpack(f"{order}4sI", head)
        begins = file.tell()
        if name == b"data" and (stated or not _is_chunk(file, begins, size, order)):
            stated = stated_by_ds64 or stated
            if not stated_by_ds64 and (stated == 0 or stated >= _LEAST_PLACEHOLDER):
                stated, found = 0, size - begins
            else:
                found = min(stated, size - begins)
            goes_on = _beyond(file, begins + found, size, order)
            header = WavHeader(format_, begins, stated, found, samples, goes_on, order, is_sloppy)
            return header if len(format_) >= 14 else None
        if name == b"fmt ":
            format_ = file.read(min(stated, size - begins))
        elif name == b"fact":
            [samples] = struct.unpack(f"{order}I", file.read(4).ljust(4, b"\0"))
        elif name == b"ds64":
            stated_by_ds64 = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))[1]
        elif name == b"data":  # an empty one before another chunk
            is_sloppy = True
        follows = begins + stated + stated % 2
        if stated % 2 and _is_chunk(file, follows - 1, size, order):  # padding is 0, which no name has
            is_sloppy, follows = True, follows - 1
        file.seek(follows)
    return None


def stated_size(file: BinaryIO) -> int:
    """Return the least size of an AIFF, AU, Wave64 or NIST file by its header; 0 if it states none."""
    file.seek(0)
    start = file.read(1024)
    stated = 0
    if start[:4] == b"FORM":
        stated = 8 + int.from_bytes(start[4:8], "big")
    elif start[:4] == b".snd":
        stated = int.from_bytes(start[4:8], "big") + int.from_bytes(start[8:12], "big")
    elif start[:4] == b"riff":
        stated = int.from_bytes(start[16:24], "little")
    elif start[:7] == b"NIST_1A" and b"shorten" not in start:
        factors = re.findall(rb"(?:sample_count|sample_n_bytes|channel_count) -i (\d{1,12})\s", start)
        if len(factors) == 3:
            stated = len(start) + int(factors[0]) * int(factors[1]) * int(factors[2])
    return stated if _SLOPPY_BYTES < stated < _LEAST_PLACEHOLDER else 0


def is_short_of(size: int, stated: int) -> bool:
    """Return whether a file lacks more bytes than a sloppy header explains."""
    return stated - size > _SLOPPY_BYTES


def _is_chunk(file: BinaryIO, place: int, size: int, order: str) -> bool:
    """Return whether the name and the size of a chunk are at a place in the file."""
    file.seek(place)
    head = file.read(8)
    if len(head) < 8:
        return False
    name, stated = struct.unpack(f"{order}4sI", head)
    return bool(_CHUNK_NAME.fullmatch(name)) and (name == b"data" or place + 8 + stated <= size)


def _beyond(file: BinaryIO, place: int, size: int, order: str) -> int:
    """Return the bytes from a place on, if they belong to the stated content and are no chunk, tag or padding."""
    file.seek(4)
    [stated] = struct.unpack(f"{order}I", file.read(4))
    file.seek(place)
    tail = file.read(_SLOPPY_BYTES)
    is_beyond = stated + 8 <= place + place % 2
    if is_beyond or _is_chunk(file, place, size, order) or _is_chunk(file, place + 1, size, order):
        return 0
    return 0 if tail.startswith((b"TAG", b"ID3", b"APETAGEX")) or not any(tail) else size - place


_FLAC_RATES = {4: 8000, 5: 16000, 6: 22050, 7: 24000, 8: 32000, 9: 44100, 10: 48000, 11: 96000}


@dataclass(frozen=True)
class FlacHeader:
    """Redundant parts of the header of a FLAC file.

    Attributes:
        sample_rate: of the first frame, in Hz; 0 if it refers to the header.
        checksum: MD5 of the samples; zeros if the encoder did not know it.
    """

    sample_rate: int
    checksum: bytes

    def has_samples(self, samples: np.ndarray, bits: int) -> bool:
        """Return whether (samples, channels) float32 samples of some bits have the checksum, if there is one."""
        if not any(self.checksum) or bits not in (8, 16, 24):
            return True
        # Exact, since float32 holds 24 bits.
        integers = np.rint(samples * np.float32(2.0 ** (bits - 1))).astype("<i4")
        content = integers.view(np.uint8).reshape(-1, 4)[:, : bits // 8]
        return hashlib.md5(content.tobytes(), usedforsecurity=False).digest() == self.checksum


def read_flac_header(file: BinaryIO) -> FlacHeader | None:
    """Read the header of a FLAC file; None for other files."""
    file.seek(0)
    if file.read(4) != b"fLaC":
        return None
    checksum, is_last = b"", False
    while not is_last and len(head := file.read(4)) == 4:
        is_last, content = head[0] >= 0x80, file.read(int.from_bytes(head[1:], "big"))
        checksum = checksum or content[18:34]
    frame = file.read(4)
    is_frame = len(frame) == 4 and frame[0] == 0xFF and frame[1] >> 2 == 0x3E
    return FlacHeader(_FLAC_RATES.get(frame[2] & 0x0F, 0) if is_frame else 0, checksum)
