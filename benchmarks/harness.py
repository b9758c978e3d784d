"""What every benchmark shares: a quiet machine, honest timing, and one form of result.

A benchmark refuses to run while other processes use the processor, because a figure taken on a busy machine is a figure
about the neighbours; `--allow-noise` is for development and is written into the result. Results go to
`benchmarks/results/<name>.<device>.json` as rows of `{case, ours, peer, peer_name, ratio, unit, higher_is_better, n,
spread}`, `ratio` above 1 meaning that ours is better whichever way the unit counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
QUIET_CORES = 0.1
"""What all other processes together may use, in cores."""
QUIET_WINDOW_S = 3.0


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        case: what was measured, for people.
        ours, peer: medians in `unit`; `peer` is None where nothing comparable exists.
        peer_name: who the peer is, with its version.
        unit: for instance "seconds of audio per CPU second".
        higher_is_better: which way `unit` counts.
        n: repetitions behind each median.
        spread: (largest - smallest) / median of ours.
    """

    case: str
    ours: float
    peer: float | None
    peer_name: str
    unit: str
    higher_is_better: bool
    n: int
    spread: float

    @property
    def ratio(self) -> float | None:
        """How many times better ours is; None without a peer."""
        if self.peer is None:
            return None
        return self.ours / self.peer if self.higher_is_better else self.peer / self.ours


@dataclass(frozen=True)
class Timing:
    """Seconds of `n` runs: their median, and (largest - smallest) / median."""

    median_s: float
    spread: float
    n: int


def parser(description: str) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    out = argparse.ArgumentParser(description=description)
    out.add_argument("--allow-noise", action="store_true", help="measure on a busy machine and say so in the result")
    out.add_argument("--n", type=int, default=5, help="repetitions (default: %(default)s)")
    return out


def other_cores(window_s: float = QUIET_WINDOW_S) -> float:
    """Cores used by everything but this process and its children, over a window."""
    mine = psutil.Process()

    def used() -> tuple[float, float]:
        total = psutil.cpu_times()
        family = [mine, *mine.children(recursive=True)]
        own = sum(t.user + t.system for t in (p.cpu_times() for p in family))
        return sum(total) - total.idle - getattr(total, "iowait", 0.0) - getattr(total, "guest", 0.0), own

    busy_before, own_before = used()
    start = time.perf_counter()
    time.sleep(window_s)
    busy_after, own_after = used()
    return max(0.0, (busy_after - busy_before - (own_after - own_before)) / (time.perf_counter() - start))


def require_quiet(allow_noise: bool) -> float:
    """Cores that others use; exits with code 3 above `QUIET_CORES` unless noise is allowed."""
    cores = other_cores()
    if cores > QUIET_CORES and not allow_noise:
        print(
            f"other processes use {cores:.2f} cores (limit {QUIET_CORES}); stop them or pass --allow-noise",
            file=sys.stderr,
        )
        raise SystemExit(3)
    return cores


def measure(
    function: Callable[[], object],
    n: int = 5,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    synchronise: Callable[[], object] | None = None,
) -> Timing:
    """Time a function.

    Args:
        function: called `warm_up + n` times.
        n: timed calls.
        warm_up: calls before, not timed.
        clock: `time.perf_counter` for wall time, `time.process_time` for CPU time of one process.
        synchronise: called before each reading of the clock (a GPU's).
    """
    seconds = []
    for i in range(warm_up + n):
        if synchronise:
            synchronise()
        start = clock()
        function()
        if synchronise:
            synchronise()
        if i >= warm_up:
            seconds.append(clock() - start)
    median = statistics.median(seconds)
    return Timing(median, (max(seconds) - min(seconds)) / median, n)


def measure_together(
    functions: Sequence[Callable[[], object]],
    n: int = 5,
    warm_up: int = 1,
    extremes: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Time functions in turns, so that a machine that slows down for a while slows all of them.

    Args:
        functions: each called `warm_up + n` times.
        n: timed calls of each.
        warm_up: calls of each before, not timed.
        extremes: share of the fastest and of the slowest calls that the spread leaves out.
        clock: as of `measure`.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for i in range(warm_up + n):
        for function, each in zip(functions, seconds, strict=True):
            start = clock()
            function()
            if i >= warm_up:
                each.append(clock() - start)
    timings = []
    for each in map(sorted, seconds):
        median, cut = statistics.median(each), int(extremes * n)
        timings.append(Timing(median, (each[n - 1 - cut] - each[cut]) / median, n))
    return timings


def hardware() -> dict[str, str | int]:
    """Processor, cores this process may use, memory, system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "cpu": model,
        "cores": cores,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit measured, with `+dirty` where the sources differ from it; "unknown" outside a checkout."""
    try:
        name = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "src"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+dirty" if changed.strip() else "")


def write_results(name: str, device: str, rows: Sequence[Row], other: float, **more: object) -> Path:
    """Print a table and write `benchmarks/results/<name>.<device>.json`.

    Args:
        name: of the benchmark.
        device: `cpu`, `cuda`, ...
        rows: the comparisons.
        other: cores that others used, from `require_quiet`.
        more: further figures to keep beside the rows.
    """
    result = {
        "command": shlex.join(["python", os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]]),
        "commit": commit(),
        "hardware": hardware(),
        "quiet": other <= QUIET_CORES,
        "other_cores": round(other, 3),
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        **more,
    }
    width = max((len(row.case) for row in rows), default=4)
    for row in rows:
        against = "" if row.peer is None else f"  {row.peer:10.3g}  x{row.ratio:<8.3g} {row.peer_name}"
        print(f"{row.case:<{width}}  {row.ours:10.4g} {row.unit} (n={row.n}, spread {row.spread:.0%}){against}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.{device}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")
    return path
