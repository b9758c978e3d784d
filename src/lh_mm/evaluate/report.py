"""One HTML file with players, pictures and tables: what is sent to a person who wants to hear and compare.

Everything is inside the file (sound as MP3, pictures as PNG), and a content security policy forbids it any
network; it reads without JavaScript. A small script only adds a moving line over the pictures, lets one
player sound at a time, and seeks where a picture is clicked. Titles, captions and cells are text: whatever a
file or a piece is called, the template escapes it.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jinja2 import Environment, StrictUndefined
from numpy.typing import ArrayLike, NDArray

from lh_mm.audio import pictures
from lh_mm.core.files import write_atomic
from lh_mm.evaluate.table import ComparisonTable

MAX_BYTES = 15_000_000
_MP3_COMPRESSION = 0.2  # of libsndfile's 0..1: about 70 kbit/s for mono at 24 kHz


@dataclass(frozen=True)
class Picture:
    """A PNG (`lh_mm.audio.pictures`) with the words for those who do not see it."""

    png: bytes
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Audio:
    """A player; its pictures (roll, spectrogram, waveform of the same span) stand under it on its time scale.

    Attributes:
        title: what it is.
        wave: `(samples,)` or `(channels, samples)` float in -1..1.
        sample_rate: 24,000, 44,100, ... Hz.
        caption: how it was made.
        pictures: drawn under the player.
    """

    title: str
    wave: NDArray[np.floating]
    sample_rate: int
    caption: str = ""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Table:
    """A comparison (`lh_mm.evaluate.table`), its definitions unfolding below it."""

    table: ComparisonTable


@dataclass(frozen=True)
class Curves:
    """Lines over steps or seconds, drawn when the page is written; see `lh_mm.audio.pictures.curves`."""

    title: str
    series: Mapping[str, tuple[ArrayLike, ArrayLike]]
    x_label: str = ""
    y_label: str = ""
    floors: Mapping[str, float] = field(default_factory=dict)
    caption: str = ""


@dataclass(frozen=True)
class Code:
    """Something to type or to read as it stands: a command, a configuration."""

    text: str
    title: str = ""


Item = Audio | Picture | Table | Curves | Code


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs of plain text (an empty line between two), then items in order."""

    title: str
    text: str = ""
    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Report:
    """The page.

    Attributes:
        title: of the page and the browser's tab.
        lead: one or two sentences under it.
        sections: in order.
        notes: what a reader must know before believing a figure ("short runs", "synthetic"), shown first.
        environment: versions, commit, hardware, wall time; shown last.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def write_report(report: Report, path: Path, *, max_bytes: int = MAX_BYTES) -> Path:
    """Write the page as one self-contained file and return its path.

    Raises:
        ValueError: the page would be larger than `max_bytes`, or a wave is not finite.
    """
    html = render_report(report).encode()
    if len(html) > max_bytes:
        raise ValueError(
            f"{path}: the page would take {len(html) / 1e6:.1f} MB, more than max_bytes={max_bytes / 1e6:.1f} MB: "
            "give fewer or shorter sounds"
        )
    with write_atomic(path) as file:
        file.write(html)
    return path


def render_report(report: Report) -> str:
    """The page as text."""
    script = _asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sections = [
        {"id": f"s{i}", "title": s.title, "paragraphs": _paragraphs(s.text), "groups": _groups(s.items)}
        for i, s in enumerate(report.sections, 1)
    ]
    return _template().render(
        report=report, sections=sections, script=script, style=_asset("report.css"), script_hash=f"sha256-{digest}"
    )


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("report.html.jinja2"))


@cache
def _asset(name: str) -> str:
    return resources.files("lh_mm.evaluate").joinpath("report_page", name).read_text(encoding="utf-8")


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _groups(items: tuple[Item, ...]) -> list[dict[str, Any]]:
    """Items for the template, neighbouring players together so that they stand side by side where there is room."""
    groups: list[dict[str, Any]] = []
    for item in items:
        shown = _shown(item)
        if shown["kind"] == "audio" and groups and groups[-1]["kind"] == "audio":
            groups[-1]["members"].append(shown)
        else:
            groups.append({"kind": shown["kind"], "members": [shown]})
    return groups


def _shown(item: Item) -> dict[str, Any]:
    """An item as plain values."""
    if isinstance(item, Audio):
        sound, duration_s = audio_uri(item.wave, item.sample_rate, item.title)
        shown = {"title": item.title, "caption": item.caption, "uri": sound, "duration_s": duration_s}
        return {"kind": "audio", "pictures": [_picture(p) for p in item.pictures], **shown}
    if isinstance(item, Picture):
        return {"kind": "picture", "title": "", **_picture(item)}
    if isinstance(item, Curves):
        png = pictures.curves(item.series, x_label=item.x_label, y_label=item.y_label, floors=item.floors)
        names = ", ".join(item.series)
        alt = f"{item.title}: {item.y_label or 'value'} over {item.x_label or 'x'} for {names}"
        return {"kind": "picture", "title": item.title, **_picture(Picture(png, alt, item.caption))}
    if isinstance(item, Code):
        return {"kind": "code", "title": item.title, "text": item.text.rstrip()}
    return {"kind": "table", "table": item.table}


def _picture(picture: Picture) -> dict[str, Any]:
    width, height = (int.from_bytes(picture.png[at : at + 4], "big") for at in (16, 20))  # of the PNG's IHDR
    uri = f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
    return {"uri": uri, "alt": picture.alt, "caption": picture.caption, "width": width, "height": height}


def audio_uri(wave: NDArray[np.floating], sample_rate: int, name: str = "") -> tuple[str, float]:
    """A wave as a `data:` address and its seconds: MP3, or 16-bit WAV where libsndfile cannot write MP3.

    Raises:
        ValueError: NaN or infinity in the wave, or no samples; `name` is said.
    """
    wave = np.atleast_2d(np.asarray(wave, np.float32))
    if not wave.size or not np.isfinite(wave).all():
        raise ValueError(f"sound {name!r} cannot be put on a page: shape {wave.shape}, or NaN or infinity in it")
    samples = np.clip(wave.T, -1.0, 1.0)  # (samples, channels)
    buffer, kind = io.BytesIO(), "mpeg"
    try:
        soundfile.write(buffer, samples, sample_rate, format="MP3", compression_level=_MP3_COMPRESSION)
    except (soundfile.LibsndfileError, ValueError):  # built without LAME, or a rate MP3 has not
        buffer, kind = io.BytesIO(), "wav"
        soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return f"data:audio/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", len(samples) / sample_rate
