"""POP909 as REMI tokens on its annotated beats, read once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lh_mm.music.beats import on_beats, read_beats
from lh_mm.music.midi_io import read_midi
from lh_mm.music.remi import Remi


@pytest.fixture(scope="session")
def pop909_remi(sources: Path) -> list[tuple[NDArray[np.int32], int]]:
    """(token ids, number of notes) of every song in order."""
    remi = Remi(programs=(0, 1, 2))
    programs = {"MELODY": 0, "BRIDGE": 1, "PIANO": 2}
    songs = []
    for folder in sorted((sources / "pop909" / "POP909").glob("[0-9]*")):
        score = on_beats(read_midi(folder / f"{folder.name}.mid"), read_beats(folder / "beat_midi.txt"))
        notes = score.notes.copy()
        notes["program"] = np.array([programs[name] for name in score.tracks])[notes["track"]]
        tokens = remi.encode(replace(score, notes=notes))
        songs.append((tokens.ids, tokens.num_notes))
    return songs
