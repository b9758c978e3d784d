"""How fast the built-in synthesizer is on one core, on a dense four-track piece of the composer.

CPU seconds, not wall seconds, so that the figure is "real time a core". Peers, on the same score in the same run:

* DawDreamer with a compiled Faust synthesizer a tonal track (three detuned saws, a resonant low-pass, two envelopes, as
  many voices as the track needs), stereo; it plays no drums and has no side chain, reverb or master;
* our own voices, synthesised anew for every note and without effects: what sharing them brings;
* pretty_midi's `synthesize`: a sine a note, mono, nothing else. No synthesizer, but the floor of what can be heard.

    pip install dawdreamer pretty_midi && python benchmarks/synth.py
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable

import dawdreamer
import numpy as np
import pretty_midi
from harness import Row, measure, parser, require_quiet, write_results

from lh_mm.audio.instruments.effects import master
from lh_mm.audio.instruments.kits import KITS
from lh_mm.audio.instruments.patches import patch_of
from lh_mm.audio.instruments.synth import TARGET_LUFS, Synth
from lh_mm.audio.instruments.voices import add_drums, add_notes
from lh_mm.music.compose import compose
from lh_mm.music.score import Score

UNIT = "s of audio per CPU s"
DURATION_S = 60.0
SEEDS = range(24)
STYLES = ("house", "techno", "electro", "dnb")
FAUST_VOICE = """
import("stdfaust.lib");
freq = hslider("freq", 440, 20, 20000, 0.1);
gain = hslider("gain", 0.5, 0, 1, 0.01);
gate = button("gate");
loudness = en.adsr(0.003, 0.25, 0.7, 0.1, gate);
opening = en.adsr(0.002, 0.3, 0.2, 0.1, gate);
saws = (os.sawtooth(freq * 0.996) + os.sawtooth(freq) + os.sawtooth(freq * 1.004)) / 3;
process = saws : fi.resonlp(min(0.4 * ma.SR, 200 + 6000 * opening), 1.2, 1) * loudness * gain <: _, _;
effect = _, _;
"""


def dense_piece() -> tuple[Score, dict[str, str | float | int]]:
    """The four-track piece of dance music with the most notes a second among the first seeds."""
    best: tuple[float, Score, dict[str, str | float | int]] | None = None
    for seed in SEEDS:
        for style in STYLES:
            piece = compose(seed, style, DURATION_S)
            if piece.score is not None and len(piece.score.tracks) == 4:
                density = len(piece.score.notes) / piece.score.duration_s
                if best is None or density > best[0]:
                    best = density, piece.score, {**piece.labels, "id": piece.id}
    assert best is not None
    return best[1], best[2]


def tonal_tracks(score: Score) -> list[np.ndarray]:
    tonal = score.notes[~score.notes["drum"]]
    return [tonal[tonal["track"] == track] for track in np.unique(tonal["track"])]


def polyphony(notes: np.ndarray) -> int:
    """Most notes at once, each held 0.2 s longer for its release."""
    times = np.concatenate([notes["start_s"], notes["end_s"] + 0.2])
    steps = np.repeat([1, -1], len(notes))
    return int(np.cumsum(steps[np.argsort(times, kind="stable")]).max())


def dawdreamer_render(score: Score, sample_rate: int) -> Callable[[], object]:
    """A compiled engine, ready to render the score's tonal tracks."""
    engine = dawdreamer.RenderEngine(sample_rate, 512)
    graph = []
    for i, notes in enumerate(tonal_tracks(score)):
        voice = engine.make_faust_processor(f"track{i}")
        voice.num_voices, voice.group_voices, voice.release_length = polyphony(notes), True, 0.2
        voice.set_dsp_string(FAUST_VOICE)
        if not voice.compile():
            raise RuntimeError("Faust refused the voice")
        for n in notes:
            start_s, end_s = float(n["start_s"]), float(n["end_s"])
            voice.add_midi_note(int(n["pitch"]), int(n["velocity"]), start_s, end_s - start_s)
        graph.append((voice, []))
    mix = engine.make_add_processor("mix", [1.0 / len(graph)] * len(graph))
    engine.load_graph([*graph, (mix, [voice.get_name() for voice, _ in graph])])
    return lambda: engine.render(score.duration_s)


def note_by_note(score: Score, sample_rate: int) -> np.ndarray:
    """The mix without effects with every note synthesised by itself, mastered."""
    out = np.zeros((2, round(score.duration_s * sample_rate)), np.float32)
    for i in range(len(score.notes)):
        note = score.notes[i : i + 1]
        if note["drum"][0]:
            add_drums(out, KITS["kit00"], note, sample_rate, 0)
        else:
            add_notes(out, patch_of(int(note["program"][0]), 0), note, sample_rate, 0)
    return master(out, sample_rate, TARGET_LUFS)


def sines(score: Score, sample_rate: int) -> Callable[[], object]:
    """The tonal tracks for pretty_midi."""
    midi = pretty_midi.PrettyMIDI()
    for notes in tonal_tracks(score):
        part = pretty_midi.Instrument(int(notes["program"][0]))
        for n in notes:
            when = float(n["start_s"]), float(n["end_s"])
            part.notes.append(pretty_midi.Note(int(n["velocity"]), int(n["pitch"]), *when))
        midi.instruments.append(part)
    return lambda: midi.synthesize(sample_rate)


def main() -> None:
    arguments = parser(__doc__.splitlines()[0]).parse_args()
    other = require_quiet(arguments.allow_noise)
    score, labels = dense_piece()
    voices = ", ".join(str(polyphony(notes)) for notes in tonal_tracks(score))
    daw = f"DawDreamer {dawdreamer.__version__}, Faust saws, {voices} voices, no drums, no effects"
    pretty = f"pretty_midi {importlib.metadata.version('pretty_midi')} synthesize: sines, mono, no drums"
    rows = []
    for case, rate, channels, peer_name, peer, peer_n in (
        ("44.1 kHz stereo", 44100, 2, daw, dawdreamer_render(score, 44100), arguments.n),
        ("24 kHz mono", 24000, 1, daw, dawdreamer_render(score, 24000), arguments.n),
        ("44.1 kHz stereo", 44100, 2, "ours, one synthesis a note", lambda: note_by_note(score, 44100), 1),
        ("44.1 kHz stereo", 44100, 2, pretty, sines(score, 44100), arguments.n),
    ):
        synth = Synth.for_labels(labels, channels)
        ours = measure(lambda: synth.render(score, rate), arguments.n, clock=time.process_time)  # noqa: B023
        theirs = measure(peer, peer_n, warm_up=min(1, peer_n - 1), clock=time.process_time)
        speeds = score.duration_s / ours.median_s, score.duration_s / theirs.median_s
        rows.append(Row(case, speeds[0], speeds[1], peer_name, UNIT, True, ours.n, ours.spread))
    notes_per_s = round(len(score.notes) / score.duration_s, 1)
    print(f"{labels['id']}: {notes_per_s} notes a second for {score.duration_s:.1f} s, {', '.join(score.tracks)}")
    piece = {"id": labels["id"], "tracks": score.tracks, "notes_per_s": notes_per_s}
    write_results("synth", "cpu", rows, other, piece=piece)


if __name__ == "__main__":
    main()
