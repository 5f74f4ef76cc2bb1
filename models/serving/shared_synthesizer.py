"""Synthesis by several threads at once: chunks of text that wait together share a batch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from models.inference.speech_plan import PlannedChunk, SpeechPlan
from models.inference.synthesizer import ChunkMel, Synthesizer

_Chunks = Sequence[tuple[SpeechPlan, PlannedChunk]]
_MOST_TOGETHER = 16


@dataclass(frozen=True)
class _Waiting:
    chunks: _Chunks
    predicted: Future[list[ChunkMel]] = field(default_factory=Future)


class SharedSynthesizer(Synthesizer):
    """A `Synthesizer` whose acoustic model computes the chunks of all its callers together.

    No caller waits for others to come: what has arrived while a batch was computed makes up the next one, which one of
    those who wait computes for all. Only in fp32, where a batch changes samples by less than 1e-3: in bf16 the rounding
    of a mel depends on the batch, and a vocoder makes differences of 0.08 of it. On a CPU, which computes in bf16 where
    it can, batches are no faster anyway.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting: deque[_Waiting] = deque()
        self._turn = threading.Lock()

    def _predict_batch(self, chunks: _Chunks) -> Iterator[ChunkMel]:
        if self._precision != "fp32":
            return super()._predict_batch(chunks)
        own = _Waiting(chunks)
        self._waiting.append(own)
        with self._turn:
            while not own.predicted.done():
                self._predict_together(self._next())
        return iter(own.predicted.result())

    def _next(self) -> list[_Waiting]:
        """Return what has waited longest, with as much of what follows as fits into a batch."""
        taken = [self._waiting.popleft()]
        while self._waiting and sum(len(each.chunks) for each in [*taken, self._waiting[0]]) <= _MOST_TOGETHER:
            taken.append(self._waiting.popleft())
        return taken

    def _predict_together(self, together: Sequence[_Waiting]) -> None:
        try:
            mels = super()._predict_batch([chunk for each in together for chunk in each.chunks])
            predicted = [[next(mels) for _ in each.chunks] for each in together]
        except Exception as error:  # of one of them, possibly; none may be left waiting
            if len(together) == 1:
                together[0].predicted.set_exception(error)
            else:
                for each in together:
                    self._predict_together([each])
            return
        for each, own in zip(together, predicted, strict=True):
            each.predicted.set_result(own)
