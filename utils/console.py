"""Console output: messages, warnings, progress."""

from __future__ import annotations

import sys
import time


def info(message: str) -> None:
    """Print one line to standard output, unbuffered."""
    print(message, flush=True)


def warn(message: str) -> None:
    """Print one line of warning to standard error, unbuffered."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


def format_duration(seconds: float) -> str:
    """Return a span of time in readable units: `8 s`, `4 min 05 s`, `2 h 03 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """Progress with rate and time left: a bar on a terminal, plain lines at intervals elsewhere.

    Args:
        total: how many units the work has; None if unknown.
        description: what is being done, e.g. `features`.
        unit: name of the units, e.g. `clips`.
        plain_every_s: seconds between lines where standard error is no terminal.
    """

    def __init__(self, total: int | None, description: str, unit: str = "it", plain_every_s: float = 10.0) -> None:
        self.total, self.description, self.unit = total, description, unit
        self._plain_every_s = plain_every_s
        self._done = self._skipped = 0
        self._started = self._last_line = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=description, unit=unit, dynamic_ncols=True)

    @property
    def done(self) -> int:
        """How many units are done."""
        return self._done

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count `amount` more units as done; `note` is shown after the rate."""
        self._done += amount
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(amount)
        elif time.monotonic() - self._last_line >= self._plain_every_s:
            self._last_line = time.monotonic()
            print(self._plain_line(note), file=sys.stderr, flush=True)

    def skip(self, amount: int) -> None:
        """Count `amount` units as done without work, such as those of an earlier run."""
        self._done += amount
        self._skipped += amount
        if self._bar is not None:
            self._bar.initial += amount
            self._bar.update(amount)

    def _plain_line(self, note: str) -> str:
        elapsed = max(time.monotonic() - self._started, 1e-9)
        rate = (self._done - self._skipped) / elapsed
        line = f"{self.description}: {self._done}"
        if self.total is not None:
            line += f" of {self.total}"
        line += f" {self.unit}, {rate:.3g} {self.unit}/s"
        if self.total is not None and rate > 0:
            line += f", {format_duration(max(self.total - self._done, 0) / rate)} left"
        return f"{line}, {note}" if note else line

    def close(self) -> None:
        """Finish the bar, or print the last plain line if any was due."""
        if self._bar is not None:
            self._bar.close()
        elif self._last_line > self._started:
            print(self._plain_line(""), file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
