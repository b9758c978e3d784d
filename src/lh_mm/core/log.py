"""What a person sees while something runs: one console, progress that also works without a terminal.

Nothing is set up on import. In a terminal `progress` draws a bar; in a log file or in CI it prints a plain line
every few seconds, so that a long run is never silent and never fills a log with control characters.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")

LOGGER = logging.getLogger("lh_mm")
"""The library's logger: it reports, the program that uses it decides where to."""


@cache
def console() -> Console:
    """The console on standard error; standard output stays free for results."""
    from rich.console import Console

    return Console(stderr=True)


def setup_logging(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send the library's messages to `stream` (standard error); called by the command line, never on import.

    Calling it again changes the level and stream instead of doubling the lines.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False


class Progress:
    """How far a task is: `advance` after each step. The plain form prints at most one line every `every_s`."""

    def __init__(self, label: str, total: int | None, unit: str, every_s: float, stream: TextIO | None = None) -> None:
        self.label, self.total, self.unit, self.every_s = label, total, unit, every_s
        self.done = self._before = 0
        self.note = ""
        self._stream = stream or console().file
        self._start_s = self._last_s = time.monotonic()

    def resume(self, done: int) -> None:
        """Begin at `done`, which took no time of this run."""
        self.done = self._before = done

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count steps as done; `note` replaces the text at the end of the line."""
        self.done += count
        self.note = self.note if note is None else note
        self._show()

    def close(self, failed: bool) -> None:
        """Print the last line."""
        self._print("stopped, " if failed else "done, ")

    def _show(self) -> None:
        if time.monotonic() - self._last_s >= self.every_s:
            self._print("")

    def _print(self, state: str) -> None:
        self._last_s = time.monotonic()
        elapsed_s = self._last_s - self._start_s
        print(
            f"{self.label}: {state}{describe(self.done, self.total, self.unit, elapsed_s, self.note, self._before)}",
            file=self._stream,
        )
        self._stream.flush()


class _Bar(Progress):
    """The same as a bar in a terminal."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit, every_s=0.0)
        from rich import progress

        text = progress.TextColumn("{task.fields[note]}", style="dim")
        count = progress.MofNCompleteColumn()
        columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), count)
        times = (progress.TimeElapsedColumn(), progress.TimeRemainingColumn(), text)
        self._bar = progress.Progress(*columns, *times, console=console())
        self._task = self._bar.add_task(label, total=total, note="")
        self._bar.start()

    def _show(self) -> None:
        self._bar.update(self._task, completed=self.done, total=self.total, note=self.note)

    def close(self, failed: bool) -> None:
        self._bar.stop()


def describe(done: int, total: int | None, unit: str, elapsed_s: float, note: str = "", before: int = 0) -> str:
    """One line of progress in words: count, share, speed and the time that is left; `before` of `done` took no time."""
    per_s = (done - before) / elapsed_s if elapsed_s > 0 else 0.0
    parts = [f"{done}/{total} {unit}".rstrip() if total else f"{done} {unit}".rstrip()]
    if total:
        parts.append(f"{100 * done / total:.0f} %")
    parts.append(f"{elapsed_s:.0f} s")
    if per_s:
        parts.append(f"{per_s:.3g} a second")
    if total and per_s and done < total:
        parts.append(f"{(total - done) / per_s:.0f} s left")
    return ", ".join(parts) + (f" ({note})" if note else "")


@contextmanager
def progress(label: str, total: int | None = None, unit: str = "", every_s: float = 5.0) -> Iterator[Progress]:
    """Show how far a block is: a bar in a terminal, elsewhere a line every `every_s` seconds and one at the end.

    Args:
        label: what is done, e.g. "rendering".
        total: steps in all, when known.
        unit: what a step is, in the plural: "pieces", "frames".
        every_s: seconds between two plain lines.
    """
    shown = _Bar(label, total, unit) if console().is_terminal else Progress(label, total, unit, every_s)
    failed = True
    try:
        yield shown
        failed = False
    finally:
        shown.close(failed)


def track(items: Iterable[Item], label: str, total: int | None = None, unit: str = "") -> Iterator[Item]:
    """Yield the items, showing how far the loop is; `total` defaults to `len(items)` where that exists."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(label, total, unit) as shown:
        for item in items:
            yield item
            shown.advance()
