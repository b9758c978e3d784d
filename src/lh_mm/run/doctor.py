"""`lh doctor`: what this machine can do, and what to change where it cannot.

Heavy packages are asked in a subprocess: a torch that crashes on import is a finding, not the end of the doctor,
and `lh doctor` itself stays light. Speeds are measured, because flags of the processor say little: on many CPUs
bf16 is supported and slower than fp32.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lh_mm.core.assets import assets_root, source_root
from lh_mm.core.files import free_bytes
from lh_mm.core.reproduce import hardware

Status = Literal["ok", "warning", "failed"]

MIN_FREE_GB = 5.0
MIN_MEMORY_GB = 6.0
BF16_PAYS = 1.2
"""bf16 is advised when a matrix product in it is at least this much faster than in fp32."""

OPTIONAL_PACKAGES = {
    "mamba_ssm": "faster Mamba layers on CUDA machines: make gpu",
    "triton": "compiled kernels on CUDA machines; comes with torch on Linux",
}

TORCH_PROBE = """
import json, time
start = time.perf_counter()
import torch
found = {"version": torch.__version__, "import_s": time.perf_counter() - start, "threads": torch.get_num_threads()}

def gflops(dtype, device, size):
    a = torch.ones(size, size, dtype=dtype, device=device)
    def once():
        begin = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin
    once()
    return 2 * size**3 / min(once() for _ in range(5)) / 1e9

found["cpu"] = {name: gflops(getattr(torch, name), "cpu", 512) for name in ("float32", "bfloat16")}
found["gpus"] = []
if torch.cuda.is_available():
    found["cuda"] = torch.version.cuda
    for i in range(torch.cuda.device_count()):
        p = torch.cuda.get_device_properties(i)
        found["gpus"].append({"name": p.name, "memory_gb": p.total_memory / 1e9, "capability": f"{p.major}.{p.minor}"})
    found["gpu"] = {name: gflops(getattr(torch, name), "cuda", 4096) for name in ("float32", "bfloat16")}
