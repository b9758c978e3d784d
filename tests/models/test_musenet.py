"""MuseNet: its embeddings, its patterns of attention, and what every model of notes must do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lh_mm.core.merge import Kind
from lh_mm.core.streams import ControlSpec, SequenceSpec, StreamBatch, StreamSpec, collate
from lh_mm.data.note_rows import row_of_tokens
from lh_mm.models.base import SequenceModel, state_from_tensors, state_tensors
from lh_mm.models.likelihood import head_sums
from lh_mm.models.musenet import MuseNet, MusenetModelConfig, chord_numbers
from lh_mm.models.notes_only import Places
from lh_mm.music.tokens import structure_of

V = 23
SPEC = SequenceSpec(
    (StreamSpec("midi", "midi", V), StreamSpec("structure", "structure", dim=2)), 24.0, merged=False,
    controls=(ControlSpec("plays_piano", ("no", "yes")),),
)  # fmt: skip
ATTENTIONS = ("full", "strided", "fixed")


def model_of(spec: SequenceSpec = SPEC, **changes: Any) -> MuseNet:
    torch.manual_seed(0)
    shape = {"layers": 3, "dim": 16, "heads": 2, "max_positions": 40, "max_time": 30, "max_chord": 4, "stride": 3}
    model = MusenetModelConfig.model_validate({**shape, **changes}).build(spec).eval()
    with torch.no_grad():  # so that every embedding is heard
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    return model


def batch_of(*rows: Sequence[int], spec: SequenceSpec = SPEC, seed: int = 0) -> StreamBatch:
    """Rows of documents of so many random tokens, in chords of up to four."""
    rng = np.random.default_rng(seed)
    made = []
    for lengths in rows:
        documents = []
        for i, length in enumerate(lengths):
            ids, clocks = rng.integers(0, V, length), np.cumsum(rng.integers(0, 2, length))
            where = structure_of(np.arange(-1, length), length) if spec.tells_structure else None
            documents.append(
                row_of_tokens(
                    ids, clocks, first=0, ends=True, is_start=True, controls=[i % 3], legal=None, structure=where
                )
            )
        made.append(documents)
    return collate(made, spec)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_honours_the_protocol_and_parts_are_the_whole(attention: str) -> None:
    model, batch = model_of(attention=attention), batch_of([9, 8], [12])
    assert isinstance(model, SequenceModel)
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        real = batch.kind != Kind.PAD
        for cuts in ((1,), (3, 4, 11), tuple(range(1, batch.shape[1]))):
            state, parts = model.init_state(2), []
            for start, end in zip((0, *cuts), (*cuts, batch.shape[1]), strict=True):
                h, state = model.hidden(batch.positions(start, end), state)
                state = state_from_tensors(model.init_state(2), state_tensors(state))
                parts.append(h)
            assert torch.allclose(torch.cat(parts, 1)[real], whole[real], atol=1e-5)


def test_rows_that_rest_keep_their_place_and_their_chord() -> None:
    model, batch = model_of(), batch_of([10], [10], seed=2)
    with torch.no_grad():
        whole, _ = model.hidden(batch)
        state = model.init_state(2)
        for at in range(batch.shape[1]):
            one = batch.positions(at, at + 1)
            h, state = model.hidden(one, state, torch.tensor([True, False]))
            assert torch.allclose(h[0, 0], whole[0, at], atol=1e-5)
            _, state = model.hidden(one, state, torch.tensor([False, False]))
            h, state = model.hidden(one, state, torch.tensor([False, True]))
            assert torch.allclose(h[1, 0], whole[1, at], atol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_nothing_leaks_from_the_future_or_from_other_rows_and_documents(attention: str) -> None:
    model, batch = model_of(attention=attention), batch_of([14, 6], [9])
    changed = replace(batch, event_id=batch.event_id.clone())
    changed.event_id[0, 8:15] = torch.randint(0, V, (7,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before, after = model.hidden(batch)[0], model.hidden(changed)[0]
    assert torch.equal(before[0, :8], after[0, :8])
    assert not torch.allclose(before[0, 8:15], after[0, 8:15])
    assert torch.allclose(before[0, 15:22], after[0, 15:22], atol=1e-6)  # the next document
    assert torch.equal(before[1], after[1])


def test_a_chord_is_counted_from_the_last_time_that_time_passed() -> None:
    clock = torch.tensor([[0, 0, 0, 4, 5, 5, 0, 0]])
    document = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1]])
    index = torch.arange(8)[None]
    assert chord_numbers(clock, document, index, None).tolist() == [[0, 1, 2, 0, 0, 1, 0, 1]]


def test_each_embedding_is_heard_and_can_be_left_out() -> None:
    batch = batch_of([12])
    moved = replace(batch, clock=batch.clock + (torch.arange(13) > 5) * 3)
    untold = replace(batch, states=torch.zeros_like(batch.states))  # type: ignore[arg-type]
    with torch.no_grad():
        for changes, other, heard in (
            ({}, moved, True), ({"max_chord": 0}, moved, True), ({"max_time": 0, "max_chord": 0}, moved, False),
            ({}, untold, True), ({"structure": False}, untold, False),
        ):  # fmt: skip
            model = model_of(**changes)
            same = torch.allclose(model.hidden(batch)[0], model.hidden(other)[0], atol=1e-5)
            assert same != heard, changes
        only_chord = model_of(max_time=0)
        split = replace(batch, clock=torch.arange(13)[None])  # no chord any more
        assert not torch.allclose(only_chord.hidden(batch)[0], only_chord.hidden(split)[0], atol=1e-5)
    plain = replace(SPEC, streams=SPEC.streams[:1])
    assert model_of(plain).part_embedding is None
    assert model_of(plain).hidden(batch_of([5], spec=plain))[0].shape == (1, 6, 16)


def test_where_a_token_stands_is_a_part_and_a_countdown_to_the_end() -> None:
    short = structure_of(np.arange(-1, 4), 4)
    assert short[:, 0].tolist() == [1, 1, 33, 65, 97]
    assert short[:, 1].tolist() == [5, 4, 3, 2, 1]  # BOS stands before four, the last token before none
    long = structure_of(np.arange(1000), 1000)
    assert long[:, 0].min() == 1
    assert long[:, 0].max() == 128
    assert (long[:873, 1] == 128).all()
    assert long[-128:, 1].tolist() == list(range(128, 0, -1))
    assert not structure_of(np.arange(5), 0).any()


def test_sparse_layers_see_what_their_pattern_says() -> None:
    index = torch.arange(10)[None]
    causal = index.unsqueeze(-1) >= index.unsqueeze(1)
    distance = index.unsqueeze(-1) - index.unsqueeze(1)
    places = Places(index >= 0, index, index * 0, index, index * 0)
    seen = {
        (kind, layer): [
            torch.nonzero(row).flatten().tolist()
            for row in model_of(attention=kind)._mask(layer, places, causal, distance)[0]
        ]
        for kind in ("strided", "fixed")
        for layer in (0, 1)
    }
    assert seen["strided", 0][7] == [5, 6, 7]
    assert seen["strided", 1][7] == [1, 4, 7]
    assert seen["fixed", 0][7] == [6, 7]
    assert seen["fixed", 1][7] == [2, 5, 7]


def test_a_row_beyond_its_positions_is_an_error_and_end_can_be_learnt() -> None:
    with pytest.raises(ValueError, match="41 positions, but this MuseNet has 40"):
        model_of().hidden(batch_of([40]))
    with pytest.raises(ValueError, match="3 heads and width 16"):
        model_of(heads=3)
    with pytest.raises(ValueError, match="time tokens of their own"):
        model_of(SequenceSpec((StreamSpec("midi", "midi", V), StreamSpec("mix", "codes", 7, 2)), 24.0))
    model, batch = model_of(dropout=0.0), batch_of([3])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        sums = head_sums(model, batch)
        optimizer.zero_grad()
        (sums.event_nats / sums.event_count).backward()
        optimizer.step()
    assert int(model(batch)[0].event[0, 3].argmax()) == V + 1


def test_an_untrained_model_knows_nothing() -> None:
    torch.manual_seed(0)
    model = MusenetModelConfig(layers=2, dim=32, heads=2, max_positions=64).build(SPEC).eval()
    with torch.no_grad():
        sums = head_sums(model, batch_of([40], [30]))
    assert float(sums.event_nats / sums.event_count) == pytest.approx(np.log(V + 2), abs=0.05)
