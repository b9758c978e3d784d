"""Rows read in chunks: the same predictions, gradients that end at a chunk's beginning."""

from __future__ import annotations

import pytest
import torch

from lh_mm.core.streams import StreamBatch, collate
from lh_mm.data.mixture import MergedConfig
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.tasks import AudioToMidi, Infill, Joint, MidiToAudio
from lh_mm.models.frontend import FrontendConfig
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig
from lh_mm.models.likelihood import HeadSums, head_sums
from lh_mm.systems.chunks import chunk_sums, in_chunks


@pytest.fixture(scope="module")
def made(smoke: PreparedSet) -> tuple[HybridMamba, StreamBatch]:
    torch.manual_seed(0)
    tasks = (MidiToAudio(), AudioToMidi(), Joint(), Infill())
    rows = MergedConfig(tasks=tasks, crop_s=2.0, layout="parallel", given_notes="both").build(smoke)
    model = HybridMambaConfig(
        pattern="M-*-3", dim=32, heads=2, kv_heads=1, state_dim=8, head_dim=16, code_vectors=64, codebooks="chained",
        frontend=FrontendConfig(channels=4, width=16, layers=1, frame_dropout=0, document_dropout=0),
    ).build(rows.spec)  # fmt: skip
    return model, collate([[rows.valid_row(i)] for i in range(4)], rows.spec)


def total(parts: list[HeadSums]) -> torch.Tensor:
    summed = parts[0]
    for part in parts[1:]:
        summed = summed + part
    return torch.cat([value.flatten().float() for value in vars(summed).values()])


@pytest.mark.parametrize("chunk", [64, 97, 200])
def test_chunks_predict_what_the_whole_predicts(made: tuple[HybridMamba, StreamBatch], chunk: int) -> None:
    model, batch = made
    parts = in_chunks(batch, chunk)
    assert len(parts) == -(-batch.shape[1] // chunk) > 1
    sums = []
    for part, more in chunk_sums(model, parts):
        total([part])[0].backward(retain_graph=more)
        sums.append(HeadSums(*(value.detach() for value in vars(part).values())))
    whole = total([head_sums(model, batch)]).detach()
    torch.testing.assert_close(total(sums), whole, atol=2e-2, rtol=1e-4)
    model.zero_grad()


def test_without_a_chunk_or_in_a_long_one_nothing_is_cut(made: tuple[HybridMamba, StreamBatch]) -> None:
    _, batch = made
    for chunk in (None, batch.shape[1], 100_000):
        assert in_chunks(batch, chunk) == [batch]


def test_gradients_end_at_a_chunk_but_all_chunks_teach_the_front_end(made: tuple[HybridMamba, StreamBatch]) -> None:
    model, batch = made
    assert model.frontend is not None
    after = []
    for part, more in chunk_sums(model, in_chunks(batch, 64)):
        model.zero_grad()
        (part.event_nats + part.code_nats.sum()).backward(retain_graph=more)
        heard = [float(p.grad.abs().sum()) for p in model.frontend.parameters() if p.grad is not None]
        after.append(sum(heard))
    assert sum(value > 0 for value in after) > 1
    model.zero_grad()
