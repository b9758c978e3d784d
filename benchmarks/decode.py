"""How fast is a position generated, and how fast is music?

One position at a time behind contexts of growing length: a hybrid with a window against transformers of the same width
(feed-forward layers in both, weights packed for steps in both, both compiled, steps in turns), and against itself
behind a short context. Then generation: the shipped model makes sound for dense notes; random weights make sound for
several rows, and notes with sound from nothing, at 75 frames a second and 4 codebooks. An untrained model writes 100
times as many notes as music has, so notes with sound are counted in positions and not in seconds of music.

    python benchmarks/decode.py --threads 2
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from harness import Row, Timing, measure_together, parser, require_quiet, write_results

from lh_mm.core.merge import AudioStream, EventStream, merge
from lh_mm.core.streams import Row as SequenceRow
from lh_mm.core.streams import SequenceSpec, StreamBatch, StreamSpec, collate
from lh_mm.generate.request import Request
from lh_mm.generate.sampler import Generation
from lh_mm.generate.sampling import Sampling
from lh_mm.models.hybrid_mamba import HybridMamba, HybridMambaConfig
from lh_mm.models.hybrid_state import HybridState
from lh_mm.music.beats import TempoMap
from lh_mm.music.score import Score, make_notes
from lh_mm.music.vocabulary import EventVocabulary
from lh_mm.nn.linear import pack_for_steps
from lh_mm.run.generate import Musician

VOCABULARY = EventVocabulary()
SPEC = SequenceSpec((StreamSpec("midi", "midi", VOCABULARY.size), StreamSpec("mix", "codes", 1024, 4)), rate_hz=75.0)
WINDOW = 512
NOTES_PER_S = 20
TOKENS_PER_NOTE = 5
NOTHING = np.zeros(0, np.int64)
SOUND = AudioStream("mix", "generated", np.zeros((0, 4), np.int64))


def notes(num_frames: int, rng: np.random.Generator) -> EventStream:
    """As many tokens as dense music has, at random."""
    count = round(num_frames / SPEC.rate_hz * NOTES_PER_S * TOKENS_PER_NOTE)
    clocks = np.sort(rng.integers(0, num_frames, count))
    return EventStream("midi", "given", -2, clocks, rng.integers(0, VOCABULARY.size, count))


def positions_of(rows: int, length: int) -> StreamBatch:
    """A row of dense notes and codes of at least `length` positions, as often as asked."""
    rng = np.random.default_rng(0)
    num_frames = length // 2
    codes = [AudioStream("mix", "generated", rng.integers(0, 1024, (num_frames, 4)))]
    merged = merge([notes(num_frames, rng)], codes, num_frames)
    assert len(merged.kind) >= length
    return collate([[SequenceRow(merged, ["given", "generated"], [-2])]] * rows, SPEC)


@dataclass
class Reader:
    """A model that has read a context and goes on position by position."""

    model: HybridMamba
    batch: StreamBatch
    state: HybridState
    at: int

    @classmethod
    def behind(cls, model: HybridMamba, rows: int, context: int, steps: int) -> Reader:
        batch = positions_of(rows, context + steps)
        state, at = model.init_state(rows, max_length=context + steps), 0
        while at < context:
            end = min(at + 1024, context)
            _, state = model.hidden(batch.positions(at, end), state)
            at = end
        return cls(model, batch, state, at)

    def step(self) -> None:
        _, self.state = self.model.hidden(self.batch.positions(self.at, self.at + 1), self.state)
        self.at += 1


def in_turns(first: Reader, second: Reader, steps: int) -> tuple[Timing, Timing]:
    """Time single steps of two readers in turns; the first twenty compile and warm caches."""
    return tuple(measure_together([first.step, second.step], n=steps - 20, warm_up=20, extremes=0.1))


def positions(steps: int) -> list[Row]:
    """One position of the windowed hybrid against transformers, and against itself behind a short context."""
    torch.manual_seed(0)
    hybrid = HybridMambaConfig(dim=256, pattern="M-M-*-M-M-", window=WINDOW).build(SPEC)
    peers = {
        f"transformer *-*-*-*-*-, {kv_heads} of 4 key heads, compiled": HybridMambaConfig(
            dim=256, pattern="*-*-*-*-*-", kv_heads=kv_heads
        ).build(SPEC)
        for kv_heads in (4, 2)
    }
    for model in (hybrid, *peers.values()):
        model.eval().requires_grad_(False).half().float()  # as a bundle holds its weights: then they are packed
        pack_for_steps(model)
        model.compile_steps()
    size = f"{hybrid.num_parameters() / 1e6:.1f} M parameters, window {WINDOW}"
    rows = []
    for num_rows, context in ((1, 512), (4, 512), (1, 8192), (4, 8192), (1, 16384)):
        reader = Reader.behind(hybrid, num_rows, context, steps * len(peers))
        for name, peer in peers.items():
            torch.compiler.reset()  # compiled code of all models is counted together, and there is a limit
            ours, theirs = in_turns(reader, Reader.behind(peer, num_rows, context, steps), steps)
            case = f"a position behind {context}, {num_rows} rows, {size}, compiled"
            rows.append(Row(case, 1e3 * ours.median_s, 1e3 * theirs.median_s, name, "ms", False, ours.n, ours.spread))
    torch.compiler.reset()
    far, near = (Reader.behind(hybrid, 1, context, steps) for context in (32768, WINDOW))
    ours, theirs = in_turns(far, near, steps)
    rows.append(
        Row(
            f"a position behind 32768, 1 rows, {size}, compiled", 1e3 * ours.median_s, 1e3 * theirs.median_s,
            f"the same behind {WINDOW}", "ms", False, ours.n, ours.spread,
        )
    )  # fmt: skip
    return rows


def shipped(seconds: float) -> list[Row]:
    """Sound of the shipped model for dense notes on four tracks: seconds of music a second."""
    musician = Musician.load("demo")
    score = dense(seconds)
    rate_hz = musician.ask.rate_hz
    request = musician.ask.midi_to_audio(score, num_frames=round(seconds * rate_hz))
    tokens = len(request.events[0].ids) / seconds
    size = (musician.bundle.path / "model.safetensors").stat().st_size / 1e6
    rows = []
    for guidance in (1.0, 2.0):
        codes = Sampling(temperature=0.9, top_p=0.9)
        generations = [Generation(musician.bundle.model, [request], codes=codes, guidance=guidance) for _ in range(3)]
        timing = measure_together([lambda left=generations: left.pop().results()], n=2, warm_up=1)[0]
        case = f"shipped demo ({size:.1f} MB): sound for {tokens:.0f} event tokens a second, guidance {guidance:g}"
        rows.append(Row(case, seconds / timing.median_s, 1.0, "real time", "s of music/s", True, 2, timing.spread))
    return rows


def dense(seconds: float) -> Score:
    """Drums, bass, lead and pad with 25 notes a second in all."""
    rng, tempo, rows = np.random.default_rng(0), TempoMap.constant(120.0), []
    for track, (program, drum, a_second, lowest) in enumerate(
        [(0, True, 8, 36), (38, False, 6, 36), (81, False, 6, 60), (89, False, 5, 55)]
    ):
        for i in range(round(a_second * seconds)):
            start = i / a_second
            rows.append(
                {
                    "start_s": start, "end_s": min(seconds, start + 0.8 / a_second), "program": program, "drum": drum,
                    "pitch": lowest + int(rng.integers(0, 8)), "velocity": 90, "track": track,
                }
            )  # fmt: skip
    return Score(make_notes(rows, tempo), tempo, seconds, tracks=("drums", "bass", "lead", "pad"))


def main() -> None:
    arguments = parser(str(__doc__))
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--seconds", type=float, default=8.0, help="of music for notes that are given")
    args = arguments.parse_args()
    other = require_quiet(args.allow_noise)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    with torch.inference_mode():
        rows = positions(steps=120)
    rows += shipped(args.seconds)
    hybrid = HybridMambaConfig(dim=192).build(SPEC).eval().requires_grad_(False).half().float()
    size = f"{hybrid.num_parameters() / 1e6:.1f} M parameters"

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
