"""What the trainer asks of a model: the task, its data, and the records that pass between them.

Nothing here knows what is learned. A model brings a `Task`; `utils.trainer.Trainer` drives any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor, device, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class Batch(Protocol):
    """What the trainer must know of a batch; the rest is between the data and the task."""

    @property
    def ids(self) -> Sequence[str]:
        """Names of the batch's items, so that an error can name them."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many real units of each kind the batch holds, e.g. frames, phonemes, utterances: plain integers.

        Every `Term.per` must be among them, and every batch of a run has the same keys.
        """

    @property
    def padded(self) -> Mapping[str, int]:
        """How many places the units take with padding, e.g. {"frames": B * T_mel}; its first key measures speed.

        Its keys are a subset of those of `counts`.
        """

    def to(self, device: device, /) -> Any:
        """The same batch on another device."""


class Batches(Protocol):
    """One process's share of the training data, in groups: one group of micro-batches per optimizer step.

    A group is a pure function of seed, epoch and place: whatever is drawn for it (order, crops) must not come from
    the global random generators, so that a run that starts within an epoch sees what an unbroken one would have.
    The trainer in turn brings the global generators back to where they stood after whatever is done here.
    Every process has the same number of groups in an epoch, and at least one micro-batch in each group.
    """

    def groups_per_epoch(self, epoch: int) -> int:
        """How many groups, that is optimizer steps, epoch number `epoch` (from 0) has."""

    def groups(self, epoch: int, start_group: int = 0) -> Iterator[list[Any]]:
        """The groups of an epoch from number `start_group` on, without preparing those before it."""


ValidationBatches = Iterable[Any]
"""One process's share of the validation batches, in full each time it is iterated; shares may differ in number."""


@dataclass(frozen=True)
class Term:
    """One part of a loss.

    Attributes:
        value: (); the mean over this batch's own `per` units, still attached to its graph; a finite number also
            where the batch has none of these units.
        weight: its share in the update's loss; with 0 it is only logged, and may be detached.
        per: the key of `Batch.counts` that `value` is a mean over. The trainer turns the means of micro-batches
            and processes into the mean over all of their units, so that cutting a batch apart changes nothing.
    """

    value: Tensor
    weight: float = 1.0
    per: str = "frames"


@dataclass(frozen=True)
class Update:
    """A pause in a task's training step at which one optimizer acts.

    Attributes:
        name: of the optimizer, a key of `Task.optimizers()`.
        terms: by name, as they shall appear in the logbook; the loss is the sum of weight * value. With none the
            optimizer rests in this step; so it must then for every micro-batch and in every process.
    """

    name: str
    terms: Mapping[str, Term]


@dataclass(frozen=True)
class Optimization:
    """An optimizer with its schedule and the names of the modules whose parameters it holds.

    Attributes:
        optimizer: over the parameters of `modules` (any grouping).
        modules: keys of `Task.modules`.
        scheduler: None for a constant learning rate.
        scheduled_by: whether `scheduler.step()` counts optimizer steps or epochs, each once, whatever the number of
            processes or micro-batches.
        ema_decay: above 0, moving averages of the modules are kept, each step weighing them by this much; they take
            the modules' place wherever the task validates, shows samples or writes a bundle.
    """

    optimizer: Optimizer
    modules: tuple[str, ...]
    scheduler: LRScheduler | None = None
    scheduled_by: Literal["step", "epoch"] = "step"
    ema_decay: float = 0.0


@dataclass(frozen=True)
class Sum:
    """A validation measure over one batch: the mean over all batches is the totals' sum over the counts' sum.

    Attributes:
        total: the sum over `count` units; a tensor () stays on its device, without waiting for it.
        count: how many units were summed; 0 where the batch has none.
    """

    total: Tensor | float
    count: float


@dataclass(frozen=True)
class Samples:
    """What a person should see and hear of a model in training.

    Attributes:
        pictures: (height, width, 3) uint8 by name.
        audio: (T_wav,) float in [-1, 1] by name.
        sample_rate: of all `audio`, in Hz.
        texts: short notes by name.
    """

    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    audio: Mapping[str, np.ndarray] = field(default_factory=dict)
    sample_rate: int = 0
    texts: Mapping[str, str] = field(default_factory=dict)


class Task(Protocol):
    """A model in training: its networks, their optimizers, and the updates of one training step.

    The task calls its networks through `modules`, never through references of its own: during `updates` the trainer
    puts the wrapped networks there that talk to other processes, and the plain ones everywhere else, so that
    `validate`, `samples` and `bundle` may call any method of them.
    """

    modules: dict[str, nn.Module]

    def train_batches(self, rank: int = 0, world_size: int = 1) -> Batches:
        """Give one process's share of the training data."""

    def valid_batches(self, rank: int = 0, world_size: int = 1) -> ValidationBatches:
        """Give one process's share of the validation data; none of the test data is ever among it."""

    def optimizers(self) -> Mapping[str, Optimization]:
        """Make the optimizers, in the order in which `updates` names them; called once, with networks in place."""

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        """Yield the updates of the training step over one batch; `step` steps lie behind.

        Yields exactly one update for each of `optimizers()`, in their order. The trainer enters autocast around each
        update, so never yield inside a `with`. When an optimizer has acted, its networks' parameters require no
        gradients until the step ends: a generator's loss goes through the discriminator without filling its
        gradients. With several micro-batches, all of them yield their first update before the first optimizer acts,
        and so on: what stays referenced between two updates is held for each micro-batch.
        """

    def validate(self, batch: Any) -> Mapping[str, Sum]:
        """Measure a validation batch, without gradients and in eval mode; `loss` among them judges checkpoints."""

    def samples(self, batch: Any) -> Samples:
        """Pictures and audio of the first validation batch; in the first process only, without gradients."""

    def diagnose(self, losses: Mapping[str, float], step: int) -> Sequence[str]:
        """Return what the latest means of the losses show to be wrong, in a sentence each; mostly nothing.

        The same fault is the same sentence, without figures that change: it is warned of once, until it was absent.

        Args:
            losses: by their names in the logbook, `train/<update>/<term>`.
            step: at which they were read.
        """

    def bundle(self, folder: Path) -> None:
        """Write all that is needed to use the model to an existing, empty folder; in the first process only."""
