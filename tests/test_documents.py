"""The documents: their examples run, their links lead somewhere, and the formats are as they say."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from config.paths import REPOSITORY, SHIPPED_VOICE
from docs.site.contents import LINK, without_code
from models import bundle as bundle_module
from models.bundles.locate import find_bundle
from processors import features as feature_names
from processors.feature_store import FeatureStore, ShardWriter
from processors.speakers.sources import SOURCES_FILE, Source
from tests.support.sources import FLOORS, sources
from tests.support.tiny_features import write_features
from tests.support.tiny_models import TinyModel
from tests.support.tiny_voice import tiny_bundle

DOCS = REPOSITORY / "docs"
PAGES = sorted(
    path
    for folder in (REPOSITORY, DOCS, REPOSITORY / "egs", SHIPPED_VOICE, REPOSITORY / ".github")
    for path in (folder.glob("*.md") if folder == REPOSITORY else folder.rglob("*.md"))
)
FEATURE_STORE = (DOCS / "feature_store.md").read_text(encoding="utf-8")
BUNDLE_FORMAT = (DOCS / "bundle_format.md").read_text(encoding="utf-8")


def python_in(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_files_that_are_there(page):
    links = LINK.findall(without_code(page.read_text(encoding="utf-8")))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def messages_of_sources() -> str:
    """Return all strings of the sources, what is filled in later as `...`, and the shell scripts, line by line."""
    found = [(REPOSITORY / name).read_text(encoding="utf-8") for name in ("env.sh", "egs/driver.sh")]
    for path in sources(*FLOORS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_messages_in_troubleshooting_are_those_of_the_code():
    symptoms = re.findall(r"^\| (.*?) \| ", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    quoted = [quote for symptom in symptoms for quote in re.findall(r'"([^"]{4,})"', symptom)]
    messages = messages_of_sources()
    assert len(quoted) > 10
    assert [quote for quote in quoted if quote not in messages] == []


@pytest.fixture
def store(tmp_path):
    """The features of thirteen utterances, one of them changed later, one removed, and one removed and made again."""
    folder = tmp_path / "LJSpeech"
    write_features(tmp_path, "LJSpeech")
    mel = FeatureStore.open(folder).read("utterance-01", "mel")
    with ShardWriter(folder) as writer:
        writer.add("utterance-01", {"mel": mel + 1})
        writer.remove("utterance-02")
        writer.remove("utterance-03")
        writer.add("utterance-03", {"f0": np.ones(3, dtype=np.float32)})
    return folder


def test_the_example_reads_the_feature_store_as_recital_does(store):
    (code,) = python_in(FEATURE_STORE)
    code = code.replace("data/processed/fastspeech2/LJSpeech", str(store)).replace("LJ001-0001", "utterance-01")
    names: dict = {}
    exec(code, names)
    expected = FeatureStore.open(store)
    np.testing.assert_array_equal(names["mel"], expected.read("utterance-01", "mel"))
    for feature in expected.features:
        for number in range(13):
            id_ = f"utterance-{number:02d}"
            if expected.has(id_, (feature,)):
                np.testing.assert_array_equal(names["read"](store, id_, feature), expected.read(id_, feature))
            else:
                with pytest.raises(KeyError):
                    names["read"](store, id_, feature)


def test_the_header_of_a_shard_is_as_documented(store):
    shard = min((store / "features").glob("*.safetensors"))
    content = shard.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    documented = re.findall(r"^\| `(\w+)` \|", FEATURE_STORE.split("## Features")[0], re.MULTILINE)
    assert length % 8 == 0
    assert list(header["__metadata__"]) == documented
    assert header["__metadata__"]["format"] in FEATURE_STORE


def test_every_feature_is_documented_with_its_dtype(store):
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", FEATURE_STORE.split("## Features")[1], re.MULTILINE)
    dtypes = dict(rows)
    named = {value for name, value in vars(feature_names).items() if name.isupper() and isinstance(value, str)}
    assert {*feature_names.ACOUSTIC_FEATURES, *named} - {feature_names.LATER} == dtypes.keys()
    read = FeatureStore.open(store)
    assert {name: read.read("utterance-00", name).dtype.name for name in read.features}.items() <= dtypes.items()


def test_the_examples_open_the_shipped_bundle(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    alone, with_recital = python_in(BUNDLE_FORMAT)
    names: dict = {}
    exec(alone, names)
    opened = find_bundle(SHIPPED_VOICE)
    assert names["weights"].keys() == opened.weights.keys()
    assert names["settings"]["model_type"] == opened.settings.model_type
    assert opened.symbols is not None and list(names["number_of"]) == list(opened.symbols.symbols)
    exec(with_recital, names)
    assert sum(parameter.numel() for parameter in names["network"].parameters()) > 6e6


def test_every_file_of_a_bundle_is_documented(tmp_path):
    replace(tiny_bundle(), sources=(Source("a teacher", "MIT"),)).save(tmp_path)
    files = {value for name, value in vars(bundle_module).items() if name.endswith("_FILE")} | {SOURCES_FILE}
    documented = set(re.findall(r"^\| `([\w.]+)` \|", BUNDLE_FORMAT, re.MULTILINE))
    assert {path.name for path in tmp_path.iterdir()} <= files
    assert files == documented


@pytest.mark.slow
@pytest.mark.usefixtures("blank_pictures")
def test_the_example_trains_and_resumes(tmp_path):
    tiny = TinyModel("FastSpeech2", tmp_path)
    (code,) = [code for code in python_in((DOCS / "python.md").read_text(encoding="utf-8")) if "Trainer(" in code]
    assert code.count("\n") < 16
    code = code.replace("egs/tts/FastSpeech2/exp_config.json", str(tiny.config)).replace(
        "ckpts/tts/mine", str(tmp_path / "mine")
    )
    for steps in (1, 2):
        names: dict = {}
        exec(code.replace('["train.max_steps=1000"]', repr([*tiny.layers(f"train.max_steps={steps}")])), names)
        assert names["result"].finished and names["result"].step == steps
    assert find_bundle(tmp_path / "mine").settings.model_type == "FastSpeech2"
