"""`lh data listen`: a page with players, piano rolls and spectrograms of some pieces of a prepared set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lh_mm.audio.pictures import piano_roll, spectrogram
from lh_mm.data.prepared import PieceInfo, PreparedSet
from lh_mm.evaluate.report import Audio, Code, Picture, Report, Section, write_report
from lh_mm.run.prepare import stats_table


def listen(prepared: PreparedSet, out: Path, *, pieces: int = 6, seconds: float = 20.0) -> Path:
    """Writes the page and returns its path.

    Args:
        prepared: a set whose sound was kept or can be rendered; notes without sound are only drawn.
        out: the HTML file.
        pieces: how many, spread over the set.
        seconds: of each, from where it is fullest.
    """
    every = prepared.pieces()
    chosen = [every[int(i)] for i in np.unique(np.linspace(0, len(every) - 1, min(pieces, len(every))).astype(int))]
    sections = [Section("The set", items=(Code(stats_table(prepared)),))]
    sections += [_section(prepared, piece, seconds) for piece in chosen]
    report = Report(
        f"Listen to {prepared.about['name']}",
        f"{len(every)} pieces, {prepared.stats['all']['hours']:.2f} hours; {len(chosen)} of them here. "
        f"Licence: {prepared.about['licence']}.",
        tuple(sections),
        notes=("Synthetic music, composed and played by code.",) if chosen[0].labels.get("synthetic") else (),
    )
    return write_report(report, out)


def _section(prepared: PreparedSet, piece: PieceInfo, seconds: float) -> Section:
    start_s = _fullest(prepared, piece, seconds)
    end_s = min(start_s + seconds, piece.duration_s)
    score = prepared.score(piece)
    rolls: tuple[Picture, ...] = ()
    if score is not None:
        caption = f"notes from {start_s:.0f} to {end_s:.0f} s"
        rolls = (Picture(piano_roll(score.crop(start_s, end_s)), f"Piano roll of {piece.id}", caption),)
    labels = ", ".join(f"{key} {value}" for key, value in piece.labels.items() if key != "synthetic")
    text = f"{piece.split}, {piece.duration_s:.0f} s, {piece.num_notes} notes. {labels}"
    players = []
    rate = prepared.sample_rate
    for number, track in enumerate(piece.tracks):
        wave = prepared.audio(piece, track)[round(start_s * rate) : round(end_s * rate)]
        picture = Picture(spectrogram(wave, rate), f"Spectrogram of {piece.id}, {track}")
        origin = "rendered by the built-in synthesizer" if piece.record["rendered"] else "recorded"
        players.append(Audio(track, wave, rate, origin, (*(rolls if number == 0 else ()), picture)))
    return Section(piece.id, text, tuple(players) or rolls)


def _fullest(prepared: PreparedSet, piece: PieceInfo, seconds: float) -> float:
    """The start, in whole seconds, of the stretch with the most notes: intros are quiet."""
    starts = prepared.notes(piece)["start_s"]
    candidates = np.arange(0.0, max(1.0, piece.duration_s - seconds), 1.0)
    counts = [int(((starts >= t) & (starts < t + seconds)).sum()) for t in candidates]
    return float(candidates[int(np.argmax(counts))])
