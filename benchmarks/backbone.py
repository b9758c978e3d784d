"""How fast does the backbone train on one thread?

One mixer, forward and backward with its projections, against causal attention by torch's own kernel at the same width;
then a whole hybrid on merged sequences, both heads included, in float32 and in bfloat16 autocast.

    python benchmarks/backbone.py
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from harness import Row, measure, parser, require_quiet, write_results
from torch import Tensor, nn

from lh_mm.core.merge import AudioStream, EventStream, merge
from lh_mm.core.streams import Row as SequenceRow
from lh_mm.core.streams import SequenceSpec, StreamSpec, collate
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig
from lh_mm.models.likelihood import head_sums
from lh_mm.nn.allocator import keep_memory
from lh_mm.nn.attention import Attention, look_up
from lh_mm.nn.mamba2 import Mamba2
from lh_mm.nn.positions import Positions
from lh_mm.nn.rotary import Rotary

DIM, HEADS, STATE, HEAD_DIM = 256, 4, 128, 64
SPEC = SequenceSpec((StreamSpec("midi", "midi", 585), StreamSpec("mix", "codes", 1024, 4)), rate_hz=75.0)


def both_ways(layer: nn.Module, run: Callable[[Tensor], Tensor], length: int, autocast: bool) -> Callable[[], None]:
    """Forward and backward of one row."""
    x = torch.randn(1, length, DIM, requires_grad=True)

    def once() -> None:
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            run(x).float().square().mean().backward()

    return once


def mixers(n: int) -> list[Row]:
    torch.manual_seed(0)
    mamba, attention = Mamba2(DIM, STATE, HEAD_DIM), Attention(DIM, HEADS, HEADS)
    rotary = Rotary(DIM // HEADS, 0.5, SPEC.rate_hz)
    peer_name = f"causal attention, torch {torch.__version__}"
    rows = []
    for length in (512, 2048, 8192):
        index = torch.arange(length).unsqueeze(0)
        where = Positions(index, rotary=rotary(index, index))
        for name, autocast in (("fp32", False), ("bf16 autocast", True)):
            ours = measure(both_ways(mamba, lambda x, w=where: mamba(x, w)[0], length, autocast), n)
            peer = measure(
                both_ways(
                    attention, lambda x, w=where: attention(x, w, look_up(w, None, None)[0])[0], length, autocast
                ),
                n,
            )
            case = f"Mamba-2 mixer, forward and backward, {length} positions, {name}"
            speeds = length / ours.median_s, length / peer.median_s
            rows.append(Row(case, *speeds, peer_name, "positions/s", True, n, ours.spread))
    return rows


def whole(n: int) -> list[Row]:
    rng = np.random.default_rng(0)
    documents = []
    for _ in range(4):
        clocks = np.sort(rng.integers(0, 512, 512))
        events = [EventStream("midi", "generated", 0, clocks, rng.integers(0, 585, 512))]
        merged = merge(events, [AudioStream("mix", "generated", rng.integers(0, 1024, (512, 4)))], 512)
        documents.append([SequenceRow(merged, ["generated", "generated"], [0])])
    batch = collate(documents, SPEC)
    rows, patterns = [], ("M-M-*-M-M-", "*-*-*-*-*-")
    models = [HybridMambaConfig(dim=192, pattern=pattern).build(SPEC) for pattern in patterns]
    size = f"{models[0].num_parameters() / 1e6:.1f} M parameters, 4 rows of {batch.shape[1]}"
    for name, autocast in (("fp32", False), ("bf16 autocast", True)):

        def once(model: HybridMamba, autocast: bool = autocast) -> None:
            model.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                sums = head_sums(model, batch)
                loss = sums.event_nats / sums.event_count + (sums.code_nats / sums.code_count).sum()
            loss.backward()

        ours, peer = (measure(lambda model=model: once(model), n) for model in models)
        case = f"training of hybrid {patterns[0]}, {size}, {name}"
        speeds = batch.kind.numel() / ours.median_s, batch.kind.numel() / peer.median_s
        rows.append(Row(case, *speeds, f"the same with {patterns[1]}", "positions/s", True, n, ours.spread))
    return rows


def main() -> None:
    args = parser(str(__doc__)).parse_args()
    other = require_quiet(args.allow_noise)
    torch.set_num_threads(1)
    kept = keep_memory()
    write_results("backbone", "cpu", mixers(args.n) + whole(args.n), other, threads=1, memory_kept=kept)


if __name__ == "__main__":
    main()
