"""Speech of marked texts: words, pauses, phones, voices, languages and marks as they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from models.contracts import Change, PitchContour, Prosody
from models.inference.symbol_prosody import SynthesisError
from models.inference.synthesize import request_from_text
from models.inference.synthesizer import Synthesizer
from processors.alignment.textgrid import read_textgrid
from processors.text.marked_text import MarkupError
from processors.text.pitch_targets import PitchTarget
from tests.support.commands import call
from tests.support.tiny_voice import tiny_bundle


@pytest.fixture(scope="module")
def voice():
    return Synthesizer(tiny_bundle(speakers=("anna", "ben")))


def plan(voice, text, **options):
    return voice.plan(text, speaker="anna", **options)


def test_marks_around_everything_speak_as_plain_text(voice):
    plain = voice("Hello there, world. How are you?", speaker="anna")
    marked = "<speak><p><s>Hello there, world.</s> <s>How <lang xml:lang='en'>are</lang> you?</s></p></speak>"
    speech = voice(marked, speaker="anna")
    assert speech.phones == plain.phones and np.array_equal(speech.waveform, plain.waveform)
    faster = voice(f"<speak><prosody rate='125%'>{plain.text}</prosody></speak>", speaker="anna")
    expected = voice(plain.text, speaker="anna", prosody=Prosody(pace=1.25))
    assert np.array_equal(faster.durations, expected.durations)


def test_marks_change_their_words_and_pauses_alone(voice):
    text = "<speak>The <emphasis>quick</emphasis>, brown <break time='500ms'/> fox<mark name='end'/></speak>"
    found = plan(voice, text)
    assert found.sequence.words == ("the", "quick", "brown", "fox")
    assert found.prosody.words == {1: Change(pace=0.92, pitch_shift_semitones=1, energy_db=2)}
    assert found.prosody.pauses_ms == {3: 500} and found.marks == (("end", 4),)
    light = voice("Hello [pause:0.5s] world", speaker="anna")
    hello, world = (word for word in light.alignment.words if word.label)
    assert world.start_s - hello.end_s == pytest.approx(0.5, abs=128 / 16_000)
    both = plan(voice, "Hello [pause:0.5s] world", prosody=Prosody(words={1: Change(pace=2)}))
    assert both.prosody.words == {1: Change(pace=2)} and both.prosody.pauses_ms == {1: 500}
    with pytest.raises(SynthesisError, match="named by their index"):
        plan(voice, "Hello [pause:0.5s] world", prosody=Prosody(spans=[("world", Change(pace=2))]))


def test_contours_are_of_the_words_of_their_element(voice):
    text = (
        "<speak>The <prosody contour='(0%,+2st) (100%,-2st)'>quick <prosody pitch='220Hz'>brown</prosody></prosody> "
        "<prosody pitch='220Hz'>fox</prosody></speak>"
    )
    found = plan(voice, text).prosody
    line = (PitchTarget(0.0, semitones=2), PitchTarget(1.0, semitones=-2))
    assert found.contours == (
        PitchContour(1, 3, line),
        PitchContour(2, 3, mean_hz=220),
        PitchContour(3, 4, mean_hz=220),
    )
    whole = plan(voice, "<speak><prosody pitch='220Hz' rate='120%'>The fox</prosody></speak>").prosody
    assert whole == Prosody(pace=1.2, contours=(PitchContour(0, 2, mean_hz=220),))


def test_phones_are_spoken_as_written_and_refused_where_the_voice_lacks_them(voice):
    expected = ("T", "AH0", "M", "AA1", "T", "OW0")
    for text in (
        "A [tomato](/təˈmɑtoʊ/).",
        "<speak>A <phoneme ph='təˈmɑtoʊ'>tomato</phoneme>.</speak>",
        "<speak>A <phoneme alphabet='x-arpabet' ph='T AH0 M AA1 T OW0'>tomato</phoneme>.</speak>",
    ):
        sequence = plan(voice, text).sequence
        assert sequence.words == ("a", "tomato") and sequence.phones[-7:-1] == expected
    with pytest.raises(MarkupError, match=r"line 1, column 3: the voice lacks the phone 'ʁ'.*; the nearest it has: "):
        plan(voice, "A [red](/ʁɛd/)")
    with pytest.raises(MarkupError, match="no phones of IPA"):
        plan(voice, "A [red](/ˈ/)")
    with pytest.raises(MarkupError, match="phone 'QQ' is not in ARPAbet"):
        plan(voice, "<speak><phoneme alphabet='x-arpabet' ph='QQ'>x</phoneme></speak>")


def test_voices_take_turns_and_unknown_ones_are_refused(voice):
    found = plan(voice, "<speak>Hello. <voice name='ben'>Yes sir</voice>, she said.</speak>")
    assert [(chunk.sequence.words, chunk.speaker_id) for chunk in found.chunks] == [
        (("hello",), None),
        (("yes", "sir"), 1),
        (("she", "said"), None),
    ]
    assert next(voice.speak([found])).waveform.size
    with pytest.raises(MarkupError, match="line 1, column 26: speaker eve: unknown; known: anna, ben"):
        plan(voice, "<speak><voice name='eve'>Hello</voice></speak>")


def test_another_language_is_spoken_with_the_nearest_phones(voice, capsys):
    pytest.importorskip("espeakng_loader")
    sequence = plan(voice, "<speak>He said <lang xml:lang='de'>schöne Grüße</lang> to you.</speak>").sequence
    assert sequence.words == ("he", "said", "schöne", "grüsse", "to", "you") and set(sequence.phones) <= set(
        tiny_bundle().symbols.symbols
    )
    plan(voice, "<speak><lang xml:lang='de'>Grüße</lang></speak>")
    assert capsys.readouterr().err.count("was not trained on the phone 'ˈyː'") == 1


def test_marks_have_times_in_the_whole_and_in_each_chunk(voice):
    text = "<speak>One two. <mark name='a'/>Three <mark name='b'/> four.<mark name='c'/></speak>"
    speech = voice(text, speaker="anna")
    starts = [word.start_s for word in speech.alignment.words if word.label]
    assert speech.marks == (("a", starts[2]), ("b", starts[3]), ("c", speech.alignment.end_s))
    assert [each.marks for each in plan(voice, text).by_chunk()] == [(), (("a", 0), ("b", 1), ("c", 2))]


def test_markup_none_reads_signs_and_auto_refuses_tags(voice):
    assert plan(voice, "x < y", markup="none").sequence.words == plan(voice, "x < y").sequence.words
    with pytest.raises(MarkupError, match="SSML begins with <speak>"):
        plan(voice, "Hello <break time='1s'/> you")
    with pytest.raises(MarkupError, match="not well-formed"):
        plan(voice, "Hello", markup="ssml")
    with pytest.raises(SynthesisError, match="has no words"):
        plan(voice, "<speak><break/></speak>")
    assert request_from_text("<speak>Hello <break/> you</speak>").name == "hello_you"


@pytest.mark.slow
def test_the_flag_and_files_of_texts_read_markup(tmp_path):
    tiny_bundle().save(tmp_path / "voice")
    (tmp_path / "texts.txt").write_text("<speak>One <break time='1s'/> two.</speak>\nThree [pause:1s] four.\n")
    place = ("--infer_expt_dir", tmp_path / "voice", "--infer_output_dir", tmp_path / "out")
    done = call("bins.synthesize", *place, "--infer_mode", "batch", "--infer_text", tmp_path / "texts.txt")
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "out").glob("*.TextGrid"):
        first, second = (word for word in read_textgrid(path).words if word.label)
        assert second.start_s - first.end_s == pytest.approx(1, abs=0.01)
    assert len(list((tmp_path / "out").glob("*.wav"))) == 2
    (tmp_path / "lexicon.txt").write_text('one "twenty"\n')
    own = ("--infer_text", "One", "--lexicon", tmp_path / "lexicon.txt")
    assert call("bins.synthesize", *place, *own).returncode == 0
    [textgrid] = (tmp_path / "out").glob("one.TextGrid")
    phones = [phone.label for phone in read_textgrid(textgrid).phones if phone.label]
    assert phones[:3] == ["T", "W", "EH1"]
    done = call("bins.synthesize", *place, "--infer_text", "Hello [pause:1s] there.", "--markup", "ssml")
    assert done.returncode == 1 and "line 1, column 1: not well-formed" in done.stderr


def test_a_lexicon_of_a_text_goes_over_that_of_the_voice_and_of_the_front_end():
    voice = Synthesizer(tiny_bundle(), lexicon={"red": "B", "fox": "D"})
    assert voice.plan("Red fox.").sequence.phones == ("sil", "B", "D", ".")
    for text in ("Red fox.", "<speak>Red <emphasis>fox</emphasis>.</speak>"):
        assert voice.plan(text, lexicon={"FOX": "/s/"}).sequence.phones == ("sil", "B", "S", ".")
    plain = Synthesizer(tiny_bundle())
    assert plain("Red.", lexicon={"red": '"blue"'}).phones == plain("Blue.").phones
