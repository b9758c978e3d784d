"""The plug is pulled ten times at random steps; what comes out is what would have come out without."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from lh_mm.systems.tracking import read_metrics

STEPS, KILLS = 45, 10
TIMES = ("positions_per_s", "memory_gb", "elapsed_s", "mfu")
pytestmark = pytest.mark.slow


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lh_mm.cli.main", "train", "demo", *words]
    log = (folder / "log.txt").open("ab")
    return subprocess.Popen(
        command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True
    )


def step_of(run: Path) -> int:
    """The last step that a run logged, whatever is half-written behind it."""
    log = run / "metrics.csv"
    lines = log.read_text().splitlines()[1:-1] if log.is_file() else []
    return max((int(line.split(",")[0]) for line in lines), default=0)


def only_run(folder: Path) -> Path:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := [path.parent for path in folder.glob("runs/*/*/experiment.yaml")]:
            return found[0]
        time.sleep(0.02)
    raise AssertionError((folder / "log.txt").read_text())


@pytest.mark.timeout(1200)  # eleven starts of a process; minutes on a busy machine
def test_killed_ten_times_and_resumed_ends_in_the_same_weights(tiny: tuple[str, ...], tmp_path: Path) -> None:
    options = (*tiny, f"trainer.max_steps={STEPS}", "trainer.checkpoint_every=3", "trainer.valid_every=15")
    runs = []
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        process = start(tmp_path / name, *options)
        run = only_run(tmp_path / name)
        runs.append(run)
        if name == "killed":
            for at in np.sort(np.random.default_rng(0).choice(np.arange(1, STEPS - 1), KILLS, replace=False)):
                while step_of(run) < at:
                    assert process.poll() is None, (tmp_path / name / "log.txt").read_text()
                    time.sleep(0.002)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                assert not (run / "bundle").exists()
                process = start(tmp_path / name, "--resume", str(run))
        assert process.wait(timeout=300) == 0, (tmp_path / name / "log.txt").read_text()
    whole, killed = (load_file(run / "bundle" / "model.safetensors") for run in runs)
    assert all((whole[name] == killed[name]).all() for name in whole)
    logged = [[row for row in read_metrics(run / "metrics.csv") if row[1] not in TIMES] for run in runs]
    assert logged[1] == logged[0]
