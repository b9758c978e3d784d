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
        held: of each open bar, in the order in which they are filled, pitch and end (ticks) of the notes of its track
            that sound on into it. Tokens do not tell: of such a note they may show the part before the bar alone. The
            notes count in `max_polyphony`, and their pitches are not struck anew; for bars not named here none do.
    """

    lines: tuple[int, ...] | None = None
    max_tracks: int = 16
    max_polyphony: int | None = None
    max_notes: int | None = None
    may_open: bool = True
    held: tuple[tuple[tuple[int, int], ...], ...] = ()

    def __post_init__(self) -> None:
        if self.lines is not None and len(self.lines) - 1 not in BAR_COUNTS:
            raise ValueError(f"windows have {' or '.join(map(str, BAR_COUNTS))} bars, got {len(self.lines) - 1}")
        for name in ("max_tracks", "max_polyphony", "max_notes"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} should be 1 or more, got {value}")
        if unknown := [pitch for notes in self.held for pitch, _ in notes if not 0 <= pitch < 128]:
            raise ValueError(f"pitches of held notes should lie in 0..127, got {unknown[0]}")

    def held_at(self, number: int, tick: int) -> list[int]:
        """Pitches held into open bar `number`, counted as they are filled, that still sound at a tick."""
        return [pitch for pitch, end in self.held[number] if end > tick] if number < len(self.held) else []

    def has_room(self, begun: int, sounding: int, drums: bool) -> bool:
        """Whether another note may begin in a bar in which `begun` did, while `sounding` sound; drums last a moment."""
        if self.max_notes is not None and begun >= self.max_notes:
            return False
        return drums or self.max_polyphony is None or sounding < self.max_polyphony
