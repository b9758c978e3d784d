"""The selective scan of Mamba-1 (Gu and Dao 2023, arXiv:2312.00752, algorithm 2) on any device.

    h_t = exp(dt_t A) * h_{t-1} + (dt_t x_t) B_t^T      y_t = h_t C_t

Every channel has N rates of its own, so decay is no scalar a head and the scan is no matrix product: it is what
Mamba-2 gave up for speed. Three forms of one function:

- `selective_scan_reference` is the recurrence, for tests;
- `scan_by_doubling` doubles its reach inside chunks (Hillis and Steele 1986) and hands chunk states on: few large
  operations, for GPUs and compiled steps. All products are at most 1, so nothing overflows;
- `scan_in_cache` walks from position to position over states that stay in a core's cache and keeps one state a
  chunk; its backward makes the others anew (section 3.3.2 of the paper does the same on a GPU). Linear work and
  a memory of two chunks: for CPUs.

Shapes: B rows, L positions, I inner width, N state, Q chunk.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DOUBLED_CHUNK = 64
CACHED_CHUNK = 16


def selective_scan(
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    init_state: Tensor | None = None,
    seq_idx: Tensor | None = None,
    time_scale: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The form that suits the device; arguments and results as of `selective_scan_reference`."""
    cached = x.device.type == "cpu" and not torch.compiler.is_compiling()
    scan = scan_in_cache if cached else scan_by_doubling
    return scan(x, dt, rate, b, c, init_state, seq_idx, time_scale)


