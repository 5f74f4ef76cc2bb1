"""Statistics are per speaker, the same in any order of counting, and unmoved by outliers."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from processors.speakers.statistics import (
    SpeakerStatistics,
    StatisticsCollector,
    StatisticsError,
    open_statistics,
    save_statistics,
)


def utterance(seed: int, mean_hz: float = 200.0, n_frames: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    f0_hz = np.exp(random.normal(np.log(mean_hz), 0.2, n_frames))
    f0_hz[random.random(n_frames) < 0.4] = 0.0
    return f0_hz.astype(np.float32), random.gamma(2.0, 20.0, n_frames).astype(np.float32)


def collect(*utterances: tuple[str, np.ndarray, np.ndarray]) -> StatisticsCollector:
    collector = StatisticsCollector()
    for speaker, f0_hz, energy in utterances:
        collector.add(speaker, f0_hz, energy)
    return collector


def statistics_of(f0_hz: np.ndarray, energy: np.ndarray) -> SpeakerStatistics:
    return collect(("a", f0_hz, energy)).statistics()["a"]


def test_statistics_are_those_of_the_values():
    f0_hz, energy = utterance(0, n_frames=20_000)
    of_speaker = statistics_of(f0_hz, energy)
    for spread, values in ((of_speaker.pitch, np.log(f0_hz[f0_hz > 0])), (of_speaker.energy, energy)):
        low, high = np.quantile(values, [0.005, 0.995])
        assert spread.n_frames == len(values)
        assert spread.low == pytest.approx(low, rel=0.02) and spread.high == pytest.approx(high, rel=0.01)
        assert spread.mean == pytest.approx(np.clip(values, low, high).mean(), rel=1e-3)
        assert spread.std == pytest.approx(np.clip(values, low, high).std(), rel=2e-3)


def test_speakers_are_kept_apart():
    statistics = collect(("low", *utterance(0, 110.0)), ("high", *utterance(1, 220.0))).statistics()
    assert list(statistics) == ["high", "low"]
    assert np.exp(statistics["low"].pitch.mean) == pytest.approx(110, rel=0.03)
    assert np.exp(statistics["high"].pitch.mean) == pytest.approx(220, rel=0.03)


def test_order_changes_nothing():
    said = [(f"speaker{i % 3}", *utterance(i, 100.0 + 20 * i)) for i in range(9)]
    at_once = collect(*said).statistics()
    backwards = collect(*said[::-1]).statistics()
    assert at_once == backwards


def test_memory_stays_flat():
    one = len(pickle.dumps(collect(("a", *utterance(0)))))
    many = len(pickle.dumps(collect(*[("a", *utterance(i)) for i in range(50)])))
    assert many == one


def test_outliers_have_little_effect_and_are_clipped():
    f0_hz, energy = utterance(0, n_frames=20_000)
    clean = statistics_of(f0_hz, energy)
    f0_hz[np.flatnonzero(f0_hz)[:40]] = 590.0
    energy[:60] = 1e4
    harmed = statistics_of(f0_hz, energy)
    assert harmed.pitch.mean == pytest.approx(clean.pitch.mean, abs=0.005)
    assert harmed.energy.std == pytest.approx(clean.energy.std, rel=0.05)
    assert harmed.normalize_pitch(f0_hz).max() < 3.5
    assert harmed.normalize_energy(energy).max() < 6


def test_many_octave_errors_are_still_outliers():
    f0_hz, energy = utterance(0, n_frames=20_000)
    clean = statistics_of(f0_hz, energy)
    voiced = np.flatnonzero(f0_hz)
    f0_hz[voiced[::25]] *= 3.0
    harmed = statistics_of(f0_hz, energy)
    assert harmed.pitch.high < clean.pitch.high + 0.25
    assert harmed.pitch.std < 1.25 * clean.pitch.std


def test_normalised_values_have_mean_0_and_deviation_1():
    f0_hz, energy = utterance(0, n_frames=20_000)
    of_speaker = statistics_of(f0_hz, energy)
    for values in (of_speaker.normalize_pitch(f0_hz)[f0_hz > 0], of_speaker.normalize_energy(energy)):
        assert values.dtype == np.float32
        assert values.mean() == pytest.approx(0.0, abs=2e-3) and values.std() == pytest.approx(1.0, abs=3e-3)
    assert not of_speaker.normalize_pitch(f0_hz)[f0_hz == 0].any()


def test_an_unvoiced_speaker_gets_everyones_pitch():
    unvoiced = (np.zeros(100, dtype=np.float32), np.ones(100, dtype=np.float32))
    statistics = collect(("whisperer", *unvoiced), ("b", *utterance(1))).statistics()
    assert statistics["whisperer"].pitch.mean == statistics["b"].pitch.mean
    assert statistics["whisperer"].pitch.n_frames == 0
    alone = statistics_of(*unvoiced)
    assert 80 < np.exp(alone.pitch.mean) < 300
    assert not alone.normalize_pitch(unvoiced[0]).any()


def test_silence_and_synthetic_tones_have_finite_statistics():
    for f0_hz, energy in [(200.0, 1.0), (0.0, 0.0), (1e-3, 1e9), (1e9, 1e-9)]:
        of_speaker = statistics_of(np.full(10, f0_hz, np.float32), np.full(10, energy, np.float32))
        assert np.isfinite(of_speaker.normalize_pitch(np.array([f0_hz, 0.0]))).all()
        assert np.abs(of_speaker.normalize_energy(np.array([energy]))).max() < 2
    assert StatisticsCollector().statistics() == {}


def test_an_utterance_of_no_frames_counts_nothing():
    assert statistics_of(np.zeros(0), np.zeros(0)).energy.n_frames == 0


def test_what_was_saved_is_opened(tmp_path: Path):
    statistics = collect(("ä", *utterance(0)), ("b", *utterance(1))).statistics()
    save_statistics(tmp_path / "statistics.json", statistics)
    assert open_statistics(tmp_path / "statistics.json") == statistics


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": {}}', '{"a": {"pitch": {"mean": 0}, "energy": {}}}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str):
    path = tmp_path / "statistics.json"
    with pytest.raises(StatisticsError, match=r"statistics\.json: no such file"):
        open_statistics(path)
    path.write_text(content)
    with pytest.raises(StatisticsError, match=r"statistics\.json: damaged; run stage 1 again"):
        open_statistics(path)


def test_pitch_in_hz_of_all_speakers_together_normalises_hz():
    collector = StatisticsCollector("hz", of_corpus=True)
    rng = np.random.default_rng(0)
    low, high = (np.clip(rng.normal(mean, 10.0, 5000), 60, 400) for mean in (120.0, 220.0))
    for speaker, f0_hz in (("a", low), ("b", high)):
        collector.add(speaker, f0_hz.astype(np.float32), np.ones(5000))
    first, second = collector.statistics().values()
    assert first.pitch == second.pitch and first.pitch_scale == "hz"
    assert first.pitch.mean == pytest.approx(170.0, rel=0.01) and first.pitch.std == pytest.approx(51.0, rel=0.02)
    normalised = first.normalize_pitch(np.array([0.0, first.pitch.mean, first.pitch.mean + first.pitch.std]))
    assert normalised.tolist() == pytest.approx([0.0, 0.0, 1.0], abs=1e-6)


def test_the_scale_of_pitch_survives_saving(tmp_path):
    collector = StatisticsCollector("hz")
    collector.add("a", np.full(100, 150.0, dtype=np.float32), np.ones(100))
    save_statistics(tmp_path / "statistics.json", collector.statistics())
    assert open_statistics(tmp_path / "statistics.json") == collector.statistics()
