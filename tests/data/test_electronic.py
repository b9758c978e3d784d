"""The synthetic corpus: shared sounds, and notes that lie where their tokens say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lh_mm.audio.instruments.synth import Synth
from lh_mm.core.clock import TempoMap
from lh_mm.data.corpora.electronic import ElectronicConfig
from lh_mm.data.prepare import prepare
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.recipe import load_recipe
from lh_mm.models.load import load_codec
from lh_mm.music.legal import on_slots
from lh_mm.music.score import Score, make_notes


def sounds(**config: int) -> list[tuple[str, int]]:
    corpus = ElectronicConfig(pieces=12, duration_s=6.0, **config).build("CC0", Path())
    pieces = [corpus.read(item) for item in corpus.listing()]
    return [(str(piece.labels["kit"]), int(piece.labels["preset_seed"])) for piece in pieces]


@pytest.mark.parametrize("count", [1, 3])
def test_pieces_share_as_many_sets_of_sounds_as_asked(count: int) -> None:
    found = sounds(sound_sets=count)
    assert len(set(found)) == count
    assert found[:5] == sounds(sound_sets=count)[:5]
    assert len(set(sounds())) == 12


def test_rendered_notes_lie_where_their_tokens_say(tmp_path: Path, codec_folder: Path) -> None:
    overrides = [f"codec.source={codec_folder}", "features=null", "pieces=2", "duration_s=6", "audio.on_slots=true"]
    prepared = PreparedSet(prepare(load_recipe("smoke", overrides).config, root=tmp_path, workers=1))
    for piece in prepared.pieces():
        notes = prepared.notes(piece)
        assert np.allclose(notes["start_s"] * prepared.rate_hz % 1, 0.5)
        score = prepared.score(piece)
        assert score is not None
        again = Synth.for_labels(piece.labels, channels=1).render(score, prepared.sample_rate)[0]
        assert np.array_equal(prepared.audio(piece, "mix"), again)


def test_a_note_on_its_slot_has_the_same_codes_wherever_it_stands() -> None:
    """What moving notes to their slots is for; without it, each place in a slot has codes of its own."""
    codec, tempo = load_codec("rvq"), TempoMap.constant(120.0)

    def codes_of(start_s: float, moved: bool) -> torch.Tensor:
        note = {"start_s": start_s, "end_s": start_s + 0.3, "pitch": 40, "program": 38, "velocity": 100}
        score = Score(make_notes([note], tempo), tempo, 1.2)
        score = on_slots(score, codec.rate_hz, 90) if moved else score
        wave = Synth(channels=1, target_lufs=-20.0).render(score, codec.sample_rate)
        slot = int(start_s * codec.rate_hz)
        return codec.encode(torch.from_numpy(wave)[None])[0, slot : slot + 20, 0]

    places = (0.5, 0.5 + 0.6 / 75, 0.5 + 7.3 / 75)
    assert len({tuple(codes_of(place, moved=True).tolist()) for place in places}) == 1
    assert len({tuple(codes_of(place, moved=False).tolist()) for place in places}) == 3
