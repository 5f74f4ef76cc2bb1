"""The Synthesizer: texts alone, in batches, in threads and as streams, with their alignments."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from config.paths import REPOSITORY
from models.bundle import BundleError
from models.bundles.vocoder import VocoderError
from models.contracts import ControlError, Prosody
from models.fastspeech2.network import FastSpeech2
from models.inference.output_files import OutputError
from models.inference.synthesize import (
    Request,
    choose_requests,
    request_from_text,
    requests_from_dataset,
    requests_from_file,
    speak_all,
)
from models.inference.synthesizer import ChunkMel, SynthesisError, Synthesizer
from models.inference.vocoder import open_vocoder
from processors.alignment.textgrid import read_textgrid
from processors.text.english import EnglishFrontEnd
from processors.text.errors import TextError
from processors.text.symbols import SymbolTable
from processors.text.tokens import PAUSES, SPOKEN_NOISE
from processors.utterance import ManifestError, Utterance, write_manifest
from tests.support.commands import call
from tests.support.many_threads import TEXTS, by_threads
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voice") / "bundle"
    tiny_bundle().save(folder)
    return folder


@pytest.fixture(scope="module")
def voice(bundle):
    return Synthesizer.open(bundle)


def test_speech_has_one_length_everywhere(voice):
    speech = voice("Hello there, world.")
    assert speech.waveform.dtype == np.float32
    assert len(speech.waveform) == speech.mel.shape[1] * 128
    assert len(speech.f0_hz) == speech.mel.shape[1] == speech.durations.sum()
    assert len(speech.phones) == len(speech.durations)
    assert speech.alignment.end_s == pytest.approx(speech.duration_s)
    assert np.abs(speech.waveform).max() <= 1


def test_the_alignment_holds_every_word_in_order_without_gaps(voice):
    alignment = voice("Hello there, world. How are you?").alignment
    spoken = [word.label for word in alignment.words if not word.is_silence]
    assert spoken == ["hello", "there", "world", "how", "are", "you"]
    for tier in (alignment.words, alignment.phones):
        assert tier[0].start_s == 0
        assert all(a.end_s == pytest.approx(b.start_s) for a, b in itertools.pairwise(tier))


@pytest.mark.slow
def test_long_texts_are_split_and_joined(voice):
    sentence = "One two three four five. "
    assert voice(sentence * 30).duration_s > 20 * voice(sentence).duration_s


def pause_s(speech):
    """Return the silence between two sentences of one word each."""
    first, second = (word for word in speech.alignment.words if not word.is_silence)
    return second.start_s - first.end_s


@pytest.mark.parametrize("joined_share", [0.0, 0.3])
def test_sentences_pause_between_them_and_not_at_the_end(joined_share):
    bundle = tiny_bundle()
    preprocess = bundle.settings.preprocess.model_copy(update={"joined_share": joined_share})
    voice = Synthesizer(replace(bundle, settings=bundle.settings.model_copy(update={"preprocess": preprocess})))
    plan, speech = voice.plan("Go. Stop."), voice("Go. Stop.")
    assert len(plan.chunks) == (1 if joined_share else 2)
    assert 0.34 < pause_s(speech) < 0.7 and speech.durations[-1] == voice("Stop.").durations[-1]
    assert pause_s(voice("Go. Stop.", prosody=Prosody(duration=0.5))) == pytest.approx(pause_s(speech) / 2, abs=0.05)
    np.testing.assert_allclose(np.concatenate(list(voice.stream("Go. Stop."))), speech.waveform, atol=1e-5)


def test_a_pause_is_filled_with_the_quietest_frame_of_what_is_spoken_before():
    mel = torch.tensor([[0.0, -4.0, -2.0], [-1.0, -3.0, -9.0]])
    chunk = ChunkMel(mel, np.array([1, 2]), np.array([100.0, 0.0, 90.0]))
    longer = chunk.with_silence(2)
    assert longer.mel.tolist() == [[0, -4, -2, -4, -4], [-1, -3, -9, -3, -3]]
    assert longer.durations.tolist() == [1, 4] and longer.f0_hz.tolist() == [100, 0, 90, 90, 90]
    assert chunk.with_silence(0) is chunk and chunk.durations.tolist() == [1, 2]


def test_the_pause_between_sentences_is_as_long_as_asked_or_refused():
    pauses = [pause_s(Synthesizer(tiny_bundle(), sentence_pause_s=asked)("Go. Stop.")) for asked in (0, 0.35, 1.2)]
    assert pauses[0] < 0.34 and pauses[1] == pause_s(Synthesizer(tiny_bundle())("Go. Stop."))
    assert pauses[2] == pytest.approx(pauses[1] + 0.85, abs=0.02)
    with pytest.raises(SynthesisError, match="sentence_pause_s: found -1; expected 0 to 10"):
        Synthesizer(tiny_bundle(), sentence_pause_s=-1)


def test_paragraphs_pause_longer_wherever_their_ends_are_marked():
    voice = Synthesizer(tiny_bundle())
    between = {
        text: pause_s(voice(text))
        for text in (
            "Go. Stop.",
            "Go\nStop.",
            "Go\n\nStop.",
            "Go,\r\n \r\n* * *\r\n\r\nStop.\n\n",
            "\n\nGo. \n\t\n [stop](/stɑp/).",
            "<speak><p>Go.</p>\n\n<p>Stop.</p></speak>",
        )
    }
    sentence, line, *paragraphs = between.values()
    assert line < 0.5 < 0.74 < min(paragraphs) and max(paragraphs) < 1.1
    assert sentence == pytest.approx(min(paragraphs) - 0.4, abs=0.1)
    assert pause_s(voice("<speak>Go.\n\nStop.</speak>")) == pytest.approx(sentence, abs=0.1)
    assert pause_s(voice("Go.\n\n[pause:0.2s] Stop.")) == pytest.approx(0.2, abs=0.01)
    text = "Go.\n\nStop."
    faster, usual = voice(text, prosody=Prosody(pace=2)), voice(text)
    assert pause_s(faster) == pytest.approx(pause_s(usual) / 2, abs=0.1)
    assert usual.durations[-1] == voice("Stop.").durations[-1]
    np.testing.assert_allclose(np.concatenate(list(voice.stream(text))), usual.waveform, atol=1e-5)
    asked = Synthesizer(tiny_bundle(), paragraph_pause_s=1.25)
    assert pause_s(asked(text)) == pytest.approx(pause_s(usual) + 0.5, abs=0.02)
    with pytest.raises(SynthesisError, match="paragraph_pause_s: found 11; expected 0 to 10"):
        Synthesizer(tiny_bundle(), paragraph_pause_s=11)


def test_paragraphs_are_read_as_they_are_alone():
    voice = Synthesizer(tiny_bundle())
    paragraphs = ["# The US", "- one etc.\n- two", "CHAPTER IV", "> Dear John,", "It is 5 p.m."]
    together = voice.plan("\n\n".join(paragraphs))
    alone = [voice.plan(each).sequence.phones for each in [*(f"{each}\n" for each in paragraphs[:-1]), paragraphs[-1]]]
    assert together.sequence.phones == tuple(phone for phones in alone for phone in phones)
    assert sum(chunk.ends_paragraph for chunk in together.chunks) == len(paragraphs) - 1


def test_many_texts_together_sound_as_they_do_alone(voice):
    texts = ["Go.", "A rather longer sentence, with a pause.", "Hello there."]
    for text, together in zip(texts, voice.speak(texts), strict=True):
        alone = voice(text)
        assert np.array_equal(together.durations, alone.durations)
        np.testing.assert_allclose(together.mel, alone.mel, atol=1e-4)


def test_plans_of_several_speakers_and_prosodies_sound_as_they_do_alone():
    voice = Synthesizer(tiny_bundle(speakers=("anna", "bob")))
    asked = [("Go.", "bob", 1.0), ("Hello there, world.", "anna", 1.5), ("Go on.", "anna", 1.0), ("No.", "bob", 1.5)]
    plans = [voice.plan(text, speaker=name, prosody=Prosody(duration=factor)) for text, name, factor in asked]
    for (text, name, factor), together in zip(asked, voice.speak(plans), strict=True):
        alone = voice(text, speaker=name, prosody=Prosody(duration=factor))
        assert together.text == text and np.array_equal(together.durations, alone.durations)
        np.testing.assert_allclose(together.mel, alone.mel, atol=1e-4)


def test_texts_of_a_generator_are_spoken_one_by_one_as_they_come(voice):
    given = []

    def texts():
        for text in ("Go.", "Hello there.", "😀"):
            given.append(text)
            yield text

    spoken = voice.speak(texts())
    assert next(spoken).text == "Go." and given == ["Go."]
    assert next(spoken).text == "Hello there." and given == ["Go.", "Hello there."]
    with pytest.raises(TextError):
        next(spoken)


def test_a_text_is_read_once_and_each_phone_keeps_its_word(bundle, tmp_path, monkeypatch):
    read = []
    tokens = EnglishFrontEnd.tokens
    monkeypatch.setattr(EnglishFrontEnd, "tokens", lambda self, text: read.append(text) or tokens(self, text))
    speak_all(Synthesizer.open(bundle), [request_from_text("Hello there. Bye.")], tmp_path, Prosody())
    assert read == ["Hello there. Bye."]
    sequence = Synthesizer.open(bundle).plan("Hello there. Bye.").sequence
    assert sequence.words == ("hello", "there", "bye")
    indexed = list(zip(sequence.phones, sequence.word_indices, strict=True))
    phones_of_words = [[phone for phone, index in indexed if index == word] for word in range(3)]
    assert phones_of_words == [["HH", "AH0", "L", "OW1"], ["DH", "EH1", "R"], ["B", "AY1"]]


def test_duration_and_pitch_follow_their_controls(voice):
    plain = voice("Hello there, world.")
    slow = voice("Hello there, world.", prosody=Prosody(duration=2.0))
    assert slow.duration_s == pytest.approx(2 * plain.duration_s, rel=0.1)
    high = voice("Hello there, world.", prosody=Prosody(pitch=1.2))
    np.testing.assert_allclose(high.f0_hz / plain.f0_hz, 1.2, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 100.0])
def test_a_control_out_of_range_is_refused(voice, value):
    with pytest.raises(SynthesisError, match="pitch_control"):
        voice.plan("Hello.", prosody=Prosody(pitch=value))


def test_a_control_that_the_model_does_not_have_is_refused_by_name(bundle, monkeypatch):
    monkeypatch.setattr(FastSpeech2, "controls", frozenset({"duration", "pitch"}))
    voice = Synthesizer.open(bundle)
    voice("Hello.", prosody=Prosody(pitch=1.1))
    message = "this voice's FastSpeech2 has no energy to control; it has: duration, pitch"
    for synthesize in (voice, voice.generate_spectrogram):
        with pytest.raises(ControlError, match=message):
            synthesize("Hello.", prosody=Prosody(energy=1.1))


@pytest.mark.parametrize("text", ["", "   ", "😀🎉", "...", "?!"])
def test_a_text_without_words_is_refused(voice, text):
    with pytest.raises((SynthesisError, TextError)):
        voice(text)


def test_the_calls_of_other_toolkits_work(bundle):
    voice = Synthesizer.restore_from(bundle)
    mel = voice.generate_spectrogram(text="Hello there.")
    assert mel.shape[0] == 20
    spoken = voice.convert_spectrogram_to_audio(spec=mel, mel_scale="natural")  # an untrained model has no pauses
    assert len(spoken) == mel.shape[1] * 128
    turned = voice.convert_spectrogram_to_audio(torch.from_numpy(mel.T[None] / np.log(10)), mel_scale="log10")
    assert turned.shape == (1, len(spoken))
    assert np.corrcoef(turned, spoken)[0, 1] > 0.99  # Griffin-Lim amplifies what rounding changes
    with pytest.raises(SynthesisError, match=r"expected \(20, frames\)"):
        voice.convert_spectrogram_to_audio(spec=np.zeros((80, 10), np.float32))
    with pytest.raises(SynthesisError, match="scaled to 0 to 1"):
        voice.convert_spectrogram_to_audio(spec=np.zeros((20, 10), np.float32))


def test_a_voice_of_several_speakers_requires_a_speaker(tmp_path):
    tiny_bundle(speakers=("anna", "bob")).save(tmp_path)
    voice = Synthesizer.open(tmp_path)
    assert voice.speakers == ("anna", "bob")
    with pytest.raises(SynthesisError, match=r"name a speaker \(--infer_speaker_name\); known: anna, bob"):
        voice("Hello.")
    with pytest.raises(SynthesisError, match="carl: unknown; known: anna, bob"):
        voice("Hello.", speaker="carl")
    anna, bob = (voice("Hello.", speaker=name).mel for name in voice.speakers)
    assert anna.shape != bob.shape or not np.allclose(anna, bob)


def test_an_acoustic_model_is_refused_as_a_vocoder(bundle):
    with pytest.raises(BundleError, match="FastSpeech2, which is not a vocoder"):
        Synthesizer.open(bundle, vocoder=bundle)


@pytest.fixture(scope="module")
def vocoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocoder") / "bundle"
    tiny_vocoder_bundle().save(folder)
    return folder


def test_a_vocoder_makes_the_sound_of_the_whole_text(bundle, vocoder):
    speech = Synthesizer.open(bundle, vocoder=vocoder)("One two three four five. " * 30)
    whole = open_vocoder(vocoder, precision=None).waveform(torch.from_numpy(speech.mel))
    np.testing.assert_allclose(speech.waveform, whole.numpy(), atol=1e-5)
    assert speech.alignment.end_s == pytest.approx(speech.duration_s)


def test_a_streamed_text_is_the_whole_one(bundle, vocoder):
    text = "One two three four five. " * 30
    voice = Synthesizer.open(bundle, vocoder=vocoder)
    pieces = list(voice.stream(text))
    assert len(pieces) > 3 and all(piece.dtype == np.float32 for piece in pieces)
    np.testing.assert_allclose(np.concatenate(pieces), voice(text).waveform, atol=1e-5)
    assert len(pieces[0]) == 48 * 128  # few at first, so that sound comes early
    without_vocoder = Synthesizer.open(bundle)
    lengths = [len(piece) for piece in without_vocoder.stream("Hello there. How are you?")]
    assert len(lengths) == 2 and sum(lengths) == len(without_vocoder("Hello there. How are you?").waveform)


def test_the_first_sound_of_a_stream_needs_no_more_mels_than_its_own(bundle, vocoder, monkeypatch):
    voice, read = Synthesizer.open(bundle, vocoder=vocoder), []
    for name in ("infer", "infer_in_parts"):
        infer = getattr(voice._model, name)
        monkeypatch.setattr(
            voice._model, name, lambda batch, *more, infer=infer: read.append(batch) or infer(batch, *more)
        )
    pieces = voice.stream("One two three four five. " * 30)
    assert not read
    next(pieces)
    assert 0 < len(read) < 30
    with pytest.raises((SynthesisError, TextError)):
        voice.stream("😀")


@pytest.mark.slow
def test_eight_threads_speak_a_hundred_texts_as_one_does(vocoder):
    pytest.importorskip("espeakng_loader", reason="needs the extra espeak")
    bundle = tiny_bundle("preprocess.phone_extractor=espeak", speakers=("anna", "otto"))
    symbols = [*PAUSES, SPOKEN_NOISE, *"ptkbdszmnlrfvhŋʃɹwðɡjç", *"ɪəaeiouʊɛæʌɑ", "iː", "uː", "ˈaɪ", "ˈɛ", "ˈoʊ", "ˈiː"]
    bundle = replace(bundle, symbols=SymbolTable([*symbols, *map(str, range(len(bundle.symbols) - 1 - len(symbols)))]))

    def voice():
        return Synthesizer(bundle, open_vocoder(vocoder))

    def speak(item):
        language, text = item
        return shared(text, speaker="anna" if language == "en" else "otto", language=language)

    shared = voice()
    expected = list(map(speak, TEXTS))
    shared = voice()
    for speech, alone in zip(by_threads(speak, TEXTS), expected, strict=True):
        assert (speech.phones, speech.alignment) == (alone.phones, alone.alignment)
        assert np.array_equal(speech.mel, alone.mel) and np.array_equal(speech.waveform, alone.waveform)


def test_a_vocoder_of_other_mels_is_refused(bundle, tmp_path):
    tiny_vocoder_bundle("preprocess.fmax=7600", "preprocess.win_size=400").save(tmp_path)
    with pytest.raises(VocoderError, match=r"win_size 400 \(wanted: 512\), fmax 7600\.0 \(wanted: 8000\.0\)"):
        Synthesizer.open(bundle, vocoder=tmp_path)


def test_a_vocoder_is_no_acoustic_model(vocoder):
    with pytest.raises(BundleError, match="HiFiGAN, which is not an acoustic model"):
        Synthesizer.open(vocoder)


def test_each_text_leaves_sound_picture_and_times(voice, tmp_path):
    (path,) = speak_all(voice, [request_from_text("Hello there!")], tmp_path, Prosody())
    assert path == tmp_path / "hello_there.wav"
    sound, sample_rate = soundfile.read(path)
    assert sample_rate == 16000
    assert soundfile.info(path).subtype == "PCM_16"
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    times = read_textgrid(path.with_suffix(".TextGrid"))
    assert [word.label for word in times.words if not word.is_silence] == ["hello", "there"]
    assert times.end_s == pytest.approx(len(sound) / sample_rate, abs=1e-3)


@pytest.mark.slow
def test_outputs_never_overwrite_each_other(voice, tmp_path):
    request = request_from_text("Hello.")
    names = [speak_all(voice, [request], tmp_path, Prosody(), number_existing=True)[0].name for _ in range(3)]
    assert names == ["hello.wav", "hello-2.wav", "hello-3.wav"]
    with pytest.raises(OutputError, match=r"hello\.wav exist"):
        speak_all(voice, [request], tmp_path, Prosody())
    assert speak_all(voice, [request], tmp_path, Prosody(), overwrite=True)[0].name == "hello.wav"


def test_a_text_that_cannot_be_pronounced_does_not_stop_the_others(voice, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("one|Hello.\ntwo|😀\n\nBye.\n")
    with pytest.raises(SynthesisError, match="1 of 3 texts could not be synthesized, the others are in "):
        speak_all(voice, requests_from_file(texts), tmp_path / "out", Prosody())
    assert sorted(path.name for path in (tmp_path / "out").glob("*.wav")) == ["line_0004.wav", "one.wav"]
    assert "two" in (tmp_path / "out" / "not_spoken.txt").read_text()
    alone = tmp_path / "alone.txt"
    alone.write_text("alone|😀\n")
    with pytest.raises(SynthesisError, match="1 of 1 texts could not be synthesized: alone: "):
        speak_all(voice, requests_from_file(alone), tmp_path / "none", Prosody())


def test_a_pitch_function_that_fails_for_one_text_does_not_stop_the_others(voice, tmp_path):
    def higher(f0_hz):
        return f0_hz * 1.1 if len(f0_hz) < 12 else f0_hz[1:]

    requests = [Request("a", "Go."), Request("b", "Hello there, my old friend."), Request("c", "Bye.")]
    with pytest.raises(SynthesisError, match=r"^1 of 3 texts could not .*, the others are in .*: b: the pitch "):
        speak_all(voice, requests, tmp_path, Prosody(pitch_function=higher))
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["a.wav", "c.wav"]
    assert (tmp_path / "not_spoken.txt").read_text().startswith("b: the pitch function returned the shape")
    with pytest.raises(SynthesisError, match="3 of 3 texts could not be synthesized: a: "):
        speak_all(voice, requests, tmp_path / "none", Prosody(pitch_function=lambda f0_hz: "high"))


@pytest.mark.slow
def test_files_of_several_speakers_are_listed_in_the_order_of_their_texts(tmp_path):
    voice = Synthesizer(tiny_bundle(speakers=("anna", "bob")))
    requests = [Request(name, "Go.", speaker) for name, speaker in (("a", "anna"), ("b", "bob"), ("c", "anna"))]
    written = speak_all(voice, requests, tmp_path, Prosody())
    assert [path.name for path in written] == ["a.wav", "b.wav", "c.wav"]
    assert written[0].read_bytes() == written[2].read_bytes() != written[1].read_bytes()
    with pytest.raises(SynthesisError, match=r"^speaker carl: unknown; known: anna, bob"):
        speak_all(voice, [requests[0], Request("d", "Go.", "carl")], tmp_path, Prosody(), overwrite=True)


def test_a_file_of_texts_is_checked_line_by_line(tmp_path):
    path = tmp_path / "texts.txt"

    def refused(content, encoding="utf-8"):
        path.write_bytes(content.encode(encoding))
        with pytest.raises((SynthesisError, ManifestError)) as caught:
            requests_from_file(path)
        return str(caught.value)

    assert ":2: the name '../up'" in refused("a|Hello.\n../up|Hello.\n")
    assert ":3: the name A is already on line 1" in refused("a|Hello.\n\nA|Hello.\n")
    assert ":1: a has no text" in refused("a|\n")
    assert "holds no text" in refused("\n\n")
    assert ":2: byte 0xe9" in refused("Hello\ncafé\n", "latin-1")
    path.write_bytes("\ufeffa|Hello.\r\nBye.\r\n".encode())
    read = [(request.name, request.text) for request in requests_from_file(path)]
    assert read == [("a", "Hello."), ("line_0002", "Bye.")]


def test_output_names_are_made_from_the_text():
    assert request_from_text("Author of the danger trail, Philip Steels, etc.").name == (
        "author_of_the_danger_trail_philip_steels"
    )
    assert request_from_text("Ça va?").name == "ca_va"
    assert request_from_text("日本").name == "speech"


def test_the_test_split_of_stage_1_is_synthesized(tmp_path):
    utterance = Utterance("u1", "mine", "anna", "en", "Hello.", tmp_path / "u1.wav", 1.0, "test")
    write_manifest(tmp_path / "mine" / "test.jsonl", [utterance])
    (request,) = requests_from_dataset(tmp_path, "mine", "test", ["anna"])
    assert (request.name, request.text, request.speaker) == ("u1", "Hello.", "anna")
    with pytest.raises(ManifestError, match="no such split; found: mine/test"):
        requests_from_dataset(tmp_path, "mine", "valid", [])


def test_a_voice_with_one_speaker_reads_tables_of_others(voice, tmp_path, capsys):
    path = tmp_path / "val.txt"
    path.write_text("a|LJSpeech|{HH AY1}|Hi there.\nb|LJSpeech|{B AY1}|Bye now.\n")
    choices = {"dataset": None, "testing_set": "test", "language": None}

    def speakers(synthesizer, speaker):
        chosen = choose_requests(
            synthesizer, synthesizer.settings, text=str(path), is_file=True, speaker=speaker, **choices
        )
        return [request.speaker for request in chosen]

    assert speakers(voice, None) == [None, None]
    assert "one speaker, anna, who reads the texts of LJSpeech, too\n" in capsys.readouterr().out
    assert speakers(voice, "anna") == ["anna", "anna"]
    assert speakers(Synthesizer(tiny_bundle(speakers=("anna", "bob"))), None) == ["LJSpeech", "LJSpeech"]


def synthesize(*arguments):
    return call("bins.synthesize", "--config", "egs/tts/FastSpeech2/exp_config.json", *arguments)


def test_the_command_speaks_from_a_bundle(bundle, tmp_path):
    spoken = synthesize(
        "--infer_expt_dir", str(bundle), "--infer_text", "Hello.", "--infer_output_dir", str(tmp_path)
    )  # fmt: skip
    assert spoken.returncode == 0, spoken.stderr
    assert "Griffin-Lim" in spoken.stdout
    assert str(tmp_path / "hello.wav") in spoken.stdout
    assert (tmp_path / "hello.wav").is_file()
    refused = synthesize("--infer_expt_dir", str(bundle), "--infer_text", "Hello.", "--denoising_strength", "0.1")
    assert refused.returncode == 1 and "griffin_lim takes no denoising_strength" in refused.stderr


def test_the_command_speaks_with_a_vocoder(bundle, vocoder, tmp_path):
    voice = ["--infer_expt_dir", str(bundle), "--vocoder_dir", str(vocoder)]
    spoken = synthesize(*voice, "--infer_text", "Hello.", "--infer_output_dir", str(tmp_path))
    assert spoken.returncode == 0, spoken.stderr
    assert "Griffin-Lim" not in spoken.stdout
    assert (tmp_path / "hello.wav").is_file()
    refused = synthesize(*voice, "--infer_text", "Hello.", "--sigma", "0.6")
    assert refused.returncode == 1 and "a HiFiGAN takes no sigma" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--infer_mode", "single"], 2, "needs --infer_text"),
        (["--infer_text", "x", "--infer_dataset", "LJSpeech"], 2, "--infer_dataset needs --infer_mode batch"),
        (["--infer_txet", "x"], 2, "unrecognized arguments"),
        (["--infer_text", "x", "--precision", "int4"], 2, "--precision: invalid choice: 'int4'"),
        (
            ["--infer_text", "x", "--device", "cpu", "--gpu", ""],
            2,
            "--gpu: not allowed with argument --device",
        ),
        (["--infer_text", "x", "--infer_expt_dir", "nowhere"], 1, "there is no such folder"),
        (["--infer_text", "x", "--pitch_control", "0", "--infer_expt_dir", "ckpts"], 1, "pitch_control"),
    ],
)
def test_wrong_usage_is_refused(arguments, code, message):
    refused = synthesize(*arguments)
    assert refused.returncode == code
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_bundle_opens_without_any_file_of_training(bundle):
    resolved = json.loads((bundle / "settings.json").read_text())
    assert not (REPOSITORY / resolved["preprocess"]["processed_dir"] / "mine").exists()
    assert torch.isfinite(torch.tensor(Synthesizer.open(bundle)("Hello.").mel)).all()
