# ruff: noqa: NPY002 - the global generators are what is tested
from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lh_mm.core import reproduce
from lh_mm.core.reproduce import capture_rng, environment, git_state, hardware, restore_rng, seed_everything


@pytest.fixture(autouse=True)
def keep_random_state() -> object:
    """These tests seed the global generators; others must not notice."""
    state = capture_rng()
    yield
    restore_rng({key: value for key, value in state.items() if key in ("python", "numpy") or "torch" in sys.modules})


def draws() -> tuple[float, float, float]:
    import torch

    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_environment_is_json_and_names_code_packages_and_machine() -> None:
    found = json.loads(json.dumps(environment()))
    assert found["python"] == sys.version.split()[0]
    assert found["packages"]["numpy"] == np.__version__
    assert found["packages"]["lh_mm"] != "not installed"
    assert "pytest" not in found["packages"]
    assert found["hardware"]["cores"] >= 1
    assert found["hardware"]["memory_gb"] > 0
    assert found["hardware"]["cpu"]


def test_environment_holds_no_secret_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "very-secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(reproduce, "source_root", lambda: None)
    found = environment()
    assert "very-secret" not in json.dumps(found)
    assert found["settings"]["OMP_NUM_THREADS"] == "3"
    assert found["git"] is None


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(root), *who, *words], check=True, capture_output=True)


def test_git_state_is_the_commit_and_the_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("old\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "x")
    clean = git_state(tmp_path)
    assert clean is not None
    assert len(clean["commit"]) == 40
    assert (clean["changed"], clean["diff"], clean["diff_cut"], clean["untracked"]) == (False, "", False, [])
    (tmp_path / "src" / "a.py").write_text("new\n")
    (tmp_path / "src" / "b.py").write_text("more\n")
    changed = git_state(tmp_path)
    assert changed is not None
    assert changed["changed"]
    assert "-old\n+new" in changed["diff"]
    assert changed["untracked"] == ["src/b.py"]
    monkeypatch.setattr(reproduce, "MAX_DIFF_CHARS", 20)
    cut = git_state(tmp_path)
    assert cut is not None
    assert (len(cut["diff"]), cut["diff_cut"]) == (20, True)


def test_gpus_are_found_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771 MiB, 570.1'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert hardware()["gpus"] == ["NVIDIA H200, 143771 MiB, 570.1"]
    tool.write_text("#!/bin/sh\necho 'no driver' >&2; exit 9\n")
    assert hardware()["gpus"] == []


def test_seeding_repeats_every_generator() -> None:
    import torch  # noqa: F401 - seeded because it is imported

    seed_everything(7)
    first = draws()
    seed_everything(7)
    assert draws() == first
    seed_everything(8)
    assert all(a != b for a, b in zip(draws(), first, strict=True))
    with pytest.raises(ValueError, match="-1"):
        seed_everything(-1)


def test_restored_state_gives_the_next_draws_also_after_saving_without_pickle(tmp_path: Path) -> None:
    import torch

    seed_everything(3)
    np.random.randn()  # leaves a second normal number cached in the generator
    random.gauss(0, 1)
    torch.save(capture_rng(), tmp_path / "rng.pt")
    expected = (*draws(), np.random.randn(), random.gauss(0, 1))
    draws()
    restore_rng(torch.load(tmp_path / "rng.pt", weights_only=True))
    assert (*draws(), np.random.randn(), random.gauss(0, 1)) == expected


def test_without_torch_nothing_imports_it() -> None:
    code = """
import sys
from lh_mm.core.reproduce import capture_rng, environment, restore_rng, seed_everything
seed_everything(1); state = capture_rng(); environment(); restore_rng(state)
assert set(state) == {"python", "numpy"}, state.keys()
assert "torch" not in sys.modules
try:
    restore_rng({**state, "torch": None})
except ValueError as error:
    assert "import torch" in str(error)
else:
    raise AssertionError("a state with torch's was restored without torch")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
