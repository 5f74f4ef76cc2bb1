"""Every setting of a recipe: its value, where it came from and what it means; or the schema of all settings."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from bins.command import load, make_parser, run


def main(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        return _print_schema()
    from config.load import SettingsError, describe, nearest

    resolved = load(arguments)
    meanings = dict(describe(type(resolved.settings)))
    names = [name for name in meanings if _is_asked(name, arguments.name)]
    if not names:
        close = nearest(arguments.name, meanings)
        hint = f"; did you mean {close}?" if close else ""
        raise SettingsError(f"{arguments.name}: there is no such setting{hint}")
    tree = resolved.settings.model_dump(mode="json")
    for name in names:
        print(f"{name} = {json.dumps(_value(tree, name), ensure_ascii=False)}")
        print(f"    {meanings[name]}")
        print(f"    from {_source(name, resolved.sources)}")
    return 0


def _print_schema() -> int:
    from config.json_schema import json_schema
    from models.registry import MODELS, settings_class

    schema = json_schema({model_type: settings_class(model_type) for model_type in MODELS})
    print(json.dumps(schema, indent=2, ensure_ascii=False))
    return 0


def _is_asked(name: str, asked: str | None) -> bool:
    return asked is None or name == asked or name.startswith(f"{asked}.")


def _value(tree: Any, name: str) -> Any:
    for part in name.split("."):
        tree = tree[part]
    return tree


def _source(name: str, sources: Mapping[str, str]) -> str:
    """Name the file of a value; an object merged from several files names them all."""
    if name in sources and not any(other.startswith(f"{name}.") for other in sources):
        return sources[name]
    inner = {source for other, source in sources.items() if other.startswith(f"{name}.")}
    return ", ".join(sorted(inner)) or sources.get(name, "the default in the schema")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.settings",
        "Show the resolved settings, where each came from and what it means; or write the schema of settings files.",
        config_required=False,
    )
    parser.add_argument("name", nargs="?", help="one setting or section, e.g. train.batch_size or preprocess")
    parser.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON schema of settings files, by which editors complete and check exp_config.json",
    )
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.schema and (arguments.config or arguments.name or arguments.set):
        parser.error("argument --schema: is the same for all settings files; give it alone")
    if not arguments.schema and not arguments.config:
        parser.error("the following arguments are required: --config, or --schema")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
