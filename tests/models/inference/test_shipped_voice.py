"""The shipped voice, used if no other is named."""

from __future__ import annotations

import re

import numpy as np

import bins.synthesize
from config.paths import SHIPPED_VOICE
from models.bundles.locate import open_bundle
from processors.audio.audio_file import read_audio
from processors.text.front_end import FrontEnds
from processors.text.phone_sequence import PhoneSequence
from tests.support.tables import read_table


def test_a_voice_speaks_out_of_the_box(tmp_path, command):
    where = ("--set", f"log_dir={tmp_path / 'ckpts'}", "--infer_output_dir", tmp_path / "said")
    config = ("--config", "egs/tts/FastSpeech2/exp_config.json")
    code, printed, errors = command(bins.synthesize, *config, *where, "--infer_text", "It works the first time.")
    assert code == 0, errors
    assert str(SHIPPED_VOICE) in printed + errors
    waveform = read_audio(tmp_path / "said" / "it_works_the_first_time.wav", 22050)
    assert 1.0 < len(waveform) / 22050 < 3.0
    assert 0.02 < np.sqrt(np.mean(waveform**2)) < 0.3


def test_several_experiments_require_a_name(tmp_path, command):
    for name in ("anna", "otto"):
        (tmp_path / name / "bundle").mkdir(parents=True)
    config = ("--config", "egs/tts/FastSpeech2/exp_config.json", "--set", f"log_dir={tmp_path}")
    code, _, errors = command(bins.synthesize, *config, "--infer_text", "Hello.")
    assert code == 1 and "which experiment to synthesize with" in errors and "found anna, otto" in errors


def test_the_shipped_voice_holds_no_paths_of_the_machine_that_trained_it():
    settings_text = (SHIPPED_VOICE / "settings.json").read_text()
    assert not re.search(r'"(/|~|\.\.)', settings_text)
    settings = open_bundle(SHIPPED_VOICE).settings
    assert settings.dataset_path == {"kathleen": "kathleen"}
    assert sum(path.stat().st_size for path in SHIPPED_VOICE.iterdir() if path.is_file()) < 20e6


def test_corrections_of_the_front_end_keep_the_phones_of_plain_sentences():
    voice = open_bundle(SHIPPED_VOICE)
    front_end = FrontEnds(voice.settings.preprocess)["en"]
    rows = read_table("plain_sentences")
    assert len(rows) == 20
    for sentence, phones in rows:
        said = PhoneSequence.from_tokens(front_end.tokens(sentence)).phones
        assert (sentence, " ".join(said)) == (sentence, phones)
        assert voice.symbols is not None and set(said) <= set(voice.symbols.symbols)
