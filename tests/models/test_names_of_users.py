"""The short names under which users import the library, as the README shows them."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from config.paths import REPOSITORY


@pytest.mark.parametrize("name", ["synthesizer", "vocoder"])
def test_a_short_name_is_the_module_itself(name):
    assert importlib.import_module(f"models.{name}") is importlib.import_module(f"models.inference.{name}")


@pytest.mark.slow
def test_short_names_are_imported_lazily_like_any_module():
    program = """
import sys
import models
assert "torch" not in sys.modules and "models.inference.synthesizer" not in sys.modules
import models.vocoder as vocoder
from models.synthesizer import Synthesizer
from models.vocoder import GriffinLimVocoder, open_vocoder
from models import synthesizer
from models.inference.synthesizer import Synthesizer as same
assert Synthesizer is same is synthesizer.Synthesizer and vocoder.open_vocoder is open_vocoder
assert Synthesizer.__module__ == synthesizer.__spec__.name == "models.inference.synthesizer"
"""
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)


def test_other_names_are_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("models.speaking")
