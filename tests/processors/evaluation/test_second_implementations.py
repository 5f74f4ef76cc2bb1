"""Metrics of our own agree with second implementations: by their formulas, or packages where those are installed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from processors.audio.audio_file import read_audio
from processors.audio.mel_cepstrum import all_pass_factor, mel_cepstrum
from processors.evaluation.measures.energy import frame_levels_db
from processors.evaluation.measures.log_spectrum import log_spectral_distance
from processors.evaluation.measures.mel_cepstrum import mel_cepstral_distortion
from processors.evaluation.measures.si_sdr import si_sdr
from processors.evaluation.pair import HOP_SIZE, N_FFT, Pair

RATE = 22050


@pytest.fixture(scope="module")
def speech(shared_data) -> np.ndarray:
    first = min((shared_data / "kathleen" / "wavs").iterdir())
    return read_audio(first, RATE)[: 2 * RATE]


def cepstra_by_integration(waveform: np.ndarray, order: int) -> np.ndarray:
    """WORLD's envelope, read at equal steps of the warped frequency and expanded in cosines."""
    import pyworld

    samples = waveform.astype(np.float64)
    f0_hz, times = pyworld.dio(samples, RATE, f0_floor=60.0, f0_ceil=600.0, frame_period=5.0)
    power = pyworld.cheaptrick(samples, pyworld.stonemask(samples, f0_hz, times, RATE), times, RATE)
    alpha = all_pass_factor(RATE)
    warped = (np.arange(4000) + 0.5) * np.pi / 4000
    omega = warped - 2 * np.arctan2(alpha * np.sin(warped), 1 + alpha * np.cos(warped))  # the inverse all-pass filter
    bins = np.linspace(0, np.pi, power.shape[1])
    log_amplitude = np.stack([np.interp(omega, bins, 0.5 * np.log(frame)) for frame in power])
    cosines = np.cos(np.arange(order + 1)[:, None] * warped)
    cepstra = 2 * log_amplitude @ cosines.T / 4000
    cepstra[:, 0] /= 2
    return cepstra.T


@pytest.mark.slow
def test_mel_cepstra_are_the_cosine_expansion_of_the_warped_envelope(speech):
    ours, others = mel_cepstrum(speech, RATE, 24), cepstra_by_integration(speech, 24)
    distance = 10 * np.sqrt(2) / np.log(10) * np.sqrt(((ours - others)[1:] ** 2).sum(axis=0))
    assert distance.mean() < 0.02  # dB, where copies of a good vocoder have 2


@pytest.mark.slow
def test_mel_cepstra_are_those_of_pysptk(speech):
    pysptk = pytest.importorskip("pysptk")
    pyworld = pytest.importorskip("pyworld")
    assert all_pass_factor(RATE) == pytest.approx(pysptk.util.mcepalpha(RATE), abs=0.0015)
    samples = speech.astype(np.float64)
    f0_hz, times = pyworld.dio(samples, RATE, f0_floor=60.0, f0_ceil=600.0, frame_period=5.0)
    power = pyworld.cheaptrick(samples, pyworld.stonemask(samples, f0_hz, times, RATE), times, RATE)
    others = pysptk.sp2mc(power, order=24, alpha=all_pass_factor(RATE)).T
    np.testing.assert_allclose(mel_cepstrum(speech, RATE, 24)[1:], others[1:], atol=0.01)


def warped_by_loops(first: np.ndarray, second: np.ndarray) -> list[tuple[int, int]]:
    """The cheapest path of steps to the right, up, or both, by dynamic programming in Python."""
    rows, columns = first.shape[1], second.shape[1]
    cost = np.linalg.norm(first[:, :, None] - second[:, None, :], axis=0)
    total = np.full((rows + 1, columns + 1), math.inf)
    total[0, 0] = 0
    for row in range(rows):
        for column in range(columns):
            before = min(total[row, column], total[row, column + 1], total[row + 1, column])
            total[row + 1, column + 1] = cost[row, column] + before
    path, row, column = [], rows, columns
    while row and column:
        path.append((row - 1, column - 1))
        steps = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
        row, column = min(steps, key=lambda step: total[step])
    return path


@pytest.mark.slow
def test_the_distortion_is_that_of_the_cheapest_path(speech):
    slower = np.interp(np.arange(0, RATE // 2, 0.9), np.arange(RATE // 2), speech[RATE // 2 : RATE])
    ours = mel_cepstral_distortion(speech[RATE // 2 : RATE], slower.astype(np.float32), RATE)
    from processors.evaluation.signals import speech_span

    cut = [each[speech_span(each, RATE)] for each in (speech[RATE // 2 : RATE], slower.astype(np.float32))]
    cepstra = [cepstra_by_integration(each, 24)[1:] for each in cut]
    path = warped_by_loops(*cepstra)
    distances = [np.linalg.norm(cepstra[0][:, row] - cepstra[1][:, column]) for row, column in path]
    assert ours == pytest.approx(10 * np.sqrt(2) / np.log(10) * np.mean(distances), abs=0.05)


@pytest.mark.slow
def test_f0_is_that_of_probabilistic_yin(speech):
    librosa = pytest.importorskip("librosa")
    ours, _ = Pair(speech, speech, RATE).f0_hz
    others, _, _ = librosa.pyin(
        np.pad(speech, (N_FFT - HOP_SIZE // 2, 2 * N_FFT)), fmin=60, fmax=600, sr=RATE, frame_length=2 * N_FFT,
        hop_length=HOP_SIZE, center=False,
    )  # fmt: skip
    others = np.nan_to_num(others[: len(ours)])
    both = (ours > 0) & (others > 0)
    assert both.sum() > 0.7 * (ours > 0).sum() > 10
    cents = 1200 * np.abs(np.log2(ours[both] / others[both]))
    # Measured 22 and 95: windows of 93 ms against Praat's 50 ms, in gliding pitch.
    assert np.median(cents) < 30 and np.quantile(cents, 0.9) < 120


def test_levels_and_distances_follow_their_formulas():
    generator = np.random.default_rng(0)
    first, noise = (generator.standard_normal(6000) * 0.1 for _ in range(2))
    second = first + 0.5 * noise
    place = 7 * HOP_SIZE + HOP_SIZE // 2
    frame = first[place - N_FFT // 2 : place + N_FFT // 2]
    assert frame_levels_db(first)[7] == pytest.approx(20 * np.log10(np.sqrt(np.mean(frame**2))))
    target, copy = first - first.mean(), second - second.mean()
    part = (copy @ target) / (target @ target) * target
    assert si_sdr(first, second) == pytest.approx(10 * np.log10((part @ part) / ((copy - part) @ (copy - part))))
    assert si_sdr(first, 3 * second) == pytest.approx(si_sdr(first, second))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    levels = []
    for waveform in (first, second):
        frames = [waveform[start : start + 1024] * window for start in range(0, 6000 - 1023, 256)]
        levels.append(20 * np.log10(np.abs(np.fft.rfft(frames))))
    floor = levels[0].max() - 80
    difference = np.maximum(levels[0], floor) - np.maximum(levels[1], floor)
    assert log_spectral_distance(first, second, RATE) == pytest.approx(np.sqrt((difference**2).mean(axis=1)).mean())
