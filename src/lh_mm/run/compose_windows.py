"""One window of 4 or 8 bars, written into by a model of MMM's tokens: open bars filled, or a track added.

Many windows are written in one batch. What comes out silent, or as it was before, is drawn again, a little warmer each
time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.clock import TempoMap
from lh_mm.core.log import progress
from lh_mm.generate.sampler import Generation
from lh_mm.generate.sampling import Sampling
from lh_mm.generate.tokens import TokenRequest, TokenWriter
from lh_mm.music.bars import BarTrack, Window
from lh_mm.music.mmm import FIRST, TRACK_START, Hole, Mmm, in_order, is_told, told_ids
from lh_mm.music.mmm_limits import Limits
from lh_mm.run.bundle import Bundle
from lh_mm.run.compose import warmer, written

FREE_TRACKS = 4
"""Tracks of a window that is composed from nothing, at most."""
_LEAST = 16
"""Tokens that there should be room for at least, beside those that close what is open."""


@dataclass(frozen=True)
class WindowJob:
    """One window to be written into.

    Attributes:
        window: its bars; what stands in the holes is not shown to the model.
        notes: (N, 3) notes of each track as they stand in the piece, whose ends the window may have cut: what sounds on
            into holes counts in the caps. Without them the window's own are taken.
        holes: open bars, by track and bar.
        told: attributes of each track; an empty one says nothing.
        new_track: instrument and attributes of a track that is added; None adds none.
        controls: of the piece, by name.
        tempo_map: seconds, its beat 0 at the window's begin.
        max_polyphony, max_notes: hard caps of what is drawn.
        seed: of the draws.
    """

    window: Window
    holes: tuple[Hole, ...] = ()
    told: tuple[Mapping[str, int], ...] = ()
    new_track: tuple[int, Mapping[str, int]] | None = None
    controls: Mapping[str, str | None] = field(default_factory=dict)
    tempo_map: TempoMap = field(default_factory=lambda: TempoMap.constant(120.0))
    max_polyphony: int | None = None
    max_notes: int | None = None
    seed: int = 0
    notes: tuple[NDArray[np.int64], ...] = ()


@dataclass(frozen=True)
class WindowMade:
    """What was written.

    Attributes:
        fills: (N, 3) notes of each hole.
        tracks: those that were added: one, or as many as the model chose for a window without tracks.
        tries: how often it was drawn.
        num_drawn: tokens of the last try.
        num_illegal: of these, tokens that the grammar bars; 0 under its mask.
        cut: whether the model's room ended before it drew END; what was open then is closed as it stood.
    """

    fills: Mapping[Hole, NDArray[np.int64]]
    tracks: tuple[BarTrack, ...]
    tries: int
    num_drawn: int
    num_illegal: int
    cut: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether no note was written."""
        return not any(len(n) for n in self.fills.values()) and not any(len(t.notes) for t in self.tracks)


def fill_windows(
    bundle: Bundle,
    jobs: Sequence[WindowJob],
    sampling: Sampling,
    *,
    tries: int = 3,
    masked: bool = True,
    guidance: float = 1.0,
    label: str = "bars",
) -> tuple[list[WindowMade], float]:
    """Write into windows, all in one batch; those that come out silent or unchanged are tried again.

    Args:
        bundle: of a model of MMM's tokens.
        jobs: the windows.
        sampling: how tokens are drawn.
        tries: at most.
        masked: whether only legal tokens are drawn.
        guidance: above 1 follows attributes and controls more closely than training does, at twice the work.
        label: of the progress.

    Returns:
        What was written, and the seconds it took.

    Raises:
        ValueError: for a bundle of other tokens, or a window that does not fit the model.
    """
    mmm = bundle.vocabulary
    if not isinstance(mmm, Mmm):
        raise ValueError(f"bundle '{bundle.manifest['name']}' is not of MMM's tokens: it cannot fill bars")
    sequence: Any = bundle.experiment.sequence
    made: dict[int, WindowMade] = {}
    started = time.perf_counter()
    with progress(label, None, "tokens") as shown:
        for attempt in range(tries if sampling.temperature > 0 else 1):  # the likeliest is the same each time
            asked = [i for i in range(len(jobs)) if i not in made or _is_poor(jobs[i], made[i])]
            if not asked:
                break
            plans = [_plan(mmm, jobs[i], int(sequence.length), attempt, masked) for i in asked]
            requests = [request for request, _ in plans]
            scale = guidance if any(request.gives for request in requests) else 1.0
            generation = Generation(bundle.model, requests, mmm, events=warmer(sampling, attempt), guidance=scale)
            for i, (request, order), writer in zip(asked, plans, written(generation, shown), strict=True):
                made[i] = _read(mmm, jobs[i], order, request, writer, attempt + 1)
    return [made[i] for i in range(len(jobs))], time.perf_counter() - started


