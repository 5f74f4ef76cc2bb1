"""Measures rank what is nearer above what is farther, and odd recordings end none of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from processors.audio.audio_file import read_audio, resample, write_wav
from processors.evaluation import packages
from processors.evaluation.evaluate_folders import EvaluationError, Yardsticks
from processors.evaluation.measures import f0
from processors.evaluation.measures.dnsmos import dnsmos
from processors.evaluation.measures.mel_difference import mel_error
from processors.evaluation.measures.pesq import pesq
from processors.evaluation.measures.stoi import stoi
from processors.evaluation.measures.word_errors import PACKAGES
from processors.evaluation.metrics import METRICS, listed, measure_pair
from processors.evaluation.pair import Pair
from processors.evaluation.results import compare_folders, evaluate_folders
from processors.evaluation.texts import Text
from tests.support.commands import call

RATE = 22050


def needs(measure: str):
    (metric,) = (metric for metric in METRICS if metric.name == measure)
    return pytest.mark.skipif(not metric.is_installed, reason=f"needs what {measure} is measured with")


@pytest.fixture(scope="module")
def speech(shared_data) -> np.ndarray:
    """Some seconds of a voice."""
    return read_audio(sorted((shared_data / "kathleen" / "wavs").iterdir())[0], RATE)


def noisy(waveform: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(waveform)).astype(np.float32)
    return waveform + level * noise


def tone(seconds: float = 1.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(RATE * seconds)) / RATE).astype(np.float32)


def glide(seconds: float, from_hz: float = 120.0, to_hz: float = 240.0) -> np.ndarray:
    """A buzz that rises by an octave, whose harmonics fade towards the end."""
    place = np.linspace(0, 1, int(RATE * seconds))
    phase = 2 * np.pi * np.cumsum(from_hz * (to_hz / from_hz) ** place) / RATE
    return sum(np.exp(-3 * place * number) * np.sin(number * phase) / 8 for number in range(1, 9)).astype(np.float32)


def compare(recording: np.ndarray, degraded: np.ndarray, sample_rate: int) -> dict[str, float]:
    found = measure_pair(Pair(recording, degraded, sample_rate), [each for each in METRICS if each.is_installed])
    return {name: figure.value for name, figure in found.items()}


class Parrot:
    """A transcriber that repeats what it was given."""

    def __init__(self, transcript: str) -> None:
        self.transcript = transcript

    def transcribe(self, waveform, sample_rate, language="en"):
        return self.transcript


@pytest.fixture
def no_networks(monkeypatch):
    """Leaves out what takes a second per recording."""
    for module, name in (("dnsmos", "dnsmos"), ("distill_mos", "distillmos")):
        monkeypatch.setattr(f"processors.evaluation.measures.{module}.{name}", lambda *_: None)


@needs("pesq")
def test_pesq_falls_with_noise_and_is_best_for_the_recording_itself(speech):
    same, near, far = (pesq(speech, noisy(speech, level), RATE) for level in (0.0, 0.001, 0.03))
    assert same == pytest.approx(4.644, abs=0.01)
    assert same > near > far >= 1.0


@pytest.mark.slow
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
@needs("dnsmos")
def test_predicted_mos_falls_with_noise(speech):
    assert 5 > dnsmos(speech, RATE) > dnsmos(noisy(speech, 0.1), RATE) > 1


def test_a_recording_differs_from_itself_in_nothing(no_networks):
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
def test_odd_recordings_raise_no_error(odd, no_networks):
    for reference, degraded in ((tone(), ODD[odd]), (ODD[odd], tone()), (ODD[odd], ODD[odd])):
        found = compare(reference, degraded, RATE)
        assert all(np.isfinite(value) for value in found.values())
        if odd == "silence" and not reference.any():
            assert not {"pesq", "stoi"} & found.keys()
    mel_error(tone(), ODD[odd], RATE)


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["silence", "nothing", "one sample", "beyond full scale"])
def test_odd_recordings_raise_no_error_in_dnsmos(odd):
    score = dnsmos(ODD[odd], RATE)
    assert score is None or 0 < score < 5


def test_metrics_of_missing_packages_are_skipped(monkeypatch):
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda _: None)
    assert {metric.name for metric in METRICS if not metric.is_installed} == {
        "pesq", "stoi", "distillmos", "wer", "cer", "dnsmos", "reference_dnsmos"
    }  # fmt: skip
    found = compare(tone(), noisy(tone(), 0.1), RATE)
    assert {"mel", "spectral_convergence", "log_magnitude"} <= found.keys() and "pesq" not in found
    for name in ("pesq", "wer"):
        with pytest.raises(EvaluationError, match=f"{name}: its package is missing"):
            Yardsticks((name,)).chosen()


def test_two_folders_are_compared_by_name(tmp_path, capsys, no_networks):
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
        yardsticks = Yardsticks(("mel",))
        evaluate_folders(tmp_path / "gt", tmp_path / "pred", tmp_path / "out.json", yardsticks=yardsticks)

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
def test_free_speech_is_compared_by_what_needs_no_equal_timing(tmp_path, capsys, no_networks):
    write_wav(tmp_path / "gt" / "a.wav", glide(1.0), RATE)
    write_wav(tmp_path / "pred" / "a.wav", glide(1.4), RATE)
    evaluate_folders(tmp_path / "gt", tmp_path / "pred", dump_folder=tmp_path / "out")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    means = result["means"]
    timed = {metric.name for metric in METRICS if metric.needs_equal_timing}
    assert timed == {
        "mel", "spectral_convergence", "log_magnitude", "log_spectral_distance", "si_sdr", "pesq", "stoi"
    }  # fmt: skip
    assert not timed & means.keys() and {"f0_rmse", "f0_correlation", "mel_change"} <= means.keys()
    (note,) = result["notes"]
    assert note.startswith("1 of 1 files last longer or shorter") and "lasts 1.40 s" in note
    assert note in capsys.readouterr().err and "lasts 1.40 s" in (tmp_path / "out" / "index.html").read_text()


def test_f0_is_compared_in_cents_and_after_warping_where_the_timing_differs():
    copied = Pair(glide(1.0), glide(1.0, 126.0, 252.0), RATE)
    assert f0.rmse(copied) == pytest.approx(1200 * np.log2(126 / 120), abs=4)
    assert f0.correlation(copied) > 0.999
    slower = Pair(glide(1.0), glide(1.5), RATE, has_equal_timing=False)
    assert f0.rmse(slower) < 60 and f0.correlation(slower) > 0.98
    falling = Pair(glide(1.0), glide(1.0, 240.0, 120.0), RATE)
    assert f0.rmse(falling) > 400 and f0.correlation(falling) < -0.98
    assert f0.rmse(Pair(glide(1.0), noisy(0 * glide(1.0), 0.1), RATE)) is None


def test_word_errors_are_weighted_by_words_and_paired_with_those_of_another_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("processors.evaluation.metric.are_installed", lambda found: found in ((), PACKAGES))
    texts = {"a": Text("one two three four", "en"), "b": Text("five", "en")}
    for folder in ("made", "recorded"):
        for name in texts:
            write_wav(tmp_path / folder / f"{name}.wav", tone(0.3), RATE)
    lines = evaluate_folders(
        None,
        tmp_path / "made",
        tmp_path / "out.json",
        compare_dir=tmp_path / "recorded",
        yardsticks=Yardsticks((), texts, Parrot("one two three five")),
    )
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["recordings"]["a"]["wer"] == 25 and found["recordings"]["b"]["wer"] == 300
    assert found["means"]["wer"] == pytest.approx(100 * 4 / 5)
    low, high = found["intervals"]["wer"]
    assert low == 25 and high == 300  # with two recordings, a draw may hold one of them alone
    assert found["comparison"]["differences"]["wer"] == found["comparison"]["intervals"]["wer"][1] == 0
    assert found["transcripts"]["a"] == "one two three five"
    assert "reference_dnsmos" not in found["means"] and "f0_rmse" not in found["means"]
    assert any(line.startswith("minus ") for line in lines)


def test_metrics_are_chosen_by_name():
    assert [metric.name for metric in Yardsticks(("f0_rmse", "mel")).chosen()] == ["mel", "f0_rmse"]
    with pytest.raises(EvaluationError, match=r"no metric mell; known are mel, .*did you mean"):
        Yardsticks(("mell",)).chosen()


@pytest.mark.slow
def test_the_command_prints_the_path_of_the_report(tmp_path):
    for folder in ("gt", "pred"):
        write_wav(tmp_path / folder / "a.wav", tone(), RATE)
    flags = ["--reference_dir", tmp_path / "gt", "--made_dir", tmp_path / "pred", "--output", tmp_path / "out.json"]
    done = call("bins.evaluate", *flags)
    assert done.returncode == 0, done.stderr
    assert "spectral_convergence" in done.stdout and "out.json" in done.stdout
    refused = call("bins.evaluate", "--infer_expt_dir", tmp_path, "--metrics", "mdc")  # before the model is opened
    assert refused.returncode == 1 and "did you mean mcd" in refused.stderr


@pytest.fixture
def folders(tmp_path):
    """Recordings, and two systems of which the second is noisy and at another rate; one file is missing."""
    for name in ("a", "b", "c"):
        write_wav(tmp_path / "gt" / f"{name}.wav", glide(0.4), RATE)
    for name in ("a", "b"):
        write_wav(tmp_path / "good" / f"{name}.wav", glide(0.4), RATE)
        speech = noisy(glide(0.4), 0.1 if name == "b" else 0.01)
        write_wav(tmp_path / "bad" / f"{name}.wav", resample(speech, RATE, 16000), 16000)
    return tmp_path


def test_an_evaluation_leaves_result_csv_and_a_page_with_the_worst_first(folders, capsys):
    names = ("mel", "energy_rmse", "mel_change")
    texts = {"a": Text("one & two", "en"), "b": Text("three", "en")}
    evaluate_folders(
        folders / "gt",
        folders / "bad",
        dump_folder=folders / "out",
        compare_dir=folders / "gt",
        yardsticks=Yardsticks(names, texts),
    )
    result = json.loads((folders / "out" / "result.json").read_text())
    assert result["units"] == {"mel": "", "energy_rmse": "dB", "mel_change": ""} and result["better"]["mel"] == "less"
    assert result["means"]["mel"] > 0
    # Recordings beside it are not compared with themselves: what needs no recording is left of them.
    (difference,) = result["comparison"]["differences"].items()
    own = [each["mel_change"] for each in result["comparison"]["recordings"].values()]
    assert difference == ("mel_change", pytest.approx(result["means"]["mel_change"] - sum(own) / 2)) and len(own) == 2
    header, *rows = (folders / "out" / "result.csv").read_text().splitlines()
    assert header == "system,recording,mel,energy_rmse,mel_change,text,transcript" and len(rows) == 4
    page = (folders / "out" / "index.html").read_text()
    assert page.index("<h3>b ") < page.index("<h3>a ") and "one &amp; two" in page
    assert page.count("<audio") == 4 and page.count("data:image/png") == 2 and "http" not in page
    lines = evaluate_folders(
        folders / "gt", folders / "bad", compare_dir=folders / "gt", yardsticks=Yardsticks(("mel",))
    )
    assert len(lines) == 2 and not any(line.startswith("minus") for line in lines)
    warned = capsys.readouterr().err
    assert f"{folders / 'gt'}: c" in warned
    assert "16000 Hz" in warned and "22050 Hz" in warned


def test_systems_are_compared_with_the_first_in_one_table(folders):
    systems = {"good": folders / "good", "bad": folders / "bad"}
    table = compare_folders(folders / "gt", systems, folders / "out", Yardsticks(("mel", "speech_length")))
    (row,) = (line for line in table.splitlines() if line.startswith("| mel "))
    assert row.split(" | ")[2].startswith("0.0") and row.endswith(" - |")
    result = json.loads((folders / "out" / "result.json").read_text())
    assert result["first"] == "good" and result["systems"]["bad"]["minus_first"]["differences"]["mel"] > 0.1
    assert (folders / "out" / "table.md").read_text() == table and (folders / "out" / "index.html").is_file()


def test_the_table_of_metrics_has_a_line_for_each():
    lines = listed()
    assert lines[0].split() == ["metric", "unit", "better", "compares", "packages", "meaning"]
    assert [line.split()[0] for line in lines[1:]] == [metric.name for metric in METRICS]
    assert len({metric.name for metric in METRICS}) == len(METRICS)
