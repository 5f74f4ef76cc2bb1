"""The Montreal Forced Aligner in stage 1, replaced here by a program of a few lines."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from config.load import SettingsError
from processors.alignment.textgrid import read_textgrid
from processors.preparation.mfa import MfaError, align_by_mfa
from processors.preparation.prepare import prepare
from tests.support.small_corpus import alignment_of, load, make_corpus, write_config

FAKE = """#!{python}
import json, os, sys
from pathlib import Path
place = Path({place!r})
calls = place / "calls.json"
calls.write_text(json.dumps((json.loads(calls.read_text()) if calls.exists() else []) + [sys.argv[1:]]))
corpus, dictionary, acoustic, aligned = sys.argv[-4:]
if dictionary == "broken":
    print("Traceback ...")
    print("PretrainedModelNotFoundError: Could not find a model named broken")
    sys.exit(3)
sys.path[:0] = {path!r}
from tests.support.small_corpus import alignment_of
from processors.alignment.textgrid import write_textgrid
for lab in sorted(Path(corpus).rglob("*.lab")):
    assert lab.with_suffix(".wav").is_file()
    if lab.stem != "clip_003":
        alignment = alignment_of(lab.read_text().strip())
        write_textgrid(Path(aligned) / lab.parent.name / (lab.stem + ".TextGrid"), alignment)
"""


@pytest.fixture
def mfa(tmp_path, monkeypatch):
    """Put a program called mfa first in PATH; return a function that returns the arguments of its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "mfa"
    path = [os.getcwd(), *sys.path]
    program.write_text(FAKE.format(python=sys.executable, place=str(folder), path=path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    calls = folder / "calls.json"
    return lambda: json.loads(calls.read_text()) if calls.exists() else []


def settings_for(tmp_path, count=8, **changes):
    corpus = tmp_path / "corpus"
    texts = make_corpus(corpus, count)
    resources = {"mfa_dictionary": "english_us_arpa", "mfa_acoustic_model": "english_us_arpa"} | changes
    config = write_config(tmp_path, corpus, textgrid_dir="", alignment="mfa", max_bad_share=0.5, **resources)
    return load(config), texts


@pytest.mark.slow
def test_stage_1_uses_the_textgrids_of_mfa(tmp_path, mfa):
    settings, texts = settings_for(tmp_path)
    align_by_mfa(settings, num_workers=2)
    [call] = mfa()
    assert call[:4] == ["align", "--clean", "--num_jobs", "2"]
    assert call[-3:-1] == ["english_us_arpa", "english_us_arpa"]
    folder = tmp_path / "processed" / "toy"
    assert not (folder / "mfa").exists()
    found = read_textgrid(folder / "TextGrid" / "toy" / "clip_000.TextGrid")
    assert [phone.label for phone in found.phones] == [phone.label for phone in alignment_of(texts["clip_000"]).phones]
    summary = prepare(settings)
    assert (summary.usable, summary.rejected) == (7, 1)  # clip_003, which mfa has left out
    assert "clip_003: has no TextGrid by mfa" in (folder / "report.md").read_text()


@pytest.mark.slow
def test_mfa_aligns_only_what_is_missing(tmp_path, mfa):
    settings, _ = settings_for(tmp_path)
    align_by_mfa(settings)
    align_by_mfa(settings)
    assert len(mfa()) == 2  # once more for the one it had left out
    corpus = Path(mfa()[1][-4])
    assert corpus.name == "corpus"


@pytest.mark.slow
def test_mfa_is_not_called_if_no_recording_can_be_read(tmp_path, mfa):
    settings, _ = settings_for(tmp_path)
    (tmp_path / "corpus" / "wavs" / "clip_003.wav").write_bytes(b"damaged")
    align_by_mfa(settings)
    align_by_mfa(settings)
    assert len(mfa()) == 1


def test_a_failing_mfa_is_an_error_with_its_output(tmp_path, mfa):
    settings, _ = settings_for(tmp_path, mfa_dictionary="broken")
    with pytest.raises(MfaError, match=r"exit code 3: .*Could not find a model named broken.*mfa\.log"):
        align_by_mfa(settings)


def test_a_dictionary_that_does_not_exist_is_named(tmp_path, mfa):
    settings, _ = settings_for(tmp_path, mfa_dictionary="no/such.dict")
    with pytest.raises(MfaError, match=r"mfa_dictionary: .*no/such\.dict: no such file"):
        align_by_mfa(settings)
    assert mfa() == []


def test_a_missing_mfa_is_an_error_with_the_alternatives(tmp_path, monkeypatch):
    settings, _ = settings_for(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MfaError, match=r"conda install -c conda-forge.*learned"):
        align_by_mfa(settings)


def test_mfa_requires_a_dictionary_and_a_model(tmp_path):
    with pytest.raises(SettingsError, match=r"mfa_acoustic_model"):
        settings_for(tmp_path, mfa_acoustic_model="")
