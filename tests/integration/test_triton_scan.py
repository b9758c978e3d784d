"""Our dispatch to mamba_ssm's Triton kernels, run on the CPU by Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mamba_ssm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pinned source distribution, unpacked and not built: there is no compiled extension to find."""
    pytest.importorskip("triton", reason="Triton comes with torch on Linux only")
    folder = tmp_path_factory.mktemp("mamba_ssm")
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation",
        "-r", ROOT / "requirements-gpu.txt", "-d", folder,
    ]  # fmt: skip
    skipping = {**os.environ, "MAMBA_SKIP_CUDA_BUILD": "TRUE", "MAMBA_FORCE_BUILD": "TRUE"}
    done = subprocess.run(command, env=skipping, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mamba-ssm cannot be had here: {done.stderr.strip().splitlines()[-1]}")
    (archive,) = folder.glob("mamba_ssm-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    (package,) = folder.glob("mamba_ssm-*/mamba_ssm")
    return package.parent


@pytest.mark.slow
def test_the_kernels_are_the_plain_scan(mamba_ssm: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(mamba_ssm), os.environ.get("PYTHONPATH", "")])}
    program = [sys.executable, str(Path(__file__).with_name("interpreted_scan.py"))]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    differences = json.loads(done.stdout.splitlines()[-1])
    for case, values in differences.items():
        for name, difference in values.items():
            assert difference < 1e-4, f"{case}: {name} differs by {difference}"
