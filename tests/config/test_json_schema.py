"""The schema for editors: every shipped settings file fits it, and what the loader would refuse does not."""

from __future__ import annotations

import json
from typing import Any

import json5
import jsonschema
import pytest

from bins import settings as settings_command
from config.json_schema import json_schema
from config.load import describe, load_settings
from config.paths import REPOSITORY, SHIPPED_VOICE
from models.registry import MODELS, settings_class

SHIPPED = sorted(
    [
        *(REPOSITORY / "config").glob("*.json"),
        *(REPOSITORY / "egs").rglob("*.json"),
        SHIPPED_VOICE / "settings.json",
    ]
)
EXPERIMENT = REPOSITORY / "egs" / "tts" / "FastSpeech2" / "exp_config.json"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema({model_type: settings_class(model_type) for model_type in MODELS})


@pytest.fixture(scope="module")
def validator(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def read(path) -> dict[str, Any]:
    return json5.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_shipped_settings_file_fits(path, validator):
    validator.validate(read(path))


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"$schema": "../schema.json"},
        {"base_config": "config/base.json", "train": {"batch_size": 8}},
        {"model_type": "HiFiGAN", "train": {"segment_size": 8192}},
        {"preprocess": {"valid_size": 5, "test_size": 0.1}},
        {"model": {"conv_kernel_sizes": [9, 1]}},
        {"base_config": ["config/hifigan_v1.json", "config/audio_24k.json"]},
        {"model": {"upsample_rates": {"by_hop_size": {"320": [8, 8, 5]}}}},
    ],
)
def test_a_part_of_the_settings_fits(tree, validator):
    validator.validate(tree)


@pytest.mark.parametrize(
    "tree",
    [
        {"batch_size": 8},
        {"train": {"batchsize": 8}},
        {"preprocess": {"hop": 256}},
        {"train": {"batch_size": 0}},
        {"train": {"batch_size": "8"}},
        {"train": {"precision": "fp8"}},
        {"base_config": 5},
        {"train": {"batch_size": {"by_hop": {"320": 4}}}},
        {"dataset": "LJSpeech"},
        {"dataset": []},
        {"preprocess": {"pitch_extractor": "praat"}},
        {"preprocess": {"max_bad_share": 1.5}},
        {"model": {"dropout": 1}},
        {"model": {"conv_kernel_sizes": [9]}},
        {"model_type": "Tacotron"},
        {"model_type": "FastSpeech2", "train": {"segment_size": 8192}},
        {"model": {"n_heads": 2}, "train": {"segment_size": 8192}},  # of two models
        [],
    ],
)
def test_what_the_loader_refuses_does_not_fit(tree, validator):
    assert not validator.is_valid(tree)


def test_nothing_is_required(schema):
    def keywords(node: Any):
        if isinstance(node, dict):
            for key, value in node.items():
                yield key
                yield from (
                    (word for each in value.values() for word in keywords(each))
                    if key == "properties"
                    else keywords(value)
                )
        elif isinstance(node, list):
            for each in node:
                yield from keywords(each)

    assert {"properties", "enum", "minimum"} <= set(keywords(schema))
    assert "required" not in set(keywords(schema))


def described(node: dict[str, Any], schema: dict[str, Any], prefix: str = ""):
    for name, child in schema["$defs"][node["$ref"].rpartition("/")[2]]["properties"].items():
        if "$ref" in child:
            yield from described(child, schema, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child.get("description")


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_every_setting_is_described(model_type, schema):
    (node,) = (each for each in schema["anyOf"] if each["properties"]["model_type"]["const"] == model_type)
    shown = dict(described(node, schema))
    assert "editors" in shown.pop("$schema")
    assert shown == dict(describe(settings_class(model_type)))


def test_the_loader_ignores_the_schema_key(tmp_path):
    path = tmp_path / "exp_config.json"
    path.write_text(EXPERIMENT.read_text(encoding="utf-8").replace("{", '{ $schema: "schema.json",', 1))
    assert load_settings(path, [], settings_class).settings == load_settings(EXPERIMENT, [], settings_class).settings


def test_the_command_prints_the_schema(command, schema):
    code, printed, errors = command(settings_command, "--schema")
    assert (code, json.loads(printed), errors) == (0, schema, "")


@pytest.mark.parametrize("arguments", [(), ("--schema", "--config", EXPERIMENT), ("--schema", "train")])
def test_the_command_refuses_flags_that_exclude_each_other(command, capsys, arguments):
    code, _, errors = command(settings_command, *arguments)
    assert code == 2
    assert "--schema" in errors
