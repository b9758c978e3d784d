"""Causal convolution over time as shifted copies, channels last, with documents and a carried window.

A depthwise convolution of width 4 is four multiply-adds of shifted inputs: on the CPU faster than
`nn.Conv1d`, and the only form in which packed documents (a tap that reaches into another document is
zero) and a carried state are both exact. `causal_conv1d`'s kernel refuses the two together.

Shapes: B rows, L positions, D channels, k taps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lh_mm.nn.positions import Positions


def shifted(x: Tensor, window: Tensor | None, document: Tensor | None, taps: int) -> list[Tensor]:
    """`x` as it stood 0, 1, .. taps - 1 positions ago; zero where that is another document or before the start.

    Args:
        x: (B, L, ...).
        window: (B, taps - 1, ...) what stood before `x`, zero where it was another document's; None for zeros.
        document: (B, L) or None for one document.
        taps: k.

    Returns:
        k tensors like `x`.
    """
    length, reach = x.shape[1], taps - 1
    if window is None:
        window = x.new_zeros(x.shape[0], reach, *x.shape[2:])
    longer = torch.cat([window.to(x.dtype), x], dim=1)  # (B, k - 1 + L, ...)
    copies = [longer[:, reach - j : reach - j + length] for j in range(taps)]
    if document is not None:
        # What stood before the call is of the first position's document, or was zeroed.
        before = torch.cat([document[:, :1].expand(-1, reach), document], dim=1)
        for j in range(1, taps):
            same = before[:, reach - j : reach - j + length] == document
            copies[j] = copies[j] * same.view(*same.shape, *[1] * (x.dim() - 2))
    return copies


def next_window(x: Tensor, window: Tensor, positions: Positions) -> Tensor:
    """The window after `x`: the last k - 1 real inputs, zero where they are not of the last document.

    Args:
        x: (B, L, ...), L may be shorter than the window.
        window: (B, k - 1, ...) before `x`.
        positions: padding and documents of `x`.
    """
    reach, length = window.shape[1], x.shape[1]
    longer = torch.cat([window, x.to(window.dtype)], dim=1)  # (B, k - 1 + L, ...)
    counts, document = positions.counts(), positions.document
    if counts is None:
        last = longer[:, length:]
    else:
        rows = torch.arange(len(x), device=x.device).unsqueeze(1)
        last = longer[rows, counts.unsqueeze(1) + torch.arange(reach, device=x.device)]  # (B, k - 1, ...)
    if document is None:
        return last
    before = torch.cat([document[:, :1].expand(-1, reach), document], dim=1)
    if counts is None:
        documents = before[:, length:]
    else:
        documents = before.gather(1, counts.unsqueeze(1) + torch.arange(reach, device=x.device))
    same = documents == document[:, -1:]  # padding has its predecessor's document
    return last * same.view(*same.shape, *[1] * (x.dim() - 2))


class _ShiftedSum(torch.autograd.Function):
    """The convolution of one document, with a backward pass that adds into one gradient.

    What autograd makes of shifted views is a gradient of its own for each tap, each filled with zeros: a third slower
    for forward and backward together.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, reach: int) -> Tensor:
        """`x` (B, reach + L, D) whose first `reach` positions stood before; `weight` (k, D), the newest tap first."""
        ctx.save_for_backward(x, weight)
        ctx.reach = reach
        out = torch.addcmul(bias, x[:, reach:], weight[0])
        for j, tap in enumerate(weight[1 : x.shape[1]], start=1):
            first = max(j - reach, 0)  # outputs before it would hear what was before the start: nothing
            out[:, first:].addcmul_(x[:, first + reach - j : x.shape[1] - j], tap)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        reach = ctx.reach
        grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
        for j, tap in enumerate(weight[: x.shape[1]]):
            first = max(j - reach, 0)
            heard = slice(first + reach - j, x.shape[1] - j)
            grad_x[:, heard].addcmul_(grad[:, first:], tap)
            grad_weight[j] = (grad[:, first:] * x[:, heard]).sum((0, 1))
        return grad_x, grad_weight, grad.sum((0, 1)), None


class CausalConv(nn.Module):
    """Depthwise causal convolution.

    Args:
        channels: D.
        taps: k, the current position and those before it.

    Attributes:
        conv_weight: (k, D), the oldest tap first.
    """

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        self.taps = taps
        self.conv_weight = nn.Parameter(torch.empty(taps, channels))
        self.conv_bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.uniform_(self.conv_weight, -(self.taps**-0.5), self.taps**-0.5)
        nn.init.zeros_(self.conv_bias)

    def forward(self, x: Tensor, window: Tensor | None, document: Tensor | None) -> Tensor:
        """`x` (B, L, D) with what stood before it, as in `shifted`; returns (B, L, D)."""
        weight, out = self.conv_weight.to(x.dtype), self.conv_bias.to(x.dtype)
        if document is None:
            reach = 0 if window is None else window.shape[1]
            longer = x if window is None else torch.cat([window.to(x.dtype), x], dim=1)
            convolved: Tensor = _ShiftedSum.apply(longer, weight.flip(0), out, reach)
            return convolved
        for copy, tap in zip(shifted(x, window, document, self.taps), weight.flip(0), strict=True):
            out = torch.addcmul(out, copy, tap)
        return out

    def step(self, x: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        """One position (B, 1, D) after `window` (B, k - 1, D), all of one document: output and next window."""
        longer = torch.cat([window, x.to(window.dtype)], dim=1)  # (B, k, D)
        out = (longer * self.conv_weight).sum(dim=1, keepdim=True) + self.conv_bias
        return out.to(x.dtype), longer[:, 1:]
