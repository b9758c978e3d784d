"""The chunked scan against the definition, position by position, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lh_mm.nn import ssd as module
from lh_mm.nn.kernels import chunk_scan
from lh_mm.nn.ssd import scan, ssd, ssd_reference, ssd_step


def inputs(length: int, groups: int = 1, heads: int = 4, rows: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    x, b, c = normal(rows, length, heads, 3), normal(rows, length, groups, 5), normal(rows, length, groups, 5)
    return x, -normal(rows, length, heads).exp(), b, c, normal(rows, heads, 3, 5)


def documents(length: int, rows: int = 2) -> Tensor:
    """Borders at places that differ by row, one of them at a chunk's border, ids not from 0."""
    index = torch.arange(length)
    return torch.stack(
        [7 + (index >= 3 + row).long() + (index >= 8).long() + (index >= 21).long() for row in range(rows)]
    )


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 31, 64])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("started", [False, True])
def test_chunked_is_the_definition(length: int, groups: int, packed: bool, started: bool) -> None:
    x, log_decay, b, c, state = inputs(length, groups)
    init, seq_idx = state if started else None, documents(length) if packed else None
    y, last = ssd(x, log_decay, b, c, init, seq_idx, chunk=8)
    expected, expected_last = ssd_reference(x, log_decay, b, c, init, seq_idx)
    assert torch.allclose(y, expected, rtol=1e-12, atol=1e-12)
    assert torch.allclose(last, expected_last, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("packed", [False, True])
def test_gradients_are_the_definitions(packed: bool) -> None:
    leaves = [t.requires_grad_() for t in inputs(13, groups=2)]
    seq_idx = documents(13) if packed else None
    results = []
    for function in (lambda *a: ssd(*a, chunk=4), ssd_reference):
        y, last = function(*leaves, seq_idx)
        weight = torch.arange(y.numel(), dtype=y.dtype).view_as(y).sin()
        results.append(torch.autograd.grad((y * weight).sum() + last.square().sum(), leaves))
    for ours, expected in zip(*results, strict=True):
        assert torch.allclose(ours, expected, rtol=1e-10, atol=1e-10)


def test_gradcheck() -> None:
    leaves = [t.requires_grad_() for t in inputs(5, heads=2, rows=1)]
    assert torch.autograd.gradcheck(lambda *a: ssd(*a, chunk=2), leaves)


def test_halves_with_the_state_handed_on_are_the_whole() -> None:
    x, log_decay, b, c, state = inputs(20)
    whole, last = ssd(x, log_decay, b, c, state, chunk=4)
    first, middle = ssd(x[:, :7], log_decay[:, :7], b[:, :7], c[:, :7], state, chunk=4)
    second, end = ssd(x[:, 7:], log_decay[:, 7:], b[:, 7:], c[:, 7:], middle, chunk=4)
    assert torch.allclose(torch.cat([first, second], 1), whole)
    assert torch.allclose(end, last)


def test_a_step_is_a_scan_of_one_position() -> None:
    x, log_decay, b, c, state = inputs(1, groups=2)
    y, after = ssd_step(x[:, 0], log_decay[:, 0], b[:, 0], c[:, 0], state)
    expected, last = ssd(x, log_decay, b, c, state)
    assert torch.allclose(y, expected[:, 0])
    assert torch.allclose(after, last)


def test_strong_decay_gives_finite_gradients() -> None:
    # exp(a_i - a_j) above the diagonal would be exp(+3000): masked after the exponential its gradient is 0 * inf.
    x, log_decay, b, c, _ = (t.float().requires_grad_() for t in inputs(64))
    y, _ = ssd(x, log_decay * 50, b, c)
    y.sum().backward()
    assert all(torch.isfinite(t.grad).all() for t in (x, log_decay, b, c) if t.grad is not None)


def test_another_document_gets_no_gradient() -> None:
    x, log_decay, b, c, state = (t.requires_grad_() for t in inputs(24))
    seq_idx = documents(24)
    y, _ = ssd(x, log_decay, b, c, state, seq_idx, chunk=8)
    grad_x, grad_state = torch.autograd.grad(y[:, 8:21].sum(), [x, state])
    assert grad_x[:, :8].abs().max() == 0
    assert grad_state.abs().max() == 0
    assert grad_x[:, 8:21].abs().amax((-1, -2)).min() > 0


def test_time_scale_multiplies_the_log_decay_and_not_the_input() -> None:
    x, log_decay, b, c, _ = inputs(6)
    rate, dt = -torch.ones(4, dtype=torch.float64), -log_decay
    still = scan(x, dt, rate, b, c, time_scale=torch.zeros(2, 6, dtype=torch.float64))[0]
    # Nothing decays, and every input stays: plain sums.
    state = torch.einsum("blhp,bln->blhpn", x * dt.unsqueeze(-1), b[:, :, 0]).cumsum(1)
    assert torch.allclose(still, torch.einsum("blhpn,bln->blhp", state, c[:, :, 0]))


class FakeKernel:
    """Like the Triton kernel: the initial state counts for document 0 alone."""

    def __call__(self, x: Tensor, dt: Tensor, rate: Tensor, b: Tensor, c: Tensor, **options: Any) -> Any:
        init, seq_idx = options["initial_states"], options["seq_idx"]
        assert seq_idx.dtype == torch.int32
        assert options["return_final_states"]
        seen = init * (seq_idx[:, 0] == 0).view(-1, 1, 1, 1)
        return ssd(x * dt.unsqueeze(-1), dt * rate, b, c, seen, seq_idx)


def test_documents_are_renumbered_for_the_kernel() -> None:
    x, log_decay, b, c, state = inputs(24)
    rate, seq_idx = -torch.ones(4, dtype=torch.float64), documents(24)
    ours = scan(x, -log_decay, rate, b, c, init_state=state, seq_idx=seq_idx)
    theirs = module._by_kernel(FakeKernel(), x, -log_decay, rate, b, c, state, seq_idx)
    for a, e in zip(theirs, ours, strict=True):
        assert torch.allclose(a, e)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("packed", [False, True])
def test_kernel_is_the_plain_scan(packed: bool) -> None:
    if chunk_scan() is None:
        pytest.skip("mamba_ssm is not installed")
    g = torch.Generator().manual_seed(0)
    x, b, c = (torch.randn(2, 300, n, 64, generator=g).cuda().requires_grad_() for n in (4, 1, 1))
    dt, rate = torch.rand(2, 300, 4, generator=g).cuda().requires_grad_(), -torch.rand(4, generator=g).cuda() - 0.5
    state, seq_idx = torch.randn(2, 4, 64, 64, generator=g).cuda(), documents(300).cuda() if packed else None
    results = []
    for function in (
        lambda: scan(x, dt, rate, b, c, init_state=state, seq_idx=seq_idx),
        lambda: ssd(x * dt.unsqueeze(-1), dt * rate, b, c, state, seq_idx),
    ):
        y, last = function()
        results.append([y, last, *torch.autograd.grad(y.square().sum(), [x, dt, b, c])])
    for ours, expected in zip(*results, strict=True):
        assert torch.allclose(ours, expected, rtol=2e-2, atol=2e-2 * float(expected.abs().max()))
