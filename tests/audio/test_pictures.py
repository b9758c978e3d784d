"""Pictures: decodable, small, different for different music, and drawn without touching global state."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lh_mm.audio.pictures import curves, piano_roll, spectrogram, waveform
from lh_mm.core.clock import TempoMap
from lh_mm.music.score import Score, make_notes


def score(num_notes: int = 300, drums: bool = True) -> Score:
    tempo_map = TempoMap.constant(125.0)
    rows = [
        {
            "start_beat": i / 4,
            "end_beat": i / 4 + 0.5,
            "pitch": 36 if drums and i % 3 == 0 else 40 + i * 7 % 40,
            "track": i % 3,
            "drum": drums and i % 3 == 0,
        }
        for i in range(num_notes)
    ]
    return Score(
        make_notes(rows, tempo_map), tempo_map, num_notes * 0.12 + 1.0, tracks=("drums", "bass", "$\\lead_{<b>$")
    )


def pixels(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def test_pictures_weigh_little_and_share_their_width() -> None:
    wave = np.random.default_rng(0).standard_normal(10 * 24_000).astype(np.float32) * 0.2
    pictures = [piano_roll(score()), spectrogram(wave, 24_000), waveform(wave, 24_000)]
    assert {pixels(picture).shape[1] for picture in pictures} == {1200}
    assert max(map(len, pictures)) < 150_000
    assert len(curves({"loss": (range(2000), np.random.default_rng(0).standard_normal(2000))})) < 150_000


def test_what_is_drawn_is_what_is_given() -> None:
    whole, first, no_drums = piano_roll(score()), piano_roll(score(), end_s=4.0), piano_roll(score(drums=False))
    assert len({whole, first, no_drums}) == 3
    assert piano_roll(score()) == whole
    tone = np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)
    high = np.sin(2 * np.pi * 4400 * np.arange(24_000) / 24_000)
    rows = [pixels(spectrogram(each, 24_000))[20:200, 600].astype(int).sum(1).argmax() for each in (tone, high)]
    assert rows[1] < rows[0]  # higher on the page


@pytest.mark.parametrize("num_tracks", [1, 6, 7, 20])
def test_a_legend_of_many_long_names_lies_inside_the_picture(num_tracks: int) -> None:
    tempo_map = TempoMap.constant(125.0)
    rows = [{"start_beat": i, "end_beat": i + 1, "pitch": 50 + i, "track": i} for i in range(num_tracks)]
    names = tuple(f"a quite long name of track {i}" for i in range(num_tracks))
    drawn = pixels(piano_roll(Score(make_notes(rows, tempo_map), tempo_map, 20.0, tracks=names)))
    white = (drawn > 250).all(-1)
    assert white[:4].all() and white[:, :4].all() and white[:, -4:].all()
    assert not white[:60].all()


@pytest.mark.parametrize("samples", [0, 1, 100])
def test_empty_and_very_short_things_have_pictures(samples: int) -> None:
    wave = np.zeros(samples, np.float32)
    for picture in (spectrogram(wave, 24_000), waveform(wave, 24_000)):
        assert pixels(picture).shape[1] == 1200
    empty = Score(make_notes([], TempoMap.constant(120)), TempoMap.constant(120), 0.0)
    assert pixels(piano_roll(empty)).shape[1] == 1200
    pixels(curves({}))
    pixels(curves({"a": ([0, 1, 2], [1.0, float("nan"), 2.0])}, floors={"floor": 1.5}))


def test_nothing_global_is_imported_or_changed() -> None:
    code = (
        "import sys, matplotlib; before = dict(matplotlib.rcParams)\n"
        "from lh_mm.audio.pictures import curves\n"
        "curves({'a': ([0, 1], [0, 1])})\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules\n"
        "assert dict(matplotlib.rcParams) == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
