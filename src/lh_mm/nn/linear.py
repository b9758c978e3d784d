"""Linear layers whose weights may also lie packed for a few rows at a time.

A generated position multiplies each weight once, so its speed is that of reading weights, and torch's own product of
a wide matrix with one vector reads them at a quarter of what memory gives. Packed in half precision by FBGEMM (torch's
library for this on x86) the same product takes a fifth to a tenth of the time; sums are still taken in float32. Only
weights that half precision holds exactly are packed, as those of a bundle are, which stores them so: nothing is
rounded, and a row that is read with others, or in a longer call, is computed from the same numbers.

Torch calls these operations deprecated without another that compiled code can take; where they are gone, layers stay
unpacked and are slower.

Shapes: D inputs, E outputs, n parts.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

log = logging.getLogger(__name__)

PACKED_ROWS = 16
"""Rows up to which packed weights are faster than a matrix product."""


class Linear(nn.Linear):
    """`nn.Linear`, by default without bias.

    Args:
        in_features: D.
        out_features: E.
        bias: whether there is one.
        parts: n, the outputs' equal parts that can be had alone by `part`.

    Attributes:
        packed: weights of each part in FBGEMM's form with their biases, or None; never trained and never saved.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = False, parts: int = 1) -> None:
        super().__init__(in_features, out_features, bias)
        if out_features % parts:
            raise ValueError(f"parts should divide the outputs {out_features}, got {parts}")
        self.parts = parts
        self.packed: tuple[tuple[Tensor, Tensor], ...] | None = None

    def pack(self) -> bool:
        """Pack the weights as they are now; returns whether that is possible.

        Weights that are being trained are left alone, for what is packed would not learn, and so are weights that half
        precision would round.
        """
        if self.weight.requires_grad or self.weight.device.type != "cpu" or self.weight.dtype is not torch.float32:
            return False
        if not torch.equal(self.weight.half().float(), self.weight):
            return False
        bias = torch.zeros(self.out_features) if self.bias is None else self.bias.detach()
        parts = zip(self.weight.detach().chunk(self.parts), bias.chunk(self.parts), strict=True)
        try:
            self.packed = tuple((_pack(weight), part_bias) for weight, part_bias in parts)
        except (RuntimeError, AttributeError) as error:  # no FBGEMM in this build, or no longer in torch
            log.info("linear layers stay unpacked: %s", str(error).splitlines()[0])
            return False
        return True

    def forward(self, x: Tensor) -> Tensor:
        """`x` (..., D) to (..., E)."""
        if not self._few(x):
            return F.linear(x, self.weight, self.bias)
        out = [self._packed_part(x, index) for index in range(self.parts)]
        return out[0] if len(out) == 1 else torch.cat(out, dim=-1)

    def part(self, x: Tensor, index: int) -> Tensor:
        """The outputs of one part, (..., D) to (..., E / n)."""
        if self._few(x):
            return self._packed_part(x, index)
        size = self.out_features // self.parts
        rows = slice(index * size, (index + 1) * size)
        return F.linear(x, self.weight[rows], None if self.bias is None else self.bias[rows])

    def _packed_part(self, x: Tensor, index: int) -> Tensor:
        assert self.packed is not None
        packed, bias = self.packed[index]
        out: Tensor = torch.ops._quantized.wrapped_fbgemm_linear_fp16_weight(x, packed, bias, bias.shape[0])
        return out

    def _few(self, x: Tensor) -> bool:
        """Whether `x` is what the packed weights are for."""
        few = self.packed is not None and x.numel() <= PACKED_ROWS * self.in_features
        return few and x.dtype is torch.float32 and not torch.is_grad_enabled()

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.packed = None  # the weights move or change their type
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.packed = None
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed": None}  # a copy would share memory that it does not own


def _pack(weight: Tensor) -> Tensor:
    """A handle of (E, D) weights in FBGEMM's form."""
    with warnings.catch_warnings():  # of its day to come torch warns once, and only from here in a way we can hold back
        warnings.simplefilter("ignore")
        held = torch.fbgemm_pack_gemm_matrix_fp16(torch.zeros(1, 1))
        torch.fbgemm_linear_fp16_weight(torch.zeros(1, 1), held, torch.zeros(1))
    handle: Tensor = torch.ops._quantized.wrapped_fbgemm_pack_gemm_matrix_fp16(weight.contiguous())
    return handle


def pack_for_steps(model: nn.Module) -> int:
    """Pack every linear layer of a model that is not being trained; returns how many are packed."""
    layers = [module for module in model.modules() if isinstance(module, Linear)]
    return sum(layer.packed is not None or layer.pack() for layer in layers)
