"""Reading and writing of sound files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile
import soxr

from processors.audio.mp3_frames import with_stated_count
from processors.audio.stated_size import (
    FlacHeader,
    WavHeader,
    is_short_of,
    read_flac_header,
    read_wav_header,
    stated_size,
)
from utils.errors import RecitalError
from utils.files import atomic_file

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")

# -60 dB of full scale: nothing to train on below.
_SILENT_PEAK = 1e-3
# Floating-point files may exceed full scale a little; far beyond it they are in another unit.
_LOUDEST_PEAK = 4.0
_MAX_SAMPLE = 1.0 - 2.0**-15
# Some programs write headers that are wrong by some samples; a truncated recording lacks more than this.
_SLOPPY_HEADER_S = 0.01
_LONGEST_BLOCK = 4096  # samples
_LOWEST_RATE, _HIGHEST_RATE = 4000, 768_000
_OPPOSITE = -0.5  # correlation of two channels
_UNKNOWN = 2**63 - 1
"""Number of samples that libsndfile returns if the header states none."""
_BLOCK = 2**20
_BITS = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}

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


@dataclass(frozen=True)
class Recording:
    """A recording as one channel at its own sample rate.

    Attributes:
        waveform: (T_wav,) float32; decoders of lossy formats may exceed full scale.
        sample_rate: in Hz.
        scaled_by: factor by which the samples were scaled to full scale, which files in floating point may exceed.
    """

    waveform: np.ndarray
    sample_rate: int
    scaled_by: float = 1.0

    def at(self, sample_rate: int) -> np.ndarray:
        """Return the waveform at a sample rate, clipped to [-1, 1)."""
        return resample(self.waveform, self.sample_rate, sample_rate)


def audio_info(path: Path | str) -> AudioInfo:
    """Read the header of a sound file, or decode the file if the header does not state its length.

    Raises:
        AudioError: the file is missing, not a sound file or cut short.
    """
    path = Path(path)
    file, samples, _ = _opened(path)
    with file:
        if samples == _UNKNOWN:
            samples = sum(len(block) for block in _blocks(path, file, _UNKNOWN))
        return AudioInfo(file.samplerate, file.channels, samples)


def read_audio(
    path: Path | str, sample_rate: int, *, min_duration_s: float = 0.0, max_duration_s: float = float("inf")
) -> np.ndarray:
    """Read a recording as one channel at a sample rate.

    As `read_recording`; other rates are resampled by soxr at high quality.

    Returns:
        (T_wav,) float32 in [-1, 1).
    """
    return read_recording(path, min_duration_s=min_duration_s, max_duration_s=max_duration_s).at(sample_rate)


def read_recording(path: Path | str, *, min_duration_s: float = 0.0, max_duration_s: float = float("inf")) -> Recording:
    """Read a recording as one channel.

    Any format of libsndfile. Two channels are averaged; of two that would cancel out, the louder is taken.

    Args:
        path: the sound file.
        min_duration_s: shorter recordings raise an error.
        max_duration_s: longer recordings raise an error, before they are decoded.

    Raises:
        AudioError: the file is missing, unreadable, empty or cut short, has more than two channels, is too short or
            too long, holds NaN or infinite samples, is not scaled to [-1, 1], or is silent. Its `fault` says which.
    """
    path = Path(path)
    file, stated, flac = _opened(path)
    with file:
        info = AudioInfo(file.samplerate, file.channels, stated)
        if stated != _UNKNOWN:
            _check_header(path, info, min_duration_s, max_duration_s)
        longest = min(stated, int(min(max_duration_s * info.sample_rate, _UNKNOWN - 1)) + 1)
        blocks = list(_blocks(path, file, longest))
        subtype = file.subtype
    samples = np.concatenate([np.empty((0, info.channels), dtype=np.float32), *blocks])  # (samples, channels)
    if stated == _UNKNOWN:
        _check_header(path, replace(info, samples=len(samples)), min_duration_s, max_duration_s)
    elif len(samples) < info.samples - _SLOPPY_HEADER_S * info.sample_rate:
        raise _truncated(path, len(samples) / info.sample_rate, info.duration_s)
    if flac and not flac.has_samples(samples, _BITS.get(subtype, 0)):
        raise AudioError(f"{path}: its samples differ from the checksum in its header; copy it again")
    waveform = _one_channel(samples)
    peak = _finite_peak(path, waveform)
    _check_peak(path, peak)
    if (scale := _scale(peak, subtype)) != 1.0:
        return Recording(waveform * np.float32(scale), info.sample_rate, scale)
    return Recording(waveform, info.sample_rate)


class LongRecording:
    """A recording read in ranges from its start to its end, in one channel; holds no more than the range in memory.

    Two channels become one range by range, as in `read_recording`.

    Args:
        path: the sound file.

    Attributes:
        sample_rate: in Hz.
        peak: largest sample so far.

    Raises:
        AudioError: as for `read_recording`, as far as the header shows.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._file, stated, _ = _opened(self._path)
        info = AudioInfo(self._file.samplerate, self._file.channels, stated)
        try:
            if stated != _UNKNOWN:
                _check_header(self._path, info, 0.0, float("inf"))
        except AudioError:
            self._file.close()
            raise
        self.sample_rate: int = info.sample_rate
        self._stated = None if stated == _UNKNOWN else stated
        self.peak = 0.0
        self._blocks = _blocks(self._path, self._file, stated)
        self._held = np.empty((0, info.channels), dtype=np.float32)
        self._held_from = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the samples of a range, (T_wav,); fewer at the end of the recording.

        Args:
            start: the first sample; not before that of the previous call.
            stop: the one after the last.

        Raises:
            AudioError: the file is damaged or cut short, or holds NaN or infinite samples.
        """
        assert start >= self._held_from, "ranges are read from start to end"
        pieces, end = [self._held], self._held_from + len(self._held)
        while end < stop and (block := next(self._blocks, None)) is not None:
            self.peak = max(self.peak, _finite_peak(self._path, block))
            pieces.append(block[max(start - end, 0) :])
            end += len(block)
        if end < stop and self._stated is not None and end < self._stated - _SLOPPY_HEADER_S * self.sample_rate:
            raise _truncated(self._path, end / self.sample_rate, self._stated / self.sample_rate)
        held = np.concatenate(pieces)
        held_from = end - len(held)
        self._held, self._held_from = held[max(start - held_from, 0) :], max(start, held_from)
        found = self._held[: max(stop - self._held_from, 0)]
        return _one_channel(found) if len(found) else np.empty(0, dtype=np.float32)

    def require_audible(self) -> None:
        """Raise an `AudioError` where what was read is silent, or not scaled to [-1, 1]."""
        _check_peak(self._path, self.peak)

    @property
    def scale(self) -> float:
        """Factor by which the samples are to be scaled, as `Recording.scaled_by`, once all were read."""
        return _scale(self.peak, self._file.subtype)

    def __enter__(self) -> LongRecording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


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
    _write(path, waveform, sample_rate, "WAV")


def write_flac(path: Path | str, waveform: np.ndarray, sample_rate: int) -> None:
    """Write a FLAC file, which holds the same as a WAV file in half the space; see `write_wav`."""
    _write(path, waveform, sample_rate, "FLAC")


def _write(path: Path | str, waveform: np.ndarray, sample_rate: int, file_format: str) -> None:
    waveform = np.asarray(waveform)
    assert waveform.ndim == 1, f"a waveform is (T_wav,), not {waveform.shape}"
    if waveform.dtype != np.int16:
        if not np.isfinite(waveform).all():
            raise AudioError(f"{path}: not written: the waveform holds NaN or infinite samples", "not a number")
        waveform = to_int16(waveform)
    with atomic_file(path) as partial:
        soundfile.write(partial, waveform, sample_rate, format=file_format, subtype="PCM_16")


def _opened(path: Path) -> tuple[soundfile.SoundFile, int, FlacHeader | None]:
    """Open a sound file; return it with its number of samples, or `_UNKNOWN`, and its header if it is FLAC."""
    try:
        with path.open("rb") as file:
            header, flac = _checked_header(path, file), read_flac_header(file)
        if path.suffix.lower() == ".raw":
            raise AudioError(f"{path}: raw samples without a header; convert it to WAV or FLAC")
        opened = soundfile.SoundFile(header.completed(path) if header and header.needs_completion else path)
        if opened.format == "MP3" and (counted := with_stated_count(path, opened.frames)) is not None:
            opened.close()
            opened = soundfile.SoundFile(counted)
        # Files are read from start to end: libsndfile cannot seek in GSM 6.10, nor in FLAC of unknown length.
        opened.seekable = lambda: False
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file") from None
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: is not a readable sound file ({_reason(error)})") from None
    if not _LOWEST_RATE <= opened.samplerate <= _HIGHEST_RATE:
        opened.close()
        raise AudioError(f"{path}: states a sample rate of {opened.samplerate} Hz; export it again")
    if flac and flac.sample_rate not in (0, opened.samplerate):
        opened.close()
        raise AudioError(f"{path}: states sample rates of {opened.samplerate} and {flac.sample_rate} Hz; copy it again")
    samples: int = opened.frames
    if header and header.is_compressed and 0 < samples - header.samples < _LONGEST_BLOCK and header.samples:
        samples = header.samples  # the last block is padded
    return opened, samples, flac


def _blocks(path: Path, file: soundfile.SoundFile, most: int) -> Iterator[np.ndarray]:
    """Yield the (samples, channels) of a file from its start, at most a number of samples."""
    while most > 0:
        try:
            block = file.read(min(most, _BLOCK), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{path}: cannot be decoded ({_reason(error)}); damaged?") from None
        if not len(block):
            return
        yield block
        most -= len(block)


def _reason(error: Exception) -> str:
    # libsndfile's message, without the path that soundfile puts before it.
    sentence = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
    return str(sentence).strip().rstrip(".") or "its content is malformed"


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


def _one_channel(samples: np.ndarray) -> np.ndarray:
    """Return the (samples,) mean of (samples, channels), or the louder of two channels in opposite phase."""
    if samples.shape[1] == 1:
        one: np.ndarray = samples[:, 0]
        return one
    left, right = np.linalg.norm(samples.astype(np.float64), axis=0)
    if float(np.dot(samples[:, 0], samples[:, 1])) < _OPPOSITE * left * right:
        return samples[:, int(right > left)]
    mean: np.ndarray = samples.mean(axis=1)
    return mean


def _finite_peak(path: Path, waveform: np.ndarray) -> float:
    # np.max propagates NaN, so that one pass serves three checks.
    peak = float(np.max(np.abs(waveform)))
    if not np.isfinite(peak):
        raise AudioError(f"{path}: holds NaN or infinite samples; export it again", "not a number")
    return peak


def _check_peak(path: Path, peak: float) -> None:
    if peak > _LOUDEST_PEAK:
        raise AudioError(f"{path}: reaches {peak:.0f} where 1 is full scale; export it as 16-bit WAV", "scale")
    if peak < _SILENT_PEAK:
        raise AudioError(f"{path}: is silent (largest sample {peak:.2g} of full scale)", "silent")


def _scale(peak: float, subtype: str) -> float:
    """Return the factor by which samples are scaled: floating-point ones beyond full scale, down to it."""
    return _MAX_SAMPLE / peak if peak > 1.0 and subtype in ("FLOAT", "DOUBLE") else 1.0


def _truncated(path: Path, found_s: float, stated_s: float) -> AudioError:
    return AudioError(
        f"{path}: is cut short: {found_s:.2f} s of the {stated_s:.2f} s stated in its header; copy it again",
        "cut short",
    )


def _checked_header(path: Path, file: BinaryIO) -> WavHeader | None:
    """Refuse a file that is cut short, which libsndfile reads without an error; return the header of a WAV file."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        raise AudioError(f"{path}: has zero bytes; copy or download it again", "empty")
    file.seek(0)
    start = file.read(12)
    if start[:4] in (b"RIFF", b"RIFX", b"RF64") and start[8:] == b"WAVE":
        header = read_wav_header(file)
        if header is None:
            raise AudioError(f"{path}: is cut short: it ends before its samples begin; copy it again", "cut short")
        if header.is_truncated:
            raise _truncated(path, header.found_s, header.stated_s)
        if header.contradiction:
            raise AudioError(f"{path}: its header states {header.contradiction}; export it again")
        return header
    if is_short_of(size, stated := stated_size(file)):
        raise AudioError(f"{path}: is cut short: {size} of {stated} bytes; copy it again", "cut short")
    return None
