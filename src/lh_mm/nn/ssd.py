"""Structured state space duality: the scan of Mamba-2 (Dao and Gu 2024, arXiv:2405.21060).

    S_t = exp(a_t) S_{t-1} + x_t b_t^T        y_t = S_t c_t        S: (P, N) for each head

`ssd_reference` is this, one position after another. `ssd` is the chunked form: inside a chunk everything is
matrix products, and only chunk states are handed on one after another. We differ from the public form in
the signature: the input is already scaled and the log decay is given, so time-aware decay, RetNet and
others are thin wrappers; documents may be packed; and B and C are multiplied by group, never expanded to
heads, which is what makes it fast on a CPU.

The log decay is at most 0, and what may not be seen is masked with -inf *before* the exponential (the
well known NaN of Mamba-2's backward pass comes from masking after it).

Shapes: B rows, L positions, H heads of P channels, G groups of r = H / G heads, N state, Q chunk, c chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lh_mm.nn.kernels import chunk_scan

CHUNK = 64
"""Q; on the CPU 64 is fastest of 32 .. 256."""


def ssd_step(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One position.

    Args:
        x: (B, H, P) scaled input.
        log_decay: (B, H).
        b, c: (B, G, N).
        state: (B, H, P, N).

    Returns:
        Output (B, H, P) and the new state.
    """
    if b.shape[1] > 1:
        per_group = x.shape[1] // b.shape[1]
        b, c = b.repeat_interleave(per_group, dim=1), c.repeat_interleave(per_group, dim=1)
    decayed = state * log_decay.exp()[..., None, None]
    state = torch.addcmul(decayed, x.unsqueeze(-1).to(state.dtype), b.unsqueeze(-2).to(state.dtype))
    y = (state * c.unsqueeze(-2).to(state.dtype)).sum(-1)  # (B, H, P); a product of matrices is slower for one column
    return y.to(x.dtype), state


