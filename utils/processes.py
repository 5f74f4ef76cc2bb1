"""Processes that train together, however they were launched.

The home of accelerate, which finds the device and joins the processes. Autocast, loss scaling and schedules are
the trainer's: accelerate's wrappers would turn every output of a network into float32, and step a schedule once per
process.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from utils.errors import RecitalError
from utils.failures import disk_sentence, is_disk_full
from utils.gpus import require_gpu_per_process
from utils.threads import flush_denormals

Result = TypeVar("Result")


class TrainingError(RecitalError):
    """Training that cannot go on, e.g. because the loss is NaN or infinite."""


class Processes:
    """The processes that train together, and this one's place among them.

    Started by `accelerate launch`, torchrun or alone; without a GPU on the CPU. To be used in a `with`, whose end is
    the end of working together.

    Args:
        cpu: stay on the CPU where there is a GPU.

    Raises:
        GpuError: more processes were launched on this machine than it has GPUs.
    """

    def __init__(self, cpu: bool = False) -> None:
        if not cpu:
            require_gpu_per_process()
        flush_denormals()
        self._accelerator = Accelerator(mixed_precision="no", cpu=cpu or not torch.cuda.is_available())
        self.rank: int = self._accelerator.process_index
        self.world_size: int = self._accelerator.num_processes
        self.device: torch.device = self._accelerator.device
        self.is_main: bool = self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a network that averages its gradients over all processes; the same one where there is only this."""
        if self.world_size == 1 or not any(parameter.requires_grad for parameter in module.parameters()):
            return module
        # Buffers are sent once, not before each forward pass: none here depends on the batch, and sending them between
        # two calls of one network would overwrite what the first call needs for its gradients.
        device_ids = [self.device.index] if self.device.type == "cuda" else None
        # The gradient of a convolution with kernel size 1 may have other strides than its weight: nothing is wrong.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        return DistributedDataParallel(
            module, device_ids=device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True
        )

    @contextlib.contextmanager
    def apart(self, modules: Sequence[nn.Module]) -> Iterator[None]:
        """Accumulate gradients in each process for itself, except within `together`."""
        with contextlib.ExitStack() as stack:
            for module in modules:
                stack.enter_context(self._accelerator.no_sync(module))
            yield

    @contextlib.contextmanager
    def together(self, modules: Sequence[nn.Module]) -> Iterator[None]:
        """Average these networks' gradients over all processes in the backward pass within."""
        with contextlib.ExitStack() as stack:
            for module in modules:
                stack.enter_context(self._accelerator.trigger_sync_in_backward(module))
            yield

    def add_up(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over all processes, without waiting for the device."""
        return tensor if self.world_size == 1 else self._accelerator.reduce(tensor, reduction="sum")

    def gather(self, thing: Any) -> list[Any]:
        """Return the things of all processes, by rank."""
        return [thing] if self.world_size == 1 else gather_object([thing])

    def wait(self) -> None:
        """Wait until every process has come here."""
        self._accelerator.wait_for_everyone()

    def in_main(self, work: Callable[[], Result], share: bool = False) -> Result | None:
        """Do something in the first process while the others wait; what goes wrong there is raised in all of them.

        Args:
            work: to be done.
            share: whether the other processes get its result, too, instead of None.
        """
        result, error = None, None
        if self.is_main:
            try:
                result = work()
            except Exception as caught:
                error = caught
        if self.world_size > 1:
            what = disk_sentence(error) if error is not None and is_disk_full(error) else error
            message: list[Any] = [error and f"in the first process: {what}", result if share else None]
            broadcast_object_list(message)
            if not self.is_main:
                if message[0]:
                    raise TrainingError(message[0])
                result = message[1]
        if error is not None:
            raise error
        return result

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return  # nothing waits for processes that may wait for this one
        if self.device.type == "cuda":
            self._accelerator.end_training()
        else:
            self.wait()  # gloo is not taken apart (see `utils.process_exit`), but none leaves while others talk to it
