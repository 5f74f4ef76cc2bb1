"""Prosody asked for: of texts, words, phones and pauses; from files, functions and recordings."""

from __future__ import annotations

import argparse
import json
import math

import numpy as np
import pytest
import torch

from bins.speech_flags import add_prosody_flags
from models.contracts import Change, ControlError, NvidiaPitch, PitchContour, Prosody, RecordedProsody
from models.fastspeech2.network import FastSpeech2
from models.inference.prosody_file import load_function, prosody_from_flags, read_prosody
from models.inference.prosody_rules import PitchScale, SymbolPitch
from models.inference.symbol_prosody import symbol_prosody
from models.inference.synthesizer import SynthesisError, Synthesizer
from processors.alignment.textgrid import write_textgrid
from processors.text.ipa import is_voiced
from processors.text.phone_sequence import PhoneSequence
from processors.text.pitch_targets import PitchTarget
from tests.support.silent_vocoder import Silent
from tests.support.tiny_voice import tiny_bundle

TEXT = "Hello there, big world. How are you?"
FRAMES_PER_S = 16000 / 128


@pytest.fixture(scope="module")
def voice():
    return Synthesizer(tiny_bundle())


def spoken(voice, **prosody):
    [predicted] = voice.mels([voice.plan(TEXT, prosody=Prosody(**prosody))])
    return predicted


def durations_of(predicted):
    return np.concatenate([chunk.durations for chunk in predicted.chunks])


def words_of(predicted):
    return np.array(predicted.plan.sequence.word_indices)


def pause_frames(predicted, word):
    """Return the frames of all that lies between the word before and a word."""
    words, durations = words_of(predicted), durations_of(predicted)
    start = max((at + 1 for at in np.flatnonzero((words >= 0) & (words < word))), default=0)
    stop = min(np.flatnonzero(words >= word), default=len(words))
    return int(durations[start:stop].sum())


@pytest.mark.parametrize("word", [0, 1, 2, 4, 7], ids=["first", "none written", "comma", "sentence", "last"])
def test_a_pause_lasts_exactly_as_long_as_asked_whatever_the_pace(voice, word):
    for pause_ms, pace in ((500.0, 1.0), (500.0, 2.0), (2000.0, 1.0), (0.0, 1.0)):
        predicted = spoken(voice, pauses_ms={word: pause_ms}, pace=pace)
        assert pause_frames(predicted, word) == round(pause_ms / 1000 * FRAMES_PER_S)
        assert all(chunk.mel.shape[1] == len(chunk.f0_hz) == chunk.durations.sum() for chunk in predicted.chunks)
    before = min(word, 5)
    predicted = spoken(voice, words={before: Change(pause_before_ms=300.0), 6: Change(pause_after_ms=240.0)})
    assert pause_frames(predicted, 7) == 30 and pause_frames(predicted, before) == round(0.3 * FRAMES_PER_S)


def test_pace_divides_durations_of_a_text_and_of_a_word(voice):
    usual = spoken(voice)
    fast, slow_word = spoken(voice, pace=2.0), spoken(voice, words={3: Change(pace=0.5)})
    is_word = words_of(usual) == 3
    assert np.abs(durations_of(fast) - durations_of(usual) / 2).max() <= 0.5 + 1
    np.testing.assert_array_equal(durations_of(slow_word)[~is_word], durations_of(usual)[~is_word])
    assert np.abs(durations_of(slow_word)[is_word] - 2 * durations_of(usual)[is_word]).max() <= 1


def test_durations_of_words_and_phones_are_obeyed_to_the_frame(voice):
    predicted = spoken(voice, words={1: Change(duration_ms=800.0)}, phones={(1, 0): Change(duration_ms=80.0)})
    of_word = durations_of(predicted)[words_of(predicted) == 1]
    assert of_word[0] == 10 and of_word.sum() == 100 and (of_word > 0).all()
    with pytest.raises(SynthesisError, match="too few for a word of 3 phones"):
        spoken(voice, words={1: Change(duration_ms=8.0)})


