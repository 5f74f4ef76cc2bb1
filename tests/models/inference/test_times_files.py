"""Times of what is spoken: exact in long texts, and as files."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from config.paths import SHIPPED_VOICE
from models.contracts import Change, Prosody
from models.inference.output_files import OutputError, require_writable
from models.inference.synthesize import Request, speak_all
from models.inference.synthesizer import Synthesizer
from models.inference.times_files import TimesFiles, write_times
from processors.alignment.speech_times import PARTS
from processors.alignment.textgrid import read_textgrid
from processors.text.visemes import VISEMES, VisemeError
from tests.support.commands import call
from tests.support.silent_vocoder import Silent
from tests.support.tiny_voice import tiny_bundle

LONG = "<speak>" + "".join(
    f"Sentence {number} costs ${number}, Dr. Who <break time='{number * 7}ms'/> "
    f"<prosody rate='{80 + number}%'>said <mark name='m{number}'/>slowly</prosody>. "
    for number in range(40)
) + "</speak>"  # fmt: skip


@pytest.fixture(scope="module")
def voice():
    return Synthesizer(tiny_bundle(), Silent())


@pytest.mark.slow
def test_times_of_a_long_text_are_those_of_its_frames_to_the_sample(voice):
    plan = voice.plan(LONG)
    speech = next(voice.speak([plan]))
    rate, times = speech.sample_rate, speech.times
    assert times.end_s * rate == pytest.approx(len(speech.waveform), abs=1e-6)
    frames = np.cumsum(speech.durations) - speech.durations
    indices = np.array(plan.sequence.word_indices)
    onsets = [frames[np.flatnonzero(indices == word)[0]] * 128 for word in range(len(plan.sequence.words))]
    assert [each.start_s * rate for each in times.words] == pytest.approx(onsets, abs=1e-6)
    # Piece by piece, as a server sends them: each begins where the sound before it ends.
    n_samples, words, visemes, marks, captions = 0, [], [], [], []
    for part in plan.by_chunk():
        [piece] = voice.speak(iter([part]))
        of_piece = piece.times.beginning_at(n_samples / rate)
        words += of_piece.words
        marks += of_piece.marks
        visemes += of_piece.visemes
        captions += of_piece.captions
        n_samples += len(piece.waveform)
    assert (n_samples, len(words)) == (len(speech.waveform), len(times.words))
    assert len(words) > 350
    assert [each.start_s for each in words] == pytest.approx([each.start_s for each in times.words], abs=1e-9)
    assert [(each.index, each.written) for each in words] == [(each.index, each.written) for each in times.words]
    assert [name for name, _ in marks] == [f"m{number}" for number in range(40)]
    assert [at for _, at in marks] == pytest.approx([at for _, at in speech.marks], abs=1e-9)
    assert {at for _, at in speech.marks} <= {each.start_s for each in times.words}
    spoken = " ".join(" ".join(each.text.split()) for each in captions)
    assert spoken == " ".join(times.source.text.split())
    for found in (visemes, times.visemes):
        assert found[0].start_s == 0 and found[-1].end_s == pytest.approx(speech.duration_s)
        assert [each.start_s for each in found[1:]] == pytest.approx([each.end_s for each in found[:-1]])
        assert {each.label for each in found} <= set(VISEMES)


def test_visemes_last_as_long_as_their_phones_and_those_of_diphthongs_half(voice):
    speech = voice("I buy.", prosody=Prosody(words={1: Change(duration_ms=400)}))
    aa, ih = speech.times.visemes[-3:-1]
    buy = speech.times.phones[-1]
    assert (buy.phone, aa.label, ih.label) == ("AY1", "aa", "ih")
    assert (aa.start_s, ih.end_s) == (buy.start_s, buy.end_s) and aa.end_s == ih.start_s
    assert ih.end_s - ih.start_s == pytest.approx((buy.end_s - buy.start_s) / 2)


def test_each_ending_is_written_in_its_form_and_others_are_refused(voice, tmp_path):
    speech = voice("<speak>It costs $5. <mark name='a'/><mark name='b'/>Yes &amp; no.<mark name='end'/></speak>")
    for name in ("t.TextGrid", "t.json", "t.srt", "t.vtt"):
        write_times(tmp_path / name, speech)
    grid = read_textgrid(tmp_path / "t.TextGrid")
    assert [each.label for each in grid.words if each.label] == ["it", "costs", "five", "dollars", "yes", "and", "no"]
    text = (tmp_path / "t.TextGrid").read_text()
    assert re.findall(r'name = "(\w+)"', text) == ["words", "phones", "visemes", "marks"]
    assert '"a b"' in text and '"end"' in text
    found = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert list(found) == ["text", "duration", *PARTS] and found["duration"] == pytest.approx(speech.duration_s)
    dollars = found["words"][3]
    assert (dollars["word"], dollars["written"], dollars["index"]) == ("dollars", "$5", 3)
    assert found["text"][slice(*dollars["span"])] == "$5."
    assert [each["name"] for each in found["marks"]] == ["a", "b", "end"]
    assert found["phones"][0] | {"end": 0} == {
        "word": 0,
        "index": 0,
        "phone": "IH1",
        "start": found["words"][0]["start"],
        "end": 0,
    }
    assert "It costs $5." in (tmp_path / "t.srt").read_text()
    assert "Yes &amp; no." in (tmp_path / "t.vtt").read_text()
    write_times(tmp_path / "words.VTT", speech, vtt_words=True)
    assert len(re.findall(r"<[\d:.]+>", (tmp_path / "words.VTT").read_text())) >= 4
    with pytest.raises(OutputError, match=r"t\.txt: expected a name that ends in \.TextGrid"):
        write_times(tmp_path / "t.txt", speech)


def test_a_voice_whose_letters_have_no_visemes_writes_all_else(voice, tmp_path, capsys):
    speech = voice("Hi.")
    object.__setattr__(speech.times, "spelling", "letters")
    object.__setattr__(speech.times.sequence, "phones", ("sil", "ж", "ж", "."))
    with pytest.raises(VisemeError, match="'ж' has no viseme"):
        assert speech.times.visemes
    for name in ("t.json", "t.TextGrid"):
        write_times(tmp_path / name, speech)
        assert "visemes" not in (tmp_path / name).read_text()
    assert capsys.readouterr().err.count("without visemes") == 2


@pytest.mark.slow
def test_flags_write_times_and_refuse_what_cannot_be_written(tmp_path):
    tiny_bundle().save(tmp_path / "voice")
    place = ("--infer_expt_dir", tmp_path / "voice", "--infer_output_dir", tmp_path / "out")
    (tmp_path / "texts.txt").write_text("one|It costs $5.\ntwo|No.\n")
    single = ("--infer_text", "It costs $5.", "--times", tmp_path / "new" / "a.srt", tmp_path / "b.vtt")
    done = call("bins.synthesize", *place, *single, "--vtt_words", "--times_format", "json")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "b.vtt") in done.stdout and "it_costs_5.json" in done.stdout
    assert "It costs $5." in (tmp_path / "new" / "a.srt").read_text()
    assert len(re.findall(r"<[\d:.]+>", (tmp_path / "b.vtt").read_text())) == 2
    assert json.loads((tmp_path / "out" / "it_costs_5.json").read_text())["words"][2]["word"] == "five"
    batch = ("--infer_mode", "batch", "--infer_text", tmp_path / "texts.txt", "--times_format", "srt,TextGrid")
    assert call("bins.synthesize", *place, *batch).returncode == 0
    assert {each.name for each in (tmp_path / "out").glob("*.srt")} == {"one.srt", "two.srt"}
    assert '"visemes"' in (tmp_path / "out" / "two.TextGrid").read_text()


def test_files_of_times_that_exist_or_cannot_be_written_are_refused_before_anything_is_spoken(tmp_path):
    (tmp_path / "a.srt").touch()
    require_writable([tmp_path / "new" / "b.srt"], overwrite=False)
    require_writable([tmp_path / "a.srt"], overwrite=True)
    for path, overwrite, message in (
        (tmp_path / "a.srt", False, "exists already; choose another name, or --overwrite"),
        (tmp_path / "a.srt" / "b.srt", True, "is no folder that one may write to"),
        (tmp_path, True, "is a folder"),
    ):
        with pytest.raises(OutputError, match=message):
            require_writable([path], overwrite=overwrite)
    with pytest.raises(OutputError, match=r"a\.srt exist already"):
        speak_all(None, [Request("a", "Hi.")], tmp_path, Prosody(), times=TimesFiles(formats=("srt",)))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--times", "x.txt"), "expected a name that ends in .TextGrid"),
        (("--times_format", "srt,exe"), "expected TextGrid, json, srt, vtt"),
        (("--times", "x.srt", "--infer_mode", "batch"), "--times is for one text"),
        (("--vtt_words", "--times", "x.srt"), "--vtt_words needs"),
        (("--stream", "wav", "--times", "x.srt"), "leave --times out"),
    ],
)
def test_flags_of_times_that_contradict_are_wrong_usage(monkeypatch, capsys, flags, message):
    from bins import synthesize

    parser = synthesize._parser()
    with pytest.raises(SystemExit) as ended:
        synthesize._check(parser, parser.parse_args(["--infer_expt_dir", "x", "--infer_text", "x", *flags]))
    assert ended.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.slow
def test_words_of_many_sentences_begin_when_they_sound():
    voice = Synthesizer.open(SHIPPED_VOICE)
    text = "<speak>" + "Take the ball. <break time='400ms'/>" * 30 + "</speak>"
    speech = voice(text)
    hop, rate = 256, speech.sample_rate
    power = np.square(speech.waveform).reshape(-1, hop).mean(axis=1)
    is_loud = power > 0.003 * np.percentile(power, 95)
    errors_s = []
    for word in speech.times.words[3::3]:  # each after a pause
        expected = round(word.start_s * rate / hop)
        assert not is_loud[expected - 8 : expected - 2].any()
        onset = expected - 2 + int(np.argmax(is_loud[expected - 2 : expected + 16]))
        errors_s.append((onset - expected) * hop / rate)
    assert len(errors_s) == 29 and np.abs(errors_s).max() < 0.12
    drift_s = np.polyfit(np.arange(29), errors_s, 1)[0] * 29
    assert abs(drift_s) < 0.02, errors_s
