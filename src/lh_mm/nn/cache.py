"""Keys and values that grow: written in place where there is room, room doubling, so that a step costs no copy of all.

Shapes: B rows, H heads, K keys so far, C room (K or more), N new ones, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor

FIRST_ROOM = 64


def appended(buffer: Tensor, new: Tensor, num_keys: int) -> Tensor:
    """A buffer whose first K + N entries are the old K and the new N.

    Without gradients `buffer` is written in place if it has room: use it once, as every state.

    Args:
        buffer: (B, H, C, W), the first `num_keys` in use.
        new: (B, H, N, W).
        num_keys: K.
    """
    end = num_keys + new.shape[2]
    if torch.is_grad_enabled():
        return torch.cat([buffer[:, :, :num_keys].to(new.dtype), new], dim=2)
    if end > buffer.shape[2]:
        room = max(end, 2 * buffer.shape[2], FIRST_ROOM)
        larger = buffer.new_empty(*new.shape[:2], room, new.shape[3])
        larger[:, :, :num_keys] = buffer[:, :, :num_keys]
        buffer = larger
    buffer[:, :, num_keys:end] = new
    return buffer
