"""DistillMOS works without the packages that it imports in vain, and leaves no stand-ins behind."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from config.paths import REPOSITORY
from processors.audio.audio_file import read_audio
from processors.evaluation.measures.distill_mos import PACKAGES, distillmos
from processors.evaluation.packages import are_installed

PACKAGE = """
import torch, torchaudio
from transformers import AutoConfig, AutoModel, Wav2Vec2Config, Wav2Vec2Model

class ConvTransformerSQAModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        print("a line that is not wanted")

    def forward(self, waveform):
        return 1 + waveform.abs().max()
"""


@pytest.mark.slow
def test_packages_that_are_not_needed_are_stood_in_for_while_importing(tmp_path):
    (tmp_path / "distillmos.py").write_text(PACKAGE)
    (tmp_path / "xls_r_sqa.py").write_text("")
    script = """
import importlib.util, sys
import numpy as np
from processors.evaluation.measures.distill_mos import distillmos
score = distillmos(np.full(16000, 0.5, dtype=np.float32), 16000)
assert score == 1.5, score
for name in ("torchaudio", "transformers"):
    assert name not in sys.modules and importlib.util.find_spec(name) is None, name
"""
    if importlib.util.find_spec("torchaudio") or importlib.util.find_spec("transformers"):
        pytest.skip("needs an environment without torchaudio and transformers")
    path = f"{tmp_path}:{REPOSITORY}:{':'.join(sys.path)}"
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": path}, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_silence_and_missing_packages_have_no_score(monkeypatch):
    assert distillmos(np.zeros(16000, dtype=np.float32), 16000) is None
    monkeypatch.setattr("processors.evaluation.measures.distill_mos.are_installed", lambda _: False)
    assert distillmos(np.ones(16000, dtype=np.float32), 16000) is None


@pytest.mark.slow
@pytest.mark.skipif(not are_installed(PACKAGES), reason="needs distillmos")
def test_a_recording_scores_above_its_noisy_copy(shared_data):
    speech = read_audio(sorted((shared_data / "kathleen" / "wavs").iterdir())[0], 22050)
    noise = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    assert 5 > distillmos(speech, 22050) > distillmos(speech + 0.05 * noise, 22050) > 1