def test_given_durations_are_obeyed_to_the_frame_from_a_list_and_from_a_textgrid(voice, tmp_path):
    speech = voice(TEXT, prosody=Prosody(pace=0.7))
    listed = list(zip(speech.phones, (speech.durations / FRAMES_PER_S * 1000).tolist(), strict=True))
    np.testing.assert_array_equal(voice(TEXT, prosody=Prosody(durations_ms=listed)).durations, speech.durations)
    path = tmp_path / "a.TextGrid"
    write_textgrid(path, speech.alignment)
    again = voice(TEXT, prosody=read_prosody(path))
    assert [word.label for word in again.alignment.words] == [word.label for word in speech.alignment.words]
    ends, ends_again = ([word.end_s for word in each.alignment.words] for each in (speech, again))
    assert np.abs(np.subtract(ends, ends_again)).max() < 0.5 / FRAMES_PER_S
    (tmp_path / "a.json").write_text(json.dumps({"durations": [list(pair) for pair in listed]}))
    twice = voice(TEXT, prosody=read_prosody(tmp_path / "a.json").combined(Prosody(pace=0.5)))
    assert len(twice.waveform) == 2 * len(speech.waveform)


def test_durations_that_disagree_with_the_text_are_refused_in_one_sentence(voice):
    speech = voice("Hello there.")
    listed = [(phone, 50.0) for phone in speech.phones]
    for text, prosody, message in (
        ("Hello big.", Prosody(durations_ms=listed), "found DH as symbol 5, the text has B"),
        ("Hello there now.", Prosody(durations_ms=listed), r"found \. as symbol 8, the text has N"),
        ("Hello big.", Prosody(recording=RecordedProsody(speech.alignment, "x.wav")), "“there” for word 1"),
        ("Hello.", Prosody(recording=RecordedProsody(speech.alignment, "x.wav")), "has 2 words, the text 1"),
        ("Hello there.", Prosody(durations_ms=[(phone, math.nan) for phone, _ in listed]), "milliseconds of 0"),
    ):
        with pytest.raises(SynthesisError, match=message) as error:
            voice.plan(text, prosody=prosody)
        assert "\n" not in str(error.value)


def test_levels_add_to_the_natural_logarithm_of_the_mel(voice):
    usual, loud = spoken(voice), spoken(voice, energy_db=8.686, words={1: Change(energy_db=-4.343)})
    durations, is_word = durations_of(usual), words_of(usual) == 1
    mels = [torch.cat(predicted.mels, dim=1).numpy() for predicted in (usual, loud)]
    wanted = np.repeat(np.where(is_word, 0.5, 1.0), durations)
    np.testing.assert_allclose(mels[1] - mels[0], np.broadcast_to(wanted, mels[0].shape), atol=1e-3)
    quiet = torch.cat(spoken(voice, energy_db=-60.0).mels, dim=1)
    assert quiet.min() == pytest.approx(math.log(1e-5), abs=1e-4)


def test_words_are_found_by_their_place_or_their_text(voice):
    by_index = {2: Change(pitch_shift_semitones=3.0), 3: Change(pitch_shift_semitones=3.0)}
    usual, wanted = spoken(voice), spoken(voice, words=by_index)
    changed = np.concatenate([chunk.f0_hz for chunk in wanted.chunks])
    before = np.concatenate([chunk.f0_hz for chunk in usual.chunks])
    is_raised = np.repeat(np.isin(words_of(usual), [2, 3]), durations_of(usual))
    np.testing.assert_allclose(changed / before, np.where(is_raised, 2 ** (3 / 12), 1.0), rtol=1e-4)
    start = TEXT.index("big")
    for span in ("big world", "ig wor", (start, start + 9)):
        found = spoken(voice, spans=[(span, Change(pitch_shift_semitones=3.0))])
        assert all(torch.equal(a, b) for a, b in zip(found.mels, wanted.mels, strict=True))
    for prosody, message in (
        (Prosody(words={7: Change(pace=2.0)}), "changes word 7; the text has the words 0 to 6"),
        (Prosody(phones={(1, 3): Change(pace=2.0)}), r"phone 3 of word 1 \(there\), which has the phones 0 to 2"),
        (Prosody(pauses_ms={8: 100.0}), "a pause before word 8; the text has 7 words"),
        (Prosody(spans=[("moon", Change())]), "“moon” is not in the text"),
        (Prosody(spans=[(", ", Change())]), "holds no word"),
        (Prosody(spans=[("big world", Change(duration_ms=100.0))]), "has 2 words; duration_ms is for one"),
    ):
        with pytest.raises(SynthesisError, match=message):
            voice.plan(TEXT, prosody=prosody)