found["mps"] = torch.backends.mps.is_available()
import torchaudio
found["torchaudio"] = torchaudio.__version__
print(json.dumps(found))
"""
"""What the subprocess runs: it imports torch, measures matrix products and prints one JSON object."""


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, how it stands, what was found, and what to do about it."""

    name: str
    status: Status
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Report:
    """Everything the doctor looked at.

    Attributes:
        checks: the findings in the order they read best.
        bf16: whether training in bf16 is faster here than in fp32; None when torch does not run.
    """

    checks: tuple[Check, ...]
    bf16: bool | None

    @property
    def ok(self) -> bool:
        """Nothing failed; there may be warnings."""
        return all(check.status != "failed" for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON value."""
        return {"ok": self.ok, **asdict(self)}

    def __str__(self) -> str:
        """One line a check, its advice below it where there is any."""
        width = max(len(check.name) for check in self.checks)
        lines = []
        for check in self.checks:
            lines.append(f"{check.status:8} {check.name:{width}}  {check.found}")
            if check.advice:
                lines.append(f"{'':8} {'':{width}}  -> {check.advice}")
        return "\n".join(lines)


def doctor(data_folder: Path | None = None) -> Report:
    """Look at this machine; takes some seconds, most of them torch's import.

    Args:
        data_folder: where prepared data goes; by default `$LH_DATA`, else `./data`.
    """
    torch = probe_torch()
    folder = data_folder or Path(os.environ.get("LH_DATA", "data"))
    checks = (_python(), *_machine(), *_torch(torch), _soundfile(), _disk(folder), _weights(), *_optional())
    return Report(checks, _bf16_pays(torch) if "error" not in torch else None)


def probe_torch(timeout_s: float = 180.0) -> dict[str, Any]:
    """What torch says of itself, asked in a subprocess; {"error": why} when it does not run."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", TORCH_PROBE], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {timeout_s:.0f} s"}
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        return {"error": last[0]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _bf16_pays(torch: dict[str, Any]) -> bool:
    speed = torch.get("gpu") or torch["cpu"]
    return bool(speed["bfloat16"] >= BF16_PAYS * speed["float32"])


def _python() -> Check:
    version = sys.version.split()[0]
    where = source_root()
    return Check("python", "ok", f"{version}, lh_mm {_version('lh_mm')} from {where or 'a wheel'}")


def _machine() -> Iterator[Check]:
    machine = hardware()
    yield Check("processor", "ok", f"{machine['cpu']}, {machine['cores']} cores usable")
    memory_gb = machine["memory_gb"]
    if memory_gb >= MIN_MEMORY_GB:
        yield Check("memory", "ok", f"{memory_gb} GB")
    else:
        yield Check("memory", "warning", f"{memory_gb} GB", f"training the demo takes about {MIN_MEMORY_GB:.0f} GB")


def _torch(found: dict[str, Any]) -> Iterator[Check]:
    if "error" in found:
        yield Check("torch", "failed", found["error"], "run `make install`, or pip install torch and torchaudio 2.11")
        return
    versions = f"{found['version']}, torchaudio {found['torchaudio']}, imported in {found['import_s']:.1f} s"
    yield Check("torch", "ok", f"{versions}, {found['threads']} threads")
    for device in ("cpu", "gpu"):
        if device in found:
            fp32, bf16 = found[device]["float32"], found[device]["bfloat16"]
            faster = f"bf16 {bf16 / fp32:.1f} times fp32 ({bf16:,.0f} and {fp32:,.0f} GFLOP/s)"
            yield Check(f"{device} speed", "ok", faster)
    if found["gpus"]:
        names = "; ".join(f"{g['name']}, {g['memory_gb']:.0f} GB, capability {g['capability']}" for g in found["gpus"])
        yield Check("gpu", "ok", f"{names}; CUDA {found['cuda']}")
    elif hardware()["gpus"]:
        driver = "; ".join(hardware()["gpus"])
        yield Check("gpu", "warning", f"torch does not see {driver}", "the driver may be older than torch's CUDA")
    else:
        mps = "; Apple's GPU is not used" if found["mps"] else ""
        yield Check("gpu", "ok", f"none, everything runs on the CPU{mps}")


def _soundfile() -> Check:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, its C library is not
        return Check("soundfile", "failed", str(error), "pip install soundfile; on Linux also apt install libsndfile1")
    formats = [name for name in ("WAV", "FLAC", "OGG", "MP3") if name in soundfile.available_formats()]
    return Check("soundfile", "ok", f"{soundfile.__version__}, libsndfile reads {', '.join(formats)}")


def _disk(folder: Path) -> Check:
    free_gb = free_bytes(folder) / 1e9
    found = f"{free_gb:.0f} GB free for {folder}"
    if free_gb >= MIN_FREE_GB:
        return Check("disk", "ok", found)
    return Check("disk", "warning", found, f"set LH_DATA to a folder with at least {MIN_FREE_GB:.0f} GB")


def _weights() -> Check:
    root = assets_root() / "weights"
    sizes = {p: sum(f.stat().st_size for f in [p, *p.rglob("*")] if f.is_file()) for p in _bundles(root)}
    if not sizes:
        advice = "without them audio tokens need EnCodec's weights or your own codec: reinstall lh_mm"
        return Check("weights", "warning", f"none in {root}", advice)
    return Check("weights", "ok", ", ".join(f"{p.name} ({size / 1e6:.1f} MB)" for p, size in sizes.items()))


def _bundles(root: Path) -> list[Path]:
    """Entries of the shipped weights: a folder with weights in it, or a file of them."""
    if not root.is_dir():
        return []
    return sorted(p for p in root.iterdir() if p.suffix == ".safetensors" or any(p.rglob("*.safetensors")))


def _optional() -> Iterator[Check]:
    for name, purpose in OPTIONAL_PACKAGES.items():
        if importlib.util.find_spec(name) is None:
            yield Check(name, "ok", f"not installed ({purpose})")
        else:
            yield Check(name, "ok", _version(name))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