def _plan(mmm: Mmm, job: WindowJob, length: int, attempt: int, masked: bool) -> tuple[TokenRequest, list[int]]:
    """The request, and which tracks of the window it shows, in their order."""
    window = job.window
    order = list(range(len(window.tracks)))
    told = job.told or ({},) * len(order)
    needed = {track for track, _ in job.holes}
    # Drawn even when room has ended: begin and end of each fill, and of each bar of a track, its INST and TRACK_END.
    closing = 2 * len(set(job.holes))
    closing += 2 * window.num_bars + 2 if job.new_track is not None or not job.holes else 0
    head = []
    if job.new_track is not None:
        instrument, attributes = job.new_track
        head = [TRACK_START, FIRST["INST"] + instrument, *told_ids(attributes)]
    room = length - closing - _LEAST

    def prompt() -> list[int]:
        return [*mmm.encode(window, job.holes, order, told, fill=False).ids.tolist(), *head]

    ids = prompt()
    while len(ids) > min(length * 3 // 4 + len(head), room) and (spare := [t for t in order if t not in needed]):
        order.remove(spare[-1])
        ids = prompt()
    if len(ids) > room:
        raise ValueError(
            f"the bars around what is written have {len(ids)} tokens, and it needs {closing + _LEAST} at least; the "
            f"model was trained with {length}"
        )
    max_tracks = len(order) + 1 if job.new_track is not None else len(order) or FREE_TRACKS
    # A bar left open in a new track would be filled behind it, out of reach: it is written where it stands. Without a
    # mask what training shows is no mistake, open bars and further tracks included.
    limits = Limits(
        tuple(window.lines.tolist()), max_tracks if masked else Limits.max_tracks, job.max_polyphony, job.max_notes,
        may_open=not masked, held=tuple(_held_into(job, hole) for hole in in_order(set(job.holes), order)),
    )  # fmt: skip
    request = TokenRequest(
        np.array(ids, np.int64), max_tokens=length - len(ids) - closing, tempo_map=job.tempo_map,
        limits=limits, masked=masked, controls=job.controls, asked=frozenset(np.flatnonzero(is_told(ids)).tolist()),
        seed=job.seed * 101 + attempt,
    )  # fmt: skip
    return request, order


def _held_into(job: WindowJob, hole: Hole) -> tuple[tuple[int, int], ...]:
    """Pitch and end of the notes that sound on into a hole, but for those that begin in one: these are written anew."""
    window, (index, bar) = job.window, hole
    notes = job.notes[index] if job.notes else window.tracks[index].notes
    begin = window.lines[bar]
    stays = ~np.isin(window.bar_of(notes[:, 0]), [other for track, other in job.holes if track == index])
    held = notes[stays & (notes[:, 0] < begin) & (notes[:, 1] > begin)]
    return tuple((pitch, end) for _, end, pitch in held.tolist())


def _read(
    mmm: Mmm, job: WindowJob, order: list[int], request: TokenRequest, writer: TokenWriter, tries: int
) -> WindowMade:
    back, fills = mmm.decode(writer.ids, job.window.lines, problems={})
    placed = {(order[track], bar): notes for (track, bar), notes in fills.items() if track < len(order)}
    missing = {hole: np.zeros((0, 3), np.int64) for hole in job.holes if hole not in placed}
    num_drawn = len(writer.ids) - len(request.prompt)
    tracks = back.tracks[len(order) :]
    return WindowMade({**placed, **missing}, tracks, tries, num_drawn, writer.num_illegal, cut=not writer.ended)


def _is_poor(job: WindowJob, made: WindowMade) -> bool:
    """Whether it is silent, or what stood there before."""
    if made.is_silent:
        return True
    tracks = job.window.tracks
    if any(np.array_equal(new.notes, old.notes) for new in made.tracks for old in tracks):
        return True
    if not made.fills:
        return False
    lines = job.window.lines

    def before(hole: Hole) -> NDArray[np.int64]:
        old = tracks[hole[0]].notes
        own = old[(old[:, 0] >= lines[hole[1]]) & (old[:, 0] < lines[hole[1] + 1])].copy()
        own[:, 1] = np.minimum(own[:, 1], lines[hole[1] + 1])
        return own

    return all(np.array_equal(notes, before(hole)) for hole, notes in made.fills.items())
