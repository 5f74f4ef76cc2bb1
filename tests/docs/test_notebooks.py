"""The notebooks: their cells run in order, and they are stored without outputs."""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType

import matplotlib
import pytest

from config.paths import REPOSITORY
from tests.support.tiny_models import SMALL

NOTEBOOKS = REPOSITORY / "docs" / "notebooks"


def cells_of(name: str) -> list[str]:
    """Return the code of a notebook's cells; refuse one that was stored with outputs."""
    cells = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    return ["".join(cell["source"]) for cell in code]


@pytest.fixture
def jupyter(monkeypatch):
    """A working folder and modules as Jupyter gives them: beside the notebook, with sounds to show."""
    display = ModuleType("IPython.display")
    display.Audio = lambda samples, rate: (len(samples) / rate > 0.3) or pytest.fail("no sound")
    ipython = ModuleType("IPython")
    ipython.get_ipython, ipython.version_info = (lambda: None), (9, 0)  # matplotlib asks
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(NOTEBOOKS)
    matplotlib.use("agg")


@pytest.mark.slow
@pytest.mark.usefixtures("jupyter")
def test_the_notebook_that_speaks_runs(capsys):
    names: dict = {}
    for code in cells_of("speak.ipynb"):
        exec(code, names)
    assert os.getcwd() == str(REPOSITORY)
    assert "hello" in capsys.readouterr().out.lower()
    assert names["speech"].f0_hz.max() > 100


@pytest.mark.slow
@pytest.mark.usefixtures("jupyter", "blank_pictures")
def test_the_notebook_that_trains_runs(tmp_path):
    few = [
        *SMALL["FastSpeech2"],
        *("train.max_steps=2", "train.valid_every_steps=2", "train.log_every_steps=1", "train.num_workers=0"),
        *("preprocess.valid_size=2", "preprocess.test_size=1", f"dataset_path={{demo: '{tmp_path}/corpus'}}"),
        *(f"preprocess.processed_dir={tmp_path}/processed", f"preprocess.textgrid_dir={tmp_path}/corpus/TextGrid"),
    ]
    names: dict = {}
    for code in cells_of("train.ipynb"):
        exec(code.replace("count=None", "count=8"), names)
        if "overrides" in names and not names["experiment"].startswith(str(tmp_path)):
            names["overrides"] += few
            names["experiment"] = str(tmp_path / "experiment")
    assert names["result"].step == 2 and names["speech"].duration_s > 0.3
