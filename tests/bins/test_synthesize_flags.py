"""Every flag of `bins.synthesize --help` has a test that shows its effect."""

from __future__ import annotations

import argparse
import ast
from dataclasses import replace

import pytest
import torch

import bins.synthesize
from bins.speech_flags import add_prosody_flags
from config.paths import REPOSITORY
from models.registry import make_task
from processors.alignment.textgrid import read_textgrid
from processors.audio.audio_file import audio_info, read_audio
from processors.audio.mel_settings import MEL_SETTINGS
from processors.text.symbols import SymbolTable
from processors.text.tokens import PAUSES
from tests.support.tiny_models import TinyModel
from tests.support.tiny_voice import tiny_bundle

HERE = "tests/bins/test_synthesize_flags.py::test_flags_change_the_sound_or_its_place"
VOCODERS = "tests/bins/test_synthesize_flags.py::test_flags_of_vocoders_change_the_sound"
SYNTHESIZER, MARKED = "tests/models/inference/test_synthesizer.py", "tests/models/inference/test_marked_speech.py"
SHIPPED, LONG = "tests/models/inference/test_shipped_voice.py", "tests/models/inference/test_long_text.py"
BUNDLES = "tests/models/bundles/test_bundle_file.py"
TIMES = "tests/models/inference/test_times_files.py"
ELSEWHERE = "tests/bins/test_lines_of_other_toolkits.py"
PACES = ("-1", "0", "nan")
# The test of each flag; those of prosody are all in `test_every_flag_changes_the_sound_as_it_says`.
TESTS = {
    "--config": f"{SHIPPED}::test_a_voice_speaks_out_of_the_box",
    "--set": f"{SHIPPED}::test_a_voice_speaks_out_of_the_box",
    "--version": "tests/bins/test_commands.py::test_the_version_is_printed",
    "--debug": "tests/bins/test_commands.py::test_a_python_without_the_packages_is_named_without_a_traceback",
    "--infer_expt_dir": f"{SYNTHESIZER}::test_the_command_speaks_from_a_bundle",
    "--fastpitch": f"{ELSEWHERE}::test_nvidias_line_speaks",
    "--name": "tests/bins/test_synthesize_flags.py::test_an_experiment_is_found_by_its_name",
    "--infer_output_dir": f"{SYNTHESIZER}::test_the_command_speaks_from_a_bundle",
    "--output": HERE,
    "-o": f"{ELSEWHERE}::test_nvidias_line_speaks",
    "--infer_mode": f"{MARKED}::test_the_flag_and_files_of_texts_read_markup",
    "--infer_text": f"{SYNTHESIZER}::test_the_command_speaks_from_a_bundle",
    "--text_file": f"{LONG}::test_the_command_reads_a_file_and_answers_a_full_disk",
    "--infer_dataset": f"{SYNTHESIZER}::test_the_test_split_of_stage_1_is_synthesized",
    "--infer_testing_set": f"{SYNTHESIZER}::test_the_test_split_of_stage_1_is_synthesized",
    "--infer_speaker_name": HERE,
    "--infer_language": "tests/bins/test_synthesize_flags.py::test_numbers_are_read_in_the_language_asked_for",
    "--markup": f"{MARKED}::test_the_flag_and_files_of_texts_read_markup",
    "--wav_per": f"{LONG}::test_the_command_reads_a_file_and_answers_a_full_disk",
    "--stream": "tests/models/inference/test_stream_output.py::"
    "test_the_command_streams_sound_alone_and_ends_quietly_when_the_reader_is_gone",
    "--times": f"{TIMES}::test_flags_write_times_and_refuse_what_cannot_be_written",
    "--times_format": f"{TIMES}::test_flags_write_times_and_refuse_what_cannot_be_written",
    "--vtt_words": f"{TIMES}::test_flags_write_times_and_refuse_what_cannot_be_written",
    "--vocoder_dir": f"{SYNTHESIZER}::test_the_command_speaks_with_a_vocoder",
    "--hifigan": HERE,
    "--waveglow": f"{ELSEWHERE}::test_nvidias_line_speaks",
    "--sentence_pause_s": HERE,
    "--paragraph_pause_s": HERE,
    "--reference_audio": "tests/models/delightfultts/test_delightfultts.py::"
    "test_a_reference_of_wide_pitch_widens_that_of_the_speech",
    "--lexicon": HERE,
    "--sigma": VOCODERS,
    "--denoising_strength": VOCODERS,
    "--precision": VOCODERS,
    "--gpu": "tests/bins/test_commands.py::test_missing_gpus_are_an_error",
    "--device": f"{BUNDLES}::test_an_exported_file_holds_the_vocoder_and_is_spoken_with",
    "--overwrite": HERE,
    "--input": HERE,
    "-i": f"{ELSEWHERE}::test_nvidias_line_speaks",
}


