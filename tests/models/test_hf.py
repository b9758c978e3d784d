"""Transformers of Hugging Face behind our protocol: causal, stepwise, padded, packed; mistakes by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lh_mm.core.config import ConfigError
from lh_mm.core.merge import Kind
from lh_mm.core.streams import ControlSpec, SequenceSpec, StreamBatch, StreamSpec, collate
from lh_mm.data.note_rows import row_of_tokens
from lh_mm.models.base import SequenceModel, state_from_tensors, state_tensors
from lh_mm.models.hf import HfConfig, HfModel
from lh_mm.models.likelihood import head_sums
from lh_mm.nn.groups import parameter_groups

pytest.importorskip("transformers", reason="the extra hf is not installed")

V = 23
SPEC = SequenceSpec((StreamSpec("midi", "midi", V),), 24.0, merged=False, controls=(ControlSpec("key", ("C", "D")),))
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 40},
    "llama": {
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 16,
        "intermediate_size": 32, "max_position_embeddings": 40,
    },
}  # fmt: skip


def model_of(architecture: str = "gpt2") -> HfModel:
    torch.manual_seed(0)
    return HfConfig(architecture=architecture, shape=SHAPES[architecture]).build(SPEC).eval()


def batch_of(*rows: Sequence[int]) -> StreamBatch:
    """A batch of rows of documents, each of so many random tokens."""
    rng = np.random.default_rng(0)
    made = []
    for lengths in rows:
        documents = []
        for i, length in enumerate(lengths):
            ids = rng.integers(0, V, length)
            documents.append(
                row_of_tokens(ids, np.arange(length), first=0, ends=True, is_start=True, controls=[i % 3], legal=None)
            )
        made.append(documents)
    return collate(made, SPEC)


@pytest.mark.parametrize("architecture", SHAPES)
def test_honours_the_protocol_and_starts_flat(architecture: str) -> None:
    model = model_of(architecture)
    assert isinstance(model, SequenceModel)
    sums = head_sums(model, batch_of([20], [12]))
    assert float(sums.event_nats.detach() / sums.event_count) == pytest.approx(np.log(V + 1), abs=0.2)
    grouped = sum(len(group["params"]) for group in parameter_groups(model, 0.1))
    assert grouped == len(list(model.parameters()))
    assert model.flops_per_position(20) > 2 * sum(p.numel() for p in model.body.parameters() if p.dim() == 2) * 0.8


@pytest.mark.parametrize("architecture", SHAPES)
def test_steps_and_parts_are_the_whole(architecture: str) -> None:
    model, batch = model_of(architecture), batch_of([20], [12])
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        for cuts in (range(1, batch.shape[1]), (5, 6, 13)):
            state, parts = model.init_state(2), []
            for start, end in zip((0, *cuts), (*cuts, batch.shape[1]), strict=True):
                h, state = model.hidden(batch.positions(start, end), state)  # type: ignore[assignment]
                parts.append(h)
            real = batch.kind != Kind.PAD
            assert torch.allclose(torch.cat(parts, 1)[real], whole[real], atol=1e-5)


@pytest.mark.parametrize("architecture", SHAPES)
def test_a_row_that_rests_goes_on_as_if_nothing_had_been(architecture: str) -> None:
    model, batch = model_of(architecture), batch_of([12], [12])
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        _, state = model.hidden(batch.positions(0, 4), model.init_state(2))
        _, state = model.step(batch.positions(4, 5), state, torch.tensor([True, False]))  # type: ignore[arg-type]
        later = {name: getattr(batch, name).clone() for name in ("kind", "event_id", "stream")}
        for value in later.values():
            value[1] = value[1].roll(1)  # row 1 is one position behind
        logits, state = model.step(replace(batch, **later).positions(5, 6), state)
        assert torch.allclose(logits.event[0, 0], model.event_logits(whole)[0, 5], atol=1e-5)
        assert torch.allclose(logits.event[1, 0], model.event_logits(whole)[1, 4], atol=1e-5)
        assert state.count.tolist() == [6, 5]


@pytest.mark.parametrize("architecture", SHAPES)
def test_nothing_is_heard_before_its_time_or_from_another_document(architecture: str) -> None:
    model, batch = model_of(architecture), batch_of([9, 8])
    with torch.no_grad():
        before, _ = model.hidden(batch)
        changed = batch.event_id.clone()
        changed[0, 5] = (changed[0, 5] + 7) % V
        after, _ = model.hidden(replace(batch, event_id=changed))
    moved = (before - after).abs().amax(-1)[0] > 1e-6
    assert not moved[:5].any()
    assert moved[5:10].any()
    assert not moved[10:].any()  # BOS and 9 tokens are the first document


def test_layers_that_are_computed_again_have_the_same_gradients() -> None:
    model, batch, found = model_of().train(), batch_of([12]), []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        torch.manual_seed(1)
        head_sums(model, batch).event_nats.backward()
        found.append(model.body.h[0].mlp.c_fc.weight.grad.clone())
    assert model.body.is_activation_checkpointing
    assert torch.allclose(*found, atol=1e-5)


def test_a_state_can_be_put_away() -> None:
    model, batch = model_of(), batch_of([12])
    with torch.no_grad():
        _, state = model.hidden(batch.positions(0, 6), model.init_state(1))
        back = state_from_tensors(model.init_state(1), state_tensors(state))
        a, b = (model.hidden(batch.positions(6, 9), s)[0] for s in (state, back))
    assert torch.equal(a, b)


def test_weights_of_a_folder_and_of_nobody(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(1)
    theirs = AutoModel.from_config(
        AutoConfig.for_model("gpt2", vocab_size=50, bos_token_id=0, eos_token_id=0, **SHAPES["gpt2"])
    )
    theirs.save_pretrained(tmp_path)
    ours = HfConfig(pretrained=str(tmp_path)).build(SPEC)
    assert torch.equal(ours.body.h[0].mlp.c_fc.weight, theirs.h[0].mlp.c_fc.weight)
    assert not any("wte" in name for name in ours.state_dict())
    again = ours.config.build(SPEC)  # what a bundle holds: no folder, the same shape
    assert ours.config.pretrained is None
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in ours.state_dict().items()}
    with pytest.raises(ConfigError, match=r"pretrained: '.*nowhere' cannot be read"):
        HfConfig(pretrained=str(tmp_path / "nowhere")).build(SPEC)
    with pytest.raises(ConfigError, match="bloom is no transformer with positions"):
        HfConfig(architecture="bloom", shape={"n_layer": 1, "hidden_size": 16, "n_head": 2}).build(SPEC)
    with pytest.raises(ConfigError, match="knows no 'gpt22'"):
        HfConfig(architecture="gpt22").build(SPEC)
    with pytest.raises(ConfigError, match=r"shape.n_layers: gpt2 has no such setting"):
        HfConfig(shape={"n_layers": 2}).build(SPEC)
    with pytest.raises(ValueError, match="a row of 61 positions, but gpt2 has 40"):
        model_of().hidden(batch_of([60]))
