"""Data check: faults are found, and good recordings are not reported."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import soundfile
import soxr

import bins.check_data
from config.load import load_settings
from models.registry import settings_class
from processors.corpora.corpus import Corpus, CorpusError
from processors.corpora.exclusions import report_exclusions
from processors.data_check.clip_analysis import ClipAnalysis, TextComparison
from processors.data_check.clip_measures import loud_seconds, measure_clip
from processors.data_check.findings import (
    findings_of_pace,
    findings_of_repetition,
    findings_of_sound,
    findings_of_text,
    narrow_speakers,
    suspicious_score,
)
from processors.preparation.plan import make_plan
from processors.utterance import Utterance

RATE = 24000


def speech(seed: int, seconds: float = 2.0) -> np.ndarray:
    """Return synthetic speech: syllables of coloured noise with pauses, over a faint background."""
    rng = np.random.default_rng(seed)
    n_samples = int(seconds * RATE)
    loudness = rng.uniform(0.2, 1.0, n_samples // 2400 + 1) * rng.choice([0, 1, 1], n_samples // 2400 + 1)
    syllables = np.repeat(loudness, 2400)
    envelope = np.convolve(syllables[:n_samples], np.hanning(600) / 300, "same")
    carrier = np.zeros(n_samples)
    for start in range(0, n_samples, 2400):
        pitch = rng.uniform(100, 250)
        time = np.arange(min(2400, n_samples - start)) / RATE
        harmonics = (np.sin(2 * np.pi * pitch * k * time) * rng.uniform(0.1, 1) / k for k in range(1, 80))
        carrier[start : start + len(time)] = sum(harmonics)
    carrier += 0.2 * rng.standard_normal(n_samples)
    return 0.1 * envelope * carrier + 1e-4 * rng.standard_normal(n_samples)


@pytest.fixture(scope="module")
def good():
    return {f"clip{seed:02d}": speech(seed) for seed in range(30)}


def findings_after(good, change):
    """Return the kinds of findings of one changed clip among good ones, and the others that have findings."""
    waveforms = dict(good)
    waveforms["clip07"] = change(waveforms["clip07"])
    clips = {id_: measure_clip(waveform, RATE) for id_, waveform in waveforms.items()}
    found = list(findings_of_sound(clips, dict.fromkeys(clips, "anna"), RATE / 2))
    return {each.kind for each in found if each.utterance_id == "clip07"}, {each.utterance_id for each in found} - {
        "clip07"
    }


def with_noise(waveform):
    return waveform + np.random.default_rng(1).standard_normal(len(waveform)) * np.sqrt(np.mean(waveform**2))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("clipping", lambda x: np.clip(x, -0.3 * abs(x).max(), 0.3 * abs(x).max())),
        ("clipping", lambda x: 0.5 * np.clip(3 * x / abs(x).max(), -1, 1)),
        ("DC offset", lambda x: x + 0.05),
        ("noise", with_noise),
        ("level", lambda x: 0.02 * x),
        ("leading silence", lambda x: np.concatenate([np.full(2 * RATE, 1e-5), x])),
        ("trailing silence", lambda x: np.concatenate([x, np.full(2 * RATE, 1e-5)])),
        ("bandwidth", lambda x: soxr.resample(soxr.resample(x, RATE, 16000), 16000, RATE)),
    ],
)
def test_a_fault_is_found_and_no_other_recording_reported(good, kind, change):
    kinds, others = findings_after(good, change)
    assert kind in kinds
    assert not others


def test_good_recordings_have_no_findings(good):
    assert findings_after(good, lambda x: x) == (set(), set())


def utterance(id_: str, text: str = "", speaker: str = "anna", **more) -> Utterance:
    return Utterance(id_, "mine", speaker, "en", text or f"text of {id_}", more.pop("audio_path", None), **more)


def test_a_repeated_recording_is_found_at_another_level_and_sample_rate(good):
    quieter = 0.5 * soxr.resample(good["clip03"], RATE, 16000)
    clips = {id_: measure_clip(waveform, RATE) for id_, waveform in good.items()}
    clips["again"] = measure_clip(quieter, 16000)
    utterances = [*map(utterance, good), utterance("again")]
    [found] = findings_of_repetition(utterances, clips)
    assert (found.utterance_id, found.kind) == ("again", "repeated recording") and "clip03" in found.description


def test_a_repeated_text_is_found_but_not_left_out(good):
    clips = {id_: measure_clip(good[id_], RATE) for id_ in ("clip01", "clip02", "clip03")}
    texts = {"clip01": "Good morning!", "clip02": "good  morning", "clip03": "Good evening."}
    [found] = findings_of_repetition([utterance(id_, text) for id_, text in texts.items()], clips)
    assert (found.utterance_id, found.kind, found.leaves_out) == ("clip02", "repeated text", False)


def test_a_text_far_too_long_for_its_recording_is_found(good):
    clips = {id_: measure_clip(waveform, RATE) for id_, waveform in good.items()}
    sizes = {id_: 20 + number % 5 for number, id_ in enumerate(clips)} | {"clip11": 90}
    [found] = findings_of_pace(clips, sizes, "phones")
    assert found.utterance_id == "clip11" and "phones per second" in found.description


def test_of_repeated_recordings_the_one_without_faults_is_kept(good):
    clips = {id_: measure_clip(good["clip03"], RATE) for id_ in ("wrong_text", "fine", "again")}
    found = list(findings_of_repetition([*map(utterance, clips)], clips, {"wrong_text"}))
    assert {(each.utterance_id, each.description) for each in found} == {
        ("again", "same sound as fine"),
        ("wrong_text", "same sound as fine"),
    }


def test_level_noise_and_bandwidth_are_compared_within_a_speaker(good):
    narrower = {
        f"far_{id_}": 0.3 * soxr.resample(soxr.resample(waveform, RATE, 16000), 16000, RATE)
        for id_, waveform in good.items()
    }
    clips = {id_: measure_clip(waveform, RATE) for id_, waveform in (good | narrower).items()}
    speaker_of = {id_: "otto" if id_ in narrower else "anna" for id_ in clips}
    assert not list(findings_of_sound(clips, speaker_of, RATE / 2))
    assert list(narrow_speakers(clips, speaker_of, RATE / 2)) == ["otto"]


def test_a_bandwidth_above_that_of_training_is_no_fault(good):
    clips = {id_: measure_clip(waveform, RATE) for id_, waveform in good.items()}
    clips["clip07"] = measure_clip(soxr.resample(good["clip07"], RATE, 16000), 16000)
    assert [each.kind for each in findings_of_sound(clips, dict.fromkeys(clips, "anna"), RATE / 2)] == ["bandwidth"]
    assert not list(findings_of_sound(clips, dict.fromkeys(clips, "anna"), 8000))


def analyses_with(score, unwritten_s=0.0):
    return [ClipAnalysis(f"clip{n:02d}", None, is_compared=True, score=-1 - n % 7 / 20) for n in range(40)] + [
        ClipAnalysis("this", None, is_compared=True, score=score, unwritten_s=unwritten_s)
    ]


@pytest.mark.parametrize(
    ("score", "unwritten_s", "description", "leaves_out"),
    [
        (None, 0.0, "cannot be aligned", True),
        (-4.0, 0.0, "low alignment score", True),
        (-2.4, 0.0, "low alignment score", False),
        (-1.0, 0.8, "0.8 s of the recording are loud", True),
    ],
)
def test_a_text_that_does_not_match_its_recording_is_found(score, unwritten_s, description, leaves_out):
    analyses = {each.utterance_id: each for each in analyses_with(score, unwritten_s)}
    [found] = findings_of_text(analyses, {}, set())
    assert (found.utterance_id, found.leaves_out) == ("this", leaves_out) and description in found.description


def test_a_low_score_of_a_noisy_recording_is_reported_only_if_another_text_matches():
    analyses = {each.utterance_id: each for each in analyses_with(-4.0)}
    assert not list(findings_of_text(analyses, {}, {"this"}))
    [found] = findings_of_text(analyses, {"this": TextComparison("this", "Another text.", -3.5)}, {"this"})
    assert "Another text." in found.description


def test_few_texts_of_a_good_corpus_and_all_wrong_ones_are_compared():
    scores = np.random.default_rng(0).normal(-1.1, 0.15, 1000)
    assert (scores < suspicious_score(scores)).mean() < 0.05
    third = np.concatenate([scores, np.random.default_rng(1).normal(-5, 0.5, 400)])
    assert (third < suspicious_score(third)).sum() >= 400


def test_seconds_of_speech_outside_words_are_measured(good):
    waveform = np.concatenate([good["clip01"], np.zeros(RATE), good["clip02"]])
    assert loud_seconds(waveform, RATE, [(2.1, 2.9)]) == 0
    assert 0.5 < loud_seconds(waveform, RATE, [(3.0, 5.0)]) < 2.0


@pytest.fixture
def config(good, tmp_path):
    """Write a corpus of two speakers, and settings for it."""
    for number, (id_, waveform) in enumerate(good.items()):
        folder = tmp_path / "corpus" / ("anna" if number % 2 else "otto")
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{id_}.wav", 0.02 * waveform if id_ == "clip07" else waveform, RATE)
        (folder / f"{id_}.lab").write_text(f"This is the text of clip {number}.")
    (tmp_path / "corpus" / "anna" / "broken.wav").write_bytes(b"no sound")
    (tmp_path / "corpus" / "anna" / "broken.lab").write_text("Nobody hears this.")
    settings = {
        "base_config": "config/fastspeech2_small.json",
        "dataset": ["mine"],
        "dataset_path": {"mine": str(tmp_path / "corpus")},
        "dataset_layout": {"mine": "speaker_folders"},
        "log_dir": str(tmp_path / "ckpts"),
        "preprocess": {"processed_dir": str(tmp_path / "processed"), "language": "en"},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings))
    return path


@pytest.mark.slow
def test_the_command_writes_page_table_and_list(config, command, tmp_path):
    code, printed, errors = command(bins.check_data, "--config", config, "--no_mos", "--num_workers", "1")
    assert code == 0, errors
    folder = tmp_path / "processed" / "mine"
    rows = {
        row["id"].removeprefix(f"{row['speaker']}_"): row for row in csv.DictReader((folder / "data_check.csv").open())
    }
    assert len(rows) == 31
    assert "level" in rows["clip07"]["findings"] and "unreadable" in rows["broken"]["findings"]
    listed = (folder / "leave_out.txt").read_text()
    assert "clip07" in listed and "broken" in listed
    page = (folder / "data_check.html").read_text()
    assert "Less than the 30 minutes" in page and page.count("<audio") >= 1 and "clip07" in page
    assert "preprocess.leave_out" in printed + errors


@pytest.mark.slow
def test_texts_are_read_in_their_own_languages_and_compared_in_english_alone(config, command, tmp_path):
    overrides = ["preprocess.phone_extractor=char", "dataset_language.mine/otto=de"]
    flags = [flag for each in overrides for flag in ("--set", each)]
    code, _, errors = command(bins.check_data, "--config", config, "--no_mos", "--num_workers", "1", *flags)
    assert code == 0, errors
    page = (tmp_path / "processed" / "mine" / "data_check.html").read_text()
    assert "<td>otto</td><td>de</td><td>15</td>" in page and "<td>anna</td><td>en</td><td>16</td>" in page
    assert "(English only) for anna." in page
    assert "Letters" in page and "Never" not in page


@pytest.mark.slow
def test_a_vocoder_s_corpus_is_checked_without_texts(config, command, tmp_path):
    for text in (tmp_path / "corpus").glob("*/*.lab"):
        text.unlink()
    flags = ["--set", "dataset_layout.mine=recordings"]
    path = tmp_path / "vocoder.json"
    path.write_text(config.read_text().replace("fastspeech2_small", "hifigan_v1"))
    code, _, errors = command(bins.check_data, "--config", path, "--no_mos", "--num_workers", "1", *flags)
    assert code == 0, errors
    folder = tmp_path / "processed" / "mine"
    assert "Texts were not checked" in (folder / "data_check.html").read_text()
    assert {line.split("#")[1].strip() for line in (folder / "leave_out.txt").read_text().splitlines()[1:]} == {
        "level",
        "unreadable",
    }


def test_an_unwritable_folder_is_refused_before_recordings_are_read(config, command, tmp_path):
    (tmp_path / "file").touch()
    code, printed, errors = command(bins.check_data, "--config", config, "--no_mos", "--output_dir", tmp_path / "file")
    assert code == 1 and "analyzing" not in printed + errors
    assert "cannot be written to" in errors and "--output_dir" in errors


def test_stage_1_leaves_out_listed_recordings_and_keeps_other_splits(tmp_path):
    overrides = [f"preprocess.processed_dir={tmp_path}", f"preprocess.leave_out={tmp_path}/{{dataset}}.txt"]
    settings = load_settings("egs/tts/FastSpeech2/exp_config.json", overrides, settings_class).settings.preprocess
    ids = ["take#1", *(f"u{n}" for n in range(40))]
    members = tuple(utterance(id_, audio_path=tmp_path / f"{id_}.wav") for id_ in ids)

    def plan(settings):
        return make_plan("mine", Corpus(members), settings, ("mel", "waveform"), inventory=(), overwrite=False)

    with pytest.raises(CorpusError, match=r"preprocess\.leave_out: .*mine\.txt: cannot be read: No such file"):
        plan(settings)
    (tmp_path / "mine.txt").write_text("# those\nu3  # noise\n\nu17\ntake#1 # clipped\nnobody\n")
    fewer = {each.id: each.split for each in plan(settings).utterances}
    every = {each.id: each.split for each in plan(settings.model_copy(update={"leave_out": ""})).utterances}
    assert fewer == {id_: split for id_, split in every.items() if id_ not in {"u3", "u17", "take#1"}}


def test_only_ids_of_no_corpus_are_warned_of(tmp_path, capsys):
    (tmp_path / "both.txt").write_text("u1\nv2\nnobody\n")
    overrides = [f"preprocess.leave_out={tmp_path}/both.txt"]
    settings = load_settings("egs/tts/FastSpeech2/exp_config.json", overrides, settings_class).settings.preprocess
    corpora = {
        name: Corpus(tuple(utterance(f"{name}{n}", audio_path=tmp_path / f"{n}.wav") for n in range(3)))
        for name in ("u", "v")
    }
    report_exclusions(corpora, settings)
    printed = capsys.readouterr()
    assert "u: 1 recording is left out" in printed.out and "v: 1 recording is" in printed.out
    assert "both.txt: no recording of u, v is named nobody" in printed.err and "u1" not in printed.err
