"""Pictures of music as PNG bytes: piano roll, spectrogram, waveform, curves. One theme, time on one scale.

Roll, spectrogram and waveform of equal duration share their left and right edges, so that they line up when
stacked. Colours are those of Okabe and Ito (2008), told apart by colour-blind readers; curves differ in dash
too. Figures are matplotlib's objects drawn by Agg: nothing global is touched, so threads may draw at once.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from lh_mm.audio.mel import mel_centres_hz, mel_filterbank, stft_magnitude
from lh_mm.music.score import Score

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D00", "#5F5F5F")
_DASHES: tuple[tuple[int, tuple[float, ...] | None], ...] = (
    (0, None),
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1, 1, 1)),
)
_INK, _SOFT, _GRID, _FRAME = "#20262E", "#5B6570", "#E3E7EB", "#C5CCD3"
_DPI = 200
_WIDTH_IN = 6.0  # 1,200 pixels, legible at a third of that
_LEFT, _RIGHT = 0.085, 0.98  # of every picture with time on its x axis; report_page/report.js has them too

_DRUM_LANES: tuple[tuple[str, frozenset[int]], ...] = (
    ("kick", frozenset({35, 36})),
    ("snare", frozenset({37, 38, 39, 40})),
    ("hat", frozenset({42, 44, 46})),
    ("tom", frozenset({41, 43, 45, 47, 48, 50})),
    ("cymbal", frozenset({49, 51, 52, 53, 55, 57, 59})),
    ("other", frozenset()),
)
_LEGEND_COLUMNS, _LEGEND_LETTERS = 5, 14  # so that a row of the longest names fits the width
_THINNEST = 0.0022  # of the width: drums, which have no length, and very short notes are drawn this wide


def piano_roll(score: Score, *, start_s: float = 0.0, end_s: float | None = None) -> bytes:
    """Notes over time, a colour a track, the drums in lanes below, beats and bars as a grid.

    Args:
        score: what to draw; it may be empty.
        start_s, end_s: the part to draw; by default all of it.
    """
    end_s = max(score.duration_s, start_s + 0.1) if end_s is None else end_s
    notes = score.notes[(score.notes["end_s"] > start_s) & (score.notes["start_s"] < end_s)]
    pitched, drums = notes[~notes["drum"]], notes[notes["drum"]]
    lanes = [(name, pitches) for name, pitches in _DRUM_LANES if len(drums) and _in_lane(drums, name, pitches).any()]
    used = sorted({int(track) for track in pitched["track"]})
    legend_in = 0.26 + 0.15 * ((max(len(used), 1) - 1) // _LEGEND_COLUMNS)
    height_in = 1.64 + legend_in + 0.12 * len(lanes)
    figure = Figure(figsize=(_WIDTH_IN, height_in), facecolor="white")
    bottom, top = 0.36 / height_in, 1.0 - legend_in / height_in
    split = bottom + (0.12 * len(lanes) + 0.08) / height_in if lanes else bottom
    axes = figure.add_axes((_LEFT, split, _RIGHT - _LEFT, top - split))
    thinnest_s = _THINNEST * (end_s - start_s)
    _draw_pitches(axes, pitched, len(score.tracks), thinnest_s)
    panels = [axes]
    if lanes:
        panels.append(figure.add_axes((_LEFT, bottom, _RIGHT - _LEFT, split - bottom - 0.06 / height_in)))
        _draw_drums(panels[1], drums, lanes, thinnest_s)
        axes.tick_params(labelbottom=False)
    for panel in panels:
        _dress(panel)
        panel.set_xlim(start_s, end_s)
        _draw_beats(panel, score, start_s, end_s)
    panels[-1].set_xlabel("seconds", fontsize=7.5, color=_SOFT, labelpad=1)
    names = {track: _plain(score.tracks[track]) or f"track {track + 1}" for track in used}
    handles = [Patch(color=_colour(track), label=_short(name)) for track, name in names.items()]
    if handles:
        _legend(axes, handles)
    return _png(figure)


def spectrogram(wave: NDArray[np.floating], sample_rate: int) -> bytes:
    """Log-mel spectrogram of a mono wave `(samples,)`, 30 Hz to 16 kHz or Nyquist, 80 dB below the loudest."""
    num_mels, low_hz, high_hz = 96, 30.0, min(16_000.0, sample_rate / 2)
    wave = np.asarray(wave, np.float32)
    hop = max(256, len(wave) // 550)
    mel = stft_magnitude(wave, 2048, hop) @ mel_filterbank(sample_rate, 2048, num_mels, low_hz, high_hz).T
    level_db = 20.0 * np.log10(np.maximum(mel, 1e-7))
    figure = Figure(figsize=(_WIDTH_IN, 1.5), facecolor="white")
    axes = figure.add_axes((_LEFT, 0.23, _RIGHT - _LEFT, 0.73))
    loudest_db = max(float(level_db.max()), -60.0)
    extent = (0.0, len(wave) / sample_rate if len(wave) else 1.0, -0.5, num_mels - 0.5)
    axes.imshow(
        level_db.T,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap=colormaps["magma"].resampled(32),  # steps of 2.5 dB: a palette picture, a third of the bytes
        vmin=loudest_db - 80.0,
        vmax=loudest_db,
        interpolation="nearest",
    )
    centres_hz = mel_centres_hz(num_mels, low_hz, high_hz)
    ticks_hz = [hz for hz in (100, 500, 1000, 2000, 4000, 8000, 16000) if hz <= centres_hz[-1]]
    axes.set_yticks(np.interp(ticks_hz, centres_hz, np.arange(num_mels)))
    axes.set_yticklabels([f"{hz} Hz" if hz < 1000 else f"{hz // 1000} kHz" for hz in ticks_hz])
    _dress(axes)
    axes.grid(visible=False)
    axes.set_xlabel("seconds", fontsize=7.5, color=_SOFT, labelpad=1)
    return _png(figure)


def waveform(wave: NDArray[np.floating], sample_rate: int) -> bytes:
    """A strip with the lowest and highest sample of each column, full scale from edge to edge."""
    wave = np.asarray(wave, np.float32)
    columns = np.array_split(wave, min(1000, max(1, len(wave))))
    low = [float(column.min()) if len(column) else 0.0 for column in columns]
    high = [float(column.max()) if len(column) else 0.0 for column in columns]
    figure = Figure(figsize=(_WIDTH_IN, 0.7), facecolor="white")
    axes = figure.add_axes((_LEFT, 0.30, _RIGHT - _LEFT, 0.66))
    duration_s = len(wave) / sample_rate if len(wave) else 1.0
    axes.fill_between(np.linspace(0.0, duration_s, len(columns)), low, high, color=COLOURS[0], linewidth=0.3)
    _dress(axes)
    axes.set_xlim(0.0, duration_s)
    axes.set_ylim(-1.0, 1.0)
    axes.set_yticks([])
    return _png(figure)


def curves(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    x_label: str = "",
    y_label: str = "",
    floors: Mapping[str, float] | None = None,
) -> bytes:
    """Lines `name -> (x, y)` in one frame, with dotted horizontal `floors` (a baseline, a target) by name.

    Values that are not finite leave gaps, as a diverged loss should.
    """
    figure = Figure(figsize=(_WIDTH_IN, 2.6), facecolor="white")
    axes = figure.add_axes((0.085, 0.17, 0.9, 0.72))
    styles = itertools.cycle(_DASHES)
    for i, (name, (x, y)) in enumerate(series.items()):
        axes.plot(
            x, y, color=_colour(i), linestyle=next(styles), linewidth=1.4, label=_plain(name), solid_capstyle="round"
        )
    _dress(axes)
    for name, level in (floors or {}).items():
        axes.axhline(level, color=_SOFT, linewidth=0.9, linestyle=(0, (1, 2)))
        axes.annotate(
            _plain(name),
            (1.0, level),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=7,
            color=_SOFT,
        )
    axes.set_xlabel(x_label, fontsize=8, color=_SOFT, labelpad=2)
    axes.set_ylabel(y_label, fontsize=8, color=_SOFT, labelpad=3)
    axes.margins(x=0.01, y=0.06)
    if series:
        _legend(axes, axes.get_legend_handles_labels()[0])
    return _png(figure)


def _plain(name: str) -> str:
    """A name from a stranger's file as legend text: one short line, `$` no formula, `_` at the start no hiding."""
    name = " ".join(name.split()).lstrip("_")
    return (name if len(name) <= 28 else name[:27] + "…").replace("$", r"\$")


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _in_lane(drums: NDArray[np.void], name: str, pitches: frozenset[int]) -> NDArray[np.bool_]:
    if name != "other":
        return np.isin(drums["pitch"], list(pitches))
    return ~np.isin(drums["pitch"], list(frozenset().union(*(p for _, p in _DRUM_LANES))))


