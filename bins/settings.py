"""Show every setting of a recipe: its value, where it came from and what it means."""

from __future__ import annotations

import argparse
import json
from typing import Any

from bins.command import load, make_parser, run


def main(arguments: argparse.Namespace) -> int:
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


def _is_asked(name: str, asked: str | None) -> bool:
    return asked is None or name == asked or name.startswith(f"{asked}.")


def _value(tree: Any, name: str) -> Any:
    for part in name.split("."):
        tree = tree[part]
    return tree


def _source(name: str, sources: Any) -> str:
    """Name the file of a value; an object merged from several files names them all."""
    if name in sources and not any(other.startswith(f"{name}.") for other in sources):
        return sources[name]
    inner = {source for other, source in sources.items() if other.startswith(f"{name}.")}
    return ", ".join(sorted(inner)) or sources.get(name, "the default in the schema")


if __name__ == "__main__":
    parser = make_parser("bins.settings", "Show the resolved settings, where each came from and what it means.")
    parser.add_argument("name", nargs="?", help="one setting or section, e.g. train.batch_size or preprocess")
    run(main, parser)
