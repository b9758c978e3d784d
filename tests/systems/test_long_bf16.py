"""A thousand steps in bfloat16 stay numbers."""

from __future__ import annotations

import math

import pytest
import torch

from lh_mm.core.streams import collate
from lh_mm.data.mixture import MergedConfig
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.tasks import AudioToMidi, Infill, Joint, MidiToAudio
from lh_mm.models.frontend import FrontendConfig
from lh_mm.models.hybrid_mamba import HybridMambaConfig
from lh_mm.models.likelihood import head_sums
from lh_mm.nn.groups import parameter_groups


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pattern", ["M-*-M-", "3-*-m-R-"])
def test_a_thousand_steps_in_bfloat16_stay_numbers_and_learn(smoke: PreparedSet, pattern: str) -> None:
    torch.manual_seed(0)
    tasks = (MidiToAudio(), AudioToMidi(), Joint(), Infill())
    rows = MergedConfig(tasks=tasks, crop_s=1.0, layout="parallel", given_notes="both").build(smoke)
    model = HybridMambaConfig(
        pattern=pattern, dim=32, heads=2, kv_heads=1, state_dim=8, head_dim=16, code_vectors=64, codebooks="chained",
        frontend=FrontendConfig(channels=4, width=16, layers=1),
    ).build(rows.spec)  # fmt: skip
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1), lr=3e-3)
    means = []
    for step in range(1000):
        batch = collate([[rows.train_row(0, 2 * step + i)] for i in range(2)], rows.spec)
        with torch.autocast("cpu", torch.bfloat16):
            sums = head_sums(model, batch)
        loss = (sums.event_nats.sum() + sums.code_nats.sum()) / (sums.event_count + sums.code_count.sum())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        assert math.isfinite(float(norm)), step
        optimizer.step()
        optimizer.zero_grad()
        means.append(float(loss.detach()))
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert sum(means[-100:]) < 0.9 * sum(means[:100])
