"""Reading and writing of sound files."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile
import soxr

from utils.errors import RecitalError
from utils.files import atomic_file

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")

# -60 dB of full scale: nothing to train on below.
_SILENT_PEAK = 1e-3
# Floating-point files may exceed full scale a little; far beyond it they are in another unit.
_LOUDEST_PEAK = 4.0
_MAX_SAMPLE = 1.0 - 2.0**-15
# Some programs write headers that are wrong by some bytes; a truncated recording lacks more than this.
_SLOPPY_HEADER_S = 0.01
_SLOPPY_HEADER_BYTES = 512

Fault = Literal[
    "unreadable", "empty", "cut short", "channels", "too short", "too long", "not a number", "scale", "silent"
]


class AudioError(RecitalError):
    """A recording that cannot be used.

    Attributes:
        fault: kind of the fault, for counts.
    """

    def __init__(self, message: str, fault: Fault = "unreadable") -> None:
        super().__init__(message, fault)
        self.fault: Fault = fault

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class AudioInfo:
    """The header of a sound file."""

    sample_rate: int
    channels: int
    samples: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate


def audio_info(path: Path | str) -> AudioInfo:
    """Read the header of a sound file.

    Raises:
        AudioError: the file is missing or not a sound file.
    """
    with _opened(Path(path)) as file:
        return AudioInfo(file.samplerate, file.channels, file.frames)


def read_audio(
    path: Path | str, sample_rate: int, *, min_duration_s: float = 0.0, max_duration_s: float = float("inf")
) -> np.ndarray:
    """Read a recording as one channel at a sample rate.

    Any format of libsndfile; two channels are averaged; other rates are resampled by soxr at high quality.

    Args:
        path: the sound file.
        sample_rate: of the result, in Hz.
        min_duration_s: shorter recordings raise an error.
        max_duration_s: longer recordings raise an error, before they are decoded.

    Returns:
        (T_wav,) float32 in [-1, 1).

    Raises:
        AudioError: the file is missing, unreadable, empty or cut short, has more than two channels, is too short or
            too long, holds NaN or infinite samples, is not scaled to [-1, 1], or is silent. Its `fault` says which.
    """
    path = Path(path)
    with _opened(path) as file:
        info = AudioInfo(file.samplerate, file.channels, file.frames)
        _check_header(path, info, min_duration_s, max_duration_s)
        try:
            samples = file.read(dtype="float32", always_2d=True)  # (samples, channels)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{path}: cannot be decoded ({_reason(error)}); damaged?") from None
    if len(samples) < info.samples - _SLOPPY_HEADER_S * info.sample_rate:
        raise _truncated(path, len(samples) / info.sample_rate, info.duration_s)
    waveform = samples[:, 0] if info.channels == 1 else samples.mean(axis=1)
    _check_samples(path, waveform)
    return resample(waveform, info.sample_rate, sample_rate)


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample a waveform by soxr at high quality.

    Args:
        waveform: (T_wav,) float32.
        from_rate: sample rate of the waveform, in Hz.
        to_rate: sample rate of the result.

    Returns:
        (T_wav * to_rate / from_rate,) float32, clipped to [-1, 1) where the filter overshoots.
    """
    if from_rate != to_rate:
        waveform = soxr.resample(waveform, from_rate, to_rate, quality="HQ")
    clipped: np.ndarray = np.clip(waveform, -1.0, _MAX_SAMPLE)
    return clipped


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Convert samples in [-1, 1) to 16-bit integers, clipped outside the range.

    The exact inverse of reading 16-bit files.
    """
    clipped: np.ndarray = np.clip(np.rint(np.asarray(waveform, dtype=np.float32) * 32768.0), -32768, 32767)
    return clipped.astype(np.int16)


def write_wav(path: Path | str, waveform: np.ndarray, sample_rate: int) -> None:
    """Write a 16-bit mono WAV file atomically; samples outside [-1, 1) are clipped.

    Args:
        path: the file to write; its folder is created if missing.
        waveform: (T_wav,) samples in [-1, 1), or int16.
        sample_rate: in Hz.

    Raises:
        AudioError: the waveform holds NaN or infinite samples.
    """
    waveform = np.asarray(waveform)
    assert waveform.ndim == 1, f"write_wav takes (T_wav,), not {waveform.shape}"
    if waveform.dtype != np.int16:
        if not np.isfinite(waveform).all():
            raise AudioError(f"{path}: not written: the waveform holds NaN or infinite samples", "not a number")
        waveform = to_int16(waveform)
    with atomic_file(path) as partial:
        soundfile.write(partial, waveform, sample_rate, format="WAV", subtype="PCM_16")


def _opened(path: Path) -> soundfile.SoundFile:
    try:
        with path.open("rb") as file:
            _check_stated_size(path, file)
        if path.suffix.lower() == ".raw":
            raise AudioError(f"{path}: raw samples without a header; convert it to WAV or FLAC")
        return soundfile.SoundFile(path)
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file") from None
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: is not a readable sound file ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    # libsndfile's message, without the path that soundfile puts before it.
    sentence = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
    return str(sentence).strip().rstrip(".")


def _check_header(path: Path, info: AudioInfo, min_duration_s: float, max_duration_s: float) -> None:
    if info.channels > 2:
        raise AudioError(
            f"{path}: has {info.channels} channels, at most two are supported; export the one with speech", "channels"
        )
    if info.samples <= 0:
        raise AudioError(f"{path}: holds no samples", "empty")
    if info.duration_s < min_duration_s:
        raise AudioError(f"{path}: lasts {info.duration_s:.2f} s, less than {min_duration_s:g} s", "too short")
    if info.duration_s > max_duration_s:
        raise AudioError(
            f"{path}: lasts {info.duration_s:.1f} s, more than {max_duration_s:g} s; cut it into sentences", "too long"
        )


def _check_samples(path: Path, waveform: np.ndarray) -> None:
    # np.max propagates NaN, so that one pass serves three checks.
    peak = float(np.max(np.abs(waveform)))
    if not np.isfinite(peak):
        raise AudioError(f"{path}: holds NaN or infinite samples; export it again", "not a number")
    if peak > _LOUDEST_PEAK:
        raise AudioError(f"{path}: reaches {peak:.0f} where 1 is full scale; export it as 16-bit WAV", "scale")
    if peak < _SILENT_PEAK:
        raise AudioError(f"{path}: is silent (largest sample {peak:.2g} of full scale)", "silent")


def _truncated(path: Path, found_s: float, stated_s: float) -> AudioError:
    return AudioError(
        f"{path}: is cut short: {found_s:.2f} s of the {stated_s:.2f} s stated in its header; copy it again",
        "cut short",
    )


def _check_stated_size(path: Path, file: BinaryIO) -> None:
    """Compare a WAV or AIFF header with the file's size: libsndfile reads truncated files without an error."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        raise AudioError(f"{path}: has zero bytes; copy or download it again", "empty")
    file.seek(0)
    start = file.read(12)
    if start[:4] == b"FORM" and len(start) == 12:
        stated = 8 + struct.unpack(">I", start[4:8])[0]
        if stated - size > _SLOPPY_HEADER_BYTES:
            raise AudioError(f"{path}: is cut short: {size} of {stated} bytes; copy it again", "cut short")
    if start[:4] != b"RIFF" or start[8:12] != b"WAVE":
        return
    byte_rate = 0
    while len(header := file.read(8)) == 8:
        name, stated = struct.unpack("<4sI", header)
        begins = file.tell()
        if name == b"fmt " and len(head := file.read(12)) == 12:
            byte_rate = struct.unpack("<HHII", head)[3]
        elif name == b"data":
            # Programs that write to a pipe cannot know the size and state the largest one.
            unknown = stated >= 0xFFFFFF00 or byte_rate == 0
            if not unknown and stated - (size - begins) > _SLOPPY_HEADER_S * byte_rate:
                raise _truncated(path, (size - begins) / byte_rate, stated / byte_rate)
            return
        file.seek(begins + stated + stated % 2)
    raise AudioError(f"{path}: is cut short: it ends before its samples begin; copy it again", "cut short")
