"""What a window of MMM's that is drawn may hold: bar lines, and hard caps beside the attributes a model is told."""

from __future__ import annotations

from dataclasses import dataclass

from lh_mm.music.mmm import BAR_COUNTS


@dataclass(frozen=True)
class Limits:
    """What a generated window may hold, beyond the order of tokens.

    Attributes:
        lines: (B + 1) bar lines in ticks, which time may not pass; None takes bars of four beats, as many as the tokens
            say.
        max_tracks: no further track begins behind so many.
        max_polyphony: hard cap of the notes of a track that sound at once.
        max_notes: hard cap of the notes that begin in one bar of a track.
        may_open: whether what is drawn, not given, may leave a bar open to be filled at the end.
    """

    lines: tuple[int, ...] | None = None
    max_tracks: int = 16
    max_polyphony: int | None = None
    max_notes: int | None = None
    may_open: bool = True

    def __post_init__(self) -> None:
        if self.lines is not None and len(self.lines) - 1 not in BAR_COUNTS:
            raise ValueError(f"windows have {' or '.join(map(str, BAR_COUNTS))} bars, got {len(self.lines) - 1}")
        for name in ("max_tracks", "max_polyphony", "max_notes"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} should be 1 or more, got {value}")
