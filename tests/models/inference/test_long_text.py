"""Long texts spoken piece by piece: resuming, files, times, and what is refused."""

from __future__ import annotations

import errno
import io
import os
import sys
import time

import numpy as np
import pytest
import soundfile

import bins.synthesize
from models.contracts import Prosody
from models.inference import long_text
from models.inference.long_text import models_of, speak_long_text, unfinished_folder
from models.inference.output_files import OutputError
from models.inference.synthesizer import Synthesizer
from processors.alignment.textgrid import read_textgrid
from processors.audio import growing_wav
from processors.audio.audio_file import AudioError, audio_info, read_audio, to_int16
from processors.audio.growing_wav import wav_header
from tests.support.commands import call, start
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle

RATE, HOP_SIZE = 16000, 128
TEXT = "Chapter one\n\nGo home. Stop it now. Yes.\n\nHe went away, and came back."
TEXT += "\n\nIt is easy to do. It is hard to learn."


class LevelVocoder:
    """A vocoder whose samples follow the mels' level; it is interrupted after `left` mels."""

    takes_f0 = False

    def __init__(self):
        self.left = 10**6

    def waveform(self, mel):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        noise = np.random.default_rng(mel.shape[1]).uniform(0.5, 1, mel.shape[1] * HOP_SIZE)
        return 0.1 * (mel.mean(dim=0).repeat_interleave(HOP_SIZE) * noise).float()

    def stream(self, mels, *, first_chunks=()):
        return map(self.waveform, mels)


@pytest.fixture
def voice(monkeypatch):
    monkeypatch.setattr(long_text, "_PHONES_PER_PIECE", 20)
    return Synthesizer(tiny_bundle(), LevelVocoder())


def speak(voice, path, text=TEXT, prosody=None, **options):
    made_by = options.pop("made_by", {})
    return speak_long_text(voice, voice.plan(text, prosody=prosody or Prosody()), path, made_by=made_by, **options)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_text_of_one_piece_is_what_the_voice_speaks(tmp_path):
    voice = Synthesizer(tiny_bundle(), LevelVocoder())
    text = "Go home. Stop it now."
    for prosody in (Prosody(), Prosody(fade_out_ms=200), Prosody(peak_normalize=True, fade_out_ms=1e4)):
        [path] = speak(voice, tmp_path / "a.wav", text, prosody, overwrite=True)
        speech = voice(text, prosody=prosody)
        np.testing.assert_array_equal(to_int16(read_audio(path, RATE)), to_int16(speech.waveform))
        found = read_textgrid(tmp_path / "a.TextGrid")
        assert [word.label for word in found.words] == [word.label for word in speech.alignment.words]
        assert [word.end_s for word in found.words] == pytest.approx([w.end_s for w in speech.alignment.words])
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav", "a.TextGrid"}


@pytest.mark.parametrize("wav_per", ["text", "paragraph"])
@pytest.mark.parametrize("prosody", [Prosody(), Prosody(peak_normalize=True, fade_out_ms=50)])
def test_a_run_killed_after_any_piece_goes_on_to_the_same_bytes(voice, tmp_path, wav_per, prosody):
    speak(voice, tmp_path / "whole" / "a.wav", prosody=prosody, wav_per=wav_per)
    path = tmp_path / "parts" / "a.wav"
    work, calls = unfinished_folder(path), 0
    while calls < 20:
        voice.vocoder.left = 1 + calls % 2
        calls += 1
        try:
            written = speak(voice, path, prosody=prosody, wav_per=wav_per)
            break
        except KeyboardInterrupt:
            assert not path.exists() and work.is_dir()
            for file in work.glob("*.samples"):  # as a kill within the next piece leaves them
                with file.open("ab") as growing:
                    growing.write(b"\x01" * 777)
            with (work / "journal").open("a") as journal:
                journal.write('{"end": 12')
    assert calls > 3 and contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert not list((tmp_path / "parts").glob(".*")) and len(written) == (1 if wav_per == "text" else 4)


