"""From stored features to padded batches, in an order that can be told in advance.

Which utterances meet in which batch follows from lengths, seed and epoch alone. So a run that was stopped within an
epoch goes on where it was without reading what it has had, and several processes agree without talking.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from config.schema import ExperimentSettings
from processors.datasets.utterance_data import UtteranceData
from utils.errors import RecitalError
from utils.process_exit import kill_workers_at_exit

# How far an utterance may stray, in each epoch anew, from its place in the order of lengths: as if it were up to this
# share longer or shorter. More would mix better and pad more: 0.05 pads 5 % of kathleen's and LJSpeech's frames in
# batches of 16, 0.1 pads 9 %, and no order at all 30 %.
_STRAY = 0.05

Group = list[np.ndarray]
"""The micro-batches of one optimizer step, each an array of indices into the data."""


class BatchError(RecitalError):
    """Data that cannot be cut into batches as the settings ask."""


class BatchPlan:
    """Cuts the data of every epoch into groups of micro-batches, one group per optimizer step.

    Utterances of like length meet, so that little is padding, while chance decides which of them and in which order
    groups come. Each is seen once per epoch (where micro-batches are as small as one utterance, a few may be seen
    twice), or as often as its weight says, and no group is much smaller than the others. Which utterances form a group
    depends on the number of micro-batches only by its product with `batch_size`: two processes at b see together what
    one sees at 2b.

    Args:
        lengths: frames of every utterance.
        batch_size: utterances per micro-batch at most.
        max_frames_per_batch: frames of a micro-batch at most, padding included; 0 for no limit.
        micro_batches: per group: processes times gradient accumulation steps.
        seed: another seed, another order.
        weights: how often each utterance is drawn per epoch; once unless given. Of utterances with one weight, 0.5
            draws every other in each epoch, 2.5 all twice and every other a third time, in turn: none is drawn more
            than once more than another.

    Raises:
        BatchError: there are too few utterances, or one is longer than a micro-batch may be.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        *,
        batch_size: int,
        max_frames_per_batch: int = 0,
        micro_batches: int = 1,
        seed: int = 0,
        weights: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self._batch_size, self._budget = batch_size, max_frames_per_batch
        self._micro_batches, self._seed = micro_batches, seed
        self._classes = _classes_of_weight(weights, seed)
        drawn = sum(int(weight * len(members)) for weight, members in self._classes) if self._classes else len(lengths)
        if drawn < micro_batches:
            raise BatchError(
                f"{drawn} utterances for training cannot fill {micro_batches} batches at once; "
                "use fewer processes or a smaller train.gradient_accumulation_steps"
            )
        if max_frames_per_batch and (longest := int(self.lengths.max())) > max_frames_per_batch:
            raise BatchError(
                f"the longest utterance has {longest} frames, more than train.max_frames_per_batch "
                f"({max_frames_per_batch}); raise that, or lower preprocess.max_duration_s"
            )

    def groups(self, epoch: int) -> list[Group]:
        """Give all groups of epoch number `epoch`, in order."""
        chance = np.random.default_rng([self._seed, epoch])
        drawn = self._drawn(epoch)
        strayed = self.lengths[drawn] * (1.0 + _STRAY * chance.uniform(-1.0, 1.0, len(drawn)))
        members = self._cut(drawn[np.argsort(-strayed, kind="stable")])
        return [self._deal(members[place]) for place in chance.permutation(len(members))]

    def _drawn(self, epoch: int) -> np.ndarray:
        """Give the utterances of an epoch, each as often as it is drawn, in ascending order."""
        if not self._classes:
            return np.arange(len(self.lengths))
        parts = []
        for weight, members in self._classes:
            # Where the last epoch ended in the circle of members, this one goes on.
            start, stop = round(weight * len(members) * epoch), round(weight * len(members) * (epoch + 1))
            parts.append(members[np.arange(start, stop) % len(members)])
        return np.sort(np.concatenate(parts))

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        """Cut utterances, the longest first, into groups."""
        spans, start = [], 0
        while start < len(order):
            stop = min(start + self._room(order[start:]), len(order))
            spans.append((start, stop))
            start = stop
        if len(spans) > 1 and _size(spans[-1]) < _size(spans[-2]):
            # What is left over may be too little to deal to all micro-batches, or to learn from: two halves instead.
            (start, _), (_, stop) = spans[-2:]
            half = (start + stop) // 2
            spans[-2:] = [
                (start, max(half, start + self._micro_batches)),
                (min(half, stop - self._micro_batches), stop),
            ]
        return [order[start:stop] for start, stop in spans]

    def _room(self, remaining: np.ndarray) -> int:
        """Say how many utterances a group may take."""
        most = self._batch_size * self._micro_batches
        if not self._budget:
            return most
        longest = self.lengths[remaining[:most]].max()
        return min(self._batch_size, int(self._budget // longest)) * self._micro_batches

    def _deal(self, members: np.ndarray) -> Group:
        """Deal a group's utterances to its micro-batches, so that each gets as many and as long ones."""
        by_length = members[np.argsort(-self.lengths[members], kind="stable")]
        return [by_length[first :: self._micro_batches] for first in range(self._micro_batches)]


def _classes_of_weight(weights: Sequence[float] | np.ndarray | None, seed: int) -> list[tuple[float, np.ndarray]]:
    """Give each weight with its utterances in an order of chance; nothing where all are drawn once."""
    if weights is None or all(weight == 1 for weight in weights):
        return []
    of_utterance = np.asarray(weights, dtype=np.float64)
    chance = np.random.default_rng([seed, len(of_utterance)])
    return [
        (float(weight), chance.permutation(np.flatnonzero(of_utterance == weight)))
        for weight in np.unique(of_utterance)
    ]


def _size(span: tuple[int, int]) -> int:
    return span[1] - span[0]


class PlannedBatches:
    """One process's share of planned batches, prepared by worker processes (`utils.task.Batches`).

    Workers live as long as this object and work ahead; tensors come from them through shared memory.

    Args:
        data: gives one example per index.
        collate: makes a batch of examples.
        plan: which indices meet.
        rank: number of this process.
        world_size: how many processes there are.
        num_workers: worker processes; 0 to prepare batches here.
        by_epoch: whether `data` is asked for (index, epoch, turn) instead of an index, as one that draws something anew
            in each epoch needs; the turn counts how often the index has come before in this epoch.
    """

    def __init__(
        self,
        data: Dataset[Any],
        collate: Callable[[list[Any]], Any],
        plan: BatchPlan,
        *,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        by_epoch: bool = False,
    ) -> None:
        self._plan, self._rank, self._world_size = plan, rank, world_size
        self._by_epoch = by_epoch
        self._wanted = _Wanted()
        self._loader = _loader(data, collate, self._wanted, num_workers)

    def groups_per_epoch(self, epoch: int) -> int:
        """How many groups epoch number `epoch` has."""
        return len(self._plan.groups(epoch))

    def groups(self, epoch: int, start_group: int = 0) -> Iterator[list[Any]]:
        """Give this process's micro-batches of each group from number `start_group` on; nothing else is read."""
        groups = self._keyed(self._plan.groups(epoch), epoch)
        shares = [group[self._rank :: self._world_size] for group in groups[start_group:]]
        self._wanted.batches = [keys for share in shares for keys in share]
        prepared = iter(self._loader)
        for share in shares:
            yield [next(prepared) for _ in share]

    def _keyed(self, groups: list[Group], epoch: int) -> list[list[list[Any]]]:
        """Give what `data` is asked for in place of each index."""
        if not self._by_epoch:
            return [[indices.tolist() for indices in group] for group in groups]
        turns: Counter[int] = Counter()

        def key(index: int) -> tuple[int, int, int]:
            turns[index] += 1
            return index, epoch, turns[index] - 1

        return [[[key(index) for index in indices.tolist()] for indices in group] for group in groups]


class OrderedBatches:
    """All data once, without chance, the same each time: for validation (`utils.task.ValidationBatches`).

    Args:
        data: gives one example per index.
        collate: makes a batch of examples.
        lengths: frames of every utterance, by which like ones are put together.
        batch_size: utterances per batch at most.
        max_frames_per_batch: frames of a batch at most where that leaves more than one utterance; 0 for no limit.
        rank: number of this process, which gets every `world_size`-th batch.
        world_size: how many processes there are.
        num_workers: worker processes; 0 to prepare batches here.
    """

    def __init__(
        self,
        data: Dataset[Any],
        collate: Callable[[list[Any]], Any],
        lengths: Sequence[int] | np.ndarray,
        *,
        batch_size: int,
        max_frames_per_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
    ) -> None:
        order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        batches: list[list[int]] = []
        while order:
            room = batch_size
            if max_frames_per_batch:
                room = max(1, min(room, int(max_frames_per_batch // lengths[order[0]])))
            batches.append(order[:room])
            order = order[room:]
        self._wanted = _Wanted(batches[rank::world_size])
        self._loader = _loader(data, collate, self._wanted, num_workers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loader)

    def __len__(self) -> int:
        return len(self._wanted.batches)


def training_batches(
    data: UtteranceData[Any],
    collate: Callable[[list[Any]], Any],
    settings: ExperimentSettings,
    *,
    rank: int,
    world_size: int,
) -> PlannedBatches:
    """Give one process's share of an experiment's training utterances, of like lengths and drawn as it weighs them."""
    train = settings.train
    plan = BatchPlan(
        data.lengths,
        batch_size=train.batch_size,
        max_frames_per_batch=train.max_frames_per_batch,
        micro_batches=world_size * train.gradient_accumulation_steps,
        seed=train.seed,
        weights=data.weights(settings.dataset_weight),
    )
    return PlannedBatches(data, collate, plan, rank=rank, world_size=world_size, num_workers=train.num_workers)


def validation_batches(
    data: UtteranceData[Any],
    collate: Callable[[list[Any]], Any],
    settings: ExperimentSettings,
    *,
    rank: int,
    world_size: int,
) -> OrderedBatches:
    """Give one process's share of an experiment's validation utterances, each of them once."""
    train = settings.train
    return OrderedBatches(
        data,
        collate,
        data.lengths,
        batch_size=train.batch_size,
        max_frames_per_batch=train.max_frames_per_batch,
        rank=rank,
        world_size=world_size,
        num_workers=min(train.num_workers, 1),
    )


class _Wanted:
    """The indices that the loader shall bring next; changed between epochs while its workers live on."""

    def __init__(self, batches: Sequence[list[Any]] = ()) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[Any]]:
        return iter(self.batches)


def _loader(
    data: Dataset[Any], collate: Callable[[list[Any]], Any], wanted: _Wanted, num_workers: int
) -> DataLoader[Any]:
    if num_workers:
        kill_workers_at_exit()  # they pass over the SIGTERM by which they would be ended then
    return DataLoader(
        data,
        batch_sampler=wanted,
        collate_fn=collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=_leave_stopping_to_the_trainer,
        # Its base seed is drawn from a generator of its own: the global one belongs to the networks alone, or a run
        # resumed within an epoch would draw other dropout than an unbroken one.
        generator=torch.Generator().manual_seed(0),
    )


def _leave_stopping_to_the_trainer(worker: int) -> None:
    """In a worker, pass over Ctrl-C and a first SIGTERM: sent to the whole group, they reach the trainer as well.

    It saves a checkpoint and lets its workers go; a worker that died first would end it before that. A second
    SIGTERM is the trainer's own.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))
