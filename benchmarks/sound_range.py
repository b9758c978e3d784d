"""Does the synthesizer sound like electronic music? Its pieces against real loops: spectrum, crest factor, loudness.

For each measure the range of the real loops (smallest to largest, and 5th to 95th percentile) and how many of our
pieces lie inside it. The loops hold drums alone, so the drum stems (mastered alike) are compared beside the full
pieces; ambient pieces, which have no counterpart among the loops, are counted apart from dance pieces.

    python benchmarks/sound_range.py            # LH_SOURCES, or shared/data beside the checkout, holds the loops
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
from harness import RESULTS, ROOT, commit
from numpy.typing import NDArray

from lh_mm.audio.describe import BAND_CENTRES_HZ, Description, describe
from lh_mm.audio.instruments.synth import Synth
from lh_mm.audio.io import read_audio
from lh_mm.music.compose import STYLES, compose

matplotlib.use("Agg")
from matplotlib import pyplot  # after the choice of a backend without a screen

RATE = 44100
FIRST_SEED = 900_000
"""Far from the seeds of any corpus."""
SCALARS: dict[str, Callable[[Description], float]] = {
    "loudness_lufs": lambda d: d.loudness_lufs,
    "crest_db": lambda d: d.crest_db,
    "centroid_hz": lambda d: d.centroid_hz,
    "side_db": lambda d: d.side_db,
}


def loops(folder: Path) -> list[Description]:
    paths = sorted(folder.glob("edm_*/examples/*.mp3"))
    if not paths:
        raise SystemExit(f"{folder}: holds no edm_*/examples/*.mp3 (set LH_SOURCES to the folder of real loops)")
    return [describe(*read_audio(path)) for path in paths]


def render(num_pieces: int, duration_s: float) -> tuple[list[Description], list[Description], list[str]]:
    """Full pieces and their drum stems, styles in turn."""
    full, drums, styles = [], [], []
    names = tuple(STYLES)
    for i in range(num_pieces):
        piece = compose(FIRST_SEED + i, names[i % len(names)], duration_s)
        assert piece.score is not None
        synth = Synth.for_labels(piece.labels)
        full.append(describe(synth.render(piece.score, RATE), RATE))
        drums_alone = replace(piece.score, notes=piece.score.notes[piece.score.notes["drum"]])
        drums.append(describe(synth.render(drums_alone, RATE), RATE))
        styles.append(names[i % len(names)])
    return full, drums, styles


def shares(ours: list[Description], real: list[Description]) -> dict[str, object]:
    """For each measure the share of ours inside the real range, and inside its middle nine tenths."""
    out: dict[str, object] = {"num_pieces": len(ours)}
    for name, get in SCALARS.items():
        out[name] = _inside(np.array([get(d) for d in ours])[:, None], np.array([get(d) for d in real])[:, None])
    spectra, range_ = np.array([d.spectrum_db for d in ours]), np.array([d.spectrum_db for d in real])
    inside = (spectra >= range_.min(axis=0)) & (spectra <= range_.max(axis=0))
    out["third_octaves"] = {
        **_inside(spectra, range_),
        "num_bands": len(BAND_CENTRES_HZ),
        "mean_bands_inside": round(float(inside.sum(axis=1).mean()), 2),
        "bands_where_nine_tenths_are_inside": int((inside.mean(axis=0) >= 0.9).sum()),
        "share_by_band": {
            f"{hz:.0f}": round(float(s), 3) for hz, s in zip(BAND_CENTRES_HZ, inside.mean(axis=0), strict=True)
        },
    }
    return out


def _inside(ours: NDArray[np.float64], real: NDArray[np.float64]) -> dict[str, object]:
    low, high = real.min(axis=0), real.max(axis=0)
    p5, p95 = np.percentile(real, (5, 95), axis=0)
    out: dict[str, object] = {
        "inside_min_max": round(float(((ours >= low) & (ours <= high)).mean()), 3),
        "inside_p5_p95": round(float(((ours >= p5) & (ours <= p95)).mean()), 3),
    }
    if ours.shape[1] == 1:
        out["real"] = [round(float(v), 2) for v in (low[0], np.median(real), high[0])]
        out["ours"] = [round(float(v), 2) for v in (ours.min(), np.median(ours), ours.max())]
    return out


def draw(groups: dict[str, list[Description]], real: list[Description], path: Path) -> None:
    """Spectra as bands of percentiles, and crest factor against loudness."""
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.6), gridspec_kw={"width_ratios": [3, 3, 2]})
    spectra = np.array([d.spectrum_db for d in real])
    for axis, (name, ours) in zip(axes, list(groups.items())[:2], strict=False):
        axis.fill_between(
            BAND_CENTRES_HZ, spectra.min(axis=0), spectra.max(axis=0), color="0.88", label="real loops, all"
        )
        low, high = np.percentile(spectra, (5, 95), axis=0)
        axis.fill_between(BAND_CENTRES_HZ, low, high, color="0.72", label="real loops, 5 to 95 %")
        axis.plot(BAND_CENTRES_HZ, np.median(spectra, axis=0), color="0.35", label="real loops, median")
        mine = np.array([d.spectrum_db for d in ours])
        low, high = np.percentile(mine, (5, 95), axis=0)
        axis.fill_between(BAND_CENTRES_HZ, low, high, color="tab:blue", alpha=0.3, label="ours, 5 to 95 %")
        axis.plot(BAND_CENTRES_HZ, np.median(mine, axis=0), color="tab:blue", label="ours, median")
        axis.set(
            xscale="log",
            ylim=(-60, 0),
            xlabel="third octave, Hz",
            ylabel="dB of the whole",
            title=f"{name} (n={len(ours)})",
        )
        axis.legend(fontsize=8, loc="lower center")
    axes[2].scatter([d.loudness_lufs for d in real], [d.crest_db for d in real], color="0.5", s=18, label="real loops")
    for name, ours in groups.items():
        axes[2].scatter([d.loudness_lufs for d in ours], [d.crest_db for d in ours], s=18, alpha=0.6, label=name)
    axes[2].set(xlabel="loudness, LUFS", ylabel="crest factor, dB", title="loudness and crest factor")
    axes[2].legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pieces", type=int, default=50, help="how many pieces to render (default: %(default)s)")
    parser.add_argument("--duration-s", type=float, default=30.0, help="of each piece (default: %(default)s)")
    arguments = parser.parse_args()
    real = loops(Path(os.environ.get("LH_SOURCES", ROOT.parent / "shared" / "data")))
    full, drums, styles = render(arguments.pieces, arguments.duration_s)
    dance = [d for d, style in zip(full, styles, strict=True) if style != "ambient"]
    dance_drums = [
        d for d, style in zip(drums, styles, strict=True) if style != "ambient" and np.isfinite(d.loudness_lufs)
    ]
    groups = {"full dance pieces": dance, "their drum stems": dance_drums}
    result = {
        "command": shlex.join(["python", "benchmarks/sound_range.py", *sys.argv[1:]]),
        "commit": commit(),
        "num_loops": len(real),
        **{name: shares(ours, real) for name, ours in {**groups, "all full pieces": full}.items()},
    }
    for name, ours in {**groups, "all full pieces": full}.items():
        row = shares(ours, real)
        bands = row["third_octaves"]
        print(f"{name} (n={len(ours)}): {bands['mean_bands_inside']} of 29 third octaves inside")  # type: ignore[index]
        for key in SCALARS:
            print(f"  {key}: {row[key]}")
    draw(groups, real, ROOT / "docs" / "figures" / "sound_range.png")
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "sound_range.cpu.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