def selective_scan_reference(
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    init_state: Tensor | None = None,
    seq_idx: Tensor | None = None,
    time_scale: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The recurrence, one position after another.

    Args:
        x, dt: (B, L, I) input and time steps.
        rate: (I, N), below 0.
        b, c: (B, L, N).
        init_state: (B, I, N) or None for zeros.
        seq_idx: (B, L) documents, never decreasing, or None.
        time_scale: (B, L) factor of the log decay alone, or None.

    Returns:
        y (B, L, I) and the last state (B, I, N).
    """
    state = x.new_zeros(x.shape[0], *rate.shape) if init_state is None else init_state
    outputs = []
    for t in range(x.shape[1]):
        if seq_idx is not None and t > 0:
            state = state * (seq_idx[:, t] == seq_idx[:, t - 1]).view(-1, 1, 1)
        log_decay = dt[:, t].unsqueeze(-1) * rate
        if time_scale is not None:
            log_decay = log_decay * time_scale[:, t].view(-1, 1, 1)
        state = state * log_decay.exp() + (dt[:, t] * x[:, t]).unsqueeze(-1) * b[:, t].unsqueeze(1)
        outputs.append((state * c[:, t].unsqueeze(1)).sum(-1))
    return torch.stack(outputs, dim=1), state


def scan_by_doubling(
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    init_state: Tensor | None = None,
    seq_idx: Tensor | None = None,
    time_scale: Tensor | None = None,
    chunk: int = DOUBLED_CHUNK,
) -> tuple[Tensor, Tensor]:
    """The same by chunks of Q positions, all at once; arguments and results as of `selective_scan_reference`."""
    rows, length, _ = x.shape
    log_decay = dt.unsqueeze(-1) * rate  # (B, L, I, N)
    if time_scale is not None:
        log_decay = log_decay * time_scale[..., None, None]
    if seq_idx is not None:  # the first position of a document keeps nothing
        first = F.pad(seq_idx[:, 1:] != seq_idx[:, :-1], (1, 0))
        log_decay = log_decay.masked_fill(first[..., None, None], -torch.inf)
    decay, added = log_decay.exp(), (dt * x).unsqueeze(-1) * b.unsqueeze(2)
    q = min(chunk, length)
    padding = -length % q
    if padding:
        decay, added = F.pad(decay, (0, 0, 0, 0, 0, padding), value=1.0), F.pad(added, (0, 0, 0, 0, 0, padding))
    decay, added = (t.unflatten(1, (-1, q)) for t in (decay, added))  # (B, c, Q, I, N)
    reach = 1
    while reach < q:
        earlier = F.pad(added, (0, 0, 0, 0, reach, 0))[:, :, :q]
        added = added + decay * earlier
        decay = decay * F.pad(decay, (0, 0, 0, 0, reach, 0), value=1.0)[:, :, :q]
        reach *= 2
    state = added.new_zeros(rows, *rate.shape) if init_state is None else init_state.to(added.dtype)
    received = []
    for through, own in zip(decay[:, :, -1].unbind(1), added[:, :, -1].unbind(1), strict=True):
        received.append(state)
        state = torch.addcmul(own, through, state)
    states = torch.addcmul(added, decay, torch.stack(received, dim=1).unsqueeze(2))
    states = states.flatten(1, 2)[:, :length]  # (B, L, I, N)
    y = torch.matmul(states, c.unsqueeze(-1).to(states.dtype)).squeeze(-1)
    return y.to(x.dtype), state


def scan_in_cache(
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    init_state: Tensor | None = None,
    seq_idx: Tensor | None = None,
    time_scale: Tensor | None = None,
    chunk: int = CACHED_CHUNK,
) -> tuple[Tensor, Tensor]:
    """The same from one position to the next, differentiable once; arguments and results as of the reference."""
    state = x.new_zeros(x.shape[0], *rate.shape) if init_state is None else init_state.to(x.dtype)
    span = dt if time_scale is None else dt * time_scale.unsqueeze(-1)  # what the decay sees of time
    keep = None
    if seq_idx is not None:  # the first position of a document keeps nothing
        keep = F.pad(seq_idx[:, 1:] == seq_idx[:, :-1], (1, 0), value=True).to(x.dtype).t()
    by_time = (t.transpose(0, 1).contiguous() for t in (dt * x, span, b, c))
    y, last = _CachedScan.apply(*by_time, rate, state, keep, chunk)
    return y.transpose(0, 1), last


class _CachedScan(torch.autograd.Function):
    """`added`, `span` (L, B, I), `b`, `c` (L, B, N), `rate` (I, N), `state` (B, I, N), `keep` (L, B) or None."""

    @staticmethod
    def forward(
        ctx: Any,
        added: Tensor,
        span: Tensor,
        b: Tensor,
        c: Tensor,
        rate: Tensor,
        state: Tensor,
        keep: Tensor | None,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        y, starts = torch.empty_like(added), []
        for at in _chunks(added, chunk):
            starts.append(state)
            states, _ = _states(added[at], span[at], b[at], rate, state, None if keep is None else keep[at])
            torch.matmul(states, c[at].unsqueeze(-1), out=y[at].unsqueeze(-1))
            state = states[-1].clone()  # not a view that holds the whole chunk
        ctx.save_for_backward(added, span, b, c, rate, *starts)
        ctx.keep, ctx.chunk = keep, chunk
        return y, state

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_state: Tensor) -> tuple[Tensor | None, ...]:
        added, span, b, c, rate, *starts = ctx.saved_tensors
        grad_added, grad_span, grad_b, grad_c = (torch.empty_like(t) for t in (added, span, b, c))
        grad_rate, onward = torch.zeros_like(rate), grad_state
        for at, start in reversed(list(zip(_chunks(added, ctx.chunk), starts, strict=True))):
            keep = None if ctx.keep is None else ctx.keep[at]
            states, decay = _states(added[at], span[at], b[at], rate, start, keep)
            grad_c[at] = torch.matmul(grad_y[at].unsqueeze(-2), states).squeeze(-2)
            grads = grad_y[at].unsqueeze(-1) * c[at].unsqueeze(-2)  # of the states, (Q, B, I, N)
            grads[-1] += onward
            for t in range(len(grads) - 1, 0, -1):
                grads[t - 1].addcmul_(decay[t], grads[t])
            onward = decay[0] * grads[0]
            grad_added[at] = torch.matmul(grads, b[at].unsqueeze(-1)).squeeze(-1)
            grad_b[at] = torch.matmul(added[at].unsqueeze(-2), grads).squeeze(-2)
            grads[1:] *= states[:-1]
            grads[0] *= start
            grads *= decay  # now of the log decay
            grad_span[at] = (grads * rate).sum(-1)
            grad_rate += (grads * span[at].unsqueeze(-1)).sum((0, 1))
        return grad_added, grad_span, grad_b, grad_c, grad_rate, onward, None, None


def _chunks(over: Tensor, chunk: int) -> list[slice]:
    return [slice(at, at + chunk) for at in range(0, len(over), chunk)]


def _states(
    added: Tensor, span: Tensor, b: Tensor, rate: Tensor, state: Tensor, keep: Tensor | None
) -> tuple[Tensor, Tensor]:
    """States behind each position of a chunk that begins with `state`, and its decays, both (Q, B, I, N)."""
    decay = (span.unsqueeze(-1) * rate).exp_()
    if keep is not None:
        decay *= keep.view(*keep.shape, 1, 1)
    states = added.unsqueeze(-1) * b.unsqueeze(-2)
    for t in range(len(states)):
        states[t].addcmul_(decay[t], state)
        state = states[t]
    return states, decay
