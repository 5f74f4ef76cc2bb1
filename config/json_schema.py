"""JSON schema of the settings, by which editors complete and check settings files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from config.load import BY_HOP_SIZE
from config.schema import ExperimentSettings

# A file may refine another: nothing is required, and the defaults are those of the file that it refines.
_LEFT_OUT = ("required", "default", "title")
# In place of numbers and lists.
_BY_HOP_SIZE = {"type": "object", "properties": {BY_HOP_SIZE: {"type": "object"}}, "additionalProperties": False}
_SCHEMA_PROPERTY = {"type": "string", "description": "the JSON schema of this file, for editors; no setting"}


def json_schema(settings_of: Mapping[str, type[ExperimentSettings]]) -> dict[str, Any]:
    """Return the JSON schema of settings files, whole ones and those that refine another.

    A file must fit one of the models altogether: settings of two models in one file are flagged, as are unknown names.

    Args:
        settings_of: `model_type` to the class of its settings.
    """
    references, definitions = models_json_schema(
        [(settings, "validation") for settings in settings_of.values()], ref_template="#/$defs/{model}"
    )
    shared = {name: _loosened(schema) for name, schema in definitions["$defs"].items()}
    of_models = []
    for model_type, settings in settings_of.items():
        reference = references[settings, "validation"]
        shared[reference["$ref"].rpartition("/")[2]]["properties"]["$schema"] = _SCHEMA_PROPERTY
        of_models.append({**reference, "properties": {"model_type": {"const": model_type}}})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of Recital",
        "anyOf": of_models,
        "$defs": shared,
    }


def _loosened(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_loosened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        # The keys of `properties` are names of settings, whatever they are.
        key: {name: _setting(each) for name, each in value.items()} if key == "properties" else _loosened(value)
        for key, value in schema.items()
        if key not in _LEFT_OUT
    }


def _setting(schema: Any) -> Any:
    loosened = _loosened(schema)
    if loosened.get("type") not in ("integer", "number", "array"):
        return loosened
    meaning = {key: loosened.pop(key) for key in ("description",) if key in loosened}
    return meaning | {"anyOf": [loosened, _BY_HOP_SIZE]}
