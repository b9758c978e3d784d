"""The page and the table: nothing from outside is believed, nothing incomparable is compared, nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from lh_mm.audio.pictures import curves
from lh_mm.evaluate.report import (
    Audio,
    Code,
    Curves,
    Item,
    Picture,
    Report,
    Section,
    Table,
    audio_uri,
    render_report,
    write_report,
)
from lh_mm.evaluate.table import DASH, Measured, Metric, RunScores, comparison_table

HOSTILE = "a\"'><script>alert(1)</script>&<img src=x onerror=alert(2)> {{ 7 * 7 }} |[b](javascript:c)* \\$"
RATE = 24_000
LOSS = Metric("nats", "nats per note", higher_is_better=False, digits=2, definition="REMI, 16th grid")
F1 = Metric("f1", "onset F1", higher_is_better=True, unit="50 ms")
SIZE = Metric("size", "parameters", higher_is_better=None, unit="M", digits=1)


class Page(HTMLParser):
    """Tags with their attributes, as a browser's parser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def tone(seconds: float = 1.0, channels: int = 1, rate: int = RATE) -> np.ndarray:
    wave = 0.4 * np.sin(2 * np.pi * 330 * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    return wave if channels == 1 else np.stack([wave] * channels)


def report_named(name: str) -> Report:
    runs = [RunScores(name, {"nats": Measured(2.0, name, num=3)}, note=name), RunScores("other", {})]
    metric = Metric("nats", name, higher_is_better=False, unit=name, definition=name)
    picture = Picture(curves({"a": ([0, 1], [0, 1])}), alt=name, caption=name)
    items: tuple[Item, ...] = (
        Audio(name, tone(), RATE, name, (picture,)),
        picture,
        Table(comparison_table(runs, [metric], caption=name)),
        Curves(name, {name: ([0, 1], [1, 0])}, name, name, {name: 0.5}, name),
        Code(name, name),
    )
    return Report(name, name, (Section(name, name, items),) * 3, (name,), {name: name})


def test_a_hostile_name_stays_text_everywhere() -> None:
    html = render_report(report_named(HOSTILE))
    page, plain = Page(html), Page(render_report(report_named("plain")))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert all("7 * 7" in part for part in re.findall(r"\{\{.*?\}\}", html))  # a template's text is not run
    assert page.of("audio")[0]["aria-label"] == HOSTILE
    assert page.of("img")[0]["alt"] == HOSTILE


def test_the_page_fetches_nothing_and_may_run_only_its_own_script() -> None:
    html = render_report(report_named("plain"))
    page = Page(html)
    for _, attributes in page.tags:
        for key in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:", "#")), value
    policy = next(a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    assert policy is not None and script is not None
    assert policy.startswith("default-src 'none'")
    assert base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode() in policy
    assert "@import" not in html and "url(" not in html


def test_everything_has_words_for_those_who_do_not_see_it() -> None:
    page = Page(render_report(report_named("plain")))
    assert all(image.get("alt") for image in page.of("img"))
    assert all(audio.get("aria-label") for audio in page.of("audio"))
    assert all(head.get("scope") in ("col", "row") for head in page.of("th"))
    assert page.of("html")[0]["lang"] == "en"
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(identities)) == len(identities)
    assert all(link["href"] == "#main" or link["href"] in {f"#{i}" for i in identities} for link in page.of("a"))


@pytest.mark.parametrize(("channels", "rate"), [(1, 24_000), (2, 44_100), (1, 96_000)])
def test_a_sound_survives_with_its_length_and_channels(channels: int, rate: int) -> None:
    wave = tone(1.5, channels, rate)
    uri, duration_s = audio_uri(wave, rate)
    kind, data = uri.split(",", 1)
    back, back_rate = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="float32", always_2d=True)
    assert duration_s == 1.5 and back_rate == rate
    assert back.shape[1] == channels and abs(len(back) / rate - 1.5) < 0.06
    assert np.abs(back).max() == pytest.approx(0.4, abs=0.05)
    assert kind == ("data:audio/wav;base64" if rate > 48_000 else "data:audio/mpeg;base64")  # MP3 ends at 48 kHz


