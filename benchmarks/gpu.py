"""How fast is a GPU: training by length, use of its arithmetic, memory, and single steps with and without graphs.

A stack of our layers against the same stack with the mixers of `mamba_ssm` (left out where it is not installed: `make
gpu`) and against a transformer of equal parameters on torch's own attention, in bfloat16; the experiment `hybrid/base`
on merged sequences; then decoding.

    make gpu && python benchmarks/gpu.py
    python benchmarks/gpu.py --smoke      # the same on any machine, tiny, to see that it runs
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from decode import SPEC, positions_of
from harness import Row, measure, measure_together, parser, require_quiet, write_results
from torch import Tensor, nn

from lh_mm.models.graphs import GraphedSteps
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig
from lh_mm.models.likelihood import head_sums
from lh_mm.nn.attention import look_up
from lh_mm.nn.positions import Positions
from lh_mm.run.experiment import load_experiment
from lh_mm.systems.throughput import peak_matmul_flops

HYBRID, TRANSFORMER = "M-M-*-M-M-M-*-M-", "*-*-*-*-*-*-*-*-"


def stack_of(pattern: str, dim: int, mlp_ratio: float) -> HybridMamba:
    config = HybridMambaConfig(
        pattern=pattern, dim=dim, heads=dim // 64, kv_heads=dim // 64, state_dim=128, mlp_ratio=mlp_ratio, frontend=None
    )
    return config.build(SPEC)


def layer_parameters(model: HybridMamba) -> int:
    return sum(p.numel() for p in model.layers.parameters())


def equal_transformer(dim: int, mlp_ratio: float, wanted: int) -> HybridMamba:
    """The transformer whose layers have as many parameters, by the width of its feed-forward layers."""
    per_unit = (layer_parameters(stack_of(TRANSFORMER, dim, 4)) - layer_parameters(stack_of(TRANSFORMER, dim, 2))) / 2
    two = layer_parameters(stack_of(TRANSFORMER, dim, 2))
    return stack_of(TRANSFORMER, dim, 2 + (wanted - two) / per_unit)


def with_their_mixers(model: HybridMamba) -> HybridMamba | None:
    """The same stack with Mamba-2 layers of mamba_ssm; None where they cannot be had."""
    try:
        from mamba_ssm.modules.mamba2 import Mamba2 as Theirs
    except Exception as error:  # a build for another torch raises anything
        print(f"mamba_ssm: left out ({type(error).__name__}: {error})")
        return None

    class Mixer(nn.Module):
        def __init__(self, dim: int) -> None:
            super().__init__()
            self.inner = Theirs(dim, d_state=128, headdim=64, use_mem_eff_path=False)

        def forward(self, u: Tensor, positions: Positions, state: None = None) -> tuple[Tensor, None]:
            return self.inner(u), None

    for i, symbol in enumerate(model.config.pattern):
        if symbol == "M":
            model.layers[i] = Mixer(model.config.dim)
    return model


def training(model: HybridMamba, rows: int, length: int, device: torch.device) -> Callable[[], None]:
    """Forward and backward of the layers alone, on random input."""
    model.to(device).train()
    x = torch.randn(rows, length, model.config.dim, device=device)
    index = torch.arange(length, device=device).expand(rows, length)
    where = Positions(index, rotary=model.rotary(index, index))
    lookup, _ = look_up(where, None, None)

    def once() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            model.stack(x, where, lookup, ())[0].float().square().mean().backward()

    return once


def by_length(device: torch.device, lengths: tuple[int, ...], dim: int, positions: int, n: int) -> list[Row]:
    ours = stack_of(HYBRID, dim, 2.5)
    millions = layer_parameters(ours) / 1e6
    peers = {"transformer of equal parameters, torch's attention": equal_transformer(dim, 2.5, layer_parameters(ours))}
    if (theirs := with_their_mixers(stack_of(HYBRID, dim, 2.5))) is not None:
        peers["the same with mamba_ssm's mixers"] = theirs
    rows = []
    for length in lengths:
        batch = max(1, positions // length)
        runs = [training(model, batch, length, device) for model in (ours, *peers.values())]
        synchronise = torch.cuda.synchronize if device.type == "cuda" else None
        timings = [measure(run, n, warm_up=3, synchronise=synchronise) for run in runs]
        case = f"training of {HYBRID}, {millions:.0f} M, {batch} rows of {length}, bf16"
        for name, peer in zip(peers, timings[1:], strict=True):
            speeds = (batch * length / t.median_s for t in (timings[0], peer))
            rows.append(Row(case, *speeds, name, "positions/s", True, n, timings[0].spread))
        if device.type == "cuda":
            peaks = []
            for run in runs[:2]:
                torch.cuda.reset_peak_memory_stats()
                run()
                peaks.append(torch.cuda.max_memory_allocated() / 2**30)
            rows.append(Row(f"peak memory, {batch} rows of {length}", *peaks, next(iter(peers)), "GiB", False, 1, 0.0))
    return rows


def whole_model(device: torch.device, experiment: str, rows: int, length: int, n: int) -> list[Row]:
    """An experiment's model on merged sequences, both heads: positions and share of the device's arithmetic."""
    model = load_experiment(experiment).config.model.build(SPEC).to(device)
    batch = positions_of(rows, length).to(device)

    def once() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            sums = head_sums(model, batch)
            loss = sums.event_nats / sums.event_count.clamp_min(1) + (sums.code_nats / sums.code_count).sum()
        loss.backward()

    timing = measure(once, n, warm_up=3, synchronise=torch.cuda.synchronize if device.type == "cuda" else None)
    speed = batch.kind.numel() / timing.median_s
    size = f"{experiment}, {model.num_parameters() / 1e6:.0f} M parameters, {rows} rows of {batch.shape[1]}, bf16"
    out = [Row(f"training of {size}", speed, None, "", "positions/s", True, n, timing.spread)]
    peak = peak_matmul_flops(device.type, "bf16")
    if peak is not None:
        mfu = 3 * speed * model.flops_per_position(batch.shape[1]) / peak
        out.append(Row(f"share of the device's arithmetic, {size}", 100 * mfu, None, "", "%", True, n, timing.spread))
    return out


def decoding(device: torch.device, dim: int, contexts: tuple[int, ...], steps: int) -> list[Row]:
    """Single steps of the windowed hybrid with a graph and without, in turns."""
    model = HybridMambaConfig(
        dim=dim, pattern=HYBRID, heads=dim // 64, kv_heads=min(2, dim // 64), window=512, frontend=None
    )
    built = model.build(SPEC).to(device).eval().requires_grad_(False)
    graphed, rows = GraphedSteps(built), []
    for num_rows in (1, 16):
        for context in contexts:
            batch = positions_of(num_rows, context + steps).to(device)
            readers = []
            for hidden in (built.hidden, graphed.hidden):
                with torch.inference_mode():
                    _, state = built.hidden(batch.positions(0, context), built.init_state(num_rows, device))
                readers.append(_stepping(hidden, batch, state, context, device))
            plain, fast = measure_together(readers, n=steps - 10, warm_up=10, extremes=0.1)
            speeds = (num_rows / t.median_s for t in (fast, plain))
            case = f"steps by a CUDA graph, {num_rows} rows behind {context}, {built.num_parameters() / 1e6:.0f} M"
            rows.append(Row(case, *speeds, "the same without", "positions/s", True, fast.n, fast.spread))
    return rows


def _stepping(hidden: Callable, batch, state, at: int, device: torch.device) -> Callable[[], None]:  # type: ignore[no-untyped-def, type-arg]
    def step() -> None:
        nonlocal state, at
        with torch.inference_mode():
            _, state = hidden(batch.positions(at, at + 1), state)
        if device.type == "cuda":
            torch.cuda.synchronize()
        at += 1

    return step


def main() -> None:
    arguments = parser(str(__doc__))
    arguments.add_argument("--smoke", action="store_true", help="tiny, on whatever device there is; writes nothing")
    args = arguments.parse_args()
    if not args.smoke and not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py needs a CUDA device; --smoke runs without")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    other = 0.0 if args.smoke else require_quiet(args.allow_noise)
    torch.manual_seed(0)
    started = time.perf_counter()
    if args.smoke:
        rows = by_length(device, (64,), 64, 128, 1) + whole_model(device, "hybrid/tiny", 1, 128, 1)
        if device.type == "cuda":
            rows += decoding(device, 64, (64,), 12)
        for row in rows:
            print(f"{row.case}: {row.ours:.3g} {row.unit}, ratio {row.ratio}")
        return
    rows = by_length(device, (4096, 16384, 65536), 1024, 65536, args.n)
    rows += whole_model(device, "hybrid/base", 8, 8192, args.n)
    rows += decoding(device, 512, (512, 8192), 110)
    write_results(
        "gpu", "cuda", rows, other, device=torch.cuda.get_device_name(), seconds=round(time.perf_counter() - started)
    )


if __name__ == "__main__":
    main()
