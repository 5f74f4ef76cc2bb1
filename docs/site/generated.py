"""Pages made from the sources when the site is built: settings, commands, modules and the API."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from config.load import load_settings
from config.paths import REPOSITORY
from config.schema import Settings
from docs.site.commands import commands_page, escaped
from models.registry import MODELS, settings_class

FOLDERS = ("bins", "models", "processors", "config", "utils")
SOUNDS = (".flac", ".wav")
"""Suffixes of the recordings that `shown_folder` plays."""
_CORPUS = ('dataset=["corpus"]', 'dataset_path={corpus: "data/corpus"}')

API = {
    "Synthesis": ("models.inference.synthesizer.Synthesizer", "models.inference.synthesizer.Speech"),
    "Prosody": ("models.contracts.Prosody", "models.contracts.Change"),
    "Vocoders": ("models.inference.vocoder.open_vocoder", "models.inference.vocoder.NeuralVocoder"),
    "Bundles": ("models.bundles.locate.find_bundle", "models.bundle.Bundle"),
    "Training": (
        "config.load.load_settings",
        "models.registry.make_task",
        "utils.processes.Processes",
        "utils.trainer.Trainer",
        "utils.task.Task",
    ),
    "Features": ("processors.feature_store.FeatureStore",),
}
"""Names that other programs may use, by topic."""


def generated_pages() -> dict[str, str]:
    """Return the Markdown of every generated page by its path in the site, in the order of the navigation."""
    return {
        "reference/README.md": _overview(),
        "reference/settings.md": _settings_page(),
        "reference/commands.md": commands_page(),
        "reference/api.md": _api_page(),
        **{f"reference/modules/{folder}.md": _modules_page(folder) for folder in FOLDERS},
    }


def _overview() -> str:
    lines = [
        "# Reference pages\n\nThese pages are made from the sources when the site is built.\n",
        "| page | content |",
        "|---|---|",
        "| [Settings](settings.md) | every setting of every model, with its type and default |",
        "| [Commands](commands.md) | every command and its flags |",
        "| [API](api.md) | classes and functions for other programs |",
        *(f"| [{folder}](modules/{folder}.md) | {_meaning_of_folder(folder)} |" for folder in FOLDERS),
    ]
    return "\n".join(lines) + "\n"


# Settings


def _settings_page() -> str:
    rows = {}
    for name, model in MODELS.items():
        settings = load_settings(REPOSITORY / model.config, _CORPUS, settings_class).settings
        rows[name] = dict(_rows(type(settings), settings.model_dump(mode="json")))
    first, *others = rows.values()
    common = {name: row for name, row in first.items() if all(each.get(name) == row for each in others)}
    parts = [
        "# Settings",
        "Every setting with its meaning, its type and its default, which is that of the config named. `python -m "
        "bins.settings --config FILE` shows the values of a file and where each comes from; "
        "[Settings files](../docs/settings.md) describes how files are merged.",
        "## All models",
        _table(row for name, row in common.items() if name not in ("dataset", "dataset_path")),
    ]
    for name, model in MODELS.items():
        own = _table(row for setting, row in rows[name].items() if setting not in common)
        parts += [f"## {name}", f"Defaults of `{model.config}`.", own]
    return "\n\n".join(parts) + "\n"


def _table(rows: Iterable[str]) -> str:
    return "| setting | meaning |\n|---|---|\n" + "\n".join(rows)


def _rows(section: type[Settings], values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name of each setting, and its row."""
    for name, field in section.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            yield from _rows(annotation, values[name], f"{prefix}{name}.")
        else:
            shown = json.dumps(values[name], ensure_ascii=False)
            facts = f"{_type_name(annotation)}; default `{shown}`"
            cell = f"{escaped(field.description or '')}<br><small>{escaped(facts)}</small>"
            yield f"{prefix}{name}", f"| `{prefix}{name}` | {cell} |"


def _type_name(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in inside)
    if annotation is type(None):
        return "null"
    if origin is tuple or origin is list:
        return f"list of {_type_name(inside[0])}"
    if origin is dict:
        return f"object of {_type_name(inside[1])}"
    if hasattr(annotation, "__metadata__"):
        return _type_name(annotation.__origin__)
    if inside:
        return " or ".join(dict.fromkeys(map(_type_name, inside)))
    return {"str": "text", "bool": "true or false", "int": "integer", "float": "number"}[annotation.__name__]


# Modules and the API


def _api_page() -> str:
    parts = [
        "# API",
        "What other programs may rely on; [Recital from Python](../docs/python.md) has examples. `models.synthesizer` "
        "and `models.vocoder` are short names of `models.inference.synthesizer` and `models.inference.vocoder`.",
    ]
    for topic, names in API.items():
        parts += [f"## {topic}", *(f"::: {name}" for name in names)]
    return "\n\n".join(parts) + "\n"


def _modules_page(folder: str) -> str:
    """Return a page of the modules below a folder: the docstring of each, and its public names."""
    parts = [f"# {folder}\n\n{_meaning_of_folder(folder)}"]
    for path in sorted((REPOSITORY / folder).rglob("*.py"), key=lambda path: (path.parent.as_posix(), path.name)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = inspect.cleandoc(ast.get_docstring(tree) or "")
        module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        if path.name == "__init__.py":
            if path.parent != REPOSITORY / folder:
                parts.append(f"## {module.removesuffix('.__init__')}\n\n{_plain(documented)}")
            continue
        rows = [f"| `{node.name}` | {escaped(_sentence(node))} |" for node in _public(tree)]
        names = "\n\n| name | |\n|---|---|\n" + "\n".join(rows) if rows else ""
        parts.append(f"### {module}\n\n{_plain(documented)}{names}")
    return "\n\n".join(parts) + "\n"


def _public(tree: ast.Module) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def _sentence(node: ast.ClassDef | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n\n")[0]


def _meaning_of_folder(folder: str) -> str:
    return ast.get_docstring(ast.parse((REPOSITORY / folder / "__init__.py").read_text(encoding="utf-8"))) or ""


def _plain(docstring: str) -> str:
    """Return a docstring as Markdown: its drawings are indented already, its angle brackets are text."""
    return docstring.replace("<", "&lt;")


# Source files and folders that pages link to


def shown_source(path: str) -> str:
    """Return a page with a source file, or with the cells of a notebook."""
    if path.endswith(".ipynb"):
        cells = json.loads((REPOSITORY / path).read_text(encoding="utf-8"))["cells"]
        texts = (("".join(cell["source"]), cell["cell_type"] == "code") for cell in cells)
        return "\n\n".join(f"```python\n{text}\n```" if is_code else text for text, is_code in texts) + "\n"
    language = {".py": "python", ".sh": "sh", ".json": "json5"}.get(Path(path).suffix, "text")
    return f"# {path}\n\n````{language}\n{(REPOSITORY / path).read_text(encoding='utf-8')}\n````\n"


def shown_folder(path: str) -> str:
    """Return a page with the source files and recordings of a folder."""
    parts = [f"# {path}"]
    for file in sorted((REPOSITORY / path).iterdir()):
        if file.suffix in SOUNDS:
            parts.append(f'`{file.name}`\n\n<audio controls preload="none" src="{file.name}"></audio>')
        elif file.suffix == ".py":
            parts.append(f"## {file.name}\n\n```python\n{file.read_text(encoding='utf-8')}```")
    return "\n\n".join(parts) + "\n"