SCALE = PitchScale(100.0, 60.0, 300.0, is_interpolated=False)
PHONES = ("sil", "AH0", "S", "AH0", "B", ".")
F0_HZ = np.array([100.0, 80.0, 100.0, 120.0, 150.0, 100.0], np.float32)


def pitch_of(prosody, scale=SCALE):
    sequence = PhoneSequence(PHONES, (-1, 0, 0, 1, 1, -1), ("a", "b"))
    [symbols] = symbol_prosody(prosody, [sequence], frames_per_s=100.0)
    return SymbolPitch(prosody, symbols, scale)


def wanted_hz(prosody, scale=SCALE):
    pitch = pitch_of(prosody, scale)
    return pitch.wanted(F0_HZ, np.arange(6)).tolist(), pitch


def test_pitch_is_changed_in_order_round_the_mean_where_voiced():
    for prosody, wanted in (
        (Prosody(pitch_flatten=True), [100, 100, 100, 100]),
        (Prosody(pitch_invert=True), [120, 100, 80, 50 + 10]),
        (Prosody(pitch_amplify=2.0), [60, 100, 140, 200]),
        (Prosody(pitch_invert=True, pitch_amplify=0.5, pitch_shift_hz=10.0), [120, 100, 100, 85]),
        (Prosody(pitch_shift_hz=20.0, pitch_shift_semitones=12.0), [200, 100, 280, 300]),
        (Prosody(pitch=1.5), [120, 100, 180, 225]),
        (Prosody(words={1: Change(pitch_flatten=True)}, pitch_shift_hz=5.0), [85, 100, 105, 105]),
        (Prosody(pitch_shift_hz=10.0, pitch_function=lambda hz: hz + np.arange(6)), [91, 100, 133, 164]),
    ):
        found, pitch = wanted_hz(prosody)
        assert found == pytest.approx([100, wanted[0], 100, wanted[2], wanted[3], 100])
        assert pitch.n_limited == (wanted[3] in (60, 300))
    seen = []
    wanted_hz(Prosody(pitch_function=lambda hz: seen.append(hz.tolist()) or hz))
    assert seen == [[0, pytest.approx(80), 0, pytest.approx(120), pytest.approx(150), 0]]


def test_interpolated_pitch_is_changed_between_voiced_phones_too():
    scale = PitchScale(100.0, 60.0, 300.0, is_interpolated=True)
    assert wanted_hz(Prosody(pitch_shift_hz=10.0), scale)[0] == pytest.approx([110, 90, 110, 130, 160, 110])
    found = wanted_hz(Prosody(pitch_function=lambda hz: hz * np.array([9, 1, 9, 2, 2, 9])), scale)[0]
    assert found == pytest.approx([100, 80, 150, 240, 300, 200])


def test_nvidias_transforms_are_of_every_symbol_and_without_limits():
    found, pitch = wanted_hz(Prosody(nvidia_pitch=NvidiaPitch(invert=True, amplify=2.0, shift_hz=-10.0)))
    assert found == pytest.approx([90, 130, 90, 50, -10, 90]) and pitch.n_limited == 0
    custom = NvidiaPitch(flatten=True, custom=lambda hz, lengths: hz + 300.0 * lengths.unsqueeze(1))
    assert wanted_hz(Prosody(nvidia_pitch=custom))[0] == pytest.approx((F0_HZ + 1800).tolist())


