"""Run mamba_ssm's Triton scan on the CPU by Triton's interpreter and print how far it is from ours, as JSON.

A program of its own: the interpreter is chosen before Triton is imported, and autotuning, which asks a GPU, is replaced
by each kernel's smallest configuration.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import os
import types
from collections.abc import Callable, Sequence
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import torch
import triton

LENGTH = 256  # two chunks of the kernel


class Pinned:
    """A kernel with one configuration, called as the autotuner is."""

    def __init__(self, kernel: Any, config: Any) -> None:
        self.kernel, self.best_config, self.configs = kernel, config, [config]

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        def launch(*args: Any, **kwargs: Any) -> Any:
            if self.best_config.pre_hook is not None:
                names = list(inspect.signature(self.kernel.fn).parameters)
                self.best_config.pre_hook({**dict(zip(names, args, strict=False)), **kwargs})
            return self.kernel[grid](*args, **kwargs, **self.best_config.kwargs)

        return launch


def pinned(configs: Sequence[Any], *_: Any, **__: Any) -> Callable[[Any], Pinned]:
    smallest = min(configs, key=lambda config: math.prod(config.kwargs.values()))
    return lambda kernel: Pinned(kernel, smallest)


def compare(packed: bool) -> dict[str, float]:
    """The largest difference of outputs, last state and gradients, over the largest value of each."""
    from lh_mm.nn.kernels import chunk_scan
    from lh_mm.nn.ssd import _by_kernel, ssd

    kernel = chunk_scan()
    assert kernel is not None, "mamba_ssm was not found"
    g = torch.Generator().manual_seed(0)
    x, b, c = (torch.randn(2, LENGTH, n, 16, generator=g).requires_grad_() for n in (2, 1, 1))
    dt = torch.rand(2, LENGTH, 2, generator=g).requires_grad_()
    rate = (-torch.rand(2, generator=g) - 0.5).requires_grad_()
    state = torch.randn(2, 2, 16, 16, generator=g)
    seq_idx = None
    if packed:  # documents of odd lengths that begin at 7: the kernel would take the state for another's
        seq_idx = 7 + (torch.arange(LENGTH) > 100).long() + (torch.arange(LENGTH) > 131).long()
        seq_idx = seq_idx.expand(2, -1)
    results = []
    for y, last in (
        _by_kernel(kernel, x, dt, rate, b, c, state, seq_idx),
        ssd(x * dt.unsqueeze(-1), dt * rate, b, c, state, seq_idx),
    ):
        grads = torch.autograd.grad(y.square().sum(), [x, dt, rate, b, c])
        results.append(dict(zip(("y", "state", "x", "dt", "rate", "b", "c"), (y, last, *grads), strict=True)))
    theirs, ours = results
    return {
        name: float((theirs[name].squeeze() - ours[name].squeeze()).abs().max() / ours[name].abs().max())
        for name in ours
    }


if __name__ == "__main__":
    triton.autotune = pinned
    torch.cuda.device = lambda *_: contextlib.nullcontext()  # type: ignore[assignment, misc]
    torch.cuda.get_device_properties = lambda *_: types.SimpleNamespace(multi_processor_count=1)  # type: ignore[assignment]
    print(json.dumps({"alone": compare(packed=False), "packed": compare(packed=True)}))
