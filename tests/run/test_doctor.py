from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lh_mm.run import doctor as module
from lh_mm.run.doctor import Check, Report, doctor, probe_torch

TORCH = {
    "version": "2.14.1",
    "import_s": 2.0,
    "threads": 2,
    "cpu": {"float32": 100.0, "bfloat16": 170.0},
    "gpus": [],
    "mps": False,
    "torchaudio": "2.11.0",
}


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What torch is made to say; a test changes it."""
    found = json.loads(json.dumps(TORCH))
    monkeypatch.setattr(module, "probe_torch", lambda: found)
    return found


def by_name(report: Report) -> dict[str, Check]:
    return {check.name: check for check in report.checks}


def test_torch_is_measured_in_a_subprocess() -> None:
    found = probe_torch()
    assert found["cpu"]["float32"] > 0
    assert found["cpu"]["bfloat16"] > 0
    assert found["torchaudio"].startswith("2.11")


def test_a_healthy_machine(probed: dict[str, object], tmp_path: Path) -> None:
    report = doctor(tmp_path / "not" / "yet")
    checks = by_name(report)
    assert report.ok
    assert report.bf16 is True
    assert "1.7 times fp32" in checks["cpu speed"].found
    assert checks["soundfile"].status == "ok"
    assert "WAV" in checks["soundfile"].found
    assert str(tmp_path) in checks["disk"].found
    assert json.loads(json.dumps(report.as_json()))["ok"] is True
    assert all(check.name in str(report) for check in report.checks)


def test_bf16_is_not_advised_where_it_is_slow(probed: dict[str, object]) -> None:
    probed["cpu"] = {"float32": 100.0, "bfloat16": 20.0}
    assert doctor().bf16 is False


def test_the_gpu_decides_where_there_is_one(probed: dict[str, object]) -> None:
    probed["cpu"] = {"float32": 100.0, "bfloat16": 20.0}
    probed["gpu"] = {"float32": 5e4, "bfloat16": 6e5}
    probed["gpus"] = [{"name": "H200", "memory_gb": 141.0, "capability": "9.0"}]
    probed["cuda"] = "13.0"
    report = doctor()
    assert report.bf16 is True
    assert "H200, 141 GB" in by_name(report)["gpu"].found


def test_a_gpu_that_torch_does_not_see_is_told(probed: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    machine = {"cpu": "x", "cores": 2, "memory_gb": 4.0, "gpus": ["H200, 143771 MiB, 470.1"]}
    monkeypatch.setattr(module, "hardware", lambda: machine)
    checks = by_name(doctor())
    assert checks["gpu"].status == "warning"
    assert "H200" in checks["gpu"].found
    assert checks["memory"].status == "warning"


def test_a_torch_that_does_not_import_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TORCH_PROBE", "import no_such_torch")
    report = doctor()
    assert not report.ok
    assert report.bf16 is None
    assert "no_such_torch" in by_name(report)["torch"].found
    monkeypatch.setattr(module, "TORCH_PROBE", "import os; os._exit(11)")
    assert "11" in probe_torch()["error"]
    monkeypatch.setattr(module, "TORCH_PROBE", "import time; time.sleep(60)")
    assert "no answer" in probe_torch(timeout_s=0.1)["error"]


def test_a_full_disk_and_missing_weights_warn(
    probed: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "free_bytes", lambda folder: 10**9)
    monkeypatch.setattr(module, "assets_root", lambda: tmp_path)
    checks = by_name(doctor())
    assert (checks["disk"].status, checks["weights"].status) == ("warning", "warning")
    assert "LH_DATA" in checks["disk"].advice
    (tmp_path / "weights" / "codec").mkdir(parents=True)
    (tmp_path / "weights" / "codec" / "model.safetensors").write_bytes(b"x" * 2_500_000)
    assert by_name(doctor())["weights"].found == "codec (2.5 MB)"


def test_lh_data_names_the_folder(probed: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LH_DATA", str(tmp_path))
    assert str(tmp_path) in by_name(doctor())["disk"].found


def test_the_doctor_itself_imports_nothing_heavy() -> None:
    code = """
import sys
from lh_mm.run import doctor
doctor.TORCH_PROBE = "import no_such_torch"
doctor.doctor()
heavy = {"torch", "lightning", "miditok", "wandb"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