def test_the_vocoders_f0_is_changed_within_symbols_as_they_are():
    durations = np.array([1, 2, 1, 2, 1, 1])
    base = np.array([0.0, 70.0, 90.0, 0.0, 110.0, 130.0, 150.0, 0.0], np.float32)
    for prosody, wanted in (
        (Prosody(pitch_flatten=True), [100, 100, 100, 100, 100]),
        (Prosody(pitch_shift_semitones=12.0), [140, 180, 220, 260, 300]),
        (Prosody(pitch_function=lambda hz: hz * 1.1), [77, 99, 121, 143, 165]),
        (Prosody(words={1: Change(pitch_shift_hz=30.0)}), [70, 90, 140, 160, 180]),
        (Prosody(pitch_amplify=2.0), [60, 80, 120, 160, 200]),
    ):
        pitch = pitch_of(prosody)
        predicted = np.repeat(F0_HZ, durations)
        changed = np.repeat(pitch.wanted(F0_HZ, np.arange(6)), durations)
        found = pitch.of_frames(base, predicted, changed, durations).tolist()
        assert found == pytest.approx([0, *wanted[:2], 0, *wanted[2:], 0], rel=1e-4), prosody


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda hz: hz * math.nan, "NaN or infinite"),
        (lambda hz: hz[:-1], "the shape"),
        (lambda hz: "high", "returned str"),
        (lambda hz: None, "the shape"),
    ],
)
def test_a_pitch_function_that_returns_no_pitch_is_refused(voice, function, message):
    with pytest.raises(SynthesisError, match=message):
        voice("Hello.", prosody=Prosody(pitch_function=function))


def test_pitch_outside_the_voices_range_is_limited_with_a_warning(voice, capsys):
    high = voice("Hello.", prosody=Prosody(pitch_shift_semitones=40.0))
    assert high.f0_hz.max() == pytest.approx(voice.settings.preprocess.f0_max)
    assert "pitch: limited in 3 phones to this voice's 60 to 600 Hz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prosody", "message"),
    [
        ({"pace": -1.0}, "pace: found -1; expected a number between 0.1 and 10"),
        ({"pace": math.nan}, "pace: found nan"),
        ({"energy_db": 100}, "energy_db: found 100"),
        ({"pitch_shift_semitones": math.inf}, "pitch_shift_semitones: found inf"),
        ({"words": {0: Change(pitch_amplify=-1)}}, "pitch_amplify: found -1"),
        ({"pitch": torch.ones(3)}, "pitch_control: found Tensor; expected one number"),
        ({"pauses_ms": {0: -5.0}}, "a pause in ms: found -5"),
        ({"duration_ms": 500.0}, "belongs to a word"),
        ({"nvidia_pitch": NvidiaPitch(flatten=True), "pitch": 1.1}, "replace all other changes of pitch"),
    ],
)
def test_prosody_out_of_range_is_refused(voice, prosody, message):
    with pytest.raises(SynthesisError, match=message):
        voice.plan("Hello.", prosody=Prosody(**prosody))


def test_prosody_needs_the_controls_that_it_changes(voice, monkeypatch):
    monkeypatch.setattr(FastSpeech2, "controls", frozenset({"energy"}))
    for prosody, missing in (
        (Prosody(pace=1.1), "no duration"),
        (Prosody(pauses_ms={1: 100.0}), "no duration"),
        (Prosody(words={0: Change(duration_ms=100.0)}), "no duration"),
        (Prosody(phones={(0, 0): Change(pitch_shift_hz=1.0)}), "no pitch"),
        (Prosody(nvidia_pitch=NvidiaPitch()), "no pitch"),
    ):
        with pytest.raises(ControlError, match=f"FastSpeech2 has {missing} to control; it has: energy"):
            voice.plan("Hello.", prosody=prosody)
    voice.plan("Hello.", prosody=Prosody(energy_db=3.0, energy=1.1))


def f0_of_words(voice, text, contours, **others):
    """F0 of the voiced phones by word, with their places in its time, and the durations."""
    speech = voice(text, prosody=Prosody(contours=contours, **others))
    frame_s = voice.settings.preprocess.hop_size / voice.sample_rate
    found = []
    for word in speech.times.words:
        phones = [each for each in speech.times.phones if each.word == word.index and is_voiced(each.phone)]
        places = [((each.start_s + each.end_s) / 2 - word.start_s) / (word.end_s - word.start_s) for each in phones]
        edges = [(round(each.start_s / frame_s), round(each.end_s / frame_s)) for each in phones]
        found.append([(at, float(speech.f0_hz[a:b].mean()), b - a) for at, (a, b) in zip(places, edges, strict=True)])
    return found, speech.durations


