"""Batch planning: which utterances form which micro-batch on which process.

The plan depends on lengths, seed and epoch alone. So a run stopped within an epoch resumes without reading the batches
it has passed, and processes agree without communication.

An optimizer step takes one group: utterances that are neighbours in the order of lengths, dealt out in turn to its
micro-batches. Here two processes, `gradient_accumulation_steps` 2, `batch_size` 3 (= frames, . padding):

    micro-batch 0, rank 0    micro-batch 1, rank 1    micro-batch 2, rank 0    micro-batch 3, rank 1
     0 |================|     1 |================|     2 |===============|      3 |===============|
     4 |===============.|     5 |==============..|     6 |=============..|      7 |=============..|
     8 |=============...|     9 |============....|    10 |===========....|     11 |===========....|

`max_frames_per_batch` limits a micro-batch's rectangle. An epoch is its groups in random order; rank r gets the
micro-batches r, r + world_size, ... of each.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from config.schema import ExperimentSettings, TrainSettings
from processors.datasets.utterance_data import UtteranceData
from utils.errors import RecitalError
from utils.process_exit import kill_workers_at_exit

# Utterances are sorted as if they were up to this share longer or shorter, drawn in each epoch. More mixes better and
# pads more: 0.05 pads 5 % of the frames of kathleen and LJSpeech in batches of 16, 0.1 pads 9 %, no order 30 %.
_LENGTH_JITTER = 0.05

Group = list[np.ndarray]
"""The micro-batches of one optimizer step, each an array of indices into the data."""


class BatchError(RecitalError):
    """Data that cannot be divided into batches under the settings."""


class BatchPlan:
    """Divides the data of every epoch into groups of micro-batches, one group per optimizer step.

    Utterances of similar length form a group, for little padding; the choice among them and the order of groups are
    random. Each utterance comes once per epoch (a few may come twice with micro-batches of one utterance), or as often
    as its weight says, and no group is much smaller than the others. Groups depend only on the product of `batch_size`
    and the number of micro-batches: two processes at b see together what one sees at 2b.

    Args:
        lengths: frames per utterance.
        batch_size: most utterances per micro-batch.
        max_frames_per_batch: most frames per micro-batch, padding included; 0 for no limit.
        micro_batches: per group: processes times gradient accumulation steps.
        seed: of the order.
        weights: how often each utterance is drawn per epoch; by default once. A weight of 0.5 draws half of its
            utterances in each epoch, 2.5 all of them twice and half a third time, in rotation: the counts of any two
            of them differ by at most one.

    Raises:
        BatchError: there are too few utterances, or one exceeds `max_frames_per_batch`.
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
                f"{drawn} training utterances are too few for {micro_batches} micro-batches; "
                "use fewer processes or a smaller train.gradient_accumulation_steps"
            )
        if max_frames_per_batch and (longest := int(self.lengths.max())) > max_frames_per_batch:
            raise BatchError(
                f"the longest utterance has {longest} frames, more than train.max_frames_per_batch "
                f"({max_frames_per_batch}); raise that, or lower preprocess.max_duration_s"
            )

    def groups(self, epoch: int) -> list[Group]:
        """Return all groups of an epoch, in order."""
        generator = np.random.default_rng([self._seed, epoch])
        drawn = self._drawn(epoch)
        jittered = self.lengths[drawn] * (1.0 + _LENGTH_JITTER * generator.uniform(-1.0, 1.0, len(drawn)))
        groups = self._cut(drawn[np.argsort(-jittered, kind="stable")])
        return [self._deal(groups[index]) for index in generator.permutation(len(groups))]

    def _drawn(self, epoch: int) -> np.ndarray:
        """Return the utterances of an epoch in ascending order, each as often as it is drawn."""
        if not self._classes:
            return np.arange(len(self.lengths))
        parts = []
        for weight, members in self._classes:
            # Each epoch continues in the circle of members where the last one ended.
            start, stop = round(weight * len(members) * epoch), round(weight * len(members) * (epoch + 1))
            parts.append(members[np.arange(start, stop) % len(members)])
        return np.sort(np.concatenate(parts))

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        """Cut utterances, sorted from long to short, into groups."""
        spans, start = [], 0
        while start < len(order):
            stop = min(start + self._room(order[start:]), len(order))
            spans.append((start, stop))
            start = stop
        if len(spans) > 1 and _size(spans[-1]) < _size(spans[-2]):
            # The rest may be too small for all micro-batches, or for a good gradient: halve the last two together.
            (start, _), (_, stop) = spans[-2:]
            half = (start + stop) // 2
            spans[-2:] = [
                (start, max(half, start + self._micro_batches)),
                (min(half, stop - self._micro_batches), stop),
            ]
        return [order[start:stop] for start, stop in spans]

    def _room(self, remaining: np.ndarray) -> int:
        """Return the greatest size of the next group."""
        most = self._batch_size * self._micro_batches
        if not self._budget:
            return most
        longest = self.lengths[remaining[:most]].max()
        return min(self._batch_size, int(self._budget // longest)) * self._micro_batches

    def _deal(self, members: np.ndarray) -> Group:
        """Deal a group's utterances out to micro-batches of equal size and similar lengths."""
        by_length = members[np.argsort(-self.lengths[members], kind="stable")]
        return [by_length[first :: self._micro_batches] for first in range(self._micro_batches)]


def _classes_of_weight(weights: Sequence[float] | np.ndarray | None, seed: int) -> list[tuple[float, np.ndarray]]:
    """Return each weight with its utterances in random order; nothing if all weights are 1."""
    if weights is None or all(weight == 1 for weight in weights):
        return []
    of_utterance = np.asarray(weights, dtype=np.float64)
    generator = np.random.default_rng([seed, len(of_utterance)])
    return [
        (float(weight), generator.permutation(np.flatnonzero(of_utterance == weight)))
        for weight in np.unique(of_utterance)
    ]


def _size(span: tuple[int, int]) -> int:
    return span[1] - span[0]


class PlannedBatches:
    """One process's share of planned batches, loaded by worker processes (`utils.task.Batches`).

    Workers live as long as this object and prefetch; tensors are passed through shared memory.

    Args:
        data: one example per index.
        collate: returns a batch of examples.
        plan: of the indices.
        rank: number of this process.
        world_size: number of processes.
        num_workers: worker processes; 0 to load batches in this one.
        by_epoch: whether `data` is indexed by (index, epoch, turn), as one that draws random segments in each epoch
            needs; the turn counts earlier occurrences of the index in this epoch.
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
        self._next = _NextBatches()
        self._loader = _loader(data, collate, self._next, num_workers)

    def groups_per_epoch(self, epoch: int) -> int:
        """Return the number of groups in an epoch."""
        return len(self._plan.groups(epoch))

    def groups(self, epoch: int, start_group: int = 0) -> Iterator[list[Any]]:
        """Yield this process's micro-batches of each group from number `start_group` on; no others are read."""
        groups = self._keyed(self._plan.groups(epoch), epoch)
        shares = [group[self._rank :: self._world_size] for group in groups[start_group:]]
        self._next.batches = [keys for share in shares for keys in share]
        loaded = iter(self._loader)
        for share in shares:
            yield [next(loaded) for _ in share]

    def longest(self) -> Any:
        """Return the micro-batch of the first epoch with the most frames, padding included."""
        groups = self._plan.groups(0)
        sizes = {
            (number, place): len(members) * int(self._plan.lengths[members].max())
            for number, group in enumerate(groups)
            for place, members in enumerate(group)
        }
        number, place = max(sizes, key=lambda key: sizes[key])
        keys = self._keyed(groups, 0)[number][place]
        collate: Callable[[list[Any]], Any] = self._loader.collate_fn
        return collate([self._loader.dataset[key] for key in keys])

    def _keyed(self, groups: list[Group], epoch: int) -> list[list[list[Any]]]:
        """Return the key into `data` for each index."""
        if not self._by_epoch:
            return [[indices.tolist() for indices in group] for group in groups]
        turns: Counter[int] = Counter()

        def key(index: int) -> tuple[int, int, int]:
            turns[index] += 1
            return index, epoch, turns[index] - 1

        return [[[key(index) for index in indices.tolist()] for indices in group] for group in groups]


class OrderedBatches:
    """All data once in a fixed order, for validation (`utils.task.ValidationBatches`).

    Args:
        data: one example per index.
        collate: returns a batch of examples.
        lengths: frames per utterance; batches are cut from the order of lengths.
        batch_size: most utterances per batch.
        max_frames_per_batch: most frames per batch of several utterances, padding included; 0 for no limit.
        rank: number of this process, which gets every `world_size`-th batch.
        world_size: number of processes.
        num_workers: worker processes; 0 to load batches in this one.
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
        batches = ordered_batches(lengths, batch_size=batch_size, max_frames_per_batch=max_frames_per_batch)
        self._next = _NextBatches(batches[rank::world_size])
        self._loader = _loader(data, collate, self._next, num_workers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loader)

    def __len__(self) -> int:
        return len(self._next.batches)


def ordered_batches(
    lengths: Sequence[int] | np.ndarray, *, batch_size: int, max_frames_per_batch: int = 0
) -> list[list[int]]:
    """Cut the indices of utterances, from long to short, into the batches of `OrderedBatches`.

    Utterances of successive batches, cut by themselves, are the same batches.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    start = 0
    while start < len(order):
        room = batch_size
        if max_frames_per_batch:
            room = max(1, min(room, int(max_frames_per_batch // lengths[order[start]])))
        batches.append(order[start : start + room])
        start += room
    return batches


def micro_batches(train: TrainSettings, world_size: int) -> int:
    """Return how many batches make one optimizer step, over all processes.

    Raises:
        BatchError: `global_batch_size` cannot be divided into batches of as many processes.
    """
    if not train.global_batch_size:
        return world_size * train.gradient_accumulation_steps
    batches = train.global_batch_size // train.batch_size
    if batches % world_size:
        raise BatchError(
            f"train.global_batch_size {train.global_batch_size} makes {batches} batches of train.batch_size "
            f"{train.batch_size}, which {world_size} processes cannot share evenly; change one of the two"
        )
    return batches


def training_batches(
    data: UtteranceData[Any],
    collate: Callable[[list[Any]], Any],
    settings: ExperimentSettings,
    *,
    rank: int,
    world_size: int,
) -> PlannedBatches:
    """Return one process's share of an experiment's training batches, drawn by its dataset weights."""
    train = settings.train
    plan = BatchPlan(
        data.lengths,
        batch_size=train.batch_size,
        max_frames_per_batch=train.max_frames_per_batch,
        micro_batches=micro_batches(train, world_size),
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
    """Return one process's share of an experiment's validation batches."""
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


class _NextBatches:
    """Batch sampler of the loader, changed between epochs while its workers stay alive."""

    def __init__(self, batches: Sequence[list[Any]] = ()) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[Any]]:
        return iter(self.batches)


def _loader(
    data: Dataset[Any], collate: Callable[[list[Any]], Any], wanted: _NextBatches, num_workers: int
) -> DataLoader[Any]:
    if num_workers:
        kill_workers_at_exit()  # they ignore the SIGTERM by which torch ends them
    return DataLoader(
        data,
        batch_sampler=wanted,
        collate_fn=collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=_leave_stopping_to_the_trainer,
        # A generator of its own for the loader's base seed: drawn from the global one, a run resumed within an epoch
        # would have other dropout than an unbroken one.
        generator=torch.Generator().manual_seed(0),
    )


def _leave_stopping_to_the_trainer(worker: int) -> None:
    """Ignore Ctrl-C and a first SIGTERM in a worker: sent to the process group, they reach the trainer as well.

    The trainer saves a checkpoint and ends its workers; a worker that died first would end the trainer before that. A
    second SIGTERM is the trainer's own.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))
