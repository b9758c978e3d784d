"""Every crop of every task: targets are legal, what is given is given, and windows are parts of the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lh_mm.core.merge import ZERO, AudioStream, EventStream, Kind, merge
from lh_mm.core.streams import ROLES, Row, SequenceSpec, collate
from lh_mm.data.mixture import MergedConfig, MergedRows
from lh_mm.data.prepared import PreparedSet
from lh_mm.data.tasks import (
    Accompany,
    AudioOnly,
    AudioToMidi,
    Infill,
    Joint,
    MidiOnly,
    MidiToAudio,
    Plan,
    TaskConfig,
)
from lh_mm.music.events import NOTE_OFF, NOTE_ON, VELOCITY, encode_events
from lh_mm.music.grammar import Grammar
from lh_mm.run.prepare import prepare

TASKS: tuple[TaskConfig, ...] = (
    Joint(delays=(-2, 0, 3)),
    AudioOnly(),
    MidiOnly(),
    MidiToAudio(delays=(-2, 0), note_dropout=0.2),
    AudioToMidi(delays=(1, 4)),
    Accompany(),
    Infill(),
)


@pytest.fixture(scope="module")
def rows(smoke: PreparedSet) -> MergedRows:
    return MergedConfig(tasks=TASKS, crop_s=3.0).build(smoke)


def only(rows: MergedRows, task: TaskConfig, **settings: float) -> MergedRows:
    return MergedConfig(tasks=(task,), crop_s=3.0, **settings).build(rows.prepared)


def legal(row: Row, spec: SequenceSpec) -> np.ndarray:
    """(L, V + 2) as a model would unpack it."""
    found = collate([[row]], spec).legal_events(spec.event_vocabulary_size)
    assert found is not None
    return found[0].numpy()


def check_targets(row: Row, spec: SequenceSpec) -> None:
    batch = collate([[row]], spec)
    allowed = batch.legal_events(spec.event_vocabulary_size)
    target = batch.event_target[0]
    at = (target >= 0).nonzero()[:, 0]
    if allowed is not None:
        assert allowed[0][at].gather(1, target[at, None]).all()
        assert not allowed[0, :, VELOCITY + 32 : -2].any()  # ids kept free are never legal
    else:
        assert not len(at)
    codes = batch.code_target[0]
    assert ((codes >= 0) & (codes < spec.codebook_size) | (codes == ZERO)).all()


@given(index=st.integers(0, 10**6))
def test_no_mask_ever_meets_a_target(rows: MergedRows, index: int) -> None:
    row = rows.train_row(0, index)
    check_targets(row, rows.spec)
    assert (row.merged.event_target >= 0).any() or (row.merged.code_target >= 0).any()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_each_task_by_itself(rows: MergedRows, task: TaskConfig) -> None:
    own = only(rows, task, condition_dropout=0.0)
    for index in range(12):
        row = own.train_row(1, index)
        check_targets(row, own.spec)
        roles = dict(zip((*own.spec.event_streams, *own.spec.audio_tracks), row.roles, strict=True))
        wanted = {
            "joint": ("generated", "generated"),
            "audio_only": ("absent", "generated"),
            "midi_only": ("generated", "absent"),
            "midi_to_audio": ("given", "generated"),
            "audio_to_midi": ("generated", "given"),
        }.get(task.kind)
        if wanted is not None:
            assert (roles["midi"], roles.get("mix", "absent")) == wanted
        if task.kind == "accompany":
            assert roles["midi"] == "generated" and roles["midi_ctx"] == "given"
        if task.kind == "infill":
            assert "generated" in roles.values()
            assert (row.merged.kind == Kind.FILL).sum() == 1


def test_rows_are_the_same_whoever_asks(rows: MergedRows) -> None:
    for index in (0, 5, 17):
        one, two = rows.train_row(3, index), rows.train_row(3, index)
        for name in ("kind", "slot", "event_id", "codes", "event_target", "code_target"):
            np.testing.assert_array_equal(getattr(one.merged, name), getattr(two.merged, name))
        assert one.controls == two.controls
    assert len({rows.train_row(3, i).merged.event_id.tobytes() for i in range(20)}) > 15
    assert len({rows.train_row(seed, 0).merged.event_id.tobytes() for seed in range(20)}) > 10


@given(start=st.integers(0, 700), delay=st.integers(-3, 3), seed=st.integers(0, 9))
def test_a_window_is_a_part_of_the_whole_sequence(rows: MergedRows, start: int, delay: int, seed: int) -> None:
    reader, prepared = rows.reader, rows.prepared
    piece = prepared.pieces()[seed % len(prepared)]
    plan = Plan("generated", audio="generated", delay=delay, length_asked=bool(seed % 2))
    start = min(start, reader.num_slots(piece, plan) - 1)
    row = reader.window(piece, plan, start, 150, np.random.default_rng(0))
    events = encode_events(prepared.notes(piece), prepared.rate_hz, piece.num_frames, rows.vocabulary)
    clocks, ids, onsets = (np.asarray(x, np.int64) for x in (events.clocks, events.ids, events.onset_clocks))
    none = np.zeros(0, np.int64)
    streams = [
        EventStream("midi_ctx", "absent", 0, none, none),
        EventStream("midi", "generated", delay, clocks, ids, onsets),
    ]
    audio = [AudioStream("mix", "generated", np.asarray(prepared.codes(piece, "mix")))]
    window = (row.merged.first_slot, row.merged.last_slot + 1)
    whole = merge(streams, audio, piece.num_frames, length_asked=plan.length_asked, window=window)
    for name in ("kind", "slot", "clock", "event_id", "stream", "codes", "event_target", "code_target", "hole"):
        np.testing.assert_array_equal(getattr(row.merged, name), getattr(whole, name), err_msg=name)
    # `may` of a window knows no clocks of earlier events: END is a little less restricted, nothing else differs.
    np.testing.assert_array_equal(row.merged.may & ~4, whole.may & ~4)


@given(start=st.integers(0, 500), seed=st.integers(0, 9))
def test_a_cut_is_a_piece_of_its_own(rows: MergedRows, start: int, seed: int) -> None:
    reader, prepared = rows.reader, rows.prepared
    piece = prepared.pieces()[seed % len(prepared)]
    start = min(start, piece.num_frames - 10)
    row = reader.cut(
        piece, Plan("generated", audio="generated", length_asked=True), start, 100, np.random.default_rng(0)
    )
    end = min(start + 100, piece.num_frames)
    merged = row.merged
    assert merged.num_frames == end - start and merged.is_start and row.is_crop == (start > 0)
    ids = merged.event_id[merged.kind == Kind.EVENT]
    begun = (ids < NOTE_OFF).sum()
    ended = ((ids >= NOTE_OFF) & (ids < 256)).sum()
    assert begun == ended  # every note that begins in the cut ends in it
    frames = merged.codes[(merged.kind == Kind.FRAME) & (merged.slot >= 0), 0]
    np.testing.assert_array_equal(frames[: end - start, 0], prepared.codes(piece, "mix")[start:end, 0])


def test_a_cut_does_not_teach_the_end_where_music_goes_on(rows: MergedRows) -> None:
    for task in (Joint(length_asked=0.0), MidiOnly(length_asked=0.0), AudioOnly(length_asked=0.0)):
        own = only(rows, task, cut_share=1.0, end_share=0.3)
        v = own.spec.event_vocabulary_size
        known, ended = set(), 0
        for index in range(40):
            row = own.train_row(0, index)
            batch = collate([[row]], own.spec)
            has_end = bool((batch.event_target == v + 1).any())
            ended += has_end
            known.add(bool(batch.header.length[0, 0]))
            assert not (has_end and row.merged.length_known)
        assert known == {True, False} and ended


def test_dropped_conditions_keep_slots_lead_and_length(rows: MergedRows) -> None:
    reader, piece = rows.reader, rows.prepared.pieces("train")[0]
    for plan in (
        Plan("given", audio="generated", delay=-2),
        Plan("generated", audio="given", delay=2),
        Plan("generated", "given", "given", context_delay=-1, ahead=1, split_programs=True),
    ):
        for make in (reader.window, reader.cut):
            with_, without = (
                make(piece, chosen, 100, 150, np.random.default_rng(4)) for chosen in (plan, plan.without_condition())
            )
            m, n = with_.merged, without.merged
            assert (n.first_slot, n.last_slot, n.num_frames) == (m.first_slot, m.last_slot, m.num_frames)
            assert n.length_known and m.length_known
            assert without.delays == with_.delays
            assert [r for r in without.roles if r == "given"] == []
            assert [r == "generated" for r in without.roles] == [r == "generated" for r in with_.roles]
            np.testing.assert_array_equal(n.event_target[n.event_target != -1], m.event_target[m.event_target != -1])
            np.testing.assert_array_equal(n.code_target[n.code_target >= 0], m.code_target[m.code_target >= 0])
            given_streams = [i for i, role in enumerate(with_.roles[:2]) if role == "given"]
            assert not np.isin(n.stream, given_streams).any()
            if with_.roles[2] == "given":
                assert (n.codes == ZERO).all() and (m.codes != ZERO).any()


def test_given_frames_have_their_features_and_no_others(rows: MergedRows) -> None:
    reader, prepared = rows.reader, rows.prepared
    piece = prepared.pieces("train")[0]
    expected = np.asarray(prepared.features(piece, "mix"), np.float32)
    reach = prepared.about["features"]["reach_frames"]
    assert reach > 0
    plan = Plan("generated", audio="given", delay=2)
    window = reader.window(piece, plan, 102, 100, np.random.default_rng(0))  # slots from 102 - lead
    cut = reader.cut(piece, plan, 102, 100, np.random.default_rng(0))
    for row, offset in ((window, 0), (cut, 102)):
        batch = collate([[row]], rows.spec)
        assert batch.features is not None and batch.feature_given is not None and batch.feature_index is not None
        shown = (batch.feature_index[0] >= 0).nonzero()[:, 0]
        assert len(shown) >= 95
        for position in shown.tolist():
            index = int(batch.feature_index[0, position])
            frame = int(row.merged.frame[position]) + offset
            if batch.feature_given[0, 0, index]:
                np.testing.assert_allclose(batch.features[0, 0, index].numpy(), expected[frame])
            else:
                assert not batch.features[0, 0, index].any()
    assert window.feature_given is not None and window.feature_given.all()
    # What the first features of a cut hear lies before it.
    assert cut.feature_given is not None
    assert not cut.feature_given[:, :reach].any() and cut.feature_given[:, reach:].all()
    assert reader.cut(piece, replace(plan, audio="generated"), 0, 50, np.random.default_rng(0)).features is None


def test_a_shorter_sound_before_the_cut_changes_no_given_feature(rows: MergedRows) -> None:
    """The rule in terms of sound: features that count are those of the cut sound alone."""
    prepared = rows.prepared
    piece = prepared.pieces("train")[0]
    assert prepared.feature_config is not None
    transform = prepared.feature_config.build(prepared.sample_rate, prepared.rate_hz)
    hop = round(prepared.sample_rate / prepared.rate_hz)
    wave = torch.from_numpy(prepared.audio(piece, "mix")[102 * hop : 202 * hop])
    alone = transform(wave[None])[0].numpy()
    row = rows.reader.cut(piece, Plan("generated", audio="given"), 102, 100, np.random.default_rng(0))
    assert row.features is not None and row.feature_given is not None
    np.testing.assert_allclose(row.features[row.feature_given], alone[row.feature_given[0]], atol=2e-3)
    assert np.abs(row.features[0, 0] - alone[0]).max() > 0.1


def test_note_dropout_leaves_out_given_notes_only(rows: MergedRows) -> None:
    reader, piece = rows.reader, rows.prepared.pieces("train")[0]
    plan = Plan("given", audio="generated")

    def onsets(chosen: Plan) -> int:
        merged = reader.cut(piece, chosen, 0, piece.num_frames, np.random.default_rng(1)).merged
        return int(((merged.event_id >= 0) & (merged.event_id < NOTE_OFF)).sum())

    assert onsets(replace(plan, note_dropout=0.5)) < 0.8 * onsets(plan)
    generated = replace(plan, midi="generated")
    assert onsets(replace(generated, note_dropout=0.5)) == onsets(generated) == onsets(plan)


def test_accompaniment_splits_instruments_and_loses_none(rows: MergedRows) -> None:
    reader, piece = rows.reader, rows.prepared.pieces("train")[0]
    plan = Plan("generated", "given", split_programs=True)
    merged = reader.cut(piece, plan, 0, piece.num_frames, np.random.default_rng(2)).merged
    programs = [set(), set()]
    for stream, event in zip(merged.stream, merged.event_id, strict=True):
        if stream >= 0 and 384 <= event < VELOCITY:
            programs[stream].add(int(event))
    assert programs[0] and programs[1] and not programs[0] & programs[1]
    whole = reader.cut(piece, Plan("generated"), 0, piece.num_frames, np.random.default_rng(2)).merged
    assert (merged.kind == Kind.EVENT).sum() == (whole.kind == Kind.EVENT).sum()


def test_masks_are_those_of_the_state_machine(rows: MergedRows) -> None:
    """Slowly, one push at a time, against the vectorised masks."""
    own = only(rows, Joint(delays=(-1,)), cut_share=0.5)
    vocabulary, v = own.vocabulary, own.spec.event_vocabulary_size
    for index in range(6):
        row = own.train_row(2, index)
        allowed, m = legal(row, own.spec), row.merged
        grammar = Grammar(vocabulary)
        generated = own.spec.event_streams.index("midi")
        for i in range(len(m)):
            if m.kind[i] == Kind.EVENT and m.stream[i] == generated:
                grammar.push(int(m.event_id[i]))
            elif m.kind[i] == Kind.FRAME:
                grammar.next_slot()
            expected = grammar.mask() if m.may[i] & 1 else np.zeros(v, bool)
            np.testing.assert_array_equal(allowed[i, :v], expected)
            assert allowed[i, v] == (grammar.at_border and bool(m.may[i] & 2))
            assert allowed[i, v + 1] == (grammar.at_border and bool(m.may[i] & 4))


def test_masks_of_a_hole_bar_what_sounds_into_it_and_a_frame_on_a_sounding_note(rows: MergedRows) -> None:
    own = only(rows, Infill(what={"midi": 1.0}, hole_s=(0.5, 1.0)))
    v, seen_silent = own.spec.event_vocabulary_size, 0
    for index in range(30):
        row = own.train_row(0, index)
        m, allowed = row.merged, legal(row, own.spec)
        fill = int(np.flatnonzero(m.kind == Kind.FILL)[0])
        assert not allowed[:fill, :v].any()
        last = m.slot[fill] + m.hole[fill] - 1
        sounding: set[tuple[int, int]] = set()
        program = -1
        for i in range(fill, len(m) - 1):
            token = int(m.event_id[i])
            if m.kind[i] == Kind.EVENT and own.spec.event_streams[m.stream[i]] == "midi":
                if 384 <= token < VELOCITY:
                    program = token - 385
                elif token < NOTE_OFF:
                    sounding.add((program, token))
                elif token < 256:
                    sounding.remove((program, token - NOTE_OFF))
            decides = m.slot[i] if m.kind[i] != Kind.FRAME else m.slot[i] + 1
            if decides == last and sounding:
                assert not allowed[i, v]
                seen_silent += 1
        assert not sounding
    assert seen_silent


def test_controls_are_of_the_piece_and_dropped_in_training_only(rows: MergedRows) -> None:
    names = [control.name for control in rows.spec.controls]
    assert names == ["style", "key", "tempo", "density"]
    kept = np.array([rows.train_row(0, i).controls for i in range(60)]) > 0
    assert 0.5 < kept.mean() < 0.9 and (~kept).all(axis=1).any()


def test_validation_is_fixed_and_without_dropout(rows: MergedRows) -> None:
    kinds = set()
    for index in range(len(TASKS)):
        one, two = rows.valid_row(index), rows.valid_row(index)
        np.testing.assert_array_equal(one.merged.event_id, two.merged.event_id)
        np.testing.assert_array_equal(one.merged.codes, two.merged.codes)
        kinds.add(tuple(ROLES.index(role) for role in one.roles))
        check_targets(one, rows.spec)
    assert len(kinds) >= 5
    assert rows.has("valid") and rows.has("test")


def test_a_task_that_no_piece_can_serve_is_an_error(rows: MergedRows) -> None:
    prepared = rows.prepared
    silent = PreparedSet(prepared.path)
    silent.about = {**silent.about, "codec": None}
    with pytest.raises(ValueError, match=r"no training piece .* 'midi_to_audio' needs \(notes and sound\)"):
        MergedConfig(tasks=(MidiToAudio(),)).build(silent)
    assert not MergedConfig(tasks=(MidiOnly(),)).build(silent).spec.audio_tracks


def test_delays_of_a_task_are_checked() -> None:
    for make in (
        lambda: MidiToAudio(delays=(1,)), lambda: AudioToMidi(delays=(0,)), lambda: Accompany(given_delays=(1,)),
        lambda: Accompany(delays=(-1,)), lambda: Joint(delays=()), lambda: Joint(delays=(33,)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="delays should be"):
            make()


def test_note_ids() -> None:
    assert (NOTE_ON, NOTE_OFF) == (0, 128)  # the arithmetic of these tests


def test_evaluation_holds_a_split_once(rows: MergedRows) -> None:
    own = MergedConfig(tasks=(Joint(length_asked=0.0), MidiToAudio(), Infill()), crop_s=1.7).build(rows.prepared)
    piece = rows.prepared.pieces("train")[0]
    for kind in ("joint", "midi_to_audio"):
        parts = [each for each in own.evaluation("train") if each.task == kind and each.piece_id == piece.id]
        first = np.concatenate([part.row.merged.code_target[:, 0, 0] for part in parts])
        np.testing.assert_array_equal(first[first >= 0], rows.prepared.codes(piece, "mix")[:, 0])
        assert sum(part.num_notes for part in parts) == (piece.num_notes if kind == "joint" else 0)
        slots = own.reader.num_slots(piece, Plan("generated", audio="generated", delay=-2 if kind != "joint" else 0))
        assert sum(part.seconds for part in parts) == pytest.approx(slots / 75)
        for part in parts:
            check_targets(part.row, own.spec)
    holes = [each for each in own.evaluation("train") if each.task == "infill"]
    assert holes and all(0 < each.seconds <= 1.7 for each in holes)


@pytest.mark.parametrize("task", [Joint(), MidiToAudio(), AudioOnly()])
def test_parallel_codes_of_a_frame_stand_together_and_need_no_tail(smoke: PreparedSet, task: TaskConfig) -> None:
    rows = MergedConfig(tasks=(task,), crop_s=2.0, layout="parallel").build(smoke)
    for index in range(6):
        row = rows.train_row(0, index)
        check_targets(row, rows.spec)
        merged = row.merged
        frames = merged.kind == Kind.FRAME
        shown = merged.codes[frames][:, 0]
        inside = (merged.slot[frames] >= 0) & (merged.slot[frames] < merged.num_frames)
        assert ((shown >= 0).all(axis=1) == inside).all()
        assert ((shown >= 0).any(axis=1) == inside).all()


def test_a_prefix_needs_cuts_and_no_infill() -> None:
    with pytest.raises(ValueError, match="cut_share"):
        MergedConfig(tasks=(MidiToAudio(),), order="prefix")
    with pytest.raises(ValueError, match="infill"):
        MergedConfig(tasks=(Infill(),), order="prefix", cut_share=1)


def test_rows_with_a_prefix_hold_all_notes_of_the_crop_first(smoke: PreparedSet) -> None:
    rows = MergedConfig(tasks=(MidiToAudio(),), crop_s=2.0, order="prefix", cut_share=1, condition_dropout=0).build(
        smoke
    )
    for index in range(6):
        row = rows.train_row(0, index)
        check_targets(row, rows.spec)
        kind = row.merged.kind
        events = int((kind == Kind.EVENT).sum())
        assert (kind[1 : 1 + events] == Kind.EVENT).all()
    assert all(row.seconds > 0 for row in rows.evaluation("valid"))


def test_a_set_with_sound_serves_a_bundle_of_notes_alone(
    codec_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    overrides = ["pieces=3", "duration_s=8", "features=null", f"codec.source={codec_folder}"]
    prepared = prepare("smoke", overrides, workers=1, root=tmp_path_factory.mktemp("alone"))
    alone = MergedConfig(tasks=(MidiOnly(),), crop_s=1).build(prepared)
    assert alone.spec.num_codebooks == 0
    again = MergedConfig(tasks=(MidiOnly(),), crop_s=1).build(prepared, alone.spec)
    assert again.train_row(0, 0).merged.event_id.tolist() == alone.train_row(0, 0).merged.event_id.tolist()
    with pytest.raises(ValueError, match=r"codebooks \d, but the bundle was trained with 0"):
        MergedConfig(tasks=(Joint(),), crop_s=1).build(prepared, alone.spec)
