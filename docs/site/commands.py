"""Commands of `bins`: the parser of each, and a page of their flags."""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Callable
from typing import Any
from unittest import mock

from bins import command as command_module
from config.paths import REPOSITORY

Check = Callable[[argparse.ArgumentParser, argparse.Namespace], None]
_OF_ALL = ("help", "version", "debug")
_LONG = 60  # characters of a default that the meaning describes better


def commands() -> list[str]:
    """Return the names of all commands."""
    sources = sorted((REPOSITORY / "bins").glob("*.py"))
    return [path.stem for path in sources if "run(main" in path.read_text(encoding="utf-8")]


def parser_of(name: str) -> tuple[argparse.ArgumentParser, Check | None]:
    """Return the parser of a command and the check of its arguments, None where it has none.

    The module runs as by `python -m`, with a `run` that only takes what it is given.
    """
    taken: dict[str, Any] = {}

    def take(_main: Any, parser: argparse.ArgumentParser, check: Check | None = None, **_: Any) -> None:
        taken.update(parser=parser, check=check)

    with mock.patch.object(command_module, "run", take):
        runpy.run_module(f"bins.{name}", run_name="__main__", alter_sys=False)
    return taken["parser"], taken["check"]


def commands_page() -> str:
    """Return a page with every command and its flags."""
    parts = [
        "# Commands\n\nAll commands run from the root of the repository, as `python -m bins.NAME`. Each has `--help`, "
        "`--version`, and `--debug`, which shows the full traceback of an error. Flags may be written with dashes. "
        "Exit codes: 0 done, 1 an error, 2 wrong usage, 130 interrupted. The recipes' `run.sh` call them in stages."
    ]
    for name in commands():
        parser, _ = parser_of(name)
        shown = (each for each in parser._actions if each.dest not in _OF_ALL and each.help != argparse.SUPPRESS)
        table = "\n".join(["| flag | default | meaning |", "|---|---|---|", *map(_row, shown)])
        parts.append(f"## bins.{name}\n\n{parser.description}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _row(action: argparse.Action) -> str:
    value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
    if action.choices is not None:
        value = "|".join(map(str, action.choices))
    flags = ", ".join(f"`{flag}{f' {value}' if value else ''}`" for flag in action.option_strings) or f"`{value}`"
    default = "required" if action.required and action.option_strings else _default(action.default)
    return f"| {escaped(flags)} | {escaped(default)} | {escaped(action.help or '')} |"


def _default(value: Any) -> str:
    is_shown = value not in (None, False, [], "", argparse.SUPPRESS) and len(str(value)) < _LONG
    return f"`{value}`" if is_shown else ""


def escaped(text: str) -> str:
    """Return text for a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("%%", "%").replace("\n", " ")
