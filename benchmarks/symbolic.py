"""How fast are models of notes alone, and how fast do notes become tokens?

Tokens: the 388 performance events of ours against miditok's MIDILike, the same MIDI files, one core; from files, and of
notes that were read before. Training: tokens a second of one step of the models of
experiments/baseline/symbolic/pop909_performance_*, in turns. Decoding: one token behind contexts of 512 to 8,192, the
hybrid and each other model in turns, with what generation gives each (caches that grow in place, packed weights;
Hugging Face's own cache for its model); random weights, positions as many as are needed.

    python benchmarks/symbolic.py --threads 2
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import miditok
import numpy as np
import symusic
import torch
from harness import Row, measure_together, parser, require_quiet, write_results

from lh_mm.core.streams import SequenceSpec, StreamBatch, StreamSpec, collate
from lh_mm.data.note_rows import row_of_tokens
from lh_mm.models.hybrid_mamba import HybridMamba
from lh_mm.models.likelihood import head_sums
from lh_mm.music.compose import STYLES, compose
from lh_mm.music.midi_io import read_midi
from lh_mm.music.midi_write import write_midi
from lh_mm.music.performance import SIZE, Performance
from lh_mm.nn.allocator import keep_memory
from lh_mm.nn.linear import pack_for_steps
from lh_mm.run.experiment import load_experiment

EXPERIMENTS = {
    "hybrid": "baseline/symbolic/pop909_performance_hybrid",
    "Music Transformer": "baseline/symbolic/pop909_performance_music_transformer",
    "GPT-2 of transformers": "baseline/symbolic/pop909_performance_gpt2",
    "MuseNet": "baseline/symbolic/pop909_musenet",
}
SPEC = SequenceSpec((StreamSpec("midi", "midi", SIZE),), 75.0, merged=False)
CONTEXTS = (512, 2048, 8192)
LENGTH, BATCH = 768, 8
PIECES = 24


def model_of(name: str, longest: int) -> Any:
    """The experiment's model for performance events, with room for so many positions."""
    config: Any = load_experiment(EXPERIMENTS[name]).config.model
    if name == "MuseNet":
        config = config.model_copy(update={"max_positions": longest})
    elif name.startswith("GPT-2"):
        config = config.model_copy(update={"shape": {**config.shape, "n_positions": longest}})
    torch.manual_seed(0)
    return config.build(SPEC)


def batch_of(rows: int, length: int) -> StreamBatch:
    """Random tokens that stand where random notes would."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(rows):
        ids = rng.integers(0, SIZE, length)
        clocks = np.cumsum((rng.random(length) < 0.3).astype(np.int64))
        made.append([row_of_tokens(ids, clocks, first=0, ends=True, is_start=True, controls=[], legal=None)])
    return collate(made, SPEC)


def tokens_a_second(n: int) -> list[Row]:
    """Files to ids, and notes to ids, on one core."""
    theirs = miditok.MIDILike(miditok.TokenizerConfig(use_programs=False, use_velocities=True, num_velocities=32))
    ours, rows = Performance(), []
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for i in range(PIECES):
            score = compose(i, list(STYLES)[i % len(STYLES)], duration_s=120.0).score
            assert score is not None
            files.append(Path(folder) / f"{i}.mid")
            write_midi(score, files[-1])
        scores, their_scores = [read_midi(f) for f in files], [symusic.Score(f) for f in files]
        count = sum(len(ours.encode(score).ids) for score in scores)
        cases: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "388 events of MIDI files": (
                lambda: [ours.encode(read_midi(f)) for f in files], lambda: [theirs(symusic.Score(f)) for f in files],
            ),
            "388 events of notes in memory": (
                lambda: [ours.encode(score) for score in scores], lambda: [theirs(score) for score in their_scores],
            ),
        }  # fmt: skip
        for case, (own, other) in cases.items():
            a, b = measure_together([own, other], n=n, clock=time.process_time)
            peer = f"miditok {version('miditok')} MIDILike"
            speed = PIECES / a.median_s
            label = f"{case}, {count // PIECES} a piece of two minutes"
            rows.append(Row(label, speed, PIECES / b.median_s, peer, "pieces a CPU second", True, a.n, a.spread))
    return rows


def training(n: int) -> list[Row]:
    """Tokens a second of forward, backward and optimiser, all models in turns."""
    batch, steps = batch_of(BATCH, LENGTH), []
    models = {name: model_of(name, LENGTH + 1) for name in EXPERIMENTS}
    for model in models.values():
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

        def step(model: Any = model, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.zero_grad()
            sums = head_sums(model, batch)
            (sums.event_nats / sums.event_count).backward()
            optimizer.step()

        steps.append(step)
    timings = measure_together(steps, n=n, warm_up=2)
    speeds = [BATCH * LENGTH / timing.median_s for timing in timings]
    size = f"{models['hybrid'].num_parameters() / 1e6:.1f} M parameters, {BATCH} rows of {LENGTH}"
    return [
        Row(f"training the hybrid, {size}", speeds[0], speed, name, "tokens/s", True, timings[0].n, timings[0].spread)
        for name, speed in list(zip(models, speeds, strict=True))[1:]
    ]


class Reader:
    """A model behind a context, one token at a time."""

    def __init__(self, model: Any, context: int, steps: int) -> None:
        self.model, self.batch = model, batch_of(1, context + steps)
        self.state, self.at = model.init_state(1), 0
        while self.at < context:
            end = min(self.at + 512, context)
            _, self.state = model.hidden(self.batch.positions(self.at, end), self.state)
            self.at = end

    def step(self) -> None:
        hidden, self.state = self.model.hidden(self.batch.positions(self.at, self.at + 1), self.state)
        self.model.event_logits(hidden)
        self.at += 1


@torch.inference_mode()
def decoding(steps: int) -> list[Row]:
    """Tokens a second behind contexts, the hybrid and each other model in turns."""
    longest = max(CONTEXTS) + 8 * steps
    models = {name: model_of(name, longest).eval().requires_grad_(False).half().float() for name in EXPERIMENTS}
    for model in models.values():  # as a bundle holds its weights: then ours are packed
        pack_for_steps(model)
    hybrid = models.pop("hybrid")
    assert isinstance(hybrid, HybridMamba)
    rows = []
    for context in CONTEXTS:
        for name, model in models.items():
            readers = [Reader(each, context, steps) for each in (hybrid, model)]
            a, b = measure_together([r.step for r in readers], n=steps - 10, warm_up=10, extremes=0.1)
            case = f"the hybrid's token behind {context}"
            rows.append(Row(case, 1 / a.median_s, 1 / b.median_s, name, "tokens/s", True, a.n, a.spread))
    return rows


def main() -> None:
    arguments = parser(str(__doc__))
    arguments.add_argument("--threads", type=int, default=2)
    args = arguments.parse_args()
    other = require_quiet(args.allow_noise)
    keep_memory()  # as training has it, for all models
    torch.set_num_threads(1)
    rows = tokens_a_second(args.n)
    torch.set_num_threads(args.threads)
    rows += training(args.n)
    rows += decoding(steps=80)
    write_results("symbolic", "cpu", rows, other, threads=args.threads)


if __name__ == "__main__":
    main()