def _boxes(
    left: NDArray[np.float64], right: NDArray[np.float64], y: ArrayLike, velocity: ArrayLike, colour: str, height: float
) -> PolyCollection:
    """Rectangles of equal height about y, the softer the paler."""
    y = np.broadcast_to(np.asarray(y, np.float64), left.shape)
    low, high = y - height / 2, y + height / 2
    corners = np.stack([np.stack([left, left, right, right], 1), np.stack([low, high, high, low], 1)], -1)  # (n, 4, 2)
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    alpha = 0.35 + 0.65 * np.asarray(velocity, np.float64) / 127.0
    faces = np.stack([np.full(len(left), part) for part in (red, green, blue)] + [alpha], 1)
    return PolyCollection(list(corners), facecolors=faces, edgecolors="none", zorder=3)


def _draw_pitches(axes: Axes, pitched: NDArray[np.void], num_tracks: int, thinnest_s: float) -> None:
    for track in range(num_tracks):
        own = pitched[pitched["track"] == track]
        axes.add_collection(
            _boxes(
                own["start_s"],
                np.maximum(own["end_s"], own["start_s"] + thinnest_s),
                own["pitch"],
                own["velocity"],
                _colour(track),
                height=0.92,
            ),
            autolim=False,
        )
    low, high = (int(pitched["pitch"].min()), int(pitched["pitch"].max())) if len(pitched) else (48, 72)
    middle, half = (low + high) / 2, max((high - low) / 2 + 2, 8)
    axes.set_ylim(middle - half, middle + half)
    ticks = [pitch for pitch in range(0, 128, 12) if middle - half <= pitch <= middle + half]
    axes.set_yticks(ticks)
    axes.set_yticklabels([f"C{pitch // 12 - 1}" for pitch in ticks])


