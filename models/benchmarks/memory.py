"""Memory of a training step: measured, and computed from its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from config.schema import ExperimentSettings
from models.benchmarks import acoustic, aligner, vocoder
from models.benchmarks.made_up import made_up_task
from models.registry import kind_of, make_task
from processors.datasets.batches import PlannedBatches, micro_batches
from utils.errors import RecitalError
from utils.failures import is_out_of_memory
from utils.machine import forget_peak_memory, peak_memory_mib
from utils.optimizer_state import set_peak_rates
from utils.processes import Processes
from utils.stop_request import StopRequest
from utils.task import Batch, Task
from utils.train_step import TrainStep

_MIB = 2**20
_LATE_STEP = 10**8  # all parts of the training act
_STEPS = 2  # the state of an optimizer exists from the second one on


class OutOfMemoryError(RecitalError):
    """A batch that does not fit in memory."""


class SavedTensors:
    """Bytes of the tensors that autograd keeps for the backward pass, within the block; each storage counts once.

    What gradient checkpointing computes again in the backward pass is not counted.

    Args:
        networks: whose parameters do not count.

    Attributes:
        bytes: now.
        peak_bytes: at most, up to now.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        parameters = [parameter for network in networks for parameter in network.parameters()]
        self._ignored = {_storage(parameter) for parameter in parameters}
        self._references: Counter[int] = Counter()
        self.bytes, self.peak_bytes = 0, 0
        self._hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: _Saved(self, tensor), lambda saved: saved.tensor
        )

    def __enter__(self) -> SavedTensors:
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hooks.__exit__(kind, error, traceback)

    def add(self, tensor: Tensor) -> None:
        """Count a tensor from now on."""
        key = _storage(tensor)
        self._references[key] += 1
        if self._references[key] == 1 and key not in self._ignored:
            self.bytes += tensor.untyped_storage().nbytes()
            self.peak_bytes = max(self.peak_bytes, self.bytes)

    def remove(self, tensor: Tensor) -> None:
        """Count a tensor no longer that was added."""
        key = _storage(tensor)
        self._references[key] -= 1
        if not self._references[key] and key not in self._ignored:
            self.bytes -= tensor.untyped_storage().nbytes()


class _Saved:
    """A tensor as autograd keeps it, counted while it does."""

    def __init__(self, counter: SavedTensors, tensor: Tensor) -> None:
        self.tensor, self._counter = tensor.detach(), counter  # with its history it would keep itself alive
        counter.add(self.tensor)

    def __del__(self) -> None:
        self._counter.remove(self.tensor)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


@dataclass(frozen=True)
class StepMemory:
    """Memory of a training step.

    Attributes:
        batch: its size in words.
        parts: bytes by name, computed from the sizes of tensors.
        measured: the peak in words, with its meaning.
    """

    batch: str
    parts: Mapping[str, int]
    measured: str

    def lines(self) -> Iterator[str]:
        """Yield the figures as a table."""
        yield f"a step of {self.batch}"
        for name, size in {**self.parts, "computed, together": sum(self.parts.values())}.items():
            yield f"  {name:<32}{size / _MIB:>10,.0f} MiB"
        yield f"  {self.measured}"


def step_memory(settings: ExperimentSettings, made_up_s: float | None = None, *, cpu: bool = False) -> StepMemory:
    """Train on the longest batch that stage 1 has prepared, or on a made-up one, and return what that takes.

    Two steps are taken, and of more than one micro-batch per step two, so that the optimizer's state and gradients
    are in memory beside the activations.

    Args:
        settings: of the experiment.
        made_up_s: length of made-up recordings that fill a batch; None for stage 1's.
        cpu: use the CPU even if there is a GPU.

    Raises:
        DataError: stage 1 has not been run.
        OutOfMemoryError: the batch does not fit.
    """
    with Processes(cpu=cpu) as processes:
        task = make_task(settings) if made_up_s is None else made_up_task(settings)
        batch = _longest_batch(task) if made_up_s is None else _made_up_batch(settings, made_up_s)
        train = settings.train
        step = TrainStep(
            task, processes, precision=train.precision, gradient_clip=train.gradient_clip, frozen=train.freeze
        )
        step.set_training(True)
        for each in step.optimizations.values():  # weights that stay cannot diverge on made-up data
            set_peak_rates(each.optimizer, each.scheduler, [0.0] * len(each.optimizer.param_groups))
        before_mib = peak_memory_mib()
        forget_peak_memory()
        device, saved = processes.device, SavedTensors(step.networks.values())
        try:
            with saved:
                for number in range(_STEPS):
                    step.take([batch] * min(micro_batches(train, 1), 2), _LATE_STEP + number, StopRequest())
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"{_described(batch)} does not fit in the memory of the {device.type}: lower train.batch_size "
                f"(now {train.batch_size}), or set train.gradient_checkpointing true"
            ) from error
        if device.type == "cuda":
            allocated, reserved = (torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device))
            measured = (
                f"measured on {torch.cuda.get_device_name(device)}: peak {allocated / _MIB:,.0f} MiB in tensors, "
                f"{reserved / _MIB:,.0f} MiB reserved"
            )
        else:
            measured = (
                f"measured on this machine's CPU: peak resident set {peak_memory_mib():,} MiB, of which up to "
                f"{before_mib:,} MiB are for Python, torch and the networks before the first step"
            )
        return StepMemory(f"{_described(batch)}, {train.precision}", _parts(step, saved), measured)


def _parts(step: TrainStep, saved: SavedTensors) -> dict[str, int]:
    parameters = [each for network in step.networks.values() for each in network.state_dict().values()]
    learned = [each for network in step.networks.values() for each in network.parameters() if each.requires_grad]
    averages = [each for average in step.averages.values() for each in average.network.state_dict().values()]
    states = [state for each in step.optimizations.values() for state in each.optimizer.state.values()]
    values = [value for state in states for value in state.values() if isinstance(value, Tensor)]
    parts = {"parameters": parameters, "moving averages": averages, "gradients": learned, "optimizer state": values}
    sizes = {name: sum(each.nbytes for each in tensors) for name, tensors in parts.items()}
    return {name: size for name, size in sizes.items() if size} | {"activations for the gradients": saved.peak_bytes}


def _longest_batch(task: Task) -> Batch:
    batches = task.train_batches()
    assert isinstance(batches, PlannedBatches)
    batch: Batch = batches.longest()
    return batch


def _made_up_batch(settings: ExperimentSettings, seconds: float) -> Any:
    kind, train = kind_of(settings.model_type), settings.train
    if kind == "vocoder":
        return vocoder.made_up_batch(settings)
    n_frames = max(round(seconds * settings.preprocess.sample_rate / settings.preprocess.hop_size), 1)
    n_rows = (
        min(train.batch_size, train.max_frames_per_batch // n_frames or 1)
        if train.max_frames_per_batch
        else train.batch_size
    )
    make = {"acoustic": acoustic.made_up_batch, "aligner": aligner.made_up_batch}[kind]
    return make(np.full(n_rows, n_frames), settings)


def _described(batch: Batch) -> str:
    n_frames = batch.padded.get("frames", batch.counts["frames"])
    return f"{len(batch.ids)} utterances or segments, {n_frames:,} mel frames with padding"