def options(parser):
    """Return the flags that --help shows, but for itself."""
    shown = (action for action in parser._actions if action.help != argparse.SUPPRESS)
    return {option for action in shown for option in action.option_strings} - {"-h", "--help"}


def test_every_flag_of_help_is_in_the_table_with_a_test_that_is_there():
    of_prosody = argparse.ArgumentParser()
    add_prosody_flags(of_prosody)
    assert options(bins.synthesize._parser()) - options(of_prosody) == set(TESTS)
    for flag, place in TESTS.items():
        file, name = place.split("::")
        source = (REPOSITORY / file).read_text(encoding="utf-8")
        assert any(isinstance(node, ast.FunctionDef) and node.name == name for node in ast.parse(source).body), place
        assert flag.lstrip("-").removeprefix("infer_") in source, (flag, place)


@pytest.fixture
def speak(tmp_path, command):
    tiny_bundle(speakers=("anna", "ben")).save(tmp_path / "bundle")
    (tmp_path / "words.txt").write_text("go OW1 OW1 OW1 OW1\n")
    (tmp_path / "texts.txt").write_text("first|Go.\nsecond|Stop.\n")

    def call(text, *flags, speaker="anna"):
        voice = ["--infer_expt_dir", tmp_path / "bundle", "--hifigan", "griffin_lim", "--infer_speaker_name", speaker]
        texts = ["--infer_text", text] if text else []
        return command(bins.synthesize, *voice, "--output", tmp_path / "said", *texts, *flags)

    return call


def pause_s(path):
    first, second = (word for word in read_textgrid(path).words if word.label)
    return second.start_s - first.end_s


@pytest.mark.slow
def test_flags_change_the_sound_or_its_place(speak, tmp_path):
    said = tmp_path / "said"

    def pause_with(text, *flags):
        code, _, errors = speak(text, *flags, "--overwrite")
        assert code == 0, errors
        return pause_s(said / "go_stop.TextGrid")

    usual = pause_with("Go. Stop.")
    before = read_audio(said / "go_stop.wav", 16000)
    assert pause_with("Go. Stop.", "--sentence_pause_s", "0.85") == pytest.approx(usual + 0.5, abs=0.02)
    paragraphs = pause_with("Go.\n\nStop.")
    assert pause_with("Go.\n\nStop.", "--paragraph_pause_s", "1.25") == pytest.approx(paragraphs + 0.5, abs=0.02)
    assert speak("Go. Stop.", "--lexicon", tmp_path / "words.txt", "--overwrite")[0] == 0
    assert [phone.label for phone in read_textgrid(said / "go_stop.TextGrid").phones][1:5] == ["OW1"] * 4
    assert speak("Go. Stop.", "--overwrite", speaker="ben")[0] == 0
    other = read_audio(said / "go_stop.wav", 16000)
    assert len(other) != len(before) or abs(other - before).max() > 1e-3
    assert speak("Go. Stop.")[0] == 0 and (said / "go_stop-2.wav").is_file()  # without --overwrite, beside it
    code, _, errors = speak("Go. Stop.", "--infer_language", "de")
    assert code == 1 and "'de'" in errors
    assert speak("", "--input", tmp_path / "texts.txt")[0] == 0
    assert audio_info(said / "first.wav").samples and audio_info(said / "second.wav").samples


