"""Every flag of prosody changes the sound of the shipped voice as it says."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import soundfile

from bins.speech_flags import add_prosody_flags
from config.paths import SHIPPED_VOICE
from models.contracts import Change, Prosody
from models.inference.prosody_file import prosody_from_flags
from models.inference.synthesizer import Synthesizer
from processors.alignment.textgrid import write_textgrid
from processors.audio.pitch import extract_pitch
from processors.text.ipa import is_voiced

TEXT = "Glue the sheet to the dark blue background."
# What is measured, the flags, and the value expected with its tolerance.
FLAGS = (
    ("length", "--pace 1.25", 0.8, 0.02),
    ("length", "--duration_control 1.5", 1.5, 0.05),
    ("semitones", "--pitch_shift_semitones 2", 2.0, 0.05),
    ("semitones", "--pitch_control 1.122462", 2.0, 0.05),
    ("hz", "--pitch_shift_hz 20", 20.0, 1.0),
    ("hz", "--pitch_transform_shift 20", 20.0, 1.0),
    ("hz", "--pitch_function {folder}/mine.py:higher", 15.0, 1.0),
    ("hz", "--pitch_transform_custom {folder}/mine.py", 15.0, 1.0),
    ("slope", "--pitch_flatten", 0.0, 0.05),
    ("slope", "--pitch_transform_flatten", 0.0, 0.05),
    ("slope", "--pitch_invert", -1.0, 0.1),
    ("slope", "--pitch_transform_invert", -1.0, 0.1),
    ("slope", "--pitch_amplify 1.3", 1.3, 0.1),
    ("slope", "--pitch_transform_amplify 1.3", 1.3, 0.1),
    ("db", "--energy_db 6", 6.0, 1.0),
    ("louder", "--energy_control 1.5", 1.0, 0.0),
    ("peak", "--peak_normalize", 1.0, 1e-3),
    ("end", "--fade_out_ms 2000", 0.0, 1e-6),
    ("pause", "--prosody {folder}/mine.json", 0.5, 256 / 22050),
    ("length", "--prosody {folder}/slow.TextGrid", 1.25, 0.03),
)


@pytest.fixture(scope="module")
def voice():
    return Synthesizer.open(SHIPPED_VOICE)


def f0_of(speech):
    return extract_pitch(speech.waveform, sample_rate=22050, hop_size=256, f0_min=60, f0_max=600)


def measured(speech, usual, wanted_kind):
    def power(each):
        return np.mean(each.waveform**2)

    if wanted_kind in ("semitones", "hz", "slope"):
        found, before = f0_of(speech), f0_of(usual)
        is_inside = np.convolve((found > 0) & (before > 0), np.ones(5), "same") == 5
        found, before = found[is_inside], before[is_inside]
        assert len(found) > 60
        return {
            "semitones": np.median(12 * np.log2(found / before)),
            "hz": np.median(found - before),
            "slope": np.polyfit(before, found, 1)[0],
        }[wanted_kind]
    words = [word for word in speech.alignment.words if word.label]
    return {
        "length": speech.duration_s / usual.duration_s,
        "db": 10 * np.log10(power(speech) / power(usual)),
        "louder": float(power(speech) > 1.05 * power(usual)),
        "peak": np.abs(speech.waveform).max(),
        "end": abs(speech.waveform[-1]),
        "pause": words[3].start_s - words[2].end_s,
    }[wanted_kind]


@pytest.mark.slow
def test_every_flag_changes_the_sound_as_it_says(voice, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\ndef higher(hz):\n    return hz + 15\ndef pitch_transform_custom(pitch, pitch_lens):\n"
        "    return pitch + 15.0 * torch.ones(1, int(pitch_lens))\n"
    )
    (tmp_path / "mine.json").write_text('{"words": [{"text": "sheet", "pause_after_ms": 500}]}')
    usual = voice(TEXT)
    write_textgrid(tmp_path / "slow.TextGrid", voice(TEXT, prosody=Prosody(pace=0.8)).alignment)
    parser = argparse.ArgumentParser()
    add_prosody_flags(parser)
    measures = [(kind, flags.format(folder=tmp_path).split(), *wanted) for kind, flags, *wanted in FLAGS]
    for kind, flags, wanted, tolerance in measures:
        speech = voice(TEXT, prosody=prosody_from_flags(vars(parser.parse_args(flags))))
        assert measured(speech, usual, kind) == pytest.approx(wanted, abs=tolerance), (flags, kind)
    tried = {flags.split()[0] for _, flags, *_ in FLAGS} | {"--prosody_from"}  # of the test below
    known = {option for action in parser._actions for option in action.option_strings}
    assert tried == known - {"-h", "--help"}


@pytest.mark.slow
def test_the_prosody_of_a_recording_is_taken_over(voice, tmp_path):
    source = voice(TEXT, prosody=Prosody(pace=0.8, pitch_invert=True, pitch_shift_semitones=3.0))
    soundfile.write(tmp_path / "a.wav", source.waveform, source.sample_rate)
    write_textgrid(tmp_path / "a.TextGrid", source.alignment)
    speech = voice(TEXT, prosody=Prosody(recording=voice.prosody_of(tmp_path / "a.wav", TEXT)))
    for made, recorded in zip(speech.alignment.words, source.alignment.words, strict=True):
        assert made.label == recorded.label and abs(made.end_s - recorded.end_s) <= 256 / 22050
    found, wanted = f0_of(speech), f0_of(source)
    is_voiced = (found > 0) & (wanted > 0)
    assert np.corrcoef(found[is_voiced], wanted[is_voiced])[0, 1] > 0.9
    assert np.exp(np.log(found[is_voiced]).mean()) == pytest.approx(157.8, rel=0.03)  # the voice's own mean


@pytest.mark.slow
def test_a_stream_begins_before_the_rest_of_a_long_sentence_is_decoded(voice, monkeypatch):
    text = "The quick brown fox jumped over the lazy dog near the old river bank while the children played happily."
    whole, decoded, decode = voice(text).waveform, [], voice._model.decode_from

    def counted(first_frame, frames, *others):
        decoded.append(frames.shape[1])
        return decode(first_frame, frames, *others)

    monkeypatch.setattr(voice._model, "decode_from", counted)
    stream = voice.stream(text)
    first = next(stream)
    assert decoded == [288]  # 96 frames, and as context 192 of those that follow
    np.testing.assert_allclose(np.concatenate([first, *stream]), whole, atol=1e-5)


@pytest.mark.slow
def test_a_stream_with_changed_pitch_and_level_is_the_whole(voice):
    text = f"{TEXT} It is easy."
    prosody = Prosody(pitch_shift_semitones=2.0, energy_db=-3.0, pauses_ms={8: 600.0})
    streamed = np.concatenate(list(voice.stream(text, prosody=prosody)))
    np.testing.assert_allclose(streamed, voice(text, prosody=prosody).waveform, atol=1e-5)


def semitones_between(speech, other):
    found, expected = f0_of(speech), f0_of(other)
    is_voiced = (found > 0) & (expected > 0)
    return 12 * np.log2(found[is_voiced] / expected[is_voiced])


@pytest.mark.slow
def test_pitch_in_hz_and_contours_sound_as_they_are_written(voice):
    usual = voice(TEXT)
    speech = voice("<speak>Glue the <prosody pitch='220Hz'>sheet to the dark</prosody> blue background.</speak>")
    f0_hz, words = f0_of(speech), speech.times.words
    of_span = f0_hz[round(words[2].start_s * 22050 / 256) : round(words[5].end_s * 22050 / 256)]
    assert of_span[of_span > 0].mean() == pytest.approx(220, abs=2)
    others = semitones_between(speech, usual)
    assert np.mean(np.abs(others) < 0.3) > 0.4  # of the words around
    line = voice(f"<speak><prosody contour='(0%,150Hz) (100%,250Hz)'>{TEXT}</prosody></speak>")
    f0_hz = f0_of(line)
    at = np.flatnonzero(f0_hz > 0)
    expected = 150 * (250 / 150) ** (at / len(f0_hz))
    assert np.median(np.abs(12 * np.log2(f0_hz[at] / expected))) < 0.2


@pytest.mark.slow
def test_phones_moved_by_hand_sound_the_same_as_the_contours_that_the_page_writes_for_them(voice):
    moves = {(phone.word, phone.index): (at * 7 % 5 - 2) / 2 for at, phone in enumerate(voice(TEXT).times.phones)}
    changes = {place: Change(pitch_shift_semitones=move) for place, move in moves.items()}
    by_hand = voice(TEXT, prosody=Prosody(phones=changes, pitch_shift_semitones=1.0))
    content = TEXT
    for word in reversed(by_hand.times.words):
        voiced = [each for each in by_hand.times.phones if each.word == word.index and is_voiced(each.phone)]
        points = " ".join(
            f"({100 * (edge_s - word.start_s) / (word.end_s - word.start_s):.1f}%,{moves[word.index, each.index]:+g}st)"
            for each in voiced
            for edge_s in (each.start_s, each.end_s)
        )
        start, end = word.span[0], word.span[0] + len(word.written)
        content = f'{content[:start]}<prosody contour="{points}">{word.written}</prosody>{content[end:]}'
    speech = voice(f"<speak><prosody pitch='+1st'>{content}</prosody></speak>")
    np.testing.assert_array_equal(speech.durations, by_hand.durations)
    differences = np.abs(semitones_between(speech, by_hand))
    assert np.median(differences) < 0.05 and np.mean(differences < 0.2) > 0.8
