"""Parameter groups for the optimiser by role: only matrices decay.

Mamba's A_log, D and dt_bias, norms, biases, convolutions and embeddings must not be pulled towards zero.
Upstream marks some of them with an attribute that no optimiser reads; here the role is in the parameter's
name, one function knows the names, and a test holds that every parameter of every model is in exactly one group.
"""

from __future__ import annotations

from typing import Any

from torch import nn

NO_DECAY = (
    "A_log",
    "D",
    "dt_bias",
    "bias",
    "key_bias",
    "query_bias",
    "conv_weight",
    "conv_bias",
    "embedding",
    "code_bias",
    "table",
)
"""Names (last part) of parameters that never decay, beside all of fewer than two dimensions."""


def decays(name: str, module: nn.Module, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies to parameter `name` (last part) of `module`."""
    is_table = isinstance(module, nn.Embedding | nn.EmbeddingBag | nn.modules.conv._ConvNd)
    return parameter.dim() >= 2 and name not in NO_DECAY and not is_table


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for an optimiser: what decays by `weight_decay`, and what does not.

    Parameters that need no gradient are left out; a shared parameter stands once.
    """
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                (decayed if decays(name, module, parameter) else kept).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
