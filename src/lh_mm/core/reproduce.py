"""What a result depends on besides its configuration: code, packages, machine, random state.

`environment()` is what a run writes as `environment.json`. torch is never imported here (core has one torch file);
where the program has imported it, its random state is seeded, captured and restored with the others.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lh_mm.core.assets import source_root

MAX_DIFF_CHARS = 200_000
"""A longer diff is cut: data committed by mistake must not fill every run's folder."""

_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "PYTHONHASHSEED")
"""Environment variables that change results or speed. No others are written: some hold secrets."""


def environment() -> dict[str, Any]:
    """Everything needed to run the same thing again, as a JSON value.

    Keys: `time` (UTC), `command` (its arguments), `git` (None without a checkout), `python`, `platform`,
    `packages` (name to version, of this package's own requirements), `settings`, `hardware`.
    """
    root = source_root()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": git_state(root) if root else None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(),
        "settings": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "hardware": hardware(),
    }


def git_state(root: Path) -> dict[str, Any] | None:
    """Commit, whether it was changed, and the change, of the checkout at `root`; None where git knows nothing."""
    commit = _output(["git", "-C", str(root), "rev-parse", "HEAD"])
    if commit is None:
        return None
    diff = _output(["git", "-C", str(root), "diff", "HEAD", "--no-color", "--no-ext-diff"]) or ""
    untracked = _output(
        ["git", "-C", str(root), "ls-files", "--others", "--exclude-standard", "--", "src", "experiments"]
    )
    return {
        "commit": commit,
        "changed": bool(diff or untracked),
        "diff": diff[:MAX_DIFF_CHARS],
        "diff_cut": len(diff) > MAX_DIFF_CHARS,
        "untracked": (untracked or "").splitlines(),
    }


def package_versions() -> dict[str, str]:
    """Installed versions of lh_mm and of what it requires (extras left out)."""
    versions = {}
    try:
        required = importlib.metadata.requires("lh_mm") or []
    except importlib.metadata.PackageNotFoundError:
        required = []
    for requirement in ["lh_mm", *(r for r in required if "extra ==" not in r)]:
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert match is not None
        try:
            versions[match.group()] = importlib.metadata.version(match.group())
        except importlib.metadata.PackageNotFoundError:
            versions[match.group()] = "not installed"
    return versions


def hardware() -> dict[str, Any]:
    """The machine: `cpu`, `cores` (those this process may use), `memory_gb`, `gpus` (name and memory of each).

    GPUs are asked of the driver's own tool, so that nobody has to import torch to know of them.
    """
    import psutil

    table = _output(["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"])
    gpus = [line.strip() for line in (table or "").splitlines() if line.strip()]
    return {
        "cpu": cpu_name(),
        "cores": available_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpus": gpus,
    }


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        match = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if match:
            return match.group(1)
    return _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor() or platform.machine()


def available_cores() -> int:
    """Cores this process may run on, which a container or `taskset` can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _output(command: list[str]) -> str | None:
    """A command's output, or None when it is not there, fails or hangs."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def seed_everything(seed: int) -> None:
    """Seed the global generators: Python's, numpy's, and torch's where torch has been imported.

    For the entry of a program only. Library code takes a generator as an argument and never draws from these;
    what still does is torch's initialisation and dropout, and packages we do not own.

    Raises:
        ValueError: a seed outside 0 .. 2**32 - 1, which numpy cannot take.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must lie in 0 .. 2**32 - 1, got {seed}")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global generator is what is meant here
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


def capture_rng() -> dict[str, Any]:
    """The state of the same generators, as plain values and tensors that a checkpoint holds without pickle."""
    version, internal, gauss = random.getstate()
    algorithm, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - as above
    state: dict[str, Any] = {
        "python": [version, list(internal), gauss],
        "numpy": [algorithm, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
    }
    if torch := sys.modules.get("torch"):
        state["torch"] = torch.get_rng_state()
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_rng(state: Mapping[str, Any]) -> None:
    """Put the generators back to a captured state, so that the next draws are the ones that came then.

    Raises:
        ValueError: the state holds torch's and this program has not imported torch, or it was captured with
            another number of GPUs.
    """
    torch = sys.modules.get("torch")
    if "torch" in state and torch is None:
        raise ValueError("this random state holds torch's: import torch before restoring it")
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    algorithm, keys, *rest = state["numpy"]
    np.random.set_state((algorithm, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002 - as above
    if torch is not None and "torch" in state:
        torch.set_rng_state(state["torch"].cpu())
        if "cuda" in state:
            if len(state["cuda"]) != torch.cuda.device_count():
                raise ValueError(
                    f"random state of {len(state['cuda'])} GPUs, this machine has {torch.cuda.device_count()}"
                )
            torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
