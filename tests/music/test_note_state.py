"""The note state of every frame against its definition, and rows and requests that carry it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lh_mm.core.merge import AudioStream, EventStream, Kind
from lh_mm.core.streams import SequenceSpec, StreamSpec, collate
from lh_mm.data.mixture import MergedConfig
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.tasks import AudioToMidi, Infill, Joint, MidiToAudio
from lh_mm.generate.request import Request
from lh_mm.generate.sampler import Generation
from lh_mm.models.hybrid_mamba import HybridMambaConfig
from lh_mm.music.note_state import DRUM_FRAMES, NUM_STATES, OFF, OLDEST, ONSET, note_states
from lh_mm.music.score import NOTE_DTYPE

NONE = np.zeros(0, np.int64)


def table(*rows: tuple[float, float, int, bool]) -> np.ndarray:
    notes = np.zeros(len(rows), NOTE_DTYPE)
    for note, (start, end, pitch, drum) in zip(notes, rows, strict=True):
        note["start_s"], note["end_s"], note["pitch"], note["drum"] = start, end, pitch, drum
    return notes


def test_a_state_is_the_age_of_the_younger_note_and_drums_stand_apart() -> None:
    states = note_states(table((0.1, 0.35, 60, False), (0.2, 0.3, 60, False), (0.2, 0.25, 36, True)), 10.0, 0, 6)
    assert states.shape == (6, NUM_STATES)
    assert states[:, 60].tolist() == [OFF, ONSET, ONSET, ONSET + 1, OFF, OFF]
    assert states[:, 128 + 36].tolist() == [OFF, OFF, 1, 2, 3, 4]
    assert states.astype(bool).sum() == 3 + 4


def test_ages_end_at_the_oldest_and_drums_after_their_time() -> None:
    states = note_states(table((0.0, 40.0, 60, False), (0.0, 9.0, 36, True)), 10.0, 0, 300)
    assert states[:, 60].tolist() == [min(1 + n, OLDEST) for n in range(300)]
    assert states[:, 128 + 36].tolist() == [1 + n if n < DRUM_FRAMES else OFF for n in range(300)]


def test_notes_before_the_first_frame_are_left_out() -> None:
    notes = table((0.0, 0.5, 60, False), (0.3, 0.4, 61, False))
    states = note_states(notes, 10.0, 2, 6)
    assert not states[:, 60].any()
    assert states[1, 61] == ONSET
    assert not note_states(notes[:0], 10.0, 2, 6).any()


def test_rows_show_given_notes_two_frames_early_and_nothing_else(smoke: PreparedSet) -> None:
    tasks = (MidiToAudio(delays=(-2,)), AudioToMidi(), Joint())
    rows = MergedConfig(tasks=tasks, crop_s=2.0, given_notes="states", condition_dropout=0).build(smoke)
    assert rows.spec.state_dim == NUM_STATES
    seen = 0
    for index in range(24):
        row = rows.train_row(0, index)
        batch = collate([[row]], rows.spec)
        given = row.roles[0] == "given"
        assert (row.states is not None) == given
        if not given:
            continue
        assert not (row.merged.kind == Kind.EVENT).any()
        assert batch.states is not None
        assert not batch.states[0, batch.kind[0] != Kind.FRAME].any()
        if not row.is_crop:
            continue
        onsets = (row.states == ONSET).sum()
        seen += int(onsets)
    assert seen > 20


def test_a_step_shows_what_the_row_showed() -> None:
    spec = SequenceSpec(
        (StreamSpec("midi", "midi", 600), StreamSpec("mix", "codes", 7, 2), StreamSpec("n", "states", dim=NUM_STATES)),
        10.0,
    )
    torch.manual_seed(0)
    model = HybridMambaConfig(pattern="M-", dim=16, head_dim=8, state_dim=4).build(spec).eval()
    model.requires_grad_(False)
    states = np.zeros((5, NUM_STATES), np.uint8)
    states[3, 60] = ONSET
    sound = AudioStream("mix", "generated", np.zeros((0, 2), np.int64))

    def generated(given: np.ndarray | None, guidance: float = 1.0) -> np.ndarray:
        request = Request((EventStream("midi", "given", -2, NONE, NONE),), (sound,), 5, states=given)
        seen: list[torch.Tensor] = []
        embed = model._embed
        model._embed = lambda batch, *rest: seen.append(batch.states) or embed(batch, *rest)  # type: ignore[method-assign]
        result = Generation(model, [request], guidance=guidance).results()[0]
        model._embed = embed  # type: ignore[method-assign]
        if given is not None and guidance == 1.0:
            shown = torch.cat(seen, dim=1)[0]
            # BOS, then slots -2 .. 5: frame 3 is shown at slot 1.
            assert torch.nonzero(shown).tolist() == [[1 + 3, 60]]
        return result.codes["mix"]

    assert generated(states).shape == (5, 2)
    assert generated(states, guidance=3.0).shape == (5, 2)
    with pytest.raises(ValueError, match="states should have"):
        generated(states[:3])


def test_both_forms_show_the_same_notes(smoke: PreparedSet) -> None:
    tasks = (MidiToAudio(delays=(-2,), note_dropout=0.5),)
    rows = MergedConfig(tasks=tasks, crop_s=2.0, given_notes="both", condition_dropout=0).build(smoke)
    for index in range(12):
        row = rows.train_row(0, index)
        assert row.states is not None
        ids = row.merged.event_id
        is_on = (row.merged.kind == Kind.EVENT) & (ids >= 0) & (ids < 128)
        is_drum = (row.merged.kind == Kind.EVENT) & (ids >= 256) & (ids < 384)
        # Two instruments on one pitch are one in a state.
        told = {(int(s), int(i)) for s, i in zip(row.merged.slot[is_on], ids[is_on], strict=True)}
        told |= {(int(s), int(i) - 128) for s, i in zip(row.merged.slot[is_drum], ids[is_drum], strict=True)}
        at, value = np.nonzero(row.states == ONSET)
        shown = {(int(s), int(v)) for s, v in zip(row.merged.slot[at], value, strict=True)}
        if not row.is_crop:
            assert shown == told
        else:  # the first two slots of a window show notes of which the events stand before it
            assert shown <= told


def test_states_do_not_go_with_infill() -> None:
    with pytest.raises(ValueError, match="infill"):
        MergedConfig(tasks=(Infill(),), given_notes="states")