def ssd_reference(
    x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, init_state: Tensor | None = None, seq_idx: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`ssd` position by position, for tests; arguments and results as there."""
    rows, length, heads, width = x.shape
    state = x.new_zeros(rows, heads, width, b.shape[-1]) if init_state is None else init_state
    outputs = []
    for t in range(length):
        if seq_idx is not None and t > 0:
            state = state * (seq_idx[:, t] == seq_idx[:, t - 1]).view(-1, 1, 1, 1)
        y, state = ssd_step(x[:, t], log_decay[:, t], b[:, t], c[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, dim=1), state


def ssd(
    x: Tensor,
    log_decay: Tensor,
    b: Tensor,
    c: Tensor,
    init_state: Tensor | None = None,
    seq_idx: Tensor | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """The chunked scan.

    Args:
        x: (B, L, H, P) scaled input (Mamba-2: dt * x).
        log_decay: (B, L, H), at most 0 (Mamba-2: dt * A); kept in float32 or wider.
        b, c: (B, L, G, N).
        init_state: (B, H, P, N) before the first position, whose document it belongs to; None for zeros.
        seq_idx: (B, L) document of each position, never decreasing; None for one document.
        chunk: Q.

    Returns:
        y (B, L, H, P) in the dtype of `x`, and the state after the last position (B, H, P, N) in float32 or wider.
    """
    rows, length, heads, width = x.shape
    groups, states = b.shape[2:]
    per_group = heads // groups
    q = min(chunk, length)
    padding = -length % q
    if padding:  # no input and no decay: the final state is that of the last position
        x, b, c = (F.pad(t, (0, 0, 0, 0, 0, padding)) for t in (x, b, c))
        log_decay = F.pad(log_decay, (0, 0, 0, padding))
        seq_idx = None if seq_idx is None else torch.cat([seq_idx, seq_idx[:, -1:].expand(-1, padding)], dim=1)
    n = (length + padding) // q

    x = x.view(rows, n, q, groups, per_group, width)
    b, c = (t.view(rows, n, q, groups, states).transpose(2, 3) for t in (b, c))  # (B, c, G, Q, N)
    wide = torch.promote_types(log_decay.dtype, torch.float32)
    decay = log_decay.to(wide).view(rows, n, q, heads).transpose(2, 3).cumsum(dim=-1)  # (B, c, H, Q)
    seen = torch.ones(q, q, dtype=torch.bool, device=x.device).tril()
    since_start, to_end, through = decay, decay[..., -1:] - decay, decay[..., -1]
    if seq_idx is not None:
        document = seq_idx.view(rows, n, 1, q)
        last = document[..., -1:]  # (B, c, 1, 1)
        before = torch.cat([document[:, :1, :, :1], last[:, :-1]], dim=1)  # the state a chunk receives is of this one
        seen = seen & (document.unsqueeze(-1) == document.unsqueeze(-2))  # (B, c, 1, Q, Q)
        to_end = to_end.masked_fill(document != last, -torch.inf)
        since_start = since_start.masked_fill(document != before, -torch.inf)
        through = through.masked_fill((last != before).squeeze(-1), -torch.inf)

    # Inside each chunk: y_i = sum_j (c_i . b_j) exp(a_i - a_j) x_j over j <= i.
    between = (decay.unsqueeze(-1) - decay.unsqueeze(-2)).masked_fill(~seen, -torch.inf).exp()  # (B, c, H, Q, Q)
    scores = torch.matmul(c, b.transpose(-1, -2)).unsqueeze(3)  # (B, c, G, 1, Q, Q)
    scores = scores * between.to(scores.dtype).view(rows, n, groups, per_group, q, q)
    y = torch.matmul(scores, x.permute(0, 1, 3, 4, 2, 5))  # (B, c, G, r, Q, P)

    # What each chunk adds to the state at its end.
    weight = to_end.exp().view(rows, n, groups, per_group, q).permute(0, 1, 4, 2, 3)  # (B, c, Q, G, r)
    weighted = (x * weight.unsqueeze(-1).to(x.dtype)).transpose(2, 3).flatten(-2)  # (B, c, G, Q, r P)
    added = torch.matmul(b.transpose(-1, -2), weighted).to(wide)  # (B, c, G, N, r P)

    # Chunk states, one after another; unbind keeps the backward pass linear in their number.
    if init_state is None:
        state = added.new_zeros(rows, groups, states, per_group * width)
    else:
        state = init_state.to(wide).view(rows, groups, per_group * width, states).transpose(-1, -2)
    kept = through.exp().view(rows, n, groups, 1, per_group, 1).expand(-1, -1, -1, -1, -1, width).flatten(-2)
    received = []
    for kept_now, added_now in zip(kept.unbind(1), added.unbind(1), strict=True):
        received.append(state)
        state = torch.addcmul(added_now, state, kept_now)
    if init_state is not None or n > 1:
        past = torch.matmul(c, torch.stack(received, dim=1).to(c.dtype))  # (B, c, G, Q, r P)
        past = past.view(rows, n, groups, q, per_group, width).transpose(3, 4)  # (B, c, G, r, Q, P)
        reach = since_start.exp().view(rows, n, groups, per_group, q, 1)
        y = torch.addcmul(y, past, reach.to(past.dtype))

    y = y.permute(0, 1, 4, 2, 3, 5).reshape(rows, n * q, heads, width)[:, :length]
    return y.to(x.dtype), state.transpose(-1, -2).reshape(rows, heads, width, states)


def scan(
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    *,
    time_scale: Tensor | None = None,
    init_state: Tensor | None = None,
    seq_idx: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Mamba-2's scan by the fastest means there is: Triton kernels on a GPU that has them, else `ssd`.

    Args:
        x: (B, L, H, P) input before scaling.
        dt: (B, L, H) float32, at least 0, and 0 at padding.
        rate: (H,) float32, below 0.
        b, c: (B, L, G, N).
        time_scale: (B, L) factor of the log decay alone; the kernels know no such thing.
        init_state, seq_idx: as in `ssd`.

    Returns:
        As `ssd`.
    """
    kernel = chunk_scan() if x.is_cuda and time_scale is None and x.dtype is not torch.float64 else None
    if kernel is not None:
        return _by_kernel(kernel, x, dt, rate, b, c, init_state, seq_idx)
    log_decay = dt * rate
    if time_scale is not None:
        log_decay = log_decay * time_scale.unsqueeze(-1)
    return ssd(x * dt.unsqueeze(-1).to(x.dtype), log_decay, b, c, init_state, seq_idx)


def _by_kernel(
    kernel: Callable[..., Any],
    x: Tensor,
    dt: Tensor,
    rate: Tensor,
    b: Tensor,
    c: Tensor,
    init_state: Tensor | None,
    seq_idx: Tensor | None,
) -> tuple[Tensor, Tensor]:
    if seq_idx is not None:
        # The kernel takes documents to begin at 0 in every row; others would lose the initial state silently.
        seq_idx = (seq_idx - seq_idx[:, :1]).to(torch.int32)
    y, state = kernel(
        x, dt, rate, b, c, chunk_size=128, initial_states=init_state, seq_idx=seq_idx, return_final_states=True
    )
    return y, state
