"""Optimizer state by names of parameters instead of their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from utils.errors import RecitalError


class OptimizerStateError(RecitalError):
    """An optimizer's state that belongs to other parameters."""


@dataclass(frozen=True)
class OptimizerState:
    """The state of an optimizer.

    Attributes:
        moments: `<module>.<parameter>` to its state, e.g. step, exp_avg; without parameters that were not updated yet.
        options: of the first parameter group, e.g. lr and betas.
    """

    moments: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]


def parameter_names(optimizer: Optimizer, modules: Mapping[str, nn.Module]) -> list[str]:
    """Return the names of an optimizer's parameters, in its order, as `<module>.<parameter>`."""
    names = {
        id(parameter): f"{module_name}.{name}"
        for module_name, module in modules.items()
        for name, parameter in module.named_parameters()
    }
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]


def named_state(state_dict: Mapping[str, Any], names: Sequence[str]) -> OptimizerState:
    """Read an optimizer's `state_dict()`.

    Args:
        state_dict: of an optimizer.
        names: of its parameters, in its order.

    Raises:
        OptimizerStateError: it has another number of parameters, or is no `state_dict` of an optimizer.
    """
    try:
        indices = [index for group in state_dict["param_groups"] for index in group["params"]]
        moments = {
            name: dict(state_dict["state"][p])
            for name, p in zip(names, indices, strict=False)
            if p in state_dict["state"]
        }
        options = {name: value for name, value in state_dict["param_groups"][0].items() if name != "params"}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise OptimizerStateError("is no state of an optimizer") from error
    if len(indices) != len(names):
        raise OptimizerStateError(f"is the state of {len(indices)} parameters, and there are {len(names)}")
    return OptimizerState(moments, options)


def as_state_dict(state: OptimizerState, names: Sequence[str]) -> dict[str, Any]:
    """Return the `state_dict()` of an optimizer with the parameters in the order of `names`, in one group."""
    return {
        "state": {index: dict(state.moments[name]) for index, name in enumerate(names) if name in state.moments},
        "param_groups": [{**state.options, "params": list(range(len(names)))}],
    }


def load_moments(optimizer: Optimizer, modules: Mapping[str, nn.Module], state: OptimizerState) -> None:
    """Load the moments of another optimizer's state; the options are kept.

    Raises:
        OptimizerStateError: a parameter of the state is unknown, or has another shape.
    """
    names = parameter_names(optimizer, modules)
    shapes = {
        f"{module_name}.{name}": parameter.shape
        for module_name, module in modules.items()
        for name, parameter in module.named_parameters()
    }
    problems = [f"{name} is unknown" for name in state.moments if name not in names]
    problems += [
        f"{key} of {name} has shape {tuple(value.shape)}, the parameter {tuple(shapes[name])}"
        for name, kept in state.moments.items()
        for key, value in kept.items()
        if name in shapes and isinstance(value, Tensor) and value.ndim and value.shape != shapes[name]
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise OptimizerStateError(f"is the state of other parameters: {shown}")
    own = optimizer.state_dict()
    moments = as_state_dict(state, names)["state"]
    optimizer.load_state_dict({"state": moments, "param_groups": own["param_groups"]})


def peak_rates(optimizer: Optimizer) -> list[float]:
    """Return the learning rate of each group that its schedule takes shares of."""
    return [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]


def set_peak_rates(optimizer: Optimizer, scheduler: LRScheduler | None, rates: Sequence[float]) -> None:
    """Set what `peak_rates` returned, where it is another, and leave the schedule where it stands."""
    for group, rate, before in zip(optimizer.param_groups, rates, peak_rates(optimizer), strict=True):
        if rate != before:
            group["lr"] = rate * (group["lr"] / before)
            group |= {"initial_lr": rate} if "initial_lr" in group else {}
    if scheduler is not None:
        scheduler.base_lrs = [*peak_rates(optimizer)]
