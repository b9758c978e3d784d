"""How fast matrix products are on this device: what plans and the utilisation of a training are measured against.

Model FLOPs utilisation (Chowdhery et al. 2022, arXiv:2204.02311) divides the operations that a model needs by those
that a device can do. We measure the second instead of quoting a data sheet: a large matrix product in the run's own
precision, on the machine as it is now.
"""

from __future__ import annotations

import time

import torch

_SIZE, _REPEATS = {"cpu": 768, "cuda": 8192}, 10


def peak_matmul_flops(device: torch.device | str, precision: str) -> float:
    """Operations a second of a large square matrix product, the best of three rounds."""
    kind = torch.device(device).type
    size = _SIZE.get(kind, 2048)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.ones(size, size, dtype=dtype, device=device)

    def finish() -> None:
        if kind == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(3):
        a @ a
    finish()
    fastest = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(_REPEATS):
            a @ a
        finish()
        fastest = min(fastest, time.perf_counter() - start)
    return _REPEATS * 2.0 * size**3 / fastest
