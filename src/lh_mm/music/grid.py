"""The grid that a tokenizer counts time in, as `vocabulary.json` of a bundle tells it: ids alone do not say how long.

A key names its unit: `steps_per_beat`, or `steps_per_s` where tokens count seconds. Tokenizers whose grid is a setting
(REMI, miditok) store that; here are those whose grid is part of what they are. Bundles before it was said have no such
key, and were made on the grid that their tokenizer has today.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STEPS_PER_BEAT = "steps_per_beat"
STEPS_PER_S = "steps_per_s"


def check_grid(stored: Mapping[str, Any], key: str, known: int) -> None:
    """Whether a stored vocabulary is of the grid that its tokenizer counts in.

    Args:
        stored: what a bundle stores.
        key: `STEPS_PER_BEAT` or `STEPS_PER_S`; where it is missing, the grid is the known one.
        known: the tokenizer's own.

    Raises:
        ValueError: it is of another grid: its tokens would be decoded at the wrong times.
    """
    if (found := stored.get(key, known)) != known:
        raise ValueError(f"{key} of {stored.get('kind')} tokens is {found!r}, this lh_mm knows {known}")
