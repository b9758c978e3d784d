"""What a model is told of sounding notes: ages, and phases as they are in the sound."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lh_mm.audio.instruments.synth import Synth
from lh_mm.core.clock import TempoMap
from lh_mm.music.score import Score, make_notes
from lh_mm.nn.notes import PITCHES, VALUES, NoteInput, note_table

RATE_HZ = 75.0


@pytest.mark.parametrize("harmonics", [0, 3])
def test_a_table_tells_age_and_phase(harmonics: int) -> None:
    table = note_table(RATE_HZ, harmonics).view(PITCHES, VALUES, 3 + 2 * harmonics)
    assert not table[:, 0].any()  # silence
    assert table[:, 1, :3].tolist() == [[1.0, 1.0, 1.0]] * PITCHES
    assert (table[:, 2:, 0] == 1).all()
    assert not table[:, 2:, 1].any()
    assert (table[60, 1:, 2].diff() < 0).all()
    for harmonic in range(1, harmonics + 1):
        turns = 440.0 * harmonic * 7 / RATE_HZ  # A4, seven frames old
        cosine, sine = table[69, 8, 1 + 2 * harmonic : 3 + 2 * harmonic].tolist()
        assert cosine == pytest.approx(math.cos(2 * math.pi * turns), abs=1e-5)
        assert sine == pytest.approx(math.sin(2 * math.pi * turns), abs=1e-5)
        assert not table[:, VALUES - 1, 3:].any()  # of the oldest notes the phase is not known


def test_the_phase_told_is_that_of_a_bass_in_the_sound() -> None:
    tempo, rate = TempoMap.constant(120.0), 24_000
    for pitch in (28, 33, 40):
        note = {"start_s": 0.2, "end_s": 1.2, "pitch": pitch, "program": 38, "velocity": 100}
        wave = Synth(channels=1).render(Score(make_notes([note], tempo), tempo, 1.4), rate)[0]
        hz = 440.0 * 2 ** ((pitch - 69) / 12)
        told = note_table(RATE_HZ, 1).view(PITCHES, VALUES, 5)[pitch]
        turned = []
        for age in range(10, 40):
            start = round((0.2 + age / RATE_HZ) * rate)
            part = wave[start : start + round(4 / hz * rate)] * np.hanning(round(4 / hz * rate))
            heard = np.angle(part @ np.exp(-2j * np.pi * hz / rate * np.arange(len(part))))
            turned.append(heard - math.atan2(told[1 + age, 4], told[1 + age, 3]))
        spread = np.abs(np.mean(np.exp(1j * np.array(turned))))
        assert spread > 0.95, pitch  # one constant angle between what is told and what sounds


def test_states_are_read_row_by_row() -> None:
    torch.manual_seed(0)
    notes = NoteInput(8, RATE_HZ, harmonics=1)
    states = torch.zeros(2, 3, 2 * PITCHES, dtype=torch.uint8)
    states[0, 1, 60], states[1, 2, PITCHES + 36] = 5, 2
    told = notes(states)
    assert told.shape == (2, 3, 8)
    assert sorted(told.abs().sum(-1).nonzero().tolist()) == [[0, 1], [1, 2]]
    alone = notes(states[0, 1])
    assert torch.allclose(told[0, 1], alone, atol=1e-6)
