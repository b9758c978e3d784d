"""What an outside judge hears: note F1 by basic-pitch (Bittner et al. 2022) of sound that was made for notes.

Our own onset finder was tuned by us; this transcriber was not. It was trained on pitched instruments, so drums are left
out of the notes and stay in the sound, and its figures are low for dense mixes: read a row against the rows of the
original sound, of its codec round trip and of other notes, and not by itself.

It wants packages that would replace half of ours, so it lives in an environment of its own:

    lh evaluate RUN keep_crops=64
    python -m venv judge && judge/bin/pip install --no-deps basic-pitch==0.4.0
    judge/bin/pip install onnxruntime librosa mir_eval pretty_midi resampy scikit-learn "setuptools<82"
    judge/bin/python benchmarks/outside_judge.py RUN/crops

With a soundfont (`--soundfont FILE`, any .sf2; `judge/bin/pip install --no-deps tinysoundfont`) there is one more row:
the same notes, played by instruments that neither we nor the model made.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROWS = ("original", "codec", "generated")
TOLERANCE_S = 0.05
NUM_RESAMPLES = 1000


def notes_of(midi: Any) -> tuple[np.ndarray, np.ndarray]:
    """Intervals in seconds and pitches in Hz of the pitched notes of a `pretty_midi.PrettyMIDI`."""
    notes = [note for track in midi.instruments if not track.is_drum for note in track.notes]
    intervals = np.array([[note.start, max(note.end, note.start + 0.01)] for note in notes]).reshape(-1, 2)
    return intervals, 440.0 * 2.0 ** ((np.array([note.pitch for note in notes]) - 69) / 12)


def note_f1(truth: tuple[np.ndarray, np.ndarray], heard: tuple[np.ndarray, np.ndarray]) -> float:
    """Onset within 50 ms and pitch within 50 cents, one to one (mir_eval)."""
    from mir_eval.transcription import precision_recall_f1_overlap

    if not len(truth[1]) or not len(heard[1]):
        return float(len(truth[1]) == len(heard[1]))
    return float(precision_recall_f1_overlap(*truth, *heard, onset_tolerance=TOLERANCE_S, offset_ratio=None)[2])


def interval(values: Sequence[float], pieces: Sequence[str], seed: int = 0) -> dict[str, float]:
    """Mean and 95 % interval over resampled pieces."""
    rng, table = np.random.default_rng(seed), np.array(values)
    groups = [np.flatnonzero(np.array(pieces) == piece) for piece in sorted(set(pieces))]
    means = [
        table[np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])].mean()
        for _ in range(NUM_RESAMPLES)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return {"value": float(table.mean()), "low": float(low), "high": float(high), "num": len(values)}


def by_soundfont(midi: Any, soundfont: Path, path: Path) -> None:
    """Notes of a `pretty_midi.PrettyMIDI` played by a soundfont, as a WAV file of 44.1 kHz."""
    import soundfile
    import tinysoundfont

    rate = 44_100
    synth = tinysoundfont.Synth(gain=-6, samplerate=rate)
    bank = synth.sfload(str(soundfont))
    events = []
    channels = [c for c in range(16) if c != 9]
    for i, track in enumerate(midi.instruments):
        channel = 9 if track.is_drum else channels[i % len(channels)]
        synth.program_select(
            channel, bank, 128 if track.is_drum else 0, 0 if track.is_drum else track.program, track.is_drum
        )
        for note in track.notes:
            events += [(note.end, 0, channel, note.pitch, 0), (note.start, 1, channel, note.pitch, note.velocity)]
    parts, at = [], 0
    for time_s, on, channel, pitch, velocity in [*sorted(events), (midi.get_end_time() + 1.0, 0, 0, 0, 0)]:
        samples = round(time_s * rate) - at
        if samples > 0:
            parts.append(np.frombuffer(bytes(synth.generate(samples)), np.float32).reshape(-1, 2).mean(1))
            at += samples
        if on:
            synth.noteon(channel, pitch, velocity)
        else:
            synth.noteoff(channel, pitch)
    soundfile.write(path, np.concatenate(parts), rate)


def judge(folder: Path, soundfont: Path | None) -> dict[str, Any]:
    """Every kept crop in every row.

    Raises:
        FileNotFoundError: there is no `crops.json`: `lh evaluate RUN keep_crops=64` writes it.
    """
    import pretty_midi
    from basic_pitch import FilenameSuffix, build_icassp_2022_model_path
    from basic_pitch.inference import Model, predict

    crops = json.loads((folder / "crops.json").read_text())
    model = Model(build_icassp_2022_model_path(FilenameSuffix.onnx))
    midis = [pretty_midi.PrettyMIDI(str(folder / f"{i}_notes.mid")) for i in range(len(crops))]
    truths, pieces = [notes_of(midi) for midi in midis], [crop["piece"] for crop in crops]
    names = ROWS if soundfont is None else ("soundfont", *ROWS)  # the last one is heard for `shuffled` too
    scores: dict[str, list[float]] = {row: [] for row in (*names, "shuffled")}
    paired: list[int] = []  # crops that have another piece of their style
    for i, crop in enumerate(crops):
        if soundfont is not None:
            by_soundfont(midis[i], soundfont, folder / f"{i}_soundfont.wav")
        for row in names:
            heard = notes_of(predict(str(folder / f"{i}_{row}.wav"), model)[1])
            scores[row].append(note_f1(truths[i], heard))
        others = [j for j, c in enumerate(crops) if c["style"] == crop["style"] and c["piece"] != crop["piece"]]
        if others:  # of another piece of the style, the nearest in tempo
            j = min(
                others, key=lambda j: (abs(np.log2(crops[j]["tempo_bpm"] / crop["tempo_bpm"])), (j - i) % len(crops))
            )
            scores["shuffled"].append(note_f1(truths[j], heard))
            paired.append(i)
        print(
            f"{i + 1}/{len(crops)} " + ", ".join(f"{row} {values[-1]:.3f}" for row, values in scores.items() if values)
        )
    rows = {row: interval(scores[row], pieces) for row in names}
    share = None
    if paired:  # of the crops that have all three
        rows["shuffled"] = interval(scores["shuffled"], [pieces[i] for i in paired])
        own, codec = (float(np.mean([scores[row][i] for i in paired])) for row in ("generated", "codec"))
        chance = rows["shuffled"]["value"]
        share = (own - chance) / (codec - chance) if codec > chance else None
    return {
        "judge": "basic-pitch 0.4.0, ONNX, default thresholds",
        "soundfont": None if soundfont is None else soundfont.name,
        "tolerance_s": TOLERANCE_S,
        "rows": rows,
        "share_of_reachable": share,
        "num_crops": len(crops),
        "num_pieces": len(set(pieces)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path, help="the folder crops/ of an evaluation")
    parser.add_argument("--soundfont", type=Path, help="a .sf2 file for a row of other instruments")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    result = judge(args.crops, args.soundfont)
    path = args.crops / "outside_judge.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for row, value in result["rows"].items():
        print(f"{row:10} {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]  {value['num']} crops")
    print(f"share of reachable {result['share_of_reachable']}; wrote {path}")


if __name__ == "__main__":
    main()
