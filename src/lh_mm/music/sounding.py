"""Which notes sound at each token of a sequence of begins and ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sounding_before(begins: NDArray[np.int64], ends: NDArray[np.int64], num_voices: int) -> NDArray[np.bool_]:
    """(T + 1, voices) which voices sound before each token and behind the last.

    Args:
        begins: (T,) the voice that each token begins, -1 where it begins none; a voice may begin several times.
        ends: (T,) the voice that it ends, -1 where it ends none.
        num_voices: how many there are.
    """
    change = np.zeros((len(begins) + 1, num_voices), np.int16)
    for voices, sign in ((begins, 1), (ends, -1)):
        at = np.flatnonzero(voices >= 0)
        change[at + 1, voices[at]] += sign
    return np.asarray(np.cumsum(change, axis=0) > 0)
