"""Encoded audio, whole or piece by piece, for those who receive it over a network."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
import soundfile
import soxr

from processors.audio.audio_file import to_int16

AudioFormat = Literal["wav", "flac", "mp3", "opus", "pcm"]

_UNKNOWN_SIZE = 0xFFFFFFFF
"""What a WAV states that is written before its end is known, as of ffmpeg and sox."""


@dataclass(frozen=True)
class Encoding:
    """A format of audio.

    Attributes:
        media_type: as in HTTP's Content-Type.
        sample_rate: in Hz, of whatever is encoded in it; None for the waveform's own.
        container: by soundfile's name; None for samples without one.
        subtype: by soundfile's name.
    """

    media_type: str
    sample_rate: int | None = None
    container: str | None = None
    subtype: str = "PCM_16"


ENCODINGS: Mapping[AudioFormat, Encoding] = MappingProxyType(
    {
        "wav": Encoding("audio/wav", container="WAV"),
        "flac": Encoding("audio/flac", container="FLAC"),
        "mp3": Encoding("audio/mpeg", container="MP3", subtype="MPEG_LAYER_III"),
        "opus": Encoding("audio/ogg", 24_000, "OGG", "OPUS"),
        "pcm": Encoding("audio/pcm", 24_000),
    }
)


class AudioEncoder(Protocol):
    """Encodes consecutive pieces of a waveform."""

    def encode(self, waveform: np.ndarray) -> bytes:
        """Return what is known of the encoded bytes after a further (T_wav,) piece; possibly none."""

    def finish(self) -> bytes:
        """Return the rest."""


def encode(waveform: np.ndarray, sample_rate: int, audio_format: AudioFormat) -> bytes:
    """Return a (T_wav,) waveform in [-1, 1] as a complete file, whose header states its length."""
    encoding = ENCODINGS[audio_format]
    rate = encoding.sample_rate or sample_rate
    samples = waveform if rate == sample_rate else soxr.resample(waveform, sample_rate, rate)
    if encoding.container is None:
        return pcm_bytes(samples)
    file = BytesIO()
    # libsndfile rounds to 16 bits by itself, but not to the nearest.
    content = to_int16(samples) if encoding.subtype == "PCM_16" else samples
    soundfile.write(file, content, rate, encoding.subtype, format=encoding.container)
    return file.getvalue()


def encode_stream(pieces: Iterable[np.ndarray], sample_rate: int, audio_format: AudioFormat) -> Iterator[bytes]:
    """Yield the bytes of a waveform that comes in (T_wav,) pieces, each as soon as it is known; none is empty."""
    encoder = stream_encoder(sample_rate, audio_format)
    for piece in pieces:
        if encoded := encoder.encode(piece):
            yield encoded
    if rest := encoder.finish():
        yield rest


def stream_encoder(sample_rate: int, audio_format: AudioFormat) -> AudioEncoder:
    """Return an encoder of pieces at a sample rate, in Hz.

    Headers are written before the length is known: those of WAV and FLAC state none, MP3 has a constant bit rate.
    """
    encoding = ENCODINGS[audio_format]
    rate = encoding.sample_rate or sample_rate
    encoder: AudioEncoder
    if encoding.container is None:
        encoder = _Pcm()
    elif encoding.container == "WAV":
        encoder = _Pcm(endless_wav_header(rate))
    else:
        encoder = _Compressed(encoding.container, encoding.subtype, rate)
    return encoder if rate == sample_rate else _Resampled(encoder, sample_rate, rate)


class _Pcm:
    """Encodes samples of 16 bits, after a header."""

    def __init__(self, header: bytes = b"") -> None:
        self._header = header

    def encode(self, waveform: np.ndarray) -> bytes:
        header, self._header = self._header, b""
        return header + pcm_bytes(waveform)

    def finish(self) -> bytes:
        return self.encode(np.zeros(0, np.float32))


class _Compressed:
    """Encodes by libsndfile."""

    def __init__(self, container: str, subtype: str, rate: int) -> None:
        self._written = _Written()
        # With a variable bit rate, players would take the length of an MP3 from a header that is written last.
        rate_control = {"bitrate_mode": "CONSTANT", "compression_level": 0.5} if container == "MP3" else {}
        self._file = soundfile.SoundFile(self._written, "w", rate, 1, subtype, format=container, **rate_control)

    def encode(self, waveform: np.ndarray) -> bytes:
        self._file.write(waveform)
        return self._written.take()

    def finish(self) -> bytes:
        self._file.close()
        return self._written.take()


class _Resampled:
    """Encodes at another sample rate."""

    def __init__(self, encoder: AudioEncoder, from_rate: int, to_rate: int) -> None:
        self._encoder = encoder
        self._resampler = soxr.ResampleStream(from_rate, to_rate, 1)

    def encode(self, waveform: np.ndarray) -> bytes:
        return self._encoder.encode(self._resampler.resample_chunk(waveform.astype(np.float32, copy=False)))

    def finish(self) -> bytes:
        rest = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        return self._encoder.encode(rest) + self._encoder.finish()


class _Written:
    """A file that gives away what is written to it; bytes that were given away are not corrected any more."""

    def __init__(self) -> None:
        self._position = self._size = 0
        self._kept = bytearray()

    def write(self, data: bytes) -> int:
        new = max(0, self._position + len(data) - self._size)
        # Where a writer returns to its header, the part beyond the present end alone is new.
        self._kept += bytes(data)[len(data) - new :]
        self._position += len(data)
        self._size = max(self._size, self._position)
        return len(data)

    def read(self, _size: int = -1) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken = bytes(self._kept)
        self._kept.clear()
        return taken


def pcm_bytes(waveform: np.ndarray) -> bytes:
    """Return a (T_wav,) waveform in [-1, 1] as 16-bit samples, little-endian."""
    return to_int16(waveform).astype("<i2").tobytes()


def endless_wav_header(rate: int) -> bytes:
    """Return the header of a WAV of 16-bit samples at a rate, in Hz, which states no length: players go to the end."""
    return struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", _UNKNOWN_SIZE, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16
    ) + struct.pack("<4sI", b"data", _UNKNOWN_SIZE)
