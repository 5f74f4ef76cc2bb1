"""Speech written to a pipe as it is computed."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

from config.paths import REPOSITORY
from models.inference.stream_output import write_stream
from models.inference.synthesizer import Synthesizer
from processors.audio.audio_file import read_audio, to_int16
from tests.support.tiny_voice import tiny_bundle

CONFIG = ("--config", "egs/tts/FastSpeech2/exp_config.json")


def test_pieces_are_written_one_by_one_with_a_header_that_states_no_length(tmp_path):
    pieces = [np.linspace(-0.5, 0.5, 700, dtype=np.float32), np.zeros(300, np.float32)]
    written, sizes = io.BytesIO(), []

    def given():
        for piece in pieces:
            sizes.append(len(written.getvalue()))
            yield piece

    write_stream(given(), 16000, written)
    assert sizes == [44, 44 + 2 * 700]  # the first is written before the second is computed
    (tmp_path / "piped.wav").write_bytes(written.getvalue())
    np.testing.assert_allclose(read_audio(tmp_path / "piped.wav", 16000), np.concatenate(pieces), atol=1e-4)
    raw = io.BytesIO()
    write_stream(pieces, 16000, raw, "raw")
    assert raw.getvalue() == written.getvalue()[44:]


@pytest.mark.slow
def test_the_command_streams_sound_alone_and_ends_quietly_when_the_reader_is_gone(tmp_path):
    tiny_bundle().save(tmp_path / "bundle")
    text = "Hello there. How are you? " * 20
    command = [sys.executable, "-m", "bins.synthesize", *CONFIG, "--infer_expt_dir", str(tmp_path / "bundle")]
    command += ["--infer_text", text, "--vocoder_dir", "griffin_lim"]
    whole = subprocess.run([*command, "--stream", "raw"], cwd=REPOSITORY, capture_output=True, check=True)
    expected = to_int16(Synthesizer.open(tmp_path / "bundle", "griffin_lim")(text).waveform)
    # Griffin-Lim begins anew with each sentence, whose mels may differ in the last digits between processes.
    assert len(whole.stdout) == 2 * len(expected)
    with subprocess.Popen(
        [*command, "--stream", "wav"], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as reading:
        assert reading.stdout is not None and reading.stderr is not None
        assert reading.stdout.read(4) == b"RIFF"
        reading.stdout.close()
        assert b"rror" not in reading.stderr.read()
    assert reading.returncode == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--infer_mode", "batch"), "--stream needs --infer_mode single"),
        (("--infer_text", "Hi.", "--overwrite"), "--stream writes no files"),
    ],
)
def test_a_stream_writes_no_files(command, flags, message):
    import bins.synthesize

    code, _, errors = command(bins.synthesize, *CONFIG, *flags, "--stream", "wav")
    assert code == 2 and message in errors
