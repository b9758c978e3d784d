"""An instrument turns a score into sound; everything that plays MIDI in this house honours this protocol.

The sound room stands beside the music room; it takes the `Score` type from it, one way only (`music` never imports
`audio`).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lh_mm.music.score import Score


@runtime_checkable
class Instrument(Protocol):
    """What renders a score.

    Attributes:
        fingerprint: identity of the sound (code version and settings): data rendered by it is keyed by it, so equal
            fingerprints promise equal samples.
    """

    @property
    def fingerprint(self) -> str: ...

    def render(self, score: Score, sample_rate: int) -> NDArray[np.float32]:
        """The score as sound, `(channels, round(score.duration_s * sample_rate))`; second 0 is second 0.

        An empty score is silence of the same length. The same score gives the same samples, bit for bit.
        """
        ...
