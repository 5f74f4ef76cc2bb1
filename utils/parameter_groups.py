"""Parts of networks selected by patterns: frozen parameters, and learning rates per part."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from utils.errors import RecitalError

ANYWHERE = ("duration", "pitch", "energy")
"""Short names of what acoustic models predict, each for its predictor and the embedding of its values."""
_SHOWN = 6


class PartError(RecitalError):
    """A pattern that matches nothing, or nothing that an earlier one does not match."""


def is_part(name: str, pattern: str) -> bool:
    """Return whether a pattern matches a parameter or module, or one that contains it.

    Args:
        name: `<module of the task>.<name within it>`, as in `network.encoder.layers.0.norms.1.weight`.
        pattern: a name with the wildcards `*`, `?` and `[...]`; the module of the task may be omitted: `encoder`. The
            names in `ANYWHERE` match a module of that name inside any other.
    """
    whole = name.split(".")
    if pattern in ANYWHERE:
        return pattern in whole
    names = (".".join(parts[:end]) for parts in (whole, whole[1:]) for end in range(1, len(parts) + 1))
    return any(fnmatchcase(each, pattern) for each in names)


def freeze(modules: Mapping[str, nn.Module], patterns: Sequence[str]) -> list[nn.Module]:
    """Freeze the parameters that patterns match: they require no gradients, and no optimizer updates them.

    Args:
        modules: of a task.
        patterns: see `is_part`.

    Returns:
        The frozen modules with buffers, such as running statistics, which must not be set to training mode. Others stay
        in it: dropout remains active before what is still trained.

    Raises:
        PartError: a pattern matches nothing.
    """
    named = [*_parameters(modules), *_submodules(modules)]
    _require_known([name for name, _ in named], patterns, "train.freeze")
    for name, parameter in _parameters(modules):
        if any(is_part(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)
    return [
        module
        for name, module in _submodules(modules)
        if any(True for _ in module.buffers(recurse=False))
        and (any(is_part(name, pattern) for pattern in patterns) or _is_frozen(module))
    ]


def learning_groups(
    modules: Mapping[str, nn.Module], names: Iterable[str], factors: Mapping[str, float], learning_rate: float
) -> list[Any]:
    """Return the parameters of an optimizer, in groups with their own learning rates where factors are given.

    Schedules multiply the learning rate, so that the factors persist.

    Args:
        modules: all of a task, by name.
        names: of the modules that the optimizer holds.
        factors: pattern (see `is_part`) to factor on the learning rate; the first match counts.
        learning_rate: of everything else.

    Returns:
        Without factors the parameters; else groups: what no pattern matches, then one per pattern, with its `part` and
        `factor`.

    Raises:
        PartError: a pattern matches nothing, or nothing that an earlier one does not match.
    """
    names = list(names)
    if not factors:
        return [parameter for name in names for parameter in modules[name].parameters()]
    _require_known([name for name, _ in _parameters(modules)], factors, "train.lr_groups")
    chosen: dict[str | None, list[tuple[str, nn.Parameter]]] = {None: [], **{pattern: [] for pattern in factors}}
    for name, parameter in _parameters(modules):
        chosen[next((pattern for pattern in factors if is_part(name, pattern)), None)].append((name, parameter))
    for pattern, parameters in chosen.items():
        if pattern is not None and not parameters:
            raise PartError(
                f'train.lr_groups: "{pattern}" has no effect: patterns before it match the same parameters, and the '
                "first match counts; put it first"
            )
    groups: list[Any] = []
    for pattern, parameters in chosen.items():
        own = [parameter for name, parameter in parameters if name.partition(".")[0] in names]
        if own and pattern is None:
            groups.append({"params": own})
        elif own and pattern is not None:
            factor = factors[pattern]
            groups.append({"params": own, "lr": learning_rate * factor, "part": pattern, "factor": factor})
    return groups


def _require_known(names: Sequence[str], patterns: Iterable[str], setting: str) -> None:
    for pattern in patterns:
        if not any(is_part(name, pattern) for name in names):
            known = _part_names(names)
            short = [name for name in ANYWHERE if any(is_part(each, name) for each in names)]
            shown = [name for name in known if "." not in name] + short
            near = difflib.get_close_matches(pattern, known, n=_SHOWN, cutoff=0.6)
            raise PartError(
                f'{setting}: "{pattern}" matches no part of this model\'s networks; known: {", ".join(shown)}'
                + (f"; similar: {', '.join(near)}" if near else "")
            )


def _part_names(names: Sequence[str]) -> list[str]:
    """Return names and the modules that contain them, each with and without the task's name for the network."""
    known: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        known |= dict.fromkeys(".".join(parts[:end]) for end in range(1, len(parts) + 1))
        known |= dict.fromkeys(".".join(parts[1:end]) for end in range(2, len(parts) + 1))
    return list(known)


def _parameters(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Parameter]]:
    for module_name, module in modules.items():
        for name, parameter in module.named_parameters():
            yield f"{module_name}.{name}", parameter


def _submodules(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    for module_name, module in modules.items():
        for name, submodule in module.named_modules():
            yield f"{module_name}.{name}" if name else module_name, submodule


def _is_frozen(module: nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    return bool(own) and not any(parameter.requires_grad for parameter in own)