def test_bad_sound_and_too_large_pages_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"kick drum.*NaN"):
        audio_uri(np.full(100, np.nan), RATE, "kick drum")
    with pytest.raises(ValueError, match="'none'"):
        audio_uri(np.zeros(0), RATE, "none")
    path = tmp_path / "report.html"
    with pytest.raises(ValueError, match=r"report.html.*max_bytes=0.0 MB"):
        write_report(report_named("plain"), path, max_bytes=10_000)
    assert list(tmp_path.iterdir()) == []
    assert write_report(report_named("plain"), path) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_only_what_compares_is_compared() -> None:
    runs = [
        RunScores("ours", {"nats": Measured(6.2, "pop909"), "f1": Measured(0.9, "electronic", 0.88, 0.92, 64)}),
        RunScores("theirs", {"nats": Measured(2.1, "lakh"), "f1": Measured(0.8, "electronic")}),
        RunScores("third", {"nats": Measured(6.4, "pop909")}),
        RunScores("original", {"f1": Measured(0.97, "electronic")}, reference=True),
    ]
    table = comparison_table(runs, [LOSS, F1])
    ours, theirs, third, original = table.rows
    assert theirs.cells[0].value is None and "lakh" in theirs.cells[0].reason
    assert ours.cells[0].best and not third.cells[0].best  # 6.2 < 6.4; the incomparable 2.1 does not win
    assert ours.cells[1].best and not original.cells[1].best  # a reference is not in the race
    assert third.cells[1].value is None and third.cells[1].reason == "not measured"
    html = render_report(Report("t", "", (Section("s", items=(Table(table),)),)))
    assert html.count('class="best"') == 2 and html.count('class="dash"') == 3
    assert "0.880 to 0.920" in html and "n = 64" in html


def test_a_lone_figure_and_a_size_have_no_best() -> None:
    runs = [
        RunScores("a", {"nats": Measured(1.0, "x"), "size": Measured(2, "")}),
        RunScores("b", {"size": Measured(3, "")}),
    ]
    assert not any(cell.best for row in comparison_table(runs, [LOSS, SIZE]).rows for cell in row.cells)


def test_seeds_of_one_experiment_are_one_row() -> None:
    values = [1.0, 2.0, 4.0]
    runs = [RunScores("a", {"nats": Measured(v, "x", v, v, 10)}, seed=i) for i, v in enumerate(values)]
    runs.insert(1, RunScores("b", {"nats": Measured(2.0, "x")}, seed=0))
    a, b = comparison_table(runs, [LOSS]).rows
    assert (a.label, b.label) == ("a (3 seeds)", "b")
    assert a.cells[0].value == pytest.approx(np.mean(values))
    assert a.cells[0].spread == pytest.approx(np.std(values, ddof=1))
    assert (a.cells[0].num_seeds, a.cells[0].num, a.seeds) == (3, 30, (0, 1, 2))
    missing = comparison_table([*runs, RunScores("a", {}, seed=3)], [LOSS]).rows[0].cells[0]
    assert missing.value is None and missing.reason == "measured for 3 of 4 seeds"


def test_one_table_in_three_forms() -> None:
    runs = [
        RunScores(HOSTILE, {"nats": Measured(6.123, "x", 6.0, 6.25), "size": Measured(2.3, "")}),
        RunScores("[bold]b[/bold]", {"nats": Measured(7.0, "x")}),
    ]
    table = comparison_table(runs, [LOSS, SIZE], "A caption")
    markdown = table.markdown().splitlines()
    assert markdown[0] == "|  | nats per note ↓ | parameters, M |"
    assert "**6.12 [6.00, 6.25]**" in markdown[2] and DASH in markdown[3]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in markdown[:4])
    assert "<script>" not in markdown[2]
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(table.rich())
    printed = console.export_text()
    assert "[bold]b[/bold]" in printed and "6.12 [6.00, 6.25]" in printed and "A caption" in printed
    data = json.loads(json.dumps(table.json()))
    assert data["rows"][0]["cells"]["nats"]["value"] == 6.123
    assert data["columns"][0]["definition"] == LOSS.definition
