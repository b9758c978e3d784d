"""The inverse of `core/merge.py`: events and codes back out of a sequence of positions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.merge import ZERO, Kind, Layout, Merged


@dataclass(frozen=True)
class Split:
    """The streams of a sequence, on slots.

    Attributes:
        clocks: of each event stream, (E,) frames.
        ids: of each event stream, (E,) vocabulary ids.
        codes: (A, N, K); `ZERO` for entries that the sequence does not hold.
    """

    clocks: tuple[NDArray[np.int64], ...]
    ids: tuple[NDArray[np.int64], ...]
    codes: NDArray[np.int64]


def gather(codes: NDArray[np.int64], slots: NDArray[np.int64], layout: Layout, num_frames: int) -> NDArray[np.int64]:
    """Undo a codebook layout.

    Args:
        codes: (S, K) as they stand at frame positions.
        slots: (S,) of those positions.
        layout: `delay` or `parallel`.
        num_frames: N.

    Returns:
        (N, K), `ZERO` where no position holds the entry.
    """
    num_codebooks = codes.shape[1]
    out = np.full((num_frames, num_codebooks), ZERO, np.int64)
    for k in range(num_codebooks):
        frame = slots - (k if layout == "delay" else 0)
        inside = (frame >= 0) & (frame < num_frames)
        out[frame[inside], k] = codes[inside, k]
    return out


def split(merged: Merged, layouts: tuple[Layout, ...], aheads: tuple[int, ...] = ()) -> Split:
    """Take a sequence apart.

    Args:
        merged: the sequence; in infill the main part comes first and holes are laid into it.
        layouts: of each audio track: `parallel` for given ones.
        aheads: slots by which each track is shown early: `ahead` of `merge` for given tracks, 0 for others.
    """
    holes = np.flatnonzero(merged.kind == Kind.FILL)
    main = np.arange(len(merged)) < (holes[0] if len(holes) else len(merged))
    clocks, ids = [], []
    for stream in range(len(merged.names)):
        # A given stream stands in a hole once more; its main part is whole, so the hole's copy adds nothing.
        own = merged.stream == stream
        in_main, in_hole = own & main, own & ~main & _generated_events(merged, own)
        clock = np.concatenate([merged.clock[in_main], merged.clock[in_hole]])
        order = np.argsort(clock, kind="stable")
        clocks.append(clock[order])
        ids.append(np.concatenate([merged.event_id[in_main], merged.event_id[in_hole]])[order])
    frames = merged.kind == Kind.FRAME
    codes = np.full((merged.codes.shape[1], merged.num_frames, merged.codes.shape[2]), ZERO, np.int64)
    for track, layout in enumerate(layouts):
        parts: list[tuple[NDArray[np.bool_], Layout]] = [(frames & main, "parallel" if len(holes) else layout)]
        bounds = [*holes, len(merged)]
        for start, end in itertools.pairwise(bounds):
            at = np.arange(len(merged))
            parts.append((frames & (at >= start) & (at < end), layout))
        for positions, own_layout in parts:
            slots = merged.slot[positions] + (aheads[track] if aheads else 0)
            found = gather(merged.codes[positions, track], slots, own_layout, merged.num_frames)
            codes[track] = np.where(found == ZERO, codes[track], found)
    return Split(tuple(clocks), tuple(ids), codes)


def _generated_events(merged: Merged, own: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the events of a stream are targets of the positions before them."""
    before = np.concatenate([[-1], merged.event_target[:-1]])
    return own & (before == merged.event_id)
