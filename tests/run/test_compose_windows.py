"""Windows that a model of MMM's tokens writes into: what it is told, its room, and what is drawn again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lh_mm.core.streams import SequenceSpec, StreamSpec
from lh_mm.generate.sampling import Sampling
from lh_mm.generate.tokens import TokenRequest, TokenWriter
from lh_mm.models.hf import HfConfig
from lh_mm.music.bars import BarTrack, Window, without_overlaps
from lh_mm.music.mmm import BAR_END, FILL_END, FILL_START, FIRST, SIZE, TRACK_START, Mmm
from lh_mm.run import compose_windows
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose import WARMER
from lh_mm.run.compose_windows import WindowJob, WindowMade, _is_poor, _plan, fill_windows

SPEC = SequenceSpec((StreamSpec("midi", "midi", SIZE),), 40.0, merged=False)
ON, DELTA = FIRST["NOTE_ON"], FIRST["TIME_DELTA"]


def track(*notes: tuple[int, int, int], instrument: int = 0) -> BarTrack:
    return BarTrack(instrument, without_overlaps(np.array(notes, np.int64).reshape(-1, 3)))


def window(*tracks: BarTrack, bars: int = 4) -> Window:
    return Window(tracks, np.arange(bars + 1) * 48)


def busy(count: int, bars: int = 4) -> Window:
    """Tracks with a note of every beat."""
    notes = [(tick, tick + 6, 60 + tick // 48) for tick in range(0, 48 * bars, 12)]
    return window(*(track(*notes, instrument=i) for i in range(count)), bars=bars)


def bundle_of(length: int, model: Any = None) -> Bundle:
    experiment = SimpleNamespace(sequence=SimpleNamespace(length=length))
    return cast(Bundle, SimpleNamespace(experiment=experiment, vocabulary=Mmm(), manifest={"name": "x"}, model=model))


def drawn(request: TokenRequest, choose: Callable[[NDArray[np.bool_]], int]) -> TokenWriter:
    """A request written by somebody who chooses among what is legal."""
    writer = TokenWriter(request.completed(SPEC), SPEC, Mmm())
    asks = writer.run()
    try:
        ask = next(asks)
        while True:
            assert ask.mask is not None
            ask = asks.send(choose(ask.mask))
    except StopIteration:
        return writer


def never_ends(seed: int) -> Callable[[NDArray[np.bool_]], int]:
    """Anything rather than END, and what closes hardly ever, so that room ends anywhere."""
    rng = np.random.default_rng(seed)
    chances = np.ones(SIZE + 2)
    chances[[FILL_END, BAR_END]] = 10.0 ** rng.integers(-2, 3)
    chances[DELTA] = 100.0
    chances[TRACK_START] = 1e6
    chances[SIZE + 1] = 1e-9

    def choose(mask: NDArray[np.bool_]) -> int:
        legal = mask * chances
        return int(rng.choice(SIZE + 2, p=legal / legal.sum()))

    return choose


def test_what_sounds_on_from_before_the_window_counts_too_and_as_long_as_in_the_piece() -> None:
    own = window(track((0, 150, 50), (60, 70, 50)))  # the window ends the first where its pitch is struck again
    whole = np.array([[-9, 24, 60], [-9, 100, 61], [0, 150, 50], [60, 70, 50]])
    job = WindowJob(own, ((0, 0), (0, 1), (0, 2)), notes=(whole,))
    request, _ = _plan(Mmm(), job, 1024, 0, True)
    assert request.limits is not None
    assert request.limits.held == (((60, 24), (61, 100)), ((61, 100),), ((61, 100),))
    kept = replace(job, holes=((0, 1), (0, 2)))  # where the first stays, and the second goes
    request, _ = _plan(Mmm(), kept, 1024, 0, True)
    assert request.limits is not None
    assert request.limits.held == (((61, 100), (50, 150)), ((61, 100), (50, 150)))


def test_it_is_told_what_sounds_on_into_its_holes() -> None:
    first = track((0, 190, 50), (40, 110, 60), (60, 120, 64), (100, 160, 67), (130, 144, 70))
    second = track((10, 60, 40), (47, 49, 41), (20, 48, 42), instrument=33)
    job = WindowJob(window(first, second), ((1, 1), (0, 2), (0, 1), (0, 3)), max_polyphony=1)
    request, order = _plan(Mmm(), job, 512, 0, masked=True)
    assert order == [0, 1] and request.limits is not None
    # 64 and 67 begin in bars that are open, too: they will be gone. 42 ends with its bar.
    two, three = ((50, 190), (60, 110)), ((50, 190),)
    assert request.limits.held == (two, two, three, ((40, 60), (41, 49)))
    # Of three tracks the one that is not written into does not fit; numbers of tracks are the window's all the same.
    spare = track(*((tick, tick + 2, 80) for tick in range(0, 192, 4)))
    moved = replace(job, window=window(spare, first, second), holes=((2, 1), (1, 1)))
    request, order = _plan(Mmm(), moved, 220, 0, masked=True)
    assert order == [1, 2] and request.limits is not None
    assert request.limits.held == (two, ((40, 60), (41, 49)))


@pytest.mark.parametrize("voices", [1, 2])
def test_a_cap_holds_in_filled_bars_with_what_is_held_into_them(voices: int) -> None:
    held = track((24, 72, 60), (30, 180, 62))
    job = WindowJob(window(held), ((0, 1), (0, 3)), max_polyphony=voices, max_notes=6)
    count = 0
    for seed in range(10):
        request, order = _plan(Mmm(), job, 256, seed, masked=True)
        writer = drawn(request, never_ends(seed))
        made = compose_windows._read(Mmm(), job, order, request, writer, 1)
        new = np.concatenate([made.fills[hole] for hole in job.holes])
        count += len(new)
        for tick in range(192):
            sounding = int(((new[:, 0] <= tick) & (new[:, 1] > tick)).sum())
            stay = held.notes[(held.notes[:, 0] <= tick) & (held.notes[:, 1] > tick)]
            assert not sounding or sounding + len(stay) <= voices
            assert not set(new[new[:, 0] == tick, 2].tolist()) & set(stay[:, 2].tolist())
    assert count


JOBS = {
    "twelve holes": WindowJob(busy(3), tuple((t, bar) for t in range(3) for bar in range(4))),
    "sixty-four holes": WindowJob(busy(8, 8), tuple((t, bar) for t in range(8) for bar in range(8))),
    "one hole": WindowJob(busy(1), ((0, 2),)),
    "a track": WindowJob(busy(2), new_track=(3, {"DENSITY": 4})),
    "a track of eight bars": WindowJob(busy(2, 8), new_track=(3, {})),
    "a track and holes": WindowJob(busy(2), ((0, 1), (1, 1), (1, 2)), new_track=(3, {})),
    "from nothing": WindowJob(window()),
    "from nothing, eight bars": WindowJob(window(bars=8)),
}


def least_length(job: WindowJob) -> int:
    """Of a model that the job is not refused for."""
    for length in range(1, 4000):
        try:
            _, order = _plan(Mmm(), job, length, 0, masked=True)
        except ValueError as error:
            assert "at least; the model was trained with" in str(error)
            continue
        if len(order) == len(job.window.tracks):
            return length
    raise AssertionError("nothing is long enough")


@pytest.mark.parametrize("name", JOBS)
def test_what_is_written_has_room_in_the_model_whenever_it_ends(name: str) -> None:
    job, least = JOBS[name], least_length(JOBS[name])
    for length in (least, least + 1, least + 37):
        for seed in range(12):
            request, order = _plan(Mmm(), job, length, 0, masked=True)
            assert request.max_tokens >= 16
            writer = drawn(request, never_ends(seed))
            assert len(writer.ids) <= length
            made = compose_windows._read(Mmm(), job, order, request, writer, 1)
            assert made.cut != writer.ended
            Mmm().decode(writer.ids, job.window.lines)  # all is closed
    unmasked, _ = _plan(Mmm(), job, least, 0, masked=False)
    assert len(drawn(unmasked, never_ends(0)).ids) <= least


def test_a_model_of_as_many_positions_fills_many_bars_behind_a_long_prompt() -> None:
    torch.manual_seed(0)
    job = JOBS["twelve holes"]
    length = least_length(job)
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 32, "n_positions": length + 1}
    model = HfConfig(shape=shape, dropout=0).build(SPEC).eval()
    (made,), _ = fill_windows(bundle_of(length, model), [job], Sampling())
    assert made.cut and set(made.fills) == set(job.holes)
    with pytest.raises(ValueError, match=rf"needs 40 at least; the model was trained with {length - 1}"):
        fill_windows(bundle_of(length - 1, model), [job], Sampling())


OLD = track((0, 12, 60), (50, 70, 64), (90, 100, 67))
SILENT: tuple[int, ...] = ()
COPY = (DELTA + 1, ON + 64, DELTA + 19, ON + 128 + 64, DELTA + 19, ON + 67)
"""What stands in bar 1 of `OLD`, the note that is held on cut at the bar's end by FILL_END."""
NEW = (ON + 72,)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Generations that were asked for; request i of a try is answered by `answers`, a list of fills for each seed."""
    seen: list[Any] = []

    def generation(model: Any, requests: Sequence[TokenRequest], mmm: Mmm, *, events: Sampling, guidance: float) -> Any:
        seen.append(SimpleNamespace(answers=model, requests=requests, events=events, guidance=guidance))
        return seen[-1]

    def written(made: Any, shown: Any) -> list[Any]:
        writers = []
        for request in made.requests:
            number, attempt = divmod(request.seed, 101)
            ids = [*request.prompt.tolist(), FILL_START, *made.answers[number][attempt], FILL_END]
            writers.append(SimpleNamespace(ids=ids, num_illegal=0, ended=True))
        return writers

    monkeypatch.setattr(compose_windows, "Generation", generation)
    monkeypatch.setattr(compose_windows, "written", written)
    return seen


def two_jobs() -> list[WindowJob]:
    return [WindowJob(window(OLD), ((0, 1),), seed=seed) for seed in (0, 1)]


@pytest.mark.parametrize("poor", [SILENT, COPY])
def test_silence_and_copies_alone_are_drawn_again_and_warmer(asked: list[Any], poor: tuple[int, ...]) -> None:
    answers = [[poor, NEW, ()], [NEW, (), ()]]
    made, _ = fill_windows(bundle_of(512, answers), two_jobs(), Sampling(temperature=0.9, top_p=0.8))
    assert [one.tries for one in made] == [2, 1]
    assert [one.fills[(0, 1)].tolist() for one in made] == [[[48, 96, 72]]] * 2
    assert [[request.seed for request in one.requests] for one in asked] == [[0, 101], [1]]
    assert [one.events for one in asked] == [Sampling(0.9, top_p=0.8), Sampling(0.9 * WARMER, top_p=0.8)]


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_no_more_tries_than_asked(asked: list[Any], tries: int) -> None:
    made, _ = fill_windows(bundle_of(512, [[SILENT, COPY, SILENT, NEW], [NEW]]), two_jobs(), Sampling(), tries=tries)
    assert [one.tries for one in made] == [tries, 1]
    assert len(asked) == tries
    assert [one.events.temperature for one in asked] == [WARMER**attempt for attempt in range(tries)]
    assert made[0].is_silent == (tries != 2)


def test_what_is_poor() -> None:
    job = WindowJob(window(OLD), ((0, 1),))
    before = np.array([[50, 70, 64], [90, 96, 67]], np.int64)  # cut at the bar's end, as fills are
    assert _is_poor(job, WindowMade({(0, 1): before}, (), 1, 9, 0))
    assert _is_poor(job, WindowMade({(0, 1): before[:0]}, (), 1, 9, 0))
    assert not _is_poor(job, WindowMade({(0, 1): before + 1}, (), 1, 9, 0))
    assert _is_poor(job, WindowMade({}, (OLD,), 1, 9, 0))
    assert not _is_poor(job, WindowMade({}, (track((0, 12, 61)),), 1, 9, 0))
    two = replace(job, holes=((0, 1), (0, 0)))  # of which one is new
    assert not _is_poor(two, WindowMade({(0, 1): before, (0, 0): before[:0]}, (), 1, 9, 0))
