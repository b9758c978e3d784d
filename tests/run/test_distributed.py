"""Two processes take the same steps as one, and leave one run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from lh_mm.run.runs import SHARED_RUN, new_run_dir, shared
from lh_mm.systems.tracking import read_metrics

STILL = ("model.dropout=0", "model.frontend.frame_dropout=0", "model.frontend.document_dropout=0")


def trained(tiny: tuple[str, ...], folder: Path, *overrides: str) -> Path:
    """The run of `lh train` as a person calls it."""
    folder.mkdir()
    return called(folder, *tiny, *STILL, "trainer.accelerator=cpu", "trainer.max_steps=4", *overrides)


def called(folder: Path, *options: str) -> Path:
    """`lh train demo` with options, in a folder of one run."""
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        [sys.executable, "-m", "lh_mm.cli.main", "train", "demo", *options],
        cwd=folder, env={**env, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (folder / "runs").glob("*/*/")
    return run


def test_two_processes_equal_one(tiny: tuple[str, ...], tmp_path: Path) -> None:
    one = trained(tiny, tmp_path / "one", "trainer.batch_size=2")
    two = trained(tiny, tmp_path / "two", "trainer.batch_size=1", "trainer.devices=2")
    accumulated = trained(tiny, tmp_path / "accumulated", "trainer.batch_size=1", "trainer.accumulate=2")
    expected = load_file(one / "bundle" / "model.safetensors")
    for run in (two, accumulated):
        assert _differs(run, expected) < 1e-5
    logged = [
        [value for _, name, value in read_metrics(run / "metrics.csv") if name == "valid/nats_total"]
        for run in (one, two)
    ]
    assert logged[1] == pytest.approx(logged[0], abs=1e-4)


@pytest.mark.slow
def test_two_processes_that_share_one_model_equal_one(tiny: tuple[str, ...], tmp_path: Path) -> None:
    """Its checkpoint holds whole tensors: one process goes on with it."""
    steady = "optim.min_lr_ratio=1"
    one = trained(tiny, tmp_path / "one", "trainer.batch_size=2", steady)
    shared_by = ("trainer.batch_size=1", "trainer.devices=2", "trainer.strategy=fsdp")
    two = trained(tiny, tmp_path / "two", *shared_by, steady)
    half = trained(tiny, tmp_path / "half", *shared_by, steady, "trainer.max_steps=2")
    expected = load_file(one / "bundle" / "model.safetensors")
    assert _differs(two, expected) < 1e-5
    assert _differs(half, expected) > 1e-4
    on_one = ("trainer.max_steps=4", "trainer.batch_size=2", "trainer.devices=1", "trainer.strategy=ddp")
    assert called(tmp_path / "half", "--resume", str(half), *on_one) == half
    assert _differs(half, expected) < 1e-5


def _differs(run: Path, expected: dict[str, Tensor]) -> float:
    found = load_file(run / "bundle" / "model.safetensors")
    assert found.keys() == expected.keys()
    return max(float((found[name] - value).abs().max()) for name, value in expected.items())


def test_a_run_goes_on_with_another_number_of_processes(tiny: tuple[str, ...], tmp_path: Path) -> None:
    """Rows are numbered, not dealt: what divides a step's rows differently changes nothing."""
    steady = "optim.min_lr_ratio=1"  # so that the length of the run does not matter
    whole = trained(tiny, tmp_path / "whole", "trainer.batch_size=2", steady)
    parts = trained(tiny, tmp_path / "parts", "trainer.batch_size=2", steady, "trainer.max_steps=2")
    on_two = ("trainer.max_steps=4", "trainer.batch_size=1", "trainer.devices=2")
    assert called(tmp_path / "parts", "--resume", str(parts), *on_two) == parts
    assert _differs(parts, load_file(whole / "bundle" / "model.safetensors")) < 1e-5


def test_processes_of_one_run_share_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_run_dir(tmp_path, "demo")
    with shared(first):
        assert new_run_dir(tmp_path, "demo") == first.resolve()
    assert SHARED_RUN not in os.environ
    assert new_run_dir(tmp_path, "demo") != first
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(ValueError, match=SHARED_RUN):
        new_run_dir(tmp_path, "demo")
