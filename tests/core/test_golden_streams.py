"""The merged sequence against worked cases made by an independent implementation.

`LH_GOLDEN` names another file of the same form; without it the project's own copy is read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from lh_mm.core.clock import frames_at
from lh_mm.core.infill import merge_infill
from lh_mm.core.merge import END, FRAME, NO_TARGET, ZERO, AudioStream, EventStream, Kind, Merged, merge

GOLDEN = Path(os.environ.get("LH_GOLDEN") or Path(__file__).parent / "streams_golden.json")
CASES = json.loads(GOLDEN.read_text())


def streams_of(case: dict) -> tuple[list[EventStream], list[AudioStream], int]:
    num_frames = len(case["frames"]["codes"])
    num_codebooks, rate_hz = case["frames"]["K"], case["rate_hz"]
    events = []
    for stream in case["events"]:
        rows = stream["events"]
        clocks = frames_at([row[0] for row in rows], rate_hz, num_frames)
        onsets = frames_at([row[2] if len(row) > 2 else row[0] for row in rows], rate_hz, num_frames)
        ids = np.array([row[1] for row in rows], np.int64)
        order = np.argsort(clocks, kind="stable")
        events.append(
            EventStream(stream["name"], stream["role"], stream["delay"], clocks[order], ids[order], onsets[order])
        )
    audio = []
    if num_codebooks:
        audio = [AudioStream("mix", case["frames"]["role"], np.array(case["frames"]["codes"]))]
    return events, audio, num_frames


def merged_of(case: dict) -> Merged:
    events, audio, num_frames = streams_of(case)
    if "hole" in case:
        return merge_infill(events, audio, num_frames, [tuple(case["hole"])], layout=case["frames"]["layout"])
    return merge(events, audio, num_frames, layout=case["frames"]["layout"], length_asked=case["length_asked"])


def described(merged: Merged, num_codebooks: int) -> list[dict]:
    """The positions in the golden file's words."""
    words = {FRAME: "FRAME", END: "END", NO_TARGET: None}
    positions = []
    for i in range(len(merged)):
        kind = Kind(merged.kind[i])
        code_target = merged.code_target[i].reshape(-1).tolist()
        position = {
            "kind": kind.name.lower(),
            "slot": int(merged.slot[i]),
            "clock": int(merged.clock[i]),
            "event_target": words.get(int(merged.event_target[i]), int(merged.event_target[i])),
            "code_target": code_target if any(code != ZERO for code in code_target) else None,
        }
        if kind is Kind.EVENT:
            position |= {"stream": merged.names[merged.stream[i]], "id": int(merged.event_id[i])}
        if kind is Kind.FRAME:
            position["codes"] = merged.codes[i].reshape(-1).tolist() if num_codebooks else []
        positions.append(position)
    return positions


@pytest.mark.parametrize("index", range(len(CASES)))
def test_agrees_with_the_golden_case(index: int) -> None:
    case, expected = CASES[index]["case"], CASES[index]["expect"]
    merged = merged_of(case)
    assert merged.num_frames == expected["num_frames"]
    assert (merged.first_slot, merged.last_slot) == (expected["first_slot"], expected["last_slot"])
    assert described(merged, case["frames"]["K"]) == expected["positions"]
