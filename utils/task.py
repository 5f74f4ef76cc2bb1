"""Interface of models to the trainer: the task, its data, and the records that pass between them.

Independent of what is trained: a model implements `Task`, and `utils.trainer.Trainer` runs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, device, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class Batch(Protocol):
    """The part of a batch that the trainer reads; the rest is between the data and the task."""

    @property
    def ids(self) -> Sequence[str]:
        """Names of the batch's items, for errors."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of real units of each kind in the batch, e.g. frames, phonemes, utterances, as integers.

        Every `Term.per` must be among them, and every batch of a run has the same keys.
        """

    @property
    def padded(self) -> Mapping[str, int]:
        """Number of units including padding, e.g. {"frames": B * T_mel}; throughput is measured by its first key.

        Its keys are a subset of those of `counts`.
        """

    def to(self, device: device, /) -> Any:
        """Return the batch on another device."""


class Batches(Protocol):
    """One process's share of the training data, in groups: one group of micro-batches per optimizer step.

    A group is a pure function of seed, epoch and index: its order and crops must not be drawn from the global random
    generators, so that a run resumed within an epoch gets the same groups as an uninterrupted one. The trainer in turn
    restores the global generators after fetching groups.
    Every process has the same number of groups in an epoch, and at least one micro-batch in each group.
    """

    def groups_per_epoch(self, epoch: int) -> int:
        """Return the number of groups, that is optimizer steps, of epoch number `epoch` (from 0)."""

    def groups(self, epoch: int, start_group: int = 0) -> Iterator[list[Any]]:
        """Yield the groups of an epoch from index `start_group` on, without preparing those before it."""


ValidationBatches = Iterable[Any]
"""One process's share of the validation batches; can be iterated repeatedly; shares may differ in length."""


@dataclass(frozen=True)
class Term:
    """One part of a loss.

    Attributes:
        value: (); the mean over this batch's own `per` units, attached to its graph; finite even if the batch has none
            of these units.
        weight: its share in the update's loss; with 0 it is only logged, and may be detached.
        per: the key of `Batch.counts` that `value` is a mean over. The trainer turns the means of micro-batches
            and processes into the mean over all of their units, so that splitting a batch changes nothing.
    """

    value: Tensor
    weight: float = 1.0
    per: str = "frames"


@dataclass(frozen=True)
class Update:
    """A pause in a task's training step at which one optimizer acts.

    Attributes:
        name: of the optimizer, a key of `Task.optimizers()`.
        terms: by their names in the logbook; the loss is the sum of weight * value. Without terms the optimizer skips
            this step, which must then hold for every micro-batch and process.
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
        ema_decay: decay of the modules' moving averages, which replace them in validation, samples and bundle; 0 for
            none.
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
        total: the sum over `count` units; a tensor () may stay on its device.
        count: number of units summed; 0 if the batch has none.
    """

    total: Tensor | float
    count: float


@dataclass(frozen=True)
class Samples:
    """Images, audio and texts of a model in training, for TensorBoard.

    Attributes:
        images: (height, width, 3) uint8 by name.
        audio: (T_wav,) float in [-1, 1] by name.
        sample_rate: of all `audio`, in Hz.
        texts: short notes by name.
    """

    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    audio: Mapping[str, np.ndarray] = field(default_factory=dict)
    sample_rate: int = 0
    texts: Mapping[str, str] = field(default_factory=dict)

    def beside(self, other: Samples) -> Samples:
        """Return these samples and others of the same sample rate."""
        return Samples(
            {**self.images, **other.images},
            {**self.audio, **other.audio},
            self.sample_rate or other.sample_rate,
            {**self.texts, **other.texts},
        )


class Task(Protocol):
    """A model in training: its networks, their optimizers, and the updates of one training step.

    The task calls its networks through `modules`, never through references of its own: during `updates` the trainer
    puts the networks wrapped for distributed training there, and the plain ones everywhere else, so that
    `validate`, `samples` and `bundle` may call any method of them.
    """

    modules: dict[str, nn.Module]

    def train_batches(self, rank: int = 0, world_size: int = 1) -> Batches:
        """Return one process's share of the training data."""

    def valid_batches(self, rank: int = 0, world_size: int = 1) -> ValidationBatches:
        """Return one process's share of the validation data, never test data."""

    def optimizers(self) -> Mapping[str, Optimization]:
        """Construct the optimizers, in the order of `updates`; called once, with networks on the device."""

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        """Yield the updates of the training step over one batch, after `step` steps.

        Yields exactly one update for each of `optimizers()`, in their order. The trainer enters autocast around each
        update, so never yield inside a `with`. When an optimizer has acted, its networks' parameters require no
        gradients until the step ends: a generator's loss goes through the discriminator without filling its
        gradients. With several micro-batches, all of them yield their first update before the first optimizer acts,
        and so on: what stays referenced between two updates is held for each micro-batch.
        """

    def validate(self, batch: Any) -> Mapping[str, Sum]:
        """Compute measures of a validation batch, in eval mode without gradients; checkpoints are ranked by `loss`."""

    def samples(self, batch: Any) -> Samples:
        """Return images and audio of the first validation batch; in the first process only, without gradients."""

    def diagnose(self, losses: Mapping[str, float], step: int) -> Sequence[str]:
        """Return warnings about the latest means of the losses, a sentence each; usually none.

        The same warning must be the same text, without changing figures: it is printed once, until it was absent.

        Args:
            losses: by their names in the logbook, `train/<update>/<term>`.
            step: of the means.
        """

    def bundle(self, folder: Path) -> None:
        """Write the bundle to an existing, empty folder; in the first process only."""


@runtime_checkable
class HasTestBatches(Protocol):
    """A task that can be measured on the test split once training ends."""

    def test_batches(self, rank: int = 0, world_size: int = 1) -> ValidationBatches:
        """Return one process's share of the test data, for `Task.validate`."""
