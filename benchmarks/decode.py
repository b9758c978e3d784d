"""How fast is a position generated, and how fast is music?

One position at a time behind contexts of growing length, hybrid against the same stack with attention alone; then
generation itself, at 75 frames a second and 4 codebooks: sound for dense notes, and notes with sound from nothing.
Weights are random: speed does not depend on them, but an untrained model writes 100 times as many notes as music has,
so notes with sound are counted in positions and not in seconds of music.

    python benchmarks/decode.py --threads 2
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch
from harness import Row, parser, require_quiet, write_results

from lh_mm.core.merge import AudioStream, EventStream, merge
from lh_mm.core.streams import Row as SequenceRow
from lh_mm.core.streams import SequenceSpec, StreamSpec, collate
from lh_mm.generate.request import Request
from lh_mm.generate.sampler import Generation
from lh_mm.generate.sampling import Sampling
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig
from lh_mm.music.vocabulary import EventVocabulary
from lh_mm.nn.layout import lay_out_for_steps

VOCABULARY = EventVocabulary()
SPEC = SequenceSpec((StreamSpec("midi", "midi", VOCABULARY.size), StreamSpec("mix", "codes", 1024, 4)), rate_hz=75.0)
NOTES_PER_S = 20
TOKENS_PER_NOTE = 5
NOTHING = np.zeros(0, np.int64)
SOUND = AudioStream("mix", "generated", np.zeros((0, 4), np.int64))


def notes(num_frames: int, rng: np.random.Generator) -> EventStream:
    """As many tokens as dense music has, at random."""
    count = round(num_frames / SPEC.rate_hz * NOTES_PER_S * TOKENS_PER_NOTE)
    clocks = np.sort(rng.integers(0, num_frames, count))
    return EventStream("midi", "given", -2, clocks, rng.integers(0, VOCABULARY.size, count))


def position_ms(model: HybridMamba, contexts: Sequence[int], steps: int) -> list[tuple[float, float]]:
    """Median milliseconds of one position behind each context, and their spread."""
    rng, num_frames = np.random.default_rng(0), 2 * max(contexts)
    codes = AudioStream("mix", "generated", rng.integers(0, 1024, (num_frames, 4)))
    merged = merge([notes(num_frames, rng)], [codes], num_frames)
    batch = collate([[SequenceRow(merged, ["given", "generated"], [-2])]], SPEC)
    out = []
    for context in contexts:
        state, at = model.init_state(1, max_length=context + steps), 0
        while at < context:
            end = min(at + 1024, context)
            _, state = model.hidden(batch.positions(at, end), state)
            at = end
        seconds = []
        for i in range(context, context + steps):
            part = batch.positions(i, i + 1)
            start = time.perf_counter()
            _, state = model.hidden(part, state)
            seconds.append(time.perf_counter() - start)
        middle = statistics.median(seconds)
        low, *_, high = statistics.quantiles(seconds, n=10)
        out.append((1e3 * middle, (high - low) / middle))
    return out


def main() -> None:
    arguments = parser(str(__doc__))
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--seconds", type=float, default=8.0, help="of music for notes that are given")
    args = arguments.parse_args()
    other = require_quiet(args.allow_noise)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    patterns = ("M-M-*-M-M-", "*-*-*-*-*-")
    hybrid, attention = (
        HybridMambaConfig(dim=192, pattern=p).build(SPEC).eval().requires_grad_(False) for p in patterns
    )
    for model in (hybrid, attention):
        lay_out_for_steps(model)
    size = f"{hybrid.num_parameters() / 1e6:.1f} M parameters"
    rows, contexts, steps = [], (512, 2048, 8192), 200
    with torch.inference_mode():
        ours, peers = (position_ms(model, contexts, steps) for model in (hybrid, attention))
    for context, (ms, spread), (peer_ms, _) in zip(contexts, ours, peers, strict=True):
        case = f"a position behind {context}, {size}"
        rows.append(Row(case, ms, peer_ms, "the same with *-*-*-*-*-", "ms", False, steps, spread))

    num_frames = round(args.seconds * SPEC.rate_hz)
    given = Request((notes(num_frames, np.random.default_rng(1)),), (SOUND,), num_frames)
    drawn = Request((EventStream("midi", "generated", 0, NOTHING, NOTHING),), (SOUND,), 10)
    for name, request, num_rows in (
        (f"sound for notes ({NOTES_PER_S} a second), 1 row", given, 1),
        (f"sound for notes ({NOTES_PER_S} a second), 8 rows", given, 8),
        ("notes with sound, 1 row", drawn, 1),
    ):
        generation = Generation(hybrid, [request] * num_rows, VOCABULARY, codes=Sampling(top_p=0.95))
        results = generation.results()
        if request is given:
            speed, unit = sum(r.num_frames for r in results) / SPEC.rate_hz / generation.seconds, "s of music/s"
        else:
            speed, unit = sum(r.num_positions for r in results) / generation.seconds, "positions/s"
        rows.append(Row(f"{name}, {size}", speed, None, "", unit, True, generation.num_calls, 0.0))
    write_results("decode", "cpu", rows, other, threads=args.threads)


if __name__ == "__main__":
    main()