@pytest.mark.parametrize("level", ["phone", "frame"])
def test_contours_change_pitch_over_the_time_of_their_words_alone(level):
    voice = Synthesizer(tiny_bundle(f"model.pitch_level={level}", "preprocess.f0_max=2000"), Silent())
    usual, durations = f0_of_words(voice, TEXT, ())
    rise = PitchContour(1, 2, (PitchTarget(0.0), PitchTarget(1.0, semitones=6, shift_hz=10)))
    fixed = PitchContour(2, 3, (PitchTarget(0.0, hz=200), PitchTarget(1.0, hz=100)))
    mean = PitchContour(4, 5, mean_hz=150)
    flat = PitchContour(5, 6, (PitchTarget(0.5, hz=200), PitchTarget(0.6, semitones=1e-9)), mean_hz=200)
    found, same = f0_of_words(voice, TEXT, (rise, fixed, mean, flat))
    np.testing.assert_array_equal(durations, same)
    for index, (word, before) in enumerate(zip(found, usual, strict=True)):
        for (at, hz, _), (_, before_hz, _) in zip(word, before, strict=True):
            expected = {
                1: (before_hz + 10 * at) * 2 ** (6 * at / 12),
                2: 200 * 0.5**at,
                4: hz,
                5: 200,
            }.get(index, before_hz)
            assert hz == pytest.approx(expected, rel=0.01 if level == "frame" else 1e-3), (index, at)
    frames = np.array([n_frames for _, _, n_frames in found[4]])
    assert np.average([hz for _, hz, _ in found[4]], weights=frames) == pytest.approx(150, rel=1e-3)
    ratios = [hz / before for (_, hz, _), (_, before, _) in zip(found[4], usual[4], strict=True)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=1e-3)  # its melody stays
    # Shifts of the word and of the text go on top; amplification comes before.
    higher, _ = f0_of_words(voice, TEXT, (mean, fixed), pitch_shift_semitones=12.0, pitch_amplify=0.5)
    assert [hz for _, hz, _ in higher[2]] == pytest.approx([2 * hz for _, hz, _ in found[2]], rel=0.01)
    assert np.average([hz for _, hz, _ in higher[4]], weights=frames) == pytest.approx(300, rel=1e-3)


def test_a_contour_goes_on_from_sentence_to_sentence_and_streams_as_the_whole():
    voice = Synthesizer(tiny_bundle("preprocess.f0_max=2000"), Silent())
    text, line = "One two. Three four. Five six.", (PitchTarget(0.0, hz=100), PitchTarget(1.0, hz=400))
    found, _ = f0_of_words(voice, text, (PitchContour(0, 6, line),))
    rising = [hz for word in found for _, hz, _ in word]
    assert rising == sorted(rising) and rising[0] < 120 and rising[-1] > 300
    plan = voice.plan(text, prosody=Prosody(contours=[PitchContour(0, 6, line)]))
    by_chunk = np.concatenate([next(voice.speak(iter([each]))).f0_hz for each in plan.by_chunk()])
    np.testing.assert_allclose(by_chunk, next(voice.speak([plan])).f0_hz, rtol=1e-4)


@pytest.mark.parametrize(
    ("contour", "message"),
    [
        (PitchContour(0, 99), "contour of the words 0 to 98; the text has"),
        (PitchContour(0, 1, mean_hz=math.nan), "mean_hz of a contour: found nan"),
        (PitchContour(0, 1, (PitchTarget(1.5),)), "position of a contour: found 1.5"),
        (PitchContour(0, 1, (PitchTarget(0.5), PitchTarget(0.1))), "not in order"),
        (PitchContour(0, 1, (PitchTarget(0.5, hz=1.0),)), "hz of a contour: found 1"),
    ],
)
def test_contours_that_cannot_be_are_refused(voice, contour, message):
    with pytest.raises(SynthesisError, match=message):
        voice.plan(TEXT, prosody=Prosody(contours=[contour]))


def test_a_stream_can_be_neither_normalized_nor_faded(voice):
    for prosody in (Prosody(peak_normalize=True), Prosody(fade_out_ms=10.0)):
        with pytest.raises(SynthesisError, match="neither peak-normalized nor faded out"):
            voice.stream("Hello.", prosody=prosody)
    usual, loud = voice("Hello."), voice("Hello.", prosody=Prosody(peak_normalize=True, fade_out_ms=8.0))
    assert np.abs(loud.waveform).max() == pytest.approx(1.0, abs=1e-5) and loud.waveform[-1] == 0.0
    gain = loud.waveform[:-128] / usual.waveform[:-128]
    np.testing.assert_allclose(gain, gain[0], rtol=1e-3)
    np.testing.assert_allclose(
        loud.waveform[-128:] / gain[0], usual.waveform[-128:] * np.linspace(1, 0, 128), atol=1e-4
    )


