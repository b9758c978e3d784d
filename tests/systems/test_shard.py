"""A model that two processes share takes the steps that one process takes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

from lh_mm.core.merge import AudioStream, EventStream, merge
from lh_mm.core.streams import Row, SequenceSpec, StreamBatch, StreamSpec, collate
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig
from lh_mm.models.likelihood import head_sums
from lh_mm.nn.groups import parameter_groups
from lh_mm.systems.language import LossWeights, weighted_loss
from lh_mm.systems.shard import shard, whole

SPEC = SequenceSpec((StreamSpec("midi", "midi", 11), StreamSpec("mix", "codes", 7, 2)), rate_hz=10.0)
STEPS = 3


def model() -> HybridMamba:
    torch.manual_seed(0)
    return HybridMambaConfig(pattern="M-*-M", dim=32, heads=2, kv_heads=1, state_dim=8, head_dim=16).build(SPEC)


def row(seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    clocks = np.sort(rng.integers(0, 12, 9 + seed))  # rows differ in targets
    events = [EventStream("midi", "generated", 0, clocks, rng.integers(0, 11, len(clocks)))]
    merged = merge(events, [AudioStream("mix", "generated", rng.integers(0, 7, (12, 2)))], 12)
    return [Row(merged, ["generated", "generated"], [0])]


def train(built: HybridMamba, batches: list[StreamBatch], counts: list[tuple[Any, Any]], world: int) -> None:
    optimizer = torch.optim.AdamW(parameter_groups(built, 0.1), lr=1e-2)
    for batch, (events, codes) in zip(batches, counts, strict=True):
        loss = weighted_loss(head_sums(built, batch), events, codes, LossWeights())
        (loss * world).backward()  # gradients are averaged over processes
        torch.nn.utils.clip_grad_norm_(built.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()


def work(port: str, folder: str, rank: int, world: int = 2) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    try:
        built = model()
        built.recompute = True
        shard(built, init_device_mesh("cpu", (world,)))
        held = sum(p.to_local().numel() for p in built.parameters())  # type: ignore[attr-defined]
        batches = [collate([row(2 * step + rank)], SPEC) for step in range(STEPS)]
        train(built, batches, [_counts(step) for step in range(STEPS)], world)
        state = {name: whole(p).detach() for name, p in built.named_parameters()}
        if rank == 0:
            torch.save({"state": state, "held": held}, Path(folder) / "sharded.pt")
    finally:
        dist.destroy_process_group()


def _counts(step: int) -> tuple[Any, Any]:
    batch = collate([row(2 * step), row(2 * step + 1)], SPEC)
    assert batch.event_target is not None
    assert batch.code_target is not None
    return (batch.event_target >= 0).sum(), (batch.code_target >= 0).sum((0, 1))


def test_two_processes_that_share_a_model_equal_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # As scripts: processes that are spawned cannot import a test module.
    command = [sys.executable, __file__, str(port), str(tmp_path)]
    processes = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(2)]
    for process in processes:
        assert process.wait(timeout=240) == 0, process.stderr and process.stderr.read()
    found = torch.load(tmp_path / "sharded.pt", weights_only=True)
    one = model()
    train(
        one, [collate([row(2 * s), row(2 * s + 1)], SPEC) for s in range(STEPS)], [_counts(s) for s in range(STEPS)], 1
    )
    for name, parameter in one.named_parameters():
        assert (found["state"][name] - parameter).abs().max() < 1e-5, name
    assert found["held"] < 0.6 * one.num_parameters()


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="layers"):
        shard(nn.Linear(2, 2), None)  # type: ignore[arg-type]


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], int(sys.argv[3]))
