"""What may be chosen at every position of a row: the structure of the sequence and the grammar of events, joined.

`core/merge.py` says where events, FRAME and END are possible at all (`May`), `music/grammar.py` which event ids are
legal after those that stand there; FRAME and END only between notes. Packed for `StreamBatch.event_mask`: a bit a
choice, the first choice in the highest bit of the first byte.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lh_mm.core.infill import Hole
from lh_mm.core.merge import EventStream, Kind, May, Merged
from lh_mm.music.grammar import BlockedPairs, legal_masks, sounding_in
from lh_mm.music.vocabulary import DRUM_ON, NOTE_OFF, VELOCITY, EventVocabulary

# The grammar packs the first choice into the lowest bit of a byte, batches into the highest.
_REVERSED = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], np.uint8)


def event_masks(
    merged: Merged,
    generated: int | None,
    vocabulary: EventVocabulary,
    streams: Sequence[EventStream] = (),
    holes: Sequence[Hole] = (),
) -> NDArray[np.uint8]:
    """(L, ceil((V + 2) / 8)) legal choices.

    Args:
        merged: the row.
        generated: index of the generated event stream, None without one.
        vocabulary: the ids' meaning.
        streams: the event streams the row was built from; infill needs them to know what sounds into a hole.
        holes: of infill, one for each FILL position, in order.
    """
    width = (vocabulary.num_choices + 7) // 8
    masks = np.zeros((len(merged), width), np.uint8)
    border = np.ones(len(merged), bool)
    silent = np.ones(len(merged), bool)
    if generated is not None:
        openings = np.flatnonzero((merged.kind == Kind.BOS) | (merged.kind == Kind.FILL))
        ends = [*openings[1:], len(merged)]
        for number, (start, end) in enumerate(zip(openings, ends, strict=True)):
            blocked: BlockedPairs | None = None
            if holes:
                if number == 0:
                    continue  # the main part of infill chooses nothing
                blocked = _sounding_into(streams[generated], holes, number - 1)
            part = slice(int(start), int(end))
            legal, border[part], silent[part] = _grammar(merged, part, generated, vocabulary, blocked)
            may_event = (merged.may[part] & May.EVENT) != 0
            masks[part][may_event] = legal[may_event]
    frame = border & ((merged.may & May.FRAME) != 0) & (silent | ((merged.may & May.SILENT_FRAME) == 0))
    end = border & ((merged.may & May.END) != 0)
    for allowed, choice in ((frame, vocabulary.frame_id), (end, vocabulary.end_id)):
        masks[allowed, choice // 8] |= np.uint8(128 >> choice % 8)
    return masks


def _grammar(
    merged: Merged, part: slice, generated: int, vocabulary: EventVocabulary, blocked: BlockedPairs | None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    """After each position of a part: legal ids (packed), whether a group is complete, whether nothing sounds."""
    kind, ids = merged.kind[part], merged.event_id[part]
    own = (kind == Kind.EVENT) & (merged.stream[part] == generated)
    is_choice = own | (kind == Kind.FRAME)
    choices = np.where(own, ids, vocabulary.frame_id)[is_choice]
    packed = legal_masks(vocabulary, [*choices.tolist(), vocabulary.end_id], blocked, int(merged.slot[part.start]))
    taken = np.cumsum(is_choice)  # choices up to and including each position

    # Given events stand before the slot's own ones, so after one of them a group is complete as before it.
    completes = (ids >= VELOCITY) | ((ids >= NOTE_OFF) & (ids < DRUM_ON))
    border = ~own | completes
    begun = own & (ids >= 0) & (ids < NOTE_OFF)
    ended = own & (ids >= NOTE_OFF) & (ids < DRUM_ON)
    silent = np.cumsum(begun.astype(np.int64) - ended) == 0
    return _REVERSED[packed[taken]], border, silent


def _sounding_into(stream: EventStream, holes: Sequence[Hole], number: int) -> BlockedPairs:
    """What the main part sounds in a hole; the notes of earlier holes end where those do."""
    start, end = holes[number]
    keep = np.ones(len(stream.ids), bool)
    for a, b in holes[:number]:
        keep &= ~((stream.onsets >= a) & (stream.onsets < b))
    return sounding_in(stream.clocks[keep].astype(np.int32), stream.ids[keep].astype(np.int32), start, end)
