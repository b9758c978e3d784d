"""Sounding notes as a model reads them: what sounds, for how long, and in what phase it is by now.

A codec frame of 13 ms is shorter than a period of a bass, so the pitch of a bass is in no frame: it is in how far the
phase goes on from frame to frame, and a model that is told "E1 sounds" has to count for itself. Here each sounding note
is told with the cosine and sine of its first harmonics as far as they have turned since its beginning, as the sine
excitation of neural source-filter models (Wang, Takaki and Yamagishi 2019, arXiv:1904.12088). Where an instrument
starts each note alike this fixes the phase; where it does not, the model is free to pass it over.

Shapes: B rows, L positions, R = 2 x 128 values (pitches, then drums; see `music/note_state.py`), D width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lh_mm.nn.linear import Linear

PITCHES = 128
VALUES = 256
"""Of a state: 0 is silence, v an age of v - 1 frames, the last one that age or more."""
FADE_FRAMES = 5.0
"""Time constant of what tells a young note from an old one."""


class NoteInput(nn.Module):
    """States of notes to what is added at their positions.

    Args:
        dim: D.
        rate_hz: frames a second.
        harmonics: how many of each pitch are told with their phase; 0 tells ages alone.
    """

    pitch_table: Tensor
    drum_table: Tensor

    def __init__(self, dim: int, rate_hz: float, harmonics: int = 2) -> None:
        super().__init__()
        self.harmonics = harmonics
        self.register_buffer("pitch_table", note_table(rate_hz, harmonics), persistent=False)  # (128 x 256, 3 + 2 H)
        self.register_buffer("drum_table", note_table(rate_hz, 0), persistent=False)  # (128 x 256, 3)
        columns = self.pitch_table.shape[1] + self.drum_table.shape[1]
        self.proj = Linear(PITCHES * columns, dim)
        nn.init.normal_(self.proj.weight, std=0.02)

    def forward(self, states: Tensor) -> Tensor:
        """(..., R) uint8 to (..., D)."""
        rows = states.long() + torch.arange(PITCHES, device=states.device).repeat(2) * VALUES
        pitched = F.embedding(rows[..., :PITCHES], self.pitch_table).flatten(-2)
        drums = F.embedding(rows[..., PITCHES:], self.drum_table).flatten(-2)
        told: Tensor = self.proj(torch.cat([pitched, drums], dim=-1))
        return told


def note_table(rate_hz: float, harmonics: int) -> Tensor:
    """(128 x 256, 3 + 2 H): of each pitch and state, whether it sounds, begins, is young, and cosines and sines."""
    age = torch.arange(VALUES, dtype=torch.float64) - 1
    sounds = (age >= 0).double()
    columns = [sounds, (age == 0).double(), sounds * torch.exp(-age / FADE_FRAMES)]
    table = torch.stack(columns, dim=-1).expand(PITCHES, -1, -1)  # (128, 256, 3)
    hz = 440.0 * 2.0 ** ((torch.arange(PITCHES, dtype=torch.float64) - 69) / 12)
    known = (age >= 0) & (age < VALUES - 2)  # the last value is of all older notes
    for harmonic in range(1, harmonics + 1):
        turns = torch.outer(hz, age) * (harmonic / rate_hz)
        phase = 2 * math.pi * (turns - turns.floor())
        table = torch.cat([table, torch.stack([phase.cos() * known, phase.sin() * known], dim=-1)], dim=-1)
    return table.reshape(PITCHES * VALUES, -1).float()
