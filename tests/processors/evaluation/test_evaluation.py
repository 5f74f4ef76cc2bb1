"""Measures rank what is nearer above what is farther, and odd recordings end none of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from processors.audio.audio_file import read_audio, write_wav
from processors.evaluation import perception
from processors.evaluation.evaluate_folders import EvaluationError, evaluate_folders
from processors.evaluation.metrics import compare, mel_error
from processors.evaluation.perception import is_installed, pesq, predicted_mos, stoi
from tests.support.commands import call

RATE = 22050


def needs(measure: str):
    return pytest.mark.skipif(not is_installed(measure), reason=f"needs what {measure} is measured with")


@pytest.fixture(scope="module")
def speech(shared_data) -> np.ndarray:
    """Some seconds of a voice."""
    return read_audio(sorted((shared_data / "kathleen" / "wavs").iterdir())[0], RATE)


def noisy(waveform: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(waveform)).astype(np.float32)
    return waveform + level * noise


def tone(seconds: float = 1.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(RATE * seconds)) / RATE).astype(np.float32)


@needs("pesq")
def test_pesq_falls_with_noise_and_is_best_for_the_recording_itself(speech):
    same, near, far = (pesq(speech, noisy(speech, level), RATE) for level in (0.0, 0.001, 0.03))
    assert same == pytest.approx(4.644, abs=0.01)
    assert same > near > far >= 1.0


@needs("pesq")
def test_pesq_of_a_long_recording_is_that_of_its_parts(speech):
    assert pesq(np.tile(speech, 12), noisy(np.tile(speech, 12), 0.003), RATE) == pytest.approx(
        pesq(speech, noisy(speech, 0.003), RATE), abs=0.3
    )


@needs("stoi")
def test_stoi_falls_with_noise_and_is_1_for_the_recording_itself(speech):
    same, near, far = (stoi(speech, noisy(speech, level), RATE) for level in (0.0, 0.003, 0.1))
    assert same == pytest.approx(1.0, abs=1e-3)
    assert same > near > far


@pytest.mark.slow
@needs("mos")
def test_predicted_mos_falls_with_noise(speech):
    assert 5 > predicted_mos(speech, RATE) > predicted_mos(noisy(speech, 0.1), RATE) > 1


def test_a_recording_differs_from_itself_in_nothing(monkeypatch):
    monkeypatch.setattr("processors.evaluation.metrics.predicted_mos", lambda *_: None)
    same = compare(tone(), tone(), RATE)
    assert same["spectral_convergence"] == same["log_magnitude"] == mel_error(tone(), tone(), RATE) == 0
    worse = compare(tone(), noisy(tone(), 0.1), RATE)
    assert all(worse[name] > 0.01 for name in ("spectral_convergence", "log_magnitude"))


@pytest.mark.parametrize("sample_rate", [8000, 16000, 24000, 48000, 96000])
def test_the_mel_error_is_measured_at_any_rate(sample_rate):
    assert mel_error(tone(), noisy(tone(), 0.1), sample_rate) > 0.1


ODD = {
    "silence": np.zeros(RATE, dtype=np.float32),
    "nothing": np.zeros(0, dtype=np.float32),
    "one sample": np.ones(1, dtype=np.float32),
    "a click": tone(0.01),
    "nan": np.full(RATE, np.nan, dtype=np.float32),
    "a constant": np.full(RATE, 0.5, dtype=np.float32),
    "noise": noisy(np.zeros(RATE, dtype=np.float32), 0.3),
    "beyond full scale": 3 * tone(),
    "another length": tone(0.7),
}


@pytest.mark.parametrize("odd", sorted(ODD))
def test_odd_recordings_raise_no_error(odd, monkeypatch):
    monkeypatch.setattr("processors.evaluation.metrics.predicted_mos", lambda *_: None)  # it takes a second each
    for reference, degraded in ((tone(), ODD[odd]), (ODD[odd], tone()), (ODD[odd], ODD[odd])):
        found = compare(reference, degraded, RATE)
        assert all(np.isfinite(value) for value in found.values())
        if odd == "silence" and not reference.any():
            assert not {"pesq", "stoi"} & found.keys()
    mel_error(tone(), ODD[odd], RATE)


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["silence", "nothing", "one sample", "beyond full scale"])
def test_odd_recordings_raise_no_error_in_predicted_mos(odd):
    score = predicted_mos(ODD[odd], RATE)
    assert score is None or 0 < score < 5


def test_metrics_of_missing_packages_are_skipped(monkeypatch):
    monkeypatch.setattr(perception.importlib.util, "find_spec", lambda _: None)
    assert compare(tone(), noisy(tone(), 0.1), RATE).keys() == {"mel", "spectral_convergence", "log_magnitude"}


def test_two_folders_are_compared_by_name(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("processors.evaluation.metrics.predicted_mos", lambda *_: None)
    for name in ("a", "inner/b", "alone"):
        write_wav(tmp_path / "gt" / f"{name}.wav", tone(), RATE)
    for name, level in (("a", 0.0), ("inner/b", 0.1)):
        write_wav(tmp_path / "pred" / f"{name}.wav", noisy(tone(), level), RATE)
    table = evaluate_folders(tmp_path / "gt", tmp_path / "pred", tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["recordings"].keys() == {"a", "inner/b"}
    assert found["counts"]["mel"] == 2
    assert found["recordings"]["a"]["mel"] == 0
    assert found["means"]["mel"] == pytest.approx(found["recordings"]["inner/b"]["mel"] / 2)
    assert any(line.startswith("mel ") for line in table)
    assert "1 files are in one of the folders only" in capsys.readouterr().err


def test_folders_that_cannot_be_compared_are_refused(tmp_path):
    def compare():
        evaluate_folders(tmp_path / "gt", tmp_path / "pred", tmp_path / "out.json")

    with pytest.raises(EvaluationError, match="no such folder"):
        compare()
    (tmp_path / "gt").mkdir()
    with pytest.raises(EvaluationError, match="contains no sound files"):
        compare()
    write_wav(tmp_path / "gt" / "a.wav", tone(), RATE)
    write_wav(tmp_path / "pred" / "b.wav", tone(), RATE)
    with pytest.raises(EvaluationError, match="none of its 1 files has the name"):
        compare()
    write_wav(tmp_path / "pred" / "a.wav", tone(0.5), RATE)
    with pytest.raises(EvaluationError, match=r"lasts 0\.50 s"):
        compare()
    assert not (tmp_path / "out.json").exists()


@pytest.mark.slow
def test_the_command_prints_the_path_of_the_report(tmp_path):
    for folder in ("gt", "pred"):
        write_wav(tmp_path / folder / "a.wav", tone(), RATE)
    flags = ["--reference_dir", tmp_path / "gt", "--made_dir", tmp_path / "pred", "--output", tmp_path / "out.json"]
    done = call("bins.evaluate", *flags)
    assert done.returncode == 0, done.stderr
    assert "spectral_convergence" in done.stdout and "out.json" in done.stdout
