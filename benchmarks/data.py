"""How fast are training rows made, against decoding at training time, and how fast are sets prepared?

The peers do what a plain torch Dataset over a folder does: each row opens files again. For notes: miditok's MIDILike
(the same family of tokens, with programs) through symusic, which tokenises the file and takes a crop. For notes and
sound: that, a crop of the FLAC by soundfile, and the same codec. Ours reads memory maps and also makes the targets and
the legal choices of every position, which the peers leave out. CPU time of one core.

    python benchmarks/data.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import miditok
import numpy as np
import soundfile
import torch
from harness import Row, Timing, measure, parser, require_quiet, write_results

from lh_mm.audio.io import write_audio
from lh_mm.core.streams import collate
from lh_mm.data.mixture import MergedConfig, MergedRows
from lh_mm.data.prepare import prepare
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.recipe import load_recipe
from lh_mm.data.symbolic import RemiConfig
from lh_mm.data.tasks import Accompany, AudioToMidi, Infill, Joint, MidiOnly, MidiToAudio, TaskConfig
from lh_mm.models.load import load_codec, save_codec
from lh_mm.models.rvq_codec import RvqCodecConfig
from lh_mm.music.midi_io import write_midi

CROP_S = 10.0
PIECES, PIECE_S = 8, 60.0
ROWS = 40
CASES: dict[str, tuple[TaskConfig, ...]] = {
    "notes": (MidiOnly(),),
    "notes and sound": (MidiToAudio(), AudioToMidi(), Joint()),
    "all tasks": (MidiToAudio(), AudioToMidi(), Joint(), Accompany(), Infill()),
}


def rows_per_s(timing: Timing) -> float:
    return ROWS / timing.median_s


def ours(source: MergedRows | object, n: int) -> tuple[Timing, float]:
    """Time of rows in batches of four, and mean positions a row."""
    lengths: list[int] = []

    def run() -> None:
        for first in range(0, ROWS, 4):
            made = [[source.train_row(0, first + i)] for i in range(4)]  # type: ignore[attr-defined]
            lengths.extend(len(row[0].merged) for row in made)
            collate(made, source.spec)  # type: ignore[attr-defined]

    return measure(run, n, clock=time.process_time), float(np.mean(lengths))


def decoding(files: list[tuple[Path, Path]], codec: torch.nn.Module | None) -> Callable[[], None]:
    """What a Dataset without preparation does for `ROWS` rows."""
    tokenizer = miditok.MIDILike(miditok.TokenizerConfig(use_programs=True, one_token_stream_for_programs=True))
    length = 24_000 * int(CROP_S)

    def run() -> None:
        rng = np.random.default_rng(0)
        for i in range(ROWS):
            midi, flac = files[i % len(files)]
            ids = tokenizer(midi).ids
            start = int(rng.integers(0, max(1, len(ids) - 512)))
            torch.tensor(ids[start : start + 512])
            if codec is not None:
                first = int(rng.integers(0, 24_000 * int(PIECE_S) // 2))
                wave, _ = soundfile.read(flac, length, first, dtype="float32")
                codec.encode(torch.from_numpy(wave)[None, None])

    return run


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    other = require_quiet(arguments.allow_noise)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # Speed does not depend on what the weights say.
        save_codec(RvqCodecConfig().build(), root / "codec")
        settings = [f"pieces={PIECES}", f"duration_s={PIECE_S}", f"codec.source={root / 'codec'}"]
        start = time.process_time()
        prepared = PreparedSet(prepare(load_recipe("smoke", settings).config, root=root, workers=1))
        preparing_s = time.process_time() - start
        music_s = sum(piece.duration_s for piece in prepared.pieces())

        files = []
        for piece in prepared.pieces("train"):
            score = prepared.score(piece)
            assert score is not None
            write_midi(score, root / f"{piece.id}.mid")
            write_audio(root / f"{piece.id}.flac", prepared.audio(piece, "mix")[: 24_000 * int(PIECE_S)], 24_000)
            files.append((root / f"{piece.id}.mid", root / f"{piece.id}.flac"))
        codec = load_codec(root / "codec")
        name = f"miditok {version('miditok')}"
        peers = {
            "notes": (measure(decoding(files, None), arguments.n, clock=time.process_time), f"{name} on the fly"),
            "notes and sound": (
                measure(decoding(files, codec), arguments.n, clock=time.process_time),  # type: ignore[arg-type]
                f"{name}, soundfile {soundfile.__version__} and the codec on the fly",
            ),
        }
        rows = []
        for case, tasks in CASES.items():
            timing, positions = ours(MergedConfig(tasks=tasks, crop_s=CROP_S).build(prepared), arguments.n)
            peer, peer_name = peers.get(case, (None, ""))
            speed = rows_per_s(timing)
            rows.append(
                Row(
                    f"{case}, {CROP_S:.0f} s crops", speed, rows_per_s(peer) if peer else None, peer_name,
                    "rows a CPU second", True, timing.n, timing.spread,
                )
            )  # fmt: skip
            rows.append(
                Row(
                    f"{case}, positions",
                    speed * positions,
                    None,
                    "",
                    "positions a CPU second",
                    True,
                    timing.n,
                    timing.spread,
                )
            )
        timing, positions = ours(RemiConfig(length=512).build(prepared), arguments.n)
        peer, peer_name = peers["notes"]
        rows.append(
            Row(
                "REMI, windows of 512", rows_per_s(timing), rows_per_s(peer), peer_name, "rows a CPU second", True,
                timing.n, timing.spread,
            )
        )  # fmt: skip
        rows.append(
            Row(
                "prepare (compose, play, encode, analyse)",
                music_s / preparing_s,
                None,
                "",
                "s of music a CPU second",
                True,
                1,
                0.0,
            )
        )
    write_results("data", "cpu", rows, other, crop_s=CROP_S, pieces=PIECES, piece_s=PIECE_S)


if __name__ == "__main__":
    main()
