"""Odd and damaged sound files are read right, or refused with file and reason."""

from __future__ import annotations

import io
import itertools
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from processors.audio.audio_file import AudioError, audio_info, read_audio, read_recording

RATE = 22050


def chirp(samples: int, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Return a tone that rises, between two silences, as 16-bit samples would have it."""
    times = np.arange(samples) / rate
    envelope = np.clip(np.minimum(np.arange(samples), samples - np.arange(samples)) / 500 - 1, 0, 1)
    noise = 0.001 * np.random.default_rng(seed).standard_normal(samples)
    tone = 0.4 * np.sin(2 * np.pi * (200 + 90 * seed) * times * (1 + times)) + noise
    waveform: np.ndarray = np.round(tone * envelope * 32768) / 32768
    return waveform.astype(np.float32)


def encoded(waveform: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str = "PCM_16", endian: str = "FILE"):
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=kind, subtype=subtype, endian=endian)
    return bytearray(file.getvalue())


def with_sizes(content: bytearray, data: int, riff: int | None = None) -> bytearray:
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", data)
    content[4:8] = struct.pack("<I", min(data + 36, 0xFFFFFFFF) if riff is None else riff)
    return content


def without_length(flac: bytearray) -> bytearray:
    """Return a FLAC file as an encoder leaves it that cannot return to its header."""
    flac[21] &= 0xF0
    flac[22:42] = bytes(20)
    return flac


def with_chunk(content: bytearray, chunk: bytes, name: bytes = b"data") -> bytearray:
    at = content.index(name)
    return content[:at] + chunk + content[at:]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


WAVE = chirp(13001)
WHOLE = {
    **{f"pipe_{size:#x}": with_sizes(encoded(WAVE), size) for size in (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000)},
    **{f"pipe_of_{size:#x}": with_sizes(encoded(WAVE), size) for size in (0xFFFFFFFF, 0xFFFFFFFF - 36)},
    "pipe_with_a_chunk": with_sizes(with_chunk(encoded(WAVE), b"LIST\x04\0\0\0abcd"), 0xFFFFFFFF),
    "byte_rate_0": encoded(WAVE)[:28] + bytes(4) + encoded(WAVE)[32:],
    "byte_rate_in_bits": encoded(WAVE)[:28] + struct.pack("<I", RATE * 16) + encoded(WAVE)[32:],
    "odd_chunk": with_chunk(encoded(WAVE), b"LIST\x05\0\0\0abcde\0"),
    "odd_chunk_without_padding": with_chunk(encoded(WAVE), b"LIST\x05\0\0\0abcde"),
    "empty_samples_first": with_chunk(encoded(WAVE), b"data\0\0\0\0"),
    "tag_behind": encoded(WAVE) + b"TAG" + bytes(125),
    "zeros_behind": encoded(WAVE) + bytes(3000),
    "junk_behind": encoded(WAVE) + b"made by hand" * 99,
    "big_endian": encoded(WAVE, endian="BIG"),
    "rf64": encoded(WAVE, kind="RF64"),
    "wave64": encoded(WAVE, kind="W64"),
    "extensible": encoded(WAVE, kind="WAVEX"),
    "au": encoded(WAVE, kind="AU"),
    "nist": encoded(WAVE, kind="NIST"),
    "flac": encoded(WAVE, kind="FLAC"),
    "flac_of_unknown_length": without_length(encoded(WAVE, kind="FLAC")),
    "aiff_pipe": (aiff := encoded(WAVE, kind="AIFF"))[:4] + b"\xff" * 4 + aiff[8:],
    "opposite_phase": encoded(np.stack([WAVE, -0.9 * WAVE], axis=1)),
    "opposite_phase_right_louder": encoded(np.stack([-0.2 * WAVE, WAVE], axis=1)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_other_programs_write_is_read_whole(tmp_path, name):
    path = written(tmp_path / f"{name}.wav", WHOLE[name])
    assert audio_info(path).samples == len(WAVE)
    np.testing.assert_allclose(read_audio(path, RATE), WAVE, atol=1e-4)


@pytest.mark.parametrize("subtype", ["GSM610", "IMA_ADPCM", "MS_ADPCM", "NMS_ADPCM_32", "G721_32"])
def test_blocks_of_samples_are_decoded_without_seeking(tmp_path, subtype):
    path = written(tmp_path / "a.wav", encoded(chirp(13001, 8000), 8000, subtype=subtype))
    waveform = read_audio(path, 8000)
    assert len(waveform) == audio_info(path).samples
    assert np.corrcoef(waveform[:13001], chirp(13001, 8000))[0, 1] > 0.9
    if subtype != "IMA_ADPCM":  # of which libsndfile's header states whole blocks
        assert len(waveform) == 13001


def test_length_in_the_header_of_padded_blocks_holds(tmp_path):
    content = encoded(WAVE, subtype="IMA_ADPCM")
    at = content.index(b"fact") + 8
    content[at : at + 4] = struct.pack("<I", len(WAVE))
    path = written(tmp_path / "a.wav", content)
    assert len(read_audio(path, RATE)) == audio_info(path).samples == len(WAVE)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22050, 1), (44100, 2)])
def test_mp3_files_without_a_header_that_counts_frames_are_read_whole(tmp_path, rate, channels):
    """Of variable bit rate, beginning in noise or near silence, which libsndfile takes for much shorter or longer."""
    generator = np.random.default_rng(0)
    loud, quiet = 0.3 * generator.standard_normal(rate // 4), 0.002 * np.sin(np.arange(rate))
    for order, mode in (((loud, quiet), "VARIABLE"), ((quiet, loud), "VARIABLE"), ((loud, loud), "CONSTANT")):
        waveform = np.stack([np.concatenate(order)] * channels, axis=1)
        file = io.BytesIO()
        soundfile.write(file, waveform, rate, format="MP3", bitrate_mode=mode)
        whole = file.getvalue()
        expected, _ = soundfile.read(io.BytesIO(whole))
        without = whole[whole.index(whole[:2], 4) :]  # the first frame is the header
        for content in (without, b"ID3\x04\0\0\0\0\x01\x05" + bytes(133) + without + b"TAG" + bytes(125)):
            path = written(tmp_path / "a.mp3", content)
            made = read_recording(path).waveform
            assert audio_info(path).samples == len(made)
            delay = len(made) - len(waveform)
            assert 0 <= delay < 3000  # the encoder's, which only the header states
            mono, head = expected.reshape(len(waveform), -1).mean(axis=1), rate // 8
            start = min(range(delay + 1), key=lambda n: np.abs(made[n : n + head] - mono[:head]).max())
            np.testing.assert_allclose(made[start:][: len(mono)], mono, atol=1e-5)
    written(tmp_path / "b.mp3", whole)
    assert audio_info(tmp_path / "b.mp3").samples == len(read_recording(tmp_path / "b.mp3").waveform) == len(waveform)


def test_a_flac_file_of_unknown_length_obeys_the_limits_of_duration(tmp_path):
    path = written(tmp_path / "a.flac", without_length(encoded(WAVE, kind="FLAC")))
    with pytest.raises(AudioError, match=r"a\.flac: lasts 0\.5 s, more than 0\.5 s") as caught:
        read_audio(path, RATE, max_duration_s=0.5)
    assert caught.value.fault == "too long"
    with pytest.raises(AudioError, match=r"lasts 0\.59 s, less than 1 s"):
        read_audio(path, RATE, min_duration_s=1)


def test_floating_point_beyond_full_scale_is_scaled_and_never_clipped(tmp_path):
    path = written(tmp_path / "a.wav", encoded(WAVE / abs(WAVE).max() * 3, subtype="FLOAT"))
    recording = read_recording(path)
    assert recording.scaled_by == pytest.approx(1 / 3, rel=1e-3)
    np.testing.assert_allclose(read_audio(path, RATE), WAVE / abs(WAVE).max(), atol=1e-4)
    assert read_recording(written(tmp_path / "b.wav", encoded(WAVE, subtype="FLOAT"))).scaled_by == 1.0


REFUSED = {
    "rate": (encoded(WAVE)[:24] + struct.pack("<II", 1, 2) + encoded(WAVE)[32:], "sample rate of 1 Hz"),
    "rates": (encoded(WAVE)[:24] + struct.pack("<I", 22066) + encoded(WAVE)[28:], "22066 samples of 2 bytes and 44100"),
    "bits": (encoded(WAVE)[:34] + struct.pack("<H", 24) + encoded(WAVE)[36:], "1 channels of 24 bits in 2 bytes"),
    "size": (with_sizes(encoded(WAVE), 9000, 2 * 13001 + 36), r"states 0\.20 s, but it goes on for 0\.39 s"),
    "rf64_cut": (encoded(WAVE, kind="RF64")[:9000], "is cut short: .* of the 0.59 s"),
    "au_cut": (encoded(WAVE, kind="AU")[:9000], "is cut short: 9000 of 26"),
    "wave64_cut": (encoded(WAVE, kind="W64")[:9000], "is cut short: 9000 of 26"),
    "nist_cut": (encoded(WAVE, kind="NIST")[:9000], "is cut short: 9000 of 27026 bytes"),
    "gsm_cut": (encoded(chirp(13001, 8000), 8000, subtype="GSM610")[:1500], "is cut short: .* of the 1.6"),
    "flac_of_unknown_length_cut": (without_length(encoded(WAVE, kind="FLAC"))[:9000], "cannot be decoded"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_contradictory_and_truncated_files_are_refused_by_name(tmp_path, name):
    content, reason = REFUSED[name]
    with pytest.raises(AudioError, match=rf"{name}\.wav: .*{reason}"):
        read_audio(written(tmp_path / f"{name}.wav", content), RATE)


def good_files() -> list[tuple[bytearray, np.ndarray, int]]:
    """Return five files with their waveforms and sample rates."""
    waves = [
        (chirp(9000 + 700 * seed, rate, seed), rate) for seed, rate in enumerate((22050, 16000, 8000, 24000, 44100))
    ]
    kinds = (("WAV", "PCM_16"), ("WAV", "PCM_24"), ("FLAC", "PCM_24"), ("FLAC", "PCM_16"), ("WAV", "FLOAT"))
    return [(encoded(wave, rate, *kind), wave, rate) for (wave, rate), kind in zip(waves, kinds, strict=True)]


def test_damaged_flac_files_are_refused_by_checksum_and_rate(tmp_path):
    content = encoded(WAVE, kind="FLAC")
    fewer, faster = bytearray(content), bytearray(content)
    fewer[25] ^= 0x80  # of the number of samples
    faster[18] ^= 0x10  # of the sample rate
    with pytest.raises(AudioError, match="differ from the checksum"):
        read_audio(written(tmp_path / "a.flac", fewer), RATE)
    with pytest.raises(AudioError, match="sample rates of 87586 and 22050 Hz"):
        read_audio(written(tmp_path / "b.flac", faster), RATE)


def cut(content: bytearray, rng: np.random.Generator) -> bytearray:
    return content[: int(rng.integers(0, len(content)))]


def with_flipped_header_bits(content: bytearray, rng: np.random.Generator) -> bytearray:
    content[int(rng.integers(0, 44))] ^= 1 << int(rng.integers(0, 8))
    return content


def with_flipped_sample_bits(content: bytearray, rng: np.random.Generator) -> bytearray:
    content[int(rng.integers(120, len(content)))] ^= 1 << int(rng.integers(0, 8))
    return content


def with_a_hole(content: bytearray, rng: np.random.Generator) -> bytearray:
    at = int(rng.integers(44, len(content) - 4000))
    return content[:at] + content[at + int(rng.integers(2000, 4000)) :]


def with_noise_behind(content: bytearray, rng: np.random.Generator) -> bytearray:
    return content + rng.bytes(int(rng.integers(1, 5000)))


def overwritten(content: bytearray, rng: np.random.Generator) -> bytearray:
    at = int(rng.integers(0, 60))
    content[at : at + 8] = rng.bytes(8)
    return content


DAMAGES: tuple[Callable[[bytearray, np.random.Generator], bytearray], ...] = (
    cut,
    with_flipped_header_bits,
    with_flipped_sample_bits,
    with_a_hole,
    with_noise_behind,
    overwritten,
)


def damaged_files(count: int) -> Iterator[tuple[str, bytes, np.ndarray, int]]:
    """Yield `count` damaged files: kind, content, and the waveform and rate they had."""
    rng = np.random.default_rng(13)
    good = good_files()
    for number, (damage, (content, wave, rate)) in enumerate(itertools.cycle(itertools.product(DAMAGES, good))):
        if number == count:
            return
        yield damage.__name__, bytes(damage(bytearray(content), rng)), wave, rate


@pytest.mark.slow
def test_300_damaged_files_are_refused_by_name_or_read_right(tmp_path):
    outcomes: Counter[str] = Counter()
    for number, (damage, content, wave, rate) in enumerate(damaged_files(300)):
        path = written(tmp_path / f"{number}_{damage}.wav", content)
        try:
            recording = read_recording(path)
        except AudioError as error:
            assert str(error).startswith(f"{path}: ") and len(str(error)) > len(f"{path}: ") + 10
            outcomes[f"{damage} refused"] += 1
            continue
        outcomes[f"{damage} read"] += 1
        found = recording.waveform / recording.scaled_by
        assert recording.sample_rate == rate, path
        # Damage to the samples themselves cannot be seen: all others are right.
        assert abs(len(found) - len(wave)) <= 0.011 * rate, path
        size = min(len(found), len(wave))
        wrong = np.count_nonzero(~(np.abs(found[:size] - wave[:size]) < 1e-4))
        assert wrong <= (8 if "bits" in damage or damage == "overwritten" else 0), (path, wrong, size)
    assert sum(outcomes.values()) == 300
    assert outcomes["with_noise_behind read"] > 30 and outcomes["cut refused"] > 40
