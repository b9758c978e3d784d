"""The benchmarks' harness: ratios that always read one way, and no figures from a busy machine."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "harness.py"
    spec = importlib.util.spec_from_file_location("benchmark_harness", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "benchmark_harness", module)
    spec.loader.exec_module(module)
    return module


def test_a_ratio_above_one_means_ours_is_better(harness: ModuleType) -> None:
    assert harness.Row("c", 10.0, 5.0, "p", "pieces/s", True, 3, 0.0).ratio == 2.0
    assert harness.Row("c", 10.0, 5.0, "p", "s", False, 3, 0.0).ratio == 0.5
    assert harness.Row("c", 10.0, None, "", "s", False, 3, 0.0).ratio is None


def test_timing_is_the_median_of_the_calls_after_the_warm_up(harness: ModuleType) -> None:
    readings = itertools.accumulate([0, 1, 0, 3, 0, 2])  # three timed calls of 1, 3 and 2 seconds
    timing = harness.measure(lambda: None, n=3, warm_up=0, clock=lambda: float(next(readings)))
    assert (timing.median_s, timing.spread, timing.n) == (2.0, 1.0, 3)


def test_a_busy_machine_is_refused_unless_noise_is_allowed(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness, "other_cores", lambda: 0.5)
    with pytest.raises(SystemExit) as caught:
        harness.require_quiet(False)
    assert caught.value.code == 3 and "--allow-noise" in capsys.readouterr().err
    assert harness.require_quiet(True) == 0.5


def test_the_benchmark_for_gpus_runs_on_any_machine() -> None:
    program = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(program), "--smoke"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "positions/s" in done.stdout