def test_json_holds_the_prosody_of_a_text_of_words_and_of_phones(tmp_path):
    path = tmp_path / "prosody.json"
    word = {"index": 1, "pause_after_ms": 300, "phones": [{"index": 0, "duration_ms": 120}]}
    content = {"pace": 1.2, "pitch_flatten": True, "words": [word, {"text": "big world", "energy_db": 3}]}
    path.write_text(json.dumps(content | {"fade_out_ms": 20}))
    found = read_prosody(path)
    assert (found.pace, found.pitch_flatten, found.fade_out_ms) == (1.2, True, 20)
    assert found.words == {1: Change(pause_after_ms=300)} and found.phones == {(1, 0): Change(duration_ms=120)}
    assert found.spans == (("big world", Change(energy_db=3)),)
    for content, message in (
        ("{", "is no JSON"),
        ("[]", "found list; expected an object"),
        ('{"pase": 1}', "there is no pase; did you mean pace"),
        ('{"pace": "1"}', "pace: found '1'; expected a number"),
        ('{"pitch_flatten": 1}', "expected true or false"),
        ('{"words": [{"pace": 2}]}', r"words\[0\]: needs one of index, text and span"),
        ('{"words": [{"index": 1.5}]}', "found 1.5; expected a whole number"),
        ('{"durations": [["AH0"]]}', "expected pairs of a symbol and milliseconds"),
    ):
        path.write_text(content)
        with pytest.raises(SynthesisError, match=message):
            read_prosody(path)
    with pytest.raises(SynthesisError, match="no such file"):
        read_prosody(tmp_path / "none.json")


def test_a_function_is_loaded_from_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def double(hz):\n    return hz * 2\n\ndef fails(hz):\n    return 1 / 0\n")
    assert load_function(f"{path}:double")(np.ones(1)) == 2
    for place, message in (
        (f"{path}:triple", "has no function triple"),
        (str(path), "expected FILE.py:NAME"),
        (f"{tmp_path}/none.py:double", "no such file"),
    ):
        with pytest.raises(SynthesisError, match=message):
            load_function(place)
    with pytest.raises(SynthesisError, match="fails fails: ZeroDivisionError"):
        load_function(f"{path}:fails")(np.ones(1))
    path.write_text("import no_such_module\n")
    with pytest.raises(SynthesisError, match="ModuleNotFoundError"):
        load_function(f"{path}:double")


def flags(*arguments):
    parser = argparse.ArgumentParser()
    add_prosody_flags(parser)
    return prosody_from_flags(vars(parser.parse_args(arguments)))


def test_flags_and_their_file_are_taken_together(tmp_path):
    assert flags() == Prosody()
    (tmp_path / "a.json").write_text('{"pace": 2, "words": [{"index": 0, "pace": 0.5}]}')
    (tmp_path / "pitch_transform.py").write_text("def pitch_transform_custom(pitch, lengths):\n    return pitch\n")
    found = flags("--prosody", str(tmp_path / "a.json"), "--pace", "1.5", "--pitch_control", "1.1", "--peak_normalize")
    assert found == Prosody(pace=3.0, pitch=1.1, words={0: Change(pace=0.5)}, peak_normalize=True)
    assert flags("--duration_control", "2", "--energy_control", "0.5") == Prosody(duration=2.0, energy=0.5)
    assert flags("--pitch_transform_amplify").nvidia_pitch == NvidiaPitch(amplify=2.0)
    asked = flags(
        "--pitch_transform_flatten", "--pitch_transform_invert", "--pitch_transform_shift", "-20"
    ).nvidia_pitch
    assert asked == NvidiaPitch(flatten=True, invert=True, shift_hz=-20.0)
    custom = flags("--pitch_transform_custom", str(tmp_path / "pitch_transform.py")).nvidia_pitch.custom
    assert custom(torch.ones(1, 2), torch.tensor([2])).tolist() == [[1, 1]]
