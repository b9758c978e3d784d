"""Adapters merged into the weights compute what they computed beside them."""

from __future__ import annotations

import torch

from lh_mm.core.streams import SequenceSpec, StreamSpec
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig
from lh_mm.systems.adapters import AdapterConfig, adapt, merge

SPEC = SequenceSpec((StreamSpec("midi", "midi", 11), StreamSpec("mix", "codes", 7, 2)), rate_hz=10.0)


def model() -> HybridMamba:
    torch.manual_seed(0)
    return HybridMambaConfig(pattern="M-*-", dim=32, heads=2, kv_heads=1, state_dim=8, head_dim=16).build(SPEC).eval()


def test_merged_adapters_compute_the_same() -> None:
    config, adapted, plain = AdapterConfig(rank=3, parts=("in_proj", "layers.2.out_proj")), model(), model()
    x = torch.randn(1, 6, 32)
    fresh = adapted.layers[1](x)
    adapt(adapted, config)
    assert torch.equal(adapted.layers[1](x), fresh)  # adapters begin at zero
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 5  # four layers have an in_proj, one more an adapter of its out_proj
    assert all("lora_" in name for name in trained)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.normal_()
    merge(plain, config, adapted.state_dict())
    assert plain.state_dict().keys() == model().state_dict().keys()
    assert torch.allclose(plain.layers[1](x), adapted.layers[1](x), atol=1e-4)
    assert not torch.allclose(plain.layers[1](x), fresh, atol=1e-2)
