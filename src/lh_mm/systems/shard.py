"""Fully sharded data parallelism (FSDP2, `torch.distributed.fsdp.fully_shard`) for models that DDP cannot hold.

Every layer is gathered when it is needed and let go of again; embeddings and heads are one more group, gathered for the
whole step. Parameters, gradients and moments are float32 shards, and autocast computes in bfloat16 where that is asked
for: twice the traffic of gathering bfloat16, and in return A, D and dt bias of the state space keep their precision,
which they lose when a group is cast (torchtitan issue 694).

Lightning's `ModelParallelStrategy` makes the mesh and the checkpoints (`trainer.strategy: fsdp`), which hold whole
tensors, so that a run may go on with another number of processes, or with DDP.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

ENTRIES = ("hidden", "step")
"""Methods of a sequence model that are called instead of `forward`: parameters must be gathered in them too.

Not the heads: they read what `hidden` gave, so everything outside the layers is still there, and gradients of that
group would be exchanged when a head is through, too early, and never by a process whose batch does not use the head.
"""


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a sequence model in place over a one-dimensional mesh.

    Args:
        model: with its layers in `layers`; the optimiser is made afterwards.
        mesh: of the processes that share it.

    Raises:
        ValueError: for a model without `layers`.
    """
    layers = getattr(model, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise ValueError(f"{type(model).__name__} has no ModuleList 'layers', so it cannot be sharded layer by layer")
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    for name in ENTRIES:
        if hasattr(model, name):
            register_fsdp_forward_method(model, name)


def touched(model: nn.Module, loss: Tensor) -> Tensor:
    """`loss`, with a gradient of zero for every parameter outside the layers.

    Processes exchange the gradients of a group together and must agree on which there are, but a step without given
    sound has none for the front end on one process and some on another.
    """
    return loss + sum(0.0 * parameter.flatten()[0] for parameter in _outside(model))


def forget_untouched(model: nn.Module) -> None:
    """Take gradients away that are zero on every process: the optimiser would move such parameters by momentum.

    Without sharding a parameter that no batch of a step uses has no gradient, and rests.
    """
    parameters = [parameter for parameter in _outside(model) if parameter.grad is not None]
    if not parameters:
        return
    used = torch.stack([local(p.grad).any() for p in parameters]).int()  # type: ignore[arg-type]
    torch.distributed.all_reduce(used, torch.distributed.ReduceOp.MAX)
    for parameter, is_used in zip(parameters, used.tolist(), strict=True):
        if not is_used:
            parameter.grad = None


def _outside(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that are trained and stand in no layer."""
    inside = {id(parameter) for parameter in model.get_submodule("layers").parameters()}
    return [p for p in model.parameters() if p.requires_grad and id(p) not in inside]


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` was here."""
    return isinstance(model, FSDPModule)


def local(value: Tensor) -> Tensor:
    """This process's own part of a shard, without a copy; anything else as it is."""
    return value.to_local() if isinstance(value, DTensor) else value


def whole(value: Tensor) -> Tensor:
    """The full tensor of a shard, on every process; anything else as it is."""
    return value.full_tensor() if isinstance(value, DTensor) else value
