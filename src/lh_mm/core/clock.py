"""The one clock: seconds, frames (slots), beats and MIDI ticks, converted here and nowhere else.

Everything in LittleHolland is placed in seconds. A *slot* n of a merged sequence is the time
[n / rate_hz, (n + 1) / rate_hz); a piece of N frames has slots 0 .. N-1 (the page on streams in
docs/streams.md, section 1). Musical time is a `TempoMap`: knots (beat, second) with straight lines
between them, which holds a MIDI tempo map and a list of annotated beats alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

EDGE_FRAMES = 1e-6
"""How far below a frame border (in frames) a time still counts as the later frame: it absorbs the
rounding of `time_s * rate_hz` for times that were computed as `n / rate_hz`."""


def num_frames_for(duration_s: float, rate_hz: float) -> int:
    """Frames of a piece without a codec: `ceil(duration_s * rate_hz - 1e-6)`, at least 0."""
    return max(0, math.ceil(duration_s * rate_hz - EDGE_FRAMES))


def frames_at(time_s: ArrayLike, rate_hz: float, num_frames: int | None = None) -> NDArray[np.int64]:
    """The frame each time falls in: `min(N - 1, max(0, floor(time_s * rate_hz + 1e-6)))`.

    Args:
        time_s: seconds, any shape.
        rate_hz: frames a second.
        num_frames: N; without it nothing is clamped from above.
    """
    frames = np.floor(np.asarray(time_s, dtype=np.float64) * rate_hz + EDGE_FRAMES)
    frames = np.maximum(frames.astype(np.int64), 0)
    return frames if num_frames is None else np.minimum(frames, num_frames - 1)


def frame_centres_s(frame: ArrayLike, rate_hz: float) -> NDArray[np.float64]:
    """Seconds of the middle of each frame, the way a clock is turned back into time."""
    return (np.asarray(frame, dtype=np.float64) + 0.5) / rate_hz


def samples_of(duration_s: float, sample_rate: int) -> int:
    """Whole samples nearest to a duration."""
    return round(duration_s * sample_rate)


@dataclass(frozen=True)
class TempoMap:
    """Beats to seconds, piecewise linear between knots, straight on beyond the outer ones.

    A *beat* is a quarter note for MIDI, an annotated beat for data with beat annotations.

    Attributes:
        beats: (K,) strictly increasing, K >= 2.
        seconds: (K,) strictly increasing.
    """

    beats: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def __post_init__(self) -> None:
        beats, seconds = np.asarray(self.beats, np.float64), np.asarray(self.seconds, np.float64)
        if beats.ndim != 1 or beats.shape != seconds.shape or len(beats) < 2:
            raise ValueError(f"a tempo map needs 2 or more (beat, second) knots, got {beats.shape} and {seconds.shape}")
        if not (np.isfinite(beats).all() and np.isfinite(seconds).all()):
            raise ValueError("a tempo map's knots must be finite")
        if (np.diff(beats) <= 0).any() or (np.diff(seconds) <= 0).any():
            raise ValueError("a tempo map's knots must increase strictly in beats and in seconds")
        object.__setattr__(self, "beats", beats)
        object.__setattr__(self, "seconds", seconds)

    @classmethod
    def constant(cls, bpm: float) -> TempoMap:
        """One tempo throughout, beat 0 at second 0."""
        return cls(np.array([0.0, 1.0]), np.array([0.0, 60.0 / bpm]))

    @classmethod
    def from_tempos(cls, changes: list[tuple[float, float]]) -> TempoMap:
        """From tempo changes `(beat, bpm)` in order; the first counts from beat 0."""
        beats, seconds, bpm = [0.0], [0.0], changes[0][1]
        for beat, next_bpm in changes[1:]:
            if beat > beats[-1]:
                seconds.append(seconds[-1] + (beat - beats[-1]) * 60.0 / bpm)
                beats.append(beat)
            bpm = next_bpm
        beats.append(beats[-1] + 1.0)
        seconds.append(seconds[-1] + 60.0 / bpm)
        return cls(np.array(beats), np.array(seconds))

    def to_seconds(self, beats: ArrayLike) -> NDArray[np.float64]:
        """Seconds of each beat position, any shape."""
        return _interpolate(np.asarray(beats, np.float64), self.beats, self.seconds)

    def to_beats(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Beat position of each second, any shape; the inverse of `to_seconds`."""
        return _interpolate(np.asarray(seconds, np.float64), self.seconds, self.beats)

    def tempo_bpm(self, beat: float = 0.0) -> float:
        """Tempo in force at a beat."""
        k = int(np.clip(np.searchsorted(self.beats, beat, side="right") - 1, 0, len(self.beats) - 2))
        return float(60.0 * (self.beats[k + 1] - self.beats[k]) / (self.seconds[k + 1] - self.seconds[k]))


def _interpolate(x: NDArray[np.float64], xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float64]:
    """Piecewise linear through (xs, ys), the outer segments continued beyond the knots."""
    k = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, len(xs) - 2)
    slope = (ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k])
    return ys[k] + (x - xs[k]) * slope