def test_a_kill_between_the_last_piece_and_its_file_loses_nothing(voice, tmp_path, monkeypatch):
    expected = [path.read_bytes() for path in speak(voice, tmp_path / "b.wav", wav_per="paragraph")]
    replace, path = os.replace, tmp_path / "a.wav"

    def fails(source, target):
        if str(target).endswith((".wav", ".TextGrid")) and str(target) not in seen:
            seen.add(str(target))
            raise KeyboardInterrupt
        replace(source, target)

    seen: set[str] = set()
    monkeypatch.setattr(os, "replace", fails)
    for _ in range(8):
        with pytest.raises(KeyboardInterrupt):
            speak(voice, path, wav_per="paragraph")
    written = speak(voice, path, wav_per="paragraph")
    assert [path.read_bytes() for path in written] == expected


def test_times_and_pauses_are_exact_over_the_whole_text(voice, tmp_path):
    [path] = speak(voice, tmp_path / "a.wav")
    found, whole = read_textgrid(tmp_path / "a.TextGrid"), voice(TEXT).alignment
    assert found.end_s == pytest.approx(audio_info(path).duration_s, abs=1e-6)
    assert [word.label for word in found.words] == [word.label for word in whole.words]
    assert [word.end_s for word in found.words] == pytest.approx([word.end_s for word in whole.words], abs=1e-6)
    files = speak(voice, path, wav_per="paragraph")
    assert [str(file.relative_to(tmp_path)) for file in files] == [f"a/000{number}.wav" for number in range(1, 5)]
    alone = voice("He went away, and came back.")
    np.testing.assert_array_equal(to_int16(read_audio(files[2], RATE)), to_int16(alone.waveform))


def test_speech_of_another_text_or_voice_is_never_mixed_with_what_was_begun(voice, tmp_path):
    path = tmp_path / "a.wav"
    voice.vocoder.left = 3
    with pytest.raises(KeyboardInterrupt):
        speak(voice, path, made_by={"acoustic": "1"})
    voice.vocoder.left = 10**6
    begun = contents(tmp_path)
    others = (
        {"text": TEXT.replace("easy", "nice")},
        {"prosody": Prosody(pace=1.1)},
        {"prosody": Prosody(fade_out_ms=10)},
        {"prosody": Prosody(words={1: Prosody(energy_db=3.0)})},
        {"made_by": {"acoustic": "2"}},
        {"wav_per": "paragraph"},
    )
    for other in others:
        with pytest.raises(OutputError, match=r"\.a\.unfinished: holds the beginning of another text.*--overwrite"):
            speak(voice, path, **{"made_by": {"acoustic": "1"}, **other})
    slower = Synthesizer(tiny_bundle(), LevelVocoder(), paragraph_pause_s=2.0)
    with pytest.raises(OutputError, match="another text"):
        speak(slower, path, made_by={"acoustic": "1"})
    assert contents(tmp_path) == begun
    [written] = speak(voice, path, "Another.", overwrite=True)
    assert audio_info(written).samples == len(voice("Another.").waveform)
    with pytest.raises(OutputError, match=r"a\.wav exist already"):
        speak(voice, path)
    speak(voice, path, wav_per="paragraph")
    with pytest.raises(OutputError, match=r"0001\.TextGrid and 7 more exist already"):
        speak(voice, path, "Shorter.", wav_per="paragraph")
    speak(voice, path, "Shorter.", wav_per="paragraph", overwrite=True)
    assert sorted(each.name for each in (tmp_path / "a").iterdir()) == ["0001.TextGrid", "0001.wav"]


def test_damage_is_named(voice, tmp_path):
    path = tmp_path / "a.wav"
    voice.vocoder.left = 5
    with pytest.raises(KeyboardInterrupt):
        speak(voice, path)
    voice.vocoder.left = 10**6
    samples = unfinished_folder(path) / "0.samples"
    os.truncate(samples, 500)
    with pytest.raises(OutputError, match=r"0\.samples: is shorter than its journal says; .* --overwrite"):
        speak(voice, path)
    voice.vocoder.waveform = lambda mel: mel.mean(dim=0).repeat_interleave(HOP_SIZE) * float("nan")
    with pytest.raises(AudioError, match="NaN or infinite"):
        speak(voice, tmp_path / "b.wav")