def _draw_drums(
    axes: Axes, drums: NDArray[np.void], lanes: Sequence[tuple[str, frozenset[int]]], thinnest_s: float
) -> None:
    for lane, (name, pitches) in enumerate(reversed(lanes)):
        own = drums[_in_lane(drums, name, pitches)]
        axes.add_collection(
            _boxes(own["start_s"], own["start_s"] + thinnest_s, lane, own["velocity"], _INK, height=0.72),
            autolim=False,
        )
    axes.set_ylim(-0.6, len(lanes) - 0.4)
    axes.set_yticks(range(len(lanes)))
    axes.set_yticklabels([name for name, _ in reversed(lanes)])


def _draw_beats(axes: Axes, score: Score, start_s: float, end_s: float) -> None:
    """Thin lines at beats, firmer ones at bars; of a long stretch, only at every 2nd, 4th, 8th ... bar."""
    first, last = (float(score.tempo_map.to_beats(edge)) for edge in (start_s, end_s))
    bars = [
        beat
        for meter, following in itertools.zip_longest(score.meters, score.meters[1:])
        for beat in np.arange(meter.start_beat, following.start_beat if following else last + 1e-9, meter.bar_beats)
    ]
    inside = [(i, beat) for i, beat in enumerate(bars) if first <= beat <= last]
    every = 1 << max(0, int(np.ceil(np.log2(max(len(inside), 1) / 32))))
    lines = [(beat, _FRAME, 0.7) for i, beat in inside if i % every == 0]
    if last - first <= 64:
        lines += [(float(beat), _GRID, 0.5) for beat in np.arange(np.ceil(first), last)]
    for beat, colour, width in lines:
        axes.axvline(float(score.tempo_map.to_seconds(beat)), color=colour, linewidth=width, zorder=1 + width / 10)


def _dress(axes: Axes) -> None:
    """The theme: hair lines, small quiet labels, time ticks at round numbers."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FRAME)
        axes.spines[side].set_linewidth(0.7)
    axes.tick_params(labelsize=7, labelcolor=_SOFT, color=_FRAME, length=2.5, width=0.7, pad=2)
    axes.grid(visible=True, axis="y", color=_GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], min_n_ticks=3))


def _short(name: str) -> str:
    return name if len(name) <= _LEGEND_LETTERS else f"{name[: _LEGEND_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"


def _legend(axes: Axes, handles: Sequence[Artist]) -> None:
    axes.legend(
        handles=list(handles),
        loc="lower right",
        bbox_to_anchor=(1.005, 1.0),
        ncols=min(len(handles), _LEGEND_COLUMNS),
        fontsize=7,
        frameon=False,
        labelcolor=_INK,
        handlelength=1.6,
        handleheight=0.7,
        columnspacing=1.2,
        borderaxespad=0.1,
    )


def _png(figure: Figure) -> bytes:
    """Draw with Agg and keep 256 colours: a picture of a page weighs 10 to 150 kB."""
    figure.set_dpi(_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
