"""Nats by type of token and by piece, on rows whose nats are given."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lh_mm.data.evaluation import EvaluationRow
from lh_mm.data.note_rows import row_of_tokens
from lh_mm.evaluate.token_nats import TokenNats, token_type
from lh_mm.music.chorale import Chorale
from lh_mm.music.mmm import Mmm
from lh_mm.music.musenet import Musenet
from lh_mm.music.performance import Performance
from lh_mm.music.remi import Remi
from lh_mm.music.tokenizer import Vocabulary


@pytest.mark.parametrize(
    ("vocabulary", "types"),
    [
        (Performance(), {"NoteOn", "NoteOff", "Shift", "Velocity"}),
        (Remi((0, -1)), {"Bar", "Position", "Track", "Pitch", "Duration"}),
        (Musenet(), {"on", "off", "drum", "wait", "start"}),
        (Chorale(), {"Pitch", "Rest"}),
    ],
)
def test_every_token_has_a_type(vocabulary: Vocabulary, types: set[str]) -> None:
    assert {token_type(vocabulary, i) for i in range(vocabulary.size)} == types


def test_types_of_bars_are_their_blocks() -> None:
    found = {token_type(Mmm(), i) for i in range(Mmm().size)}
    assert {"NOTE_ON", "NOTE_OFF", "TIME_DELTA", "INST", "DENSITY", "BAR_END", "FILL_START"} <= found
    assert len(found) == 18


def own_row(piece: str, ids: list[int], notes: int, seconds: float) -> EvaluationRow:
    row = row_of_tokens(
        np.array(ids), np.arange(len(ids)), first=0, ends=True, is_start=True, controls=[], legal=None
    )  # fmt: skip
    return EvaluationRow(piece, "midi_only", row, seconds, notes)


def test_sums_by_type_and_figures_by_piece() -> None:
    nats = TokenNats(Performance())
    for piece, scale in (("a", 1.0), ("b", 3.0)):
        ids = np.array([60, 265, 188, 389])  # on, shift, off, END
        nats.observe(own_row(piece, [60, 265, 188], 1, 2.0), np.arange(4), ids, scale * np.array([1.0, 2.0, 3.0, 4.0]))
    summary = nats.summary()
    assert summary["types"]["NoteOn"] == {"nats_per_token": 2.0, "tokens": 2}
    assert summary["types"]["END"] == {"nats_per_token": 8.0, "tokens": 2}
    assert summary["nats_per_token"]["value"] == pytest.approx(5.0)
    assert summary["nats_per_note"]["value"] == pytest.approx(20.0)
    assert summary["nats_per_note"]["low"] == pytest.approx(10.0)
    assert summary["bits_per_second"]["value"] == pytest.approx(10.0 / math.log(2))
    assert summary["bits_per_second"]["num_pieces"] == 2


def test_of_chorales_what_changes_is_told_from_what_is_held() -> None:
    nats = TokenNats(Chorale(2))
    tokens = [60, 48, 60, 50, 62, 50]
    nats.observe(own_row("a", tokens, 6, 1.0), np.arange(7), np.array([*tokens, 130]), np.arange(7.0))
    types = nats.summary()["types"]
    assert types["held"] == {"nats_per_token": (2.0 + 5.0) / 2, "tokens": 2}
    assert types["changed"] == {"nats_per_token": (0 + 1 + 3 + 4) / 4, "tokens": 4}
    assert types["END"]["tokens"] == 1
