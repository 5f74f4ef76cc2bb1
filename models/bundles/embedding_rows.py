"""Transfer of embedding rows by name, from one set of symbols, speakers or languages to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.contracts import EmbeddingRows, RowKind

# Of the spread of the learned rows: new speakers and languages begin near the mean one, and not all exactly alike.
_SPEAKER_NOISE = 0.1
_SHOWN = 12


@dataclass(frozen=True)
class RowTransfer:
    """The outcome of transferring a table's rows.

    Attributes:
        kind: of things that they stand for.
        kept: names in both models.
        added: names in the new one alone.
        dropped: names in the old one alone.
        moved: whether any row changed its place.
    """

    kind: RowKind
    kept: Sequence[str]
    added: Sequence[str]
    dropped: Sequence[str]
    moved: bool

    @property
    def is_unchanged(self) -> bool:
        """Whether the new table is the old one."""
        return not (self.added or self.dropped or self.moved)

    def describe(self) -> str:
        """Return a line that counts what was kept, added and dropped, and says how added rows are initialised."""
        parts = [f"{len(self.kept)} kept"]
        if self.added:
            parts.append(f"{len(self.added)} added ({listed(self.added)}), which begin {_BEGINS[self.kind]}")
        if self.dropped:
            parts.append(f"{len(self.dropped)} dropped ({listed(self.dropped)})")
        return f"{self.kind}s: {'; '.join(parts)}"


_BEGINS: Mapping[RowKind, str] = {
    "symbol": "at random, spread as those learned are",
    "speaker": "near the mean of those learned",
    "language": "near the mean of those learned",
}


def transfer_rows(
    table: Tensor, theirs: Sequence[str], ours: EmbeddingRows, generator: torch.Generator
) -> tuple[Tensor, RowTransfer]:
    """Return a table for our names made from one for theirs.

    A row is carried over to wherever its name now stands. A new symbol's row is drawn from the normal distribution
    whose mean and standard deviation are, column by column, those of all their rows: a sound of its own from the
    start. A new speaker's or language's row is the mean of all their rows with a tenth of their spread as noise, so
    that of a single speaker's model every voice begins with that one's.

    Args:
        table: (len(theirs), ...) learned; in any floating-point type.
        theirs: names of its rows.
        ours: names of the rows to make.
        generator: draws new rows.

    Returns:
        (len(ours.names), ...) in float32, and what became of the rows.
    """
    learned = table.float()
    places = {name: row for row, name in enumerate(theirs)}
    mean = learned.mean(dim=0)
    spread = learned.std(dim=0, correction=0) if ours.kind == "symbol" else _SPEAKER_NOISE * learned.std(correction=0)
    rows = mean + spread * torch.randn(len(ours.names), *learned.shape[1:], generator=generator)
    kept, known = [name for name in ours.names if name in places], set(ours.names)
    for row, name in enumerate(ours.names):
        if name in places:
            rows[row] = learned[places[name]]
    transfer = RowTransfer(
        ours.kind,
        kept=kept,
        added=[name for name in ours.names if name not in places],
        dropped=[name for name in theirs if name not in known],
        moved=any(places[name] != row for row, name in enumerate(ours.names) if name in places),
    )
    return rows, transfer


def listed(names: Sequence[str]) -> str:
    """Return names with commas, the first of many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
