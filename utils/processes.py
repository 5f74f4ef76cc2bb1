"""Processes of distributed training, however launched.

Uses accelerate to find the device and connect the processes, but not for autocast, loss scaling and schedules: its
wrappers would convert every output of a network to float32, and step a schedule once per process.
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
    """Training that cannot continue, e.g. because the loss is NaN or infinite."""


class Processes:
    """The processes that train together, and this one's rank.

    Started by `accelerate launch`, torchrun or alone; on the CPU without a GPU. A context manager, which ends
    the process group.

    Args:
        cpu: use the CPU even if there is a GPU.

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
        """Wrap a network so that its gradients are averaged over all processes; the network itself for one process."""
        if self.world_size == 1 or not any(parameter.requires_grad for parameter in module.parameters()):
            return module
        # Buffers are broadcast once, not before each forward pass: none here depends on the batch, and broadcasting
        # between two calls of a network would overwrite tensors that the first call needs for its gradients.
        device_ids = [self.device.index] if self.device.type == "cuda" else None
        # The gradient of a convolution with kernel size 1 may have other strides than its weight, which is harmless.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        return DistributedDataParallel(
            module, device_ids=device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True
        )

    @contextlib.contextmanager
    def no_sync(self, modules: Sequence[nn.Module]) -> Iterator[None]:
        """Accumulate gradients per process within the block, except within `sync`."""
        with contextlib.ExitStack() as stack:
            for module in modules:
                stack.enter_context(self._accelerator.no_sync(module))
            yield

    @contextlib.contextmanager
    def sync(self, modules: Sequence[nn.Module]) -> Iterator[None]:
        """Average these networks' gradients over all processes in the backward pass within the block."""
        with contextlib.ExitStack() as stack:
            for module in modules:
                stack.enter_context(self._accelerator.trigger_sync_in_backward(module))
            yield

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over all processes, without waiting for the device."""
        return tensor if self.world_size == 1 else self._accelerator.reduce(tensor, reduction="sum")

    def gather(self, value: Any) -> list[Any]:
        """Return the objects of all processes, by rank."""
        return [value] if self.world_size == 1 else gather_object([value])

    def barrier(self) -> None:
        """Wait for all processes."""
        self._accelerator.wait_for_everyone()

    def run_on_main(self, work: Callable[[], Result], share: bool = False) -> Result | None:
        """Call a function in the first process while the others wait; its error is raised in all of them.

        Args:
            work: the function.
            share: whether the other processes get its result, instead of None.
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
            return  # the other processes may be waiting for this one
        if self.device.type == "cuda":
            self._accelerator.end_training()
        else:
            # gloo is not finalised (see `utils.process_exit`), but no process exits while others need it.
            self.barrier()
