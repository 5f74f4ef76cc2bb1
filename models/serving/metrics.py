"""Counts of a server's work, in Prometheus' text format."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator

_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of requests and speech; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._speech_s = 0.0
        self._characters = 0
        self._waited = [0] * (len(_BOUNDS_S) + 1)
        self._waited_s = 0.0

    def count_request(self, path: str, status: int) -> None:
        """Count an answer, by the path of the request and its HTTP status."""
        with self._lock:
            self._requests[path, status] += 1

    def count_text(self, n_characters: int) -> None:
        """Count the text of a request that is spoken."""
        with self._lock:
            self._characters += n_characters

    def count_speech(self, duration_s: float) -> None:
        """Count synthesized speech."""
        with self._lock:
            self._speech_s += duration_s

    def count_first_sound(self, seconds: float) -> None:
        """Count the time from a request to its first audio."""
        with self._lock:
            self._waited[sum(seconds > bound for bound in _BOUNDS_S)] += 1
            self._waited_s += seconds

    def describe(self, gauges: Iterable[tuple[str, str, float]]) -> str:
        """Return all counts as text.

        Args:
            gauges: name, meaning and present value of what is measured elsewhere.
        """
        return "".join(f"{line}\n" for line in self._lines(gauges))

    def _lines(self, gauges: Iterable[tuple[str, str, float]]) -> Iterator[str]:
        with self._lock:
            requests, waited = dict(self._requests), list(self._waited)
            speech_s, characters, waited_s = self._speech_s, self._characters, self._waited_s
        yield from _head("recital_requests_total", "counter", "Answers by path and HTTP status.")
        for (path, status), count in sorted(requests.items()):
            yield f'recital_requests_total{{path="{path}",status="{status}"}} {count}'
        yield from _head("recital_speech_seconds_total", "counter", "Seconds of speech synthesized.")
        yield f"recital_speech_seconds_total {speech_s:.3f}"
        yield from _head("recital_characters_total", "counter", "Characters of text accepted.")
        yield f"recital_characters_total {characters}"
        yield from _head("recital_first_sound_seconds", "histogram", "Time from a request to its first audio.")
        below = 0
        for bound, count in zip((*map(str, _BOUNDS_S), "+Inf"), waited, strict=True):
            below += count
            yield f'recital_first_sound_seconds_bucket{{le="{bound}"}} {below}'
        yield f"recital_first_sound_seconds_sum {waited_s:.3f}"
        yield f"recital_first_sound_seconds_count {below}"
        for name, meaning, value in gauges:
            yield from _head(name, "gauge", meaning)
            yield f"{name} {value:g}"


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
