"""Loading of settings: JSON5 files and `--set` to checked settings, with the source of each value."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import json5
from pydantic import ValidationError

from config.other_toolkits import answer_for, answer_for_value, file_here, model_here
from config.paths import REPOSITORY, resolve_path
from config.schema import Contradiction, ExperimentSettings, Settings, base_files
from utils.bundle_file import read_text
from utils.errors import RecitalError
from utils.files import write_atomically
from utils.suggestions import did_you_mean

SettingsType = TypeVar("SettingsType", bound=Settings)
Tree = dict[str, Any]

COMMAND_LINE = "--set"
BY_HOP_SIZE = "by_hop_size"
"""Name of a table of values in settings files, of which `preprocess.hop_size` chooses one."""
_OTHERWISE = "otherwise"
_MANY = 5


class SettingsError(RecitalError):
    """Settings that cannot be used; the message lists every problem, each with its file and dotted name."""


@dataclass(frozen=True)
class Resolved:
    """Checked settings with the source of each value.

    Args:
        settings: the typed settings.
        sources: dotted name of every value to the file (or `--set`) that set it.
    """

    settings: ExperimentSettings
    sources: Mapping[str, str]


def load_settings(
    path: Path | str,
    overrides: Sequence[str],
    schema_of: Callable[[str], type[ExperimentSettings]],
    data_path: Path | str | None = None,
) -> Resolved:
    """Read a config file, the files it refines and `--set` layers, and check the whole.

    Objects merge, lists and single values replace.

    Args:
        path: the JSON5 file, e.g. `egs/tts/FastSpeech2/exp_config.json`.
        overrides: `dotted.name=value` texts, the last one winning.
        schema_of: returns the settings class of a `model_type`; may raise a `RecitalError` for an unknown one.
        data_path: another config file, of any model, whose corpora and preprocessing replace those of `path`.

    Raises:
        SettingsError: a file is missing or not JSON5, or a setting is unknown, mistyped, impossible or contradictory.
    """
    layers = _file_layers(Path(path))
    if data_path is not None:
        layers += [(source, _data_settings(tree)) for source, tree in _file_layers(Path(data_path))]
    return _resolved([*layers, *_override_layers(overrides)], schema_of, _shown(Path(path)))


def _data_settings(tree: Tree) -> Tree:
    return {name: value for name, value in tree.items() if name.startswith("dataset") or name == "preprocess"}


def refined_settings(
    base: Path | str, layer: Tree, source: str, schema_of: Callable[[str], type[ExperimentSettings]]
) -> ExperimentSettings:
    """Read a config file, merge a tree of values into it, and check the whole.

    Args:
        base: a JSON5 file.
        layer: what refines it.
        source: the file that the layer came from, for the messages.
        schema_of: as for `load_settings`.

    Raises:
        SettingsError: as from `load_settings`.
    """
    return _resolved([*_file_layers(Path(base)), (source, layer)], schema_of, source).settings


def read_settings(path: Path | str, schema_of: Callable[[str], type[ExperimentSettings]]) -> ExperimentSettings:
    """Read resolved settings that `write_settings` wrote beside features, checkpoints or bundles.

    Raises:
        SettingsError: the file is missing, damaged, or no longer fits this version's settings.
    """
    tree = read_json5(Path(path))
    try:
        schema = schema_of(str(tree.get("model_type")))
    except RecitalError as error:
        raise SettingsError(f"{path}: model_type: {error}") from error
    return check_settings(tree, schema, {}, fallback_source=str(path))


def write_settings(path: Path | str, settings: Settings) -> None:
    """Write resolved settings, complete in themselves, as plain JSON."""
    write_atomically(path, json.dumps(settings.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")


def check_settings(
    tree: Tree, schema: type[SettingsType], sources: Mapping[str, str], fallback_source: str
) -> SettingsType:
    """Turn a tree of plain values into typed settings, or raise one error that lists every problem.

    Args:
        tree: nested dicts of JSON values.
        schema: the class to build.
        sources: dotted name to the file that set it, for the messages.
        fallback_source: the file to name for values that `sources` lacks.
    """
    problems: list[str] = []
    faulty: set[str] = set()
    try:
        settings: SettingsType | None = _build(tree, schema)
    except ValidationError as error:
        settings = None
        for fault in error.errors():
            name = ".".join(str(part) for part in fault["loc"])
            faulty.add(name)
            source = _source_of(name, sources, fallback_source)
            problems.append(f"{source}: {name}: {_explain(fault, name, schema)}")
    problems = _grouped(problems)
    if here := model_here(str(tree.get("model_type", ""))):
        source = _source_of("model_type", sources, fallback_source)
        problems.insert(0, f"{source}: model_type: {tree['model_type']} is {here} here")
    where = f"{_source_of('base_config', sources, fallback_source)}: base_config"
    for base in base_files(tree.get("base_config", "")):
        if (here := file_here(str(base))) and not resolve_path(base).is_file():
            problems.insert(0, f"{where}: {base} is {here} here")
    # Contradictions among the valid settings are reported together with the faulty ones.
    for contradiction in _contradictions(settings or _valid_part(tree, schema, faulty)):
        name = contradiction.names[0]
        problems.append(f"{_source_of(name, sources, fallback_source)}: {name}: {contradiction.message}")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise SettingsError("\n  ".join([f"{count} in the settings:", *problems]) if len(problems) > 1 else problems[0])
    assert settings is not None
    return settings


def _grouped(problems: Sequence[str]) -> list[str]:
    """Return problems, those of many settings of one file with the same message in one line."""
    names: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        source, name, message = problem.split(": ", 2)
        names.setdefault((source, message), []).append(name)
    lines = []
    for (source, message), group in names.items():
        together = [", ".join(group)] if len(group) > _MANY else group
        lines += [f"{source}: {name}: {message}" for name in together]
    return lines


def describe(schema: type[Settings], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the meaning of every setting of a class and its sections."""
    for name, field in schema.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            yield from describe(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description or ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name nearest to a mistyped dotted name, or None."""
    known = list(known)
    leaf = name.rpartition(".")[2]
    elsewhere = [candidate for candidate in known if candidate.rpartition(".")[2] == leaf]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if elsewhere:
        return elsewhere[0]
    if close:
        return close[0]
    leaves = {candidate.rpartition(".")[2]: candidate for candidate in known}
    by_leaf = difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.6)
    return leaves[by_leaf[0]] if by_leaf else None


def differing_settings(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List `name: theirs -> ours` for every value in which two trees of settings differ."""
    lines = []
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        mine, other = ours.get(name, "(absent)"), theirs.get(name, "(absent)")
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            lines += differing_settings(mine, other, f"{prefix}{name}.")
        elif _plain(mine) != _plain(other):
            lines.append(f"{prefix}{name}: {json.dumps(_plain(other))} -> {json.dumps(_plain(mine))}")
    return lines


def flat_settings(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a tree of settings by dotted name, lists as JSON."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(_plain(value)) if isinstance(value, list | tuple) else value
    return flat


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _resolved(
    layers: Iterable[tuple[str, Tree]], schema_of: Callable[[str], type[ExperimentSettings]], shown: str
) -> Resolved:
    merged: Tree = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        _merge(merged, layer, source, sources)
    _choose_by_hop_size(merged, sources)
    model_type = merged.get("model_type")
    if not isinstance(model_type, str):
        raise SettingsError(
            f"{shown}: model_type: is missing; it names the model, and comes with the settings that this file refines, "
            'as in base_config: "config/fastspeech2.json"'
        )
    try:
        schema = schema_of(model_here(model_type) or model_type)
    except RecitalError as error:
        raise SettingsError(f"{sources['model_type']}: model_type: {error}") from error
    absent = [name for name in ("preprocess", "model", "train") if name not in merged]
    if absent and not merged.get("base_config"):
        raise SettingsError(
            f"{shown}: base_config: is missing; {', '.join(absent)} and other settings come with the file that this "
            'one refines, as in base_config: "config/fastspeech2.json"'
        )
    settings = check_settings(merged, schema, sources, fallback_source=shown)
    return Resolved(settings, sources)


def _file_layers(path: Path) -> list[tuple[str, Tree]]:
    """Read a config file and those it refines, the base first; of a list of bases the last comes last.

    A file that several of them refine comes once, where the first of them needs it.
    """
    layers: dict[Path, tuple[str, Tree]] = {}
    _add_layers(path, [], layers)
    return list(layers.values())


def _add_layers(path: Path, chain: list[Path], layers: dict[Path, tuple[str, Tree]]) -> None:
    """Add a file's layers, its own last; `chain` are the files that led to it."""
    real = path.resolve()
    if real in chain:
        circle = " -> ".join(_shown(step) for step in [*chain[chain.index(real) :], real])
        raise SettingsError(f"{_shown(chain[0])}: base_config goes in a circle: {circle}")
    if real in layers:
        return
    tree = read_json5(path)
    bases = tree.get("base_config", "")
    if not isinstance(bases, str) and not (isinstance(bases, list) and all(isinstance(base, str) for base in bases)):
        raise SettingsError(
            f"{_shown(path)}: base_config: must be a path or a list of paths, found {json.dumps(bases)}"
        )
    for base in base_files(bases):
        file = resolve_path(base)
        if not file.is_file() and (here := file_here(base)):
            file = resolve_path(here)  # `check_settings` reports it with the other names
        if not file.is_file():
            raise SettingsError(
                f"{_shown(path)}: base_config: there is no file {_shown(file)}; paths start at the repository root"
            )
        _add_layers(file, [*chain, real], layers)
    layers[real] = (_shown(path), tree)


def read_json5(path: Path) -> Tree:
    """Read an object from a JSON5 file.

    Raises:
        SettingsError: the file is missing, cannot be read, or holds something else.
    """
    try:
        text = read_text(path, "utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from error
    try:
        tree = json5.loads(text, allow_duplicate_keys=False)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{_shown(path)}: is not JSON5: {error}") from error
    if not isinstance(tree, dict):
        raise SettingsError(f"{_shown(path)}: must hold an object {{...}}, found {type(tree).__name__}")
    tree.pop("$schema", None)  # for editors
    return tree


def _override_layers(overrides: Sequence[str]) -> Iterator[tuple[str, Tree]]:
    for override in overrides:
        name, equals, text = override.partition("=")
        parts = name.strip().split(".")
        if not equals or not all(parts):
            raise SettingsError(f"--set {override}: expected dotted.name=value, e.g. --set train.batch_size=8")
        if parts == ["base_config"]:
            raise SettingsError(f"--set {override}: base_config can be set in a file only; pass another --config")
        try:
            value = json5.loads(text)
        except ValueError:
            value = text  # a bare word is a string: --set preprocess.alignment=textgrid
        tree: Any = value
        for part in reversed(parts):
            tree = {part: tree}
        yield f"{COMMAND_LINE} {override}", tree


def _merge(into: Tree, layer: Tree, source: str, sources: dict[str, str], prefix: str = "") -> None:
    for name, value in layer.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, dict):
            if not isinstance(into.get(name), dict):
                into[name] = {}
            sources[dotted] = source
            _merge(into[name], value, source, sources, f"{dotted}.")
        else:
            into[name] = value
            _name_source(dotted, source, sources)


def _name_source(name: str, source: str, sources: dict[str, str]) -> None:
    """Record where a plain value came from, in place of the sources of an object that it replaces."""
    for inner in [other for other in sources if other.startswith(f"{name}.")]:
        del sources[inner]
    sources[name] = source


def _choose_by_hop_size(merged: Tree, sources: dict[str, str]) -> None:
    """Replace each `{by_hop_size: {"256": value, ..., otherwise: value}}` by the value for `preprocess.hop_size`.

    One that has none is left, for `check_settings` to report.
    """
    preprocess = merged.get("preprocess")
    hop_size = str(preprocess.get("hop_size")) if isinstance(preprocess, dict) else ""

    def choose(tree: Tree, prefix: str) -> None:
        for name, value in tree.items():
            if not isinstance(value, dict):
                continue
            table = value.get(BY_HOP_SIZE)
            if not isinstance(table, dict):
                choose(value, f"{prefix}{name}.")
            elif (row := next((row for row in (hop_size, _OTHERWISE) if row in table), None)) is not None:
                tree[name] = table[row]
                source = sources[f"{prefix}{name}.{BY_HOP_SIZE}.{row}"]
                _name_source(f"{prefix}{name}", f"{source}, by hop_size", sources)

    choose(merged, "")


def _build(tree: Tree, schema: type[SettingsType]) -> SettingsType:
    # Through JSON, where arrays may become tuples although everything else is strict.
    return schema.model_validate_json(json.dumps(tree))


def _valid_part(tree: Tree, schema: type[SettingsType], faulty: set[str], prefix: str = "") -> SettingsType:
    """Build settings, unchecked, from the values that are valid by themselves."""
    values: Tree = {}
    for name, field in schema.model_fields.items():
        if name not in tree or f"{prefix}{name}" in faulty:
            continue
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Settings):
            values[name] = _valid_part(tree[name], section, faulty, f"{prefix}{name}.")
        else:
            values[name] = tree[name]
    return schema.model_construct(**values)


def _contradictions(settings: Settings, prefix: str = "") -> Iterator[Contradiction]:
    try:
        for contradiction in settings.contradictions():
            yield Contradiction(tuple(f"{prefix}{name}" for name in contradiction.names), contradiction.message)
    except AttributeError:
        pass  # needs a value that is invalid and reported already
    for name in type(settings).model_fields:
        value = getattr(settings, name, None)
        if isinstance(value, Settings):
            yield from _contradictions(value, f"{prefix}{name}.")


def _explain(fault: Mapping[str, Any], name: str, schema: type[Settings]) -> str:
    """Return the message about one invalid value."""
    meanings = dict(describe(schema))
    if fault["type"] == "extra_forbidden":
        if answer := answer_for(name):
            return answer
        known = nearest(name, meanings)
        return "there is no such setting" + (f"; did you mean {known}?" if known else "")
    if fault["type"] == "missing":
        meaning = meanings.get(name, "")
        return "is missing" + (f": {meaning}" if meaning else "")
    if isinstance(fault["input"], dict) and isinstance(table := fault["input"].get(BY_HOP_SIZE), dict):
        return f"has a value for hop_size {', '.join(table)} alone; set one for yours"
    found = json.dumps(fault["input"], ensure_ascii=False, default=str)
    expectation = str(fault["msg"]).replace("Input should be", "must be")
    if fault["type"] == "tuple_type":
        expectation = "must be a list" + (f", as [{found}] is" if isinstance(fault["input"], str) else "")
    if fault["type"] == "literal_error":
        options = [option.strip(" '") for option in str(fault["ctx"]["expected"]).replace(" or ", ",").split(",")]
        other = answer_for_value(name, fault["input"])
        expectation += f"; {other}" if other else did_you_mean(str(fault["input"]), options)
    return f"found {found}: {expectation}"


def _source_of(name: str, sources: Mapping[str, str], fallback: str) -> str:
    while name:
        if name in sources:
            return sources[name]
        name = name.rpartition(".")[0]
    return fallback


def _shown(path: Path) -> str:
    """Return a path relative to the repository if it is in there."""
    try:
        return str(path.resolve().relative_to(REPOSITORY))
    except ValueError:
        return str(path)
