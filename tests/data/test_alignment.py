"""The proof of alignment: what belongs together passes, what is moved, stretched or foreign does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lh_mm.audio.instruments.synth import Synth
from lh_mm.audio.onsets import find_onsets
from lh_mm.data.alignment import Agreement, agreement, agreement_with
from lh_mm.music.compose import compose

RATE = 24_000


SECONDS = 20.0
Made = tuple[NDArray[np.float64], NDArray[np.float64], float]


@pytest.fixture(scope="module", params=[2, 3], ids=["techno", "dnb"])
def piece(request: pytest.FixtureRequest) -> Made:
    """Note onsets, the onsets heard in their sound, seconds of a beat."""
    made = compose(request.param, duration_s=SECONDS)
    assert made.score is not None
    wave = Synth.for_labels(made.labels, channels=1).render(made.score, RATE)[0]
    return made.score.notes["start_s"], find_onsets(wave, RATE), 60.0 / float(made.labels["tempo_bpm"])


def test_what_belongs_together_is_proved(piece: Made) -> None:
    starts, heard, _ = piece
    rng = np.random.default_rng(0)
    exact = agreement_with(starts, heard, SECONDS)
    assert exact.problem == "" and exact.f1 > 0.85 and len(exact.offsets_s) >= 3
    assert max(abs(offset) for offset in exact.offsets_s) < 0.01
    assert agreement_with(starts[rng.random(len(starts)) < 0.5], heard, SECONDS).problem == ""
    assert agreement_with(starts + rng.normal(0, 0.010, len(starts)), heard, SECONDS).problem == ""
    assert agreement_with(starts - 0.012, heard, SECONDS).problem == ""


def test_what_does_not_is_refused(piece: Made) -> None:
    starts, heard, beat_s = piece
    for moved in (
        starts - 0.035, starts + 0.035, starts - 0.08, starts + beat_s / 4, starts + beat_s, starts + 4 * beat_s,
        starts - 2 * beat_s, starts * 1.003, starts * 0.995,
    ):  # fmt: skip
        assert agreement_with(moved, heard, SECONDS).problem
    other = compose(7, duration_s=SECONDS).score
    assert other is not None
    assert "too little" in agreement_with(other.notes["start_s"], heard, SECONDS).problem


def test_reasons_have_figures() -> None:
    assert "3 note onsets are too few" in Agreement(0, 0, 0, (), (), 3).problem
    assert "off by +1, +40 ms" in Agreement(0.9, 0.3, 0.5, (0.001, 0.040), (0.5, 0.5), 50).problem
    assert "0.95 instead of 0.90" in Agreement(0.9, 0.3, 0.95, (0.0,), (0.5,), 50).problem


def test_silence_and_few_notes_prove_nothing() -> None:
    silence = np.zeros(RATE * 5, np.float32)
    assert agreement(np.arange(0, 5, 0.1), silence, RATE).problem
    assert "too few" in agreement(np.array([1.0, 2.0]), silence, RATE).problem