@pytest.mark.slow
def test_what_cannot_be_spoken_is_refused_in_a_sentence(speak, tmp_path):
    (tmp_path / "nan.py").write_text("def nan(pitch, *_):\n    return pitch * float('nan')\n")
    (tmp_path / "other.json").write_text('{"durations": [["sil", 80], ["HH", 60]]}')
    bomb = '<!DOCTYPE s [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><speak>&b;</speak>'
    (tmp_path / "large.ssml").write_text(f"<speak>{'<p>Go. </p>' * 100_000}</speak>")
    paces = [(["Go.", "--pace", pace], f"pace: found {pace}; expected a number between 0.1 and 10") for pace in PACES]
    for (text, *flags), sentence in (
        *paces,
        (["Go.", "--pitch_function", f"{tmp_path / 'nan.py'}:nan"], "the pitch function returned NaN or infinite F0"),
        (["Go.", "--prosody", tmp_path / "other.json"], "durations disagree with the text: "),
        ([bomb, "--markup", "ssml"], "document types and entities are not read"),
        (["", "--text_file", tmp_path / "large.ssml"], "1,100,015 bytes of markup; at most 1,000,000 are read"),
        (["Go.", "--infer_speaker_name", "nobody"], "speaker nobody: unknown; known: anna, ben"),
    ):
        code, _, errors = speak(text, *flags)
        assert code == 1 and sentence in errors and "Traceback" not in errors, errors
        assert len([line for line in errors.splitlines() if line.startswith("error: ")]) == 1, errors
    assert not list((tmp_path / "said").glob("*.wav"))


@pytest.mark.slow
def test_numbers_are_read_in_the_language_asked_for(tmp_path, command):
    bundle = tiny_bundle("preprocess.phone_extractor=char", speakers=("anna", "otto"))
    letters = [*PAUSES, *"abcdefghijklmnopqrstuvwxyz"]
    symbols = SymbolTable([*letters, *map(str, range(len(bundle.symbols) - 1 - len(letters)))])
    replace(bundle, symbols=symbols, languages={"anna": "en", "otto": "de"}).save(tmp_path / "voice")
    to = ["--infer_expt_dir", tmp_path / "voice", "--hifigan", "griffin_lim", "--infer_speaker_name", "anna"]
    for flags in ([], ["--infer_language", "de"]):
        code, _, errors = command(
            bins.synthesize, *to, "--output", tmp_path, "--infer_text", "Go 3.", "--overwrite", *flags
        )
        assert code == 0, errors
        [grid] = tmp_path.glob("*.TextGrid")
        is_english = "three" in "".join(phone.label for phone in read_textgrid(grid).phones)
        assert is_english is not bool(flags)


@pytest.mark.slow
def test_flags_of_vocoders_change_the_sound(tmp_path, command):
    bundle = tiny_bundle()
    bundle.save(tmp_path / "voice")
    mels = {name: getattr(bundle.settings.preprocess, name) for name in MEL_SETTINGS}
    task = make_task(TinyModel("WaveGlow", tmp_path, *(f"preprocess.{name}={mels[name]}" for name in mels)).settings())
    for coupling in task.modules["generator"].WN:
        torch.nn.init.normal_(coupling.end.weight, std=0.1)
    task.bundle(tmp_path / "vocoder")

    def sound(*flags):
        to = ["--infer_expt_dir", tmp_path / "voice", "--vocoder_dir", tmp_path / "vocoder", "--output", tmp_path]
        code, _, errors = command(bins.synthesize, *to, "--infer_text", "Go.", "--overwrite", *flags)
        assert code == 0, errors
        return read_audio(tmp_path / "go.wav", 16000)

    usual = sound("--precision", "fp32")
    for flags in (["--sigma", "0.3"], ["--denoising_strength", "3"]):
        changed = sound("--precision", "fp32", *flags)
        assert changed.shape == usual.shape and changed.std() < 0.95 * usual.std(), flags
    assert 0 < abs(sound("--precision", "bf16") - usual).max() < 0.1
    assert (sound("--precision", "fp32", "--device", "cpu") == usual).all()


def test_an_experiment_is_found_by_its_name(tmp_path, command):
    (tmp_path / "anna" / "bundle").mkdir(parents=True)
    config = ("--config", "egs/tts/FastSpeech2/exp_config.json", "--set", f"log_dir={tmp_path}", "--infer_text", "Go.")
    code, _, errors = command(bins.synthesize, *config, "--name", "ana")
    assert code == 1 and "there is no such folder" in errors and "did you mean" in errors
    code, _, errors = command(bins.synthesize, *config, "--name", "anna")
    assert code == 1 and f"{tmp_path / 'anna'}" in errors  # found; its bundle is empty
