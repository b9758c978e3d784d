"""Every recurrent mixer against its recurrence, and the interface that all of them share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lh_mm.models.hybrid_mamba import RECURRENT
from lh_mm.nn.groups import parameter_groups
from lh_mm.nn.mamba1 import Mamba1
from lh_mm.nn.mamba3 import Mamba3, heavy_tail, turned
from lh_mm.nn.positions import Positions
from lh_mm.nn.retention import Retention
from lh_mm.nn.rotary import rotate
from lh_mm.nn.selective_scan import scan_by_doubling, scan_in_cache, selective_scan_reference

ROWS, LENGTH, DIM = 2, 21, 16
MIXERS = sorted(RECURRENT)


def built(symbol: str) -> Any:
    torch.manual_seed(0)
    return RECURRENT[symbol](DIM, 8, 8).double()


def where(length: int, start: int = 0, **more: Tensor | None) -> Positions:
    return Positions((start + torch.arange(length)).expand(ROWS, length), **more)  # type: ignore[arg-type]


def sound(length: int = LENGTH, seed: int = 1) -> Tensor:
    return torch.randn(ROWS, length, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def wide(state: Any) -> Any:
    """A state in float64, so that comparisons are exact."""
    return type(state)(*(getattr(state, f.name).double() for f in fields(state)))


def same(a: Any, b: Any) -> bool:
    return all(torch.allclose(getattr(a, f.name), getattr(b, f.name), atol=1e-10) for f in fields(a))


def retention_by_definition(layer: Retention, u: Tensor) -> Tensor:
    gate, v, q, k = layer.in_proj(u).split([layer.inner, layer.inner, layer.keys, layer.keys], dim=-1)
    v = v.unflatten(-1, (layer.heads, -1))
    turns = layer.rotary(where(u.shape[1]).index, where(u.shape[1]).index)
    q, k = (rotate(t.unflatten(-1, (layer.heads, -1)), *turns) for t in (q, k))
    gamma = 1 - 2.0 ** (-5 - torch.arange(layer.heads))
    y = torch.zeros_like(v)
    for t in range(u.shape[1]):
        for j in range(t + 1):
            score = (q[:, t] * k[:, j]).sum(-1) / math.sqrt(layer.state_dim)
            y[:, t] += (gamma ** (t - j) * score).unsqueeze(-1) * v[:, j]
    return layer.out_proj(layer.norm(y).flatten(-2) * F.silu(gate))


def mamba3_by_definition(layer: Mamba3, u: Tensor) -> Tensor:
    z, x, b, c, dt, a, trap, turn = layer.in_proj(u).split(layer.widths, dim=-1)
    x, dt = x.unflatten(-1, (layer.heads, -1)), F.softplus(dt + layer.dt_bias)
    alpha = torch.exp(-dt * heavy_tail(a).clamp(min=1e-4))
    lam = torch.sigmoid(trap)
    state = u.new_zeros(ROWS, layer.heads, layer.head_dim, layer.state_dim)
    angle = u.new_zeros(ROWS, layer.heads, layer.angles)
    last_k, last_x = torch.zeros_like(state[:, :, 0]), torch.zeros_like(state[..., 0])
    out = []
    for t in range(u.shape[1]):
        angle = angle + (torch.tanh(turn[:, t]) * math.pi).unsqueeze(1) * dt[:, t].unsqueeze(-1)
        k = turned(layer.key_norm(b[:, t]).unsqueeze(1) + layer.key_bias, angle)
        q = turned(layer.query_norm(c[:, t]).unsqueeze(1) + layer.query_bias, angle)
        beta, gamma = (1 - lam[:, t]) * dt[:, t] * alpha[:, t], lam[:, t] * dt[:, t]
        state = alpha[:, t, :, None, None] * state
        state = state + beta[..., None, None] * last_x.unsqueeze(-1) * last_k.unsqueeze(-2)
        state = state + gamma[..., None, None] * x[:, t].unsqueeze(-1) * k.unsqueeze(-2)
        y = (state * q.unsqueeze(-2)).sum(-1) + layer.D.unsqueeze(-1) * x[:, t]
        out.append(y.flatten(-2) * F.silu(z[:, t]))
        last_k, last_x = k, x[:, t]
    return layer.out_proj(torch.stack(out, dim=1))


def mamba1_by_definition(layer: Mamba1, u: Tensor) -> Tensor:
    mixed, z = layer.in_proj(u).chunk(2, dim=-1)
    x = F.silu(layer.conv(mixed, None, None))
    dt, b, c = layer.x_proj(x).split([layer.rank, layer.state_dim, layer.state_dim], dim=-1)
    dt = F.softplus(layer.dt_proj(dt) + layer.dt_bias)
    y, _ = selective_scan_reference(x, dt, -layer.A_log.exp(), b, c)
    return layer.out_proj((y + layer.D * x) * F.silu(z))


DEFINITIONS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "R": retention_by_definition, "3": mamba3_by_definition, "m": mamba1_by_definition,
}  # fmt: skip


@pytest.mark.parametrize("symbol", sorted(DEFINITIONS))
def test_a_mixer_is_its_definition(symbol: str) -> None:
    layer, u = built(symbol), sound(80)
    assert torch.allclose(layer(u, where(80))[0], DEFINITIONS[symbol](layer, u), atol=1e-6 if symbol == "R" else 1e-10)


@pytest.mark.parametrize("symbol", MIXERS)
@pytest.mark.parametrize("cuts", [[1] * LENGTH, [20, 1], [1, 20], [2, 1, 3, 7, 8]])
def test_cut_anywhere_is_the_whole(symbol: str, cuts: list[int]) -> None:
    layer, u = built(symbol), sound()
    expected, last = layer(u, where(LENGTH), wide(layer.init_state(ROWS, "cpu")))
    state, parts, at = wide(layer.init_state(ROWS, "cpu")), [], 0
    for length in cuts:
        out, state = layer(u[:, at : at + length], where(length, at), state)
        parts.append(out)
        at += length
    assert torch.allclose(torch.cat(parts, 1), expected, atol=1e-10)
    assert torch.allclose(expected, layer(u, where(LENGTH))[0], atol=1e-10)
    assert same(state, last)


@pytest.mark.parametrize("symbol", MIXERS)
def test_padding_enters_no_state_and_a_row_without_a_position_keeps_its_own(symbol: str) -> None:
    layer, u = built(symbol), sound()
    _, before = layer(sound(5, seed=2), where(5), wide(layer.init_state(ROWS, "cpu")))
    real = torch.zeros(ROWS, LENGTH, dtype=torch.bool)
    real[0, :9] = True
    out, padded = layer(u, where(LENGTH, 5, real=real), before)
    expected, short = layer(u[:, :9], where(9, 5), before)
    assert torch.allclose(out[0, :9], expected[0], atol=1e-10)
    for f in fields(padded):
        value = getattr(padded, f.name)
        assert torch.allclose(value[0], getattr(short, f.name)[0], atol=1e-10)
        assert torch.equal(value[1], getattr(before, f.name)[1])


@pytest.mark.parametrize("symbol", MIXERS)
def test_documents_of_a_row_know_nothing_of_each_other(symbol: str) -> None:
    layer, u = built(symbol), sound()
    document = (torch.arange(LENGTH) >= 8).long().expand(ROWS, LENGTH) + 3
    _, earlier = layer(sound(5, seed=2), where(5), wide(layer.init_state(ROWS, "cpu")))
    continues = torch.tensor([False, False])
    packed, last = layer(u, where(LENGTH, document=document, continues=continues), earlier)
    first, _ = layer(u[:, :8], where(8), wide(layer.init_state(ROWS, "cpu")))
    second, alone = layer(u[:, 8:], where(LENGTH - 8), wide(layer.init_state(ROWS, "cpu")))
    assert torch.allclose(packed, torch.cat([first, second], 1), atol=1e-10)
    if symbol in "Mm":  # the others' keys have turned by where they stand in the row, which no output shows
        assert same(last, alone)


@pytest.mark.parametrize("symbol", MIXERS)
def test_nothing_later_is_heard(symbol: str) -> None:
    layer, u = built(symbol), sound()
    out = layer(u, where(LENGTH))[0]
    for at in (0, 7, LENGTH - 1):
        moved = u.clone()
        moved[:, at:] = sound(seed=5)[:, at:]
        after = layer(moved, where(LENGTH))[0]
        # Mamba-3 adds what the next position decides and takes it off again: equal but for the last bit.
        assert torch.allclose(after[:, :at], out[:, :at], rtol=0, atol=1e-13 if symbol == "3" else 0)
        assert not torch.allclose(after[:, at], out[:, at])


@pytest.mark.parametrize("symbol", MIXERS)
def test_time_that_stands_still_forgets_nothing(symbol: str) -> None:
    layer, u = built(symbol), sound()
    still = where(LENGTH, time_scale=torch.zeros(ROWS, LENGTH, dtype=torch.float64))
    usual = where(LENGTH, time_scale=torch.ones(ROWS, LENGTH, dtype=torch.float64))
    assert torch.allclose(layer(u, usual)[0], layer(u, where(LENGTH))[0], atol=1e-10)
    assert not torch.allclose(layer(u, still)[0], layer(u, where(LENGTH))[0], atol=1e-3)


@pytest.mark.parametrize("symbol", MIXERS)
def test_every_parameter_learns_and_gradients_are_right(symbol: str) -> None:
    layer, u = built(symbol), sound(5).requires_grad_()
    layer(u, where(5))[0].square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert torch.autograd.gradcheck(lambda x: layer(x, where(5))[0], sound(5).requires_grad_())


@pytest.mark.parametrize("symbol", MIXERS)
def test_only_matrices_decay(symbol: str) -> None:
    layer = built(symbol)
    decayed = {id(p) for p in parameter_groups(layer, 0.1)[0]["params"]}
    names = {name for name, p in layer.named_parameters() if id(p) in decayed}
    assert names == {name for name, _ in layer.named_parameters() if name.endswith("proj.weight")}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 30])
def test_the_selective_scan_by_chunks_is_the_recurrence(length: int, packed: bool) -> None:
    g = torch.Generator().manual_seed(0)
    x, dt = (torch.randn(ROWS, length, 6, generator=g, dtype=torch.float64) for _ in range(2))
    b, c = (torch.randn(ROWS, length, 4, generator=g, dtype=torch.float64) for _ in range(2))
    rate = -torch.rand(6, 4, generator=g, dtype=torch.float64) * 8
    init = torch.randn(ROWS, 6, 4, generator=g, dtype=torch.float64)
    seq_idx = ((torch.arange(length) >= 3).long() + (torch.arange(length) >= 8).long()).expand(ROWS, length)
    time_scale = torch.rand(ROWS, length, generator=g, dtype=torch.float64)
    leaves = [t.requires_grad_() for t in (x, F.softplus(dt).detach(), rate, b, c, init)]
    results = []
    for scan in (
        lambda *a: scan_by_doubling(*a, chunk=8),
        lambda *a: scan_in_cache(*a, chunk=8),
        selective_scan_reference,
    ):
        y, last = scan(*leaves, seq_idx if packed else None, time_scale)
        results.append([y, last, *torch.autograd.grad(y.sin().sum() + last.square().sum(), leaves)])
    *forms, reference = results
    for form in forms:
        for ours, expected in zip(form, reference, strict=True):
            assert torch.allclose(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scan", [scan_by_doubling, scan_in_cache])
def test_strong_decay_of_mamba1_gives_finite_gradients(scan: Callable[..., tuple[Tensor, Tensor]]) -> None:
    x, dt = torch.ones(1, 64, 2), torch.full((1, 64, 2), 200.0, requires_grad=True)
    seq_idx = (torch.arange(64) >= 32).long().unsqueeze(0)
    y, _ = scan(x, dt, -torch.ones(2, 3) * 16, torch.ones(1, 64, 3), torch.ones(1, 64, 3), None, seq_idx)
    y.sum().backward()
    assert dt.grad is not None
    assert torch.isfinite(dt.grad).all()


def test_widths_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        Mamba3(16, 6, 8)
    with pytest.raises(ValueError, match="even"):
        Retention(16, 7, 8)
    for kind in (Mamba3, Retention):
        with pytest.raises(ValueError, match="head_dim"):
            kind(16, 8, 7)