def test_models_of_other_weights_or_settings_have_other_digests(tmp_path):
    bundle = tiny_bundle()
    bundle.save(tmp_path / "one")
    tiny_bundle("model.n_bins=9").save(tmp_path / "two")
    one, again, two = (
        models_of(tmp_path / name, None, Synthesizer.open(tmp_path / name)) for name in ("one", "one", "two")
    )
    assert one == again != two and one["vocoder"] == "griffin_lim"


@pytest.mark.parametrize("most", [2**32 - 1, 200])
def test_files_beyond_four_gigabytes_have_a_header_of_64_bits(tmp_path, monkeypatch, most):
    monkeypatch.setattr(growing_wav, "_MOST_BYTES", most)
    samples = np.arange(-500, 500, dtype="<i2")
    (tmp_path / "a.wav").write_bytes(wav_header(len(samples), RATE) + samples.tobytes())
    found, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == RATE and np.array_equal(found, samples)
    assert soundfile.info(tmp_path / "a.wav").format == ("WAV" if most > 1000 else "RF64")
    np.testing.assert_array_equal(to_int16(read_audio(tmp_path / "a.wav", RATE)), samples)
    assert len(wav_header(3 * 2**31, RATE)) == len(wav_header(1, RATE)) == growing_wav.HEADER_BYTES


@pytest.fixture
def flags(tmp_path):
    tiny_bundle().save(tmp_path / "bundle")
    (tmp_path / "my book.txt").write_text(TEXT, encoding="utf-8")
    return ["--infer_expt_dir", tmp_path / "bundle", "--vocoder_dir", "griffin_lim", "--infer_output_dir", tmp_path]


def test_the_command_reads_a_file_and_answers_a_full_disk(flags, tmp_path, command, monkeypatch):
    text_file = ["--text_file", tmp_path / "my book.txt"]
    fsync = os.fsync

    def full(descriptor):
        if (tmp_path / ".my book.unfinished" / "journal").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        code, _, errors = command(bins.synthesize, *flags, *text_file)
    assert code == 1 and "error: the disk is full" in errors and "run the same command again" in errors
    code, printed, errors = command(bins.synthesize, *flags, *text_file)
    assert code == 0, errors
    assert "my book.wav, with the times of words and phones in my book.TextGrid\n" in printed
    assert audio_info(tmp_path / "my book.wav").duration_s > 5
    code, _, errors = command(bins.synthesize, *flags, *text_file)
    assert code == 1 and "my book.wav exist already" in errors
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Yes.\n\nNo.")))
    code, printed, errors = command(bins.synthesize, *flags, "--text_file", "-", "--wav_per", "paragraph")
    assert code == 0 and "wrote 2 recordings with TextGrids to" in printed, errors
    assert (tmp_path / "yes_no" / "0002.wav").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text_file", "a", "--infer_text", "b"], "needs --infer_text or, for the text in a file, --text_file"),
        (["--text_file", "a", "--infer_mode", "batch"], "--text_file and --wav_per need --infer_mode single"),
        (["--text_file", "a", "--stream", "wav", "--wav_per", "paragraph"], "--wav_per paragraph writes several files"),
    ],
)
def test_flags_that_contradict_each_other_are_wrong_usage(command, arguments, message):
    code, _, errors = command(bins.synthesize, "--infer_expt_dir", "ckpts", *arguments)
    assert code == 2 and message in errors


@pytest.mark.slow
def test_a_killed_command_goes_on_to_the_same_bytes(flags, tmp_path):
    (tmp_path / "my book.txt").write_text("\n\n".join([TEXT] * 4), encoding="utf-8")
    tiny_vocoder_bundle().save(tmp_path / "vocoder")
    flags = [
        *flags[:2],
        "--vocoder_dir",
        tmp_path / "vocoder",
        "--text_file",
        tmp_path / "my book.txt",
        "--infer_output_dir",
    ]
    whole = call("bins.synthesize", *flags, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    journal = tmp_path / "parts" / ".my book.unfinished" / "journal"
    running = start("bins.synthesize", *flags, tmp_path / "parts")
    while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
        assert running.poll() is None
        time.sleep(0.01)
    running.kill()
    assert running.wait() == -9
    rest = call("bins.synthesize", *flags, tmp_path / "parts")
    assert rest.returncode == 0 and "going on after " in rest.stdout, rest.stderr
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
