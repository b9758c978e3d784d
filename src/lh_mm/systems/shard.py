"""Fully sharded data parallelism (FSDP2, `torch.distributed.fsdp.fully_shard`) for models that DDP cannot hold.

Every layer is gathered when it is needed and let go of again; embeddings and heads are one more group, gathered for the
whole step. Parameters, gradients and moments are float32 shards, and autocast computes in bfloat16 where that is asked
for: twice the traffic of gathering bfloat16, and in return A, D and dt bias of the state space keep their precision,
which they lose when a group is cast (torchtitan issue 694).

Lightning's `ModelParallelStrategy` makes the mesh on GPUs; on CPUs it refuses, so the function here is tested with
torch's own process groups.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

ENTRIES = ("hidden", "event_logits", "code_logits", "step")
"""Methods of a sequence model that are called beside `forward`: parameters must be there in them too."""


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


def whole(value: Tensor) -> Tensor:
    """The full tensor of a shard, on every process; anything else as it is."""
    return value.full_tensor() if isinstance(value, DTensor) else value
