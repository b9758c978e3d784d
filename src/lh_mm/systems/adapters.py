"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685) by the library `peft`, for fine-tuning on little music.

The weights of a trained model rest; beside each chosen linear layer learns a product of two narrow matrices. What is
shipped has them merged into the weights, so a bundle is read without `peft` and is as fast as before.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor, nn

from lh_mm.core.config import Config, ConfigError


class AdapterConfig(Config):
    """Low-rank adapters beside linear layers."""

    rank: int = Field(8, ge=1)
    """Width of the narrow matrices."""
    alpha: int = Field(16, ge=1)
    """What they add is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Of what they read, in training."""
    parts: tuple[str, ...] = ("in_proj", "out_proj")
    """Names of the linear layers that have one, the last part of the name or all of it."""
    whole: tuple[str, ...] = ()
    """Parts of the model that are trained whole beside them, by name, as `event_embedding`."""


def adapt(model: nn.Module, config: AdapterConfig) -> None:
    """Give a model adapters, in place; nothing else is trained.

    Raises:
        ConfigError: `peft` is not installed, or a name fits no linear layer.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError("experiment", ["lora: needs the library peft: pip install 'lh_mm[hf]'"]) from error
    # Heads of codes are read part by part, which an adapter around them does not know.
    linear = [
        name for name, module in model.named_modules() if _is_linear(module) and name not in ("code_head", "code_query")
    ]
    if not linear:
        raise ConfigError("experiment", [f"lora: {type(model).__name__} has no linear layer that could have one"])
    chosen = {part: [name for name in linear if f".{name}".endswith(f".{part}")] for part in config.parts}
    if missing := [part for part, names in chosen.items() if not names]:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        raise ConfigError(
            "experiment", [f"lora.parts: no linear layer is called '{part}'; there are {known}" for part in missing]
        )
    targets = sorted({name for names in chosen.values() for name in names})
    turned = any(not isinstance(model.get_submodule(name), nn.Linear) for name in targets)
    settings = LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=targets,
        fan_in_fan_out=turned,
    )  # fmt: skip
    inject_adapter_in_model(settings, model)
    found = set()
    for name, parameter in model.named_parameters():
        part = next((part for part in config.whole if name == part or name.startswith(f"{part}.")), None)
        found.add(part)
        parameter.requires_grad_("lora_" in name or part is not None)
    if missing := [part for part in config.whole if part not in found]:
        raise ConfigError("experiment", [f"lora.whole: the model has no part '{part}'" for part in missing])


def _is_linear(module: nn.Module) -> bool:
    """GPT-2's layers of `transformers` are linear ones whose weights are turned."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def merge(plain: nn.Module, config: AdapterConfig, state: Mapping[str, Tensor]) -> None:
    """Bring a model without adapters to compute what an adapted one with `state` does.

    Args:
        plain: a fresh model of the same shape; gets its weights.
        config: of the adapters.
        state: of the adapted model.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapt(plain, config)
    plain.load_state_dict(state)
    for name, layer in list(plain.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            plain.set_submodule(name, layer.get_base_layer())
