"""`pop909`: 909 pop songs as melody, bridge and piano (Wang et al., ISMIR 2020, arXiv:2008.07142), MIT licence.

The files' ticks are not beats: only 12.9 % of onsets fall on sixteenths of the ticks, 93 % on those of the
annotated beats. So the tempo map is `beat_midi.txt`. The three tracks are all piano in the files; here each
is a program of its own, because which track a note is in is something a model has to say. The alternative
arrangements (`versions/`) are never read, so no song is in two splits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from lh_mm.data.corpora.base import Quarantine, SourceError, SourceItem, source_file
from lh_mm.data.sources import PublicCorpus, check_content
from lh_mm.data.splits import Split
from lh_mm.music.beats import on_beats, read_beats
from lh_mm.music.midi_io import MidiError, read_midi
from lh_mm.music.score import Piece, Score

PROGRAMS: Mapping[str, int] = {"MELODY": 80, "BRIDGE": 48, "PIANO": 0}
"""General MIDI programs (from 0) of the three tracks: a square lead, strings, a grand piano."""

_FOLDER = "POP909"
_NEEDED = ("{song}.mid", "beat_midi.txt")
_OPTIONAL = ("key_audio.txt", "chord_midi.txt")


class Pop909Config(PublicCorpus):
    """Where the songs are, and how many are taken."""

    kind: Literal["pop909"] = "pop909"

    def build(self, licence: str, root: Path) -> Pop909:
        return Pop909(self, licence, root)


class Pop909:
    """The adapter."""

    VERSION = "1"

    def __init__(self, config: Pop909Config, licence: str, root: Path) -> None:
        self.config, self.licence, self.root = config, licence, root

    def listing(self) -> list[SourceItem]:
        songs = sorted(path for path in (self.root / _FOLDER).glob("[0-9][0-9][0-9]") if path.is_dir())
        if not songs:
            raise SourceError(f"{self.root}: no songs; expected folders {_FOLDER}/001, {_FOLDER}/002, ...")
        items = []
        for number, song in enumerate(songs, 1):
            names = [name.format(song=song.name) for name in (*_NEEDED, *_OPTIONAL)]
            files = tuple(source_file(self.root, song / name) for name in names if (song / name).is_file())
            items.append(SourceItem(f"pop909-{song.name}", files, split_of_number(number)))
        check_content(self.config.source, (file for item in items for file in item.files), self.root)
        return items[: self.config.pieces]

    def read(self, item: SourceItem) -> Piece:
        song = item.id.removeprefix("pop909-")
        folder = self.root / _FOLDER / song
        try:
            score = read_midi(folder / f"{song}.mid")
            beats = read_beats(folder / "beat_midi.txt")
        except FileNotFoundError as error:
            raise Quarantine(f"{Path(error.filename).name} is missing") from error
        except (MidiError, ValueError) as error:
            raise Quarantine(str(error)) from error
        score = on_beats(_with_programs(score), beats)
        labels: dict[str, str | float | int] = {"tempo_bpm": round(_median_tempo_bpm(score), 2)}
        if (key := _key(folder / "key_audio.txt")) is not None:
            labels["key"] = key
        return Piece(item.id, score, (), labels, self.licence, "none")


def split_of_number(number: int) -> Split:
    """The split of the n-gram floors: of ten songs in order, counted from 1, the tenth tests, the first validates."""
    return "test" if number % 10 == 0 else "valid" if number % 10 == 1 else "train"


def _with_programs(score: Score) -> Score:
    """A program for each track, by its name."""
    notes = score.notes.copy()
    for track, name in enumerate(score.tracks):
        if name not in PROGRAMS:
            raise Quarantine(f"a track is called {name!r}; {', '.join(PROGRAMS)} are expected")
        notes["program"][notes["track"] == track] = PROGRAMS[name]
    return replace(score, notes=notes)


def _median_tempo_bpm(score: Score) -> float:
    return float(60.0 / np.median(np.diff(score.tempo_map.seconds)))


def _key(path: Path) -> str | None:
    """The key that most of the song is in, as `G:maj`; the file gives `start end key` lines."""
    if not path.is_file():
        return None
    seconds: dict[str, float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        start, end, key = line.split()
        seconds[key] = seconds.get(key, 0.0) + float(end) - float(start)
    return max(seconds, key=lambda key: seconds[key]) if seconds else None
