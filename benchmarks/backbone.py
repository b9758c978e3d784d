"""How fast does the backbone train?

One mixer, forward and backward with its projections, against a transformer's block (attention by torch's own kernel
and a feed-forward network) and against Hugging Face's Mamba-2 at the same shape, and its memory by length; then a whole
hybrid on merged sequences, both heads included, in float32 and in bfloat16 autocast.

    pip install transformers      # the peer; without it its rows are left out
    python benchmarks/backbone.py
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import torch
from harness import Row, measure_together, parser, require_quiet, write_results
from torch import Tensor, nn

from lh_mm.core.merge import AudioStream, EventStream, merge
from lh_mm.core.streams import Row as SequenceRow
from lh_mm.core.streams import SequenceSpec, StreamSpec, collate
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig
from lh_mm.models.likelihood import head_sums
from lh_mm.nn.allocator import keep_memory
from lh_mm.nn.attention import Attention, look_up
from lh_mm.nn.mamba2 import Mamba2
from lh_mm.nn.mlp import SwiGLU
from lh_mm.nn.norm import RMSNorm
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


def hugging_face() -> tuple[str, nn.Module] | None:
    """Mamba-2 of the library `transformers` at the same shape, its default chunk, in torch's own operations."""
    try:
        import transformers
        from transformers import Mamba2Config
        from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
    except ImportError:
        return None
    config = Mamba2Config(
        hidden_size=DIM, state_size=STATE, head_dim=HEAD_DIM, expand=2, num_heads=2 * DIM // HEAD_DIM, n_groups=1,
        num_hidden_layers=1, vocab_size=8,
    )  # fmt: skip
    return f"Mamba2Mixer, transformers {transformers.__version__}", Mamba2Mixer(config, layer_idx=0).train()


class AttentionBlock(nn.Module):
    """What a transformer has for one Mamba layer: attention and a feed-forward network of about its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.mlp, self.norm = Attention(DIM, HEADS, HEADS), SwiGLU(DIM, 2 * DIM), RMSNorm(DIM)

    def forward(self, x: Tensor, where: Positions) -> Tensor:
        x = x + self.attention(x, where, look_up(where, None, None)[0])[0]
        out: Tensor = x + self.mlp(self.norm(x))
        return out


def mixers(n: int) -> list[Row]:
    torch.manual_seed(0)
    mamba, block, peer = Mamba2(DIM, STATE, HEAD_DIM), AttentionBlock(), hugging_face()
    rotary = Rotary(DIM // HEADS, 0.5, SPEC.rate_hz)
    rows = []
    for length in (512, 2048, 8192):
        index = torch.arange(length).unsqueeze(0)
        where = Positions(index, rotary=rotary(index, index))
        for name, autocast in (("fp32", False), ("bf16 autocast", True)):
            runs = {"ours": both_ways(mamba, lambda x, w=where: mamba(x, w)[0], length, autocast)}
            runs[f"causal attention and SwiGLU, torch {torch.__version__}"] = both_ways(
                block, lambda x, w=where: block(x, w), length, autocast
            )
            if peer is not None:
                runs[peer[0]] = both_ways(peer[1], lambda x, m=peer[1]: m(x), length, autocast)
            ours, *others = measure_together(list(runs.values()), n)
            case = f"Mamba-2 mixer, forward and backward, {length} positions, {name}"
            rows += [
                Row(case, length / ours.median_s, length / other.median_s, who, "positions/s", True, n, ours.spread)
                for who, other in zip(list(runs)[1:], others, strict=True)
            ]
    return rows


def peak_mb(length: int) -> float:
    """Peak memory (Linux) of a process that trains a mixer on `length` positions, less that for one position."""
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from lh_mm.nn.mamba2 import Mamba2; from lh_mm.nn.positions import Positions\n"
        f"m = Mamba2({DIM}, {STATE}, {HEAD_DIM}); n = int(sys.argv[1])\n"
        f"x = torch.randn(1, n, {DIM}, requires_grad=True)\n"
        "m(x, Positions(torch.arange(n).unsqueeze(0)))[0].square().mean().backward()\n"
        # Not resource.getrusage: its peak is inherited from the process that started this one.
        "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024)"
    )
    peaks = [
        float(subprocess.run([sys.executable, "-c", code, str(n)], capture_output=True, text=True, check=True).stdout)
        for n in (1, length)
    ]
    return peaks[1] - peaks[0]


def memory() -> list[Row]:
    """Memory a position against that at the shortest length: 1 is linear."""
    lengths = (8_192, 16_384, 32_768, 65_536)
    peaks = {length: peak_mb(length) for length in lengths}
    each = {length: 1024 * peak / length for length, peak in peaks.items()}
    first = each[lengths[0]]
    return [
        Row(
            f"peak memory of a mixer a position, {length} of them, {peaks[length]:.0f} MB", each[length], first,
            f"the same at {lengths[0]}", "kB", False, 1, 0.0,
        )
        for length in lengths
    ]  # fmt: skip


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

        ours, peer = measure_together([lambda model=model: once(model) for model in models], n)
        case = f"training of hybrid {patterns[0]}, {size}, {name}"
        speeds = batch.kind.numel() / ours.median_s, batch.kind.numel() / peer.median_s
        rows.append(Row(case, *speeds, f"the same with {patterns[1]}", "positions/s", True, n, ours.spread))
    return rows


def main() -> None:
    arguments = parser(str(__doc__))
    arguments.add_argument("--threads", type=int, default=1)
    args = arguments.parse_args()
    other = require_quiet(args.allow_noise)
    torch.set_num_threads(args.threads)
    kept = keep_memory()
    write_results(
        "backbone", "cpu", mixers(args.n) + memory() + whole(args.n), other, threads=args.threads, memory_kept=kept
    )


if __name__ == "__main__":
    main()
