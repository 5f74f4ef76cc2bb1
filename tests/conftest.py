"""What several tests share."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bins.command import run
from config.paths import REPOSITORY
from models.registry import MODELS
from tests.support.further_models import FURTHER_MODELS

# A script that starts the tests in the background has them ignore Ctrl-C, and what they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def beside_the_project(name: str, content: str) -> Path:
    """Return a folder of `../shared`, or skip the test that needs it."""
    folder = REPOSITORY.parent / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"needs the {content} in ../shared/{name}")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real recordings; tests that need it are skipped without it."""
    return beside_the_project("data", "real recordings")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of reference values; tests that need it are skipped without it."""
    return beside_the_project("golden", "reference values")


@pytest.fixture(scope="module")
def further_models() -> Iterator[None]:
    """Two models that are written for the tests alone, in the registry for the tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        for name, model in FURTHER_MODELS.items():
            patch.setitem(MODELS, name, model)
        yield


@pytest.fixture
def blank_pictures(monkeypatch) -> None:
    """Have matplotlib leave its pictures blank, since drawing takes most of the time of a short training."""
    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.draw", lambda canvas: canvas.get_renderer())


@pytest.fixture
def command(monkeypatch, capsys):
    """Call a command; gives its exit code and what it printed."""
    monkeypatch.setattr(os, "environ", os.environ.copy())

    def call(module, *arguments):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            run(module.main, module._parser(), check=getattr(module, "_check", None))
        return left.value.code, *capsys.readouterr()

    return call


@pytest.fixture(autouse=True)
def own_denormals():
    """Undo what commands called within a test set for the whole process: hypothesis draws denormal numbers."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
