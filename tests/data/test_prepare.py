"""Preparation: once, resumable, never half, whatever the files and the disk do."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lh_mm.core.clock import TempoMap
from lh_mm.core.files import FULL_DISK
from lh_mm.data import prepare as module
from lh_mm.data import shards
from lh_mm.data.corpora.base import SourceError
from lh_mm.data.prepare import PrepareError, fingerprint, prepare
from lh_mm.data.prepared import PreparedError, PreparedSet
from lh_mm.data.recipe import Recipe, load_recipe
from lh_mm.music.midi_io import write_midi
from lh_mm.music.score import Score, make_notes


def notes_only(pieces: int = 4, **corpus: Any) -> Recipe:
    overrides = ["codec=null", "features=null", f"pieces={pieces}", "duration_s=6"]
    return load_recipe("smoke", [*overrides, *(f"{k}={v}" for k, v in corpus.items())]).config


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def song(path: Path, seed: int = 0, seconds: float = 4.0) -> None:
    rng = np.random.default_rng(seed)
    tempo = TempoMap.constant(120.0)
    rows = [
        {"start_s": t, "end_s": t + 0.2, "pitch": int(rng.integers(40, 80)), "program": 5}
        for t in np.arange(0.0, seconds - 0.3, 0.25)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_midi(Score(make_notes(rows, tempo), tempo, seconds), path)


def folder_recipe(path: Path, *overrides: str) -> Recipe:
    return load_recipe("folder", [f"path={path}", "codec=null", "features=null", "audio.keep=false", *overrides]).config


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    recipe = notes_only()
    first = prepare(recipe, root=tmp_path, workers=1)
    before = snapshot(first)
    assert "DONE" in before and {"pieces.jsonl", "stats.json", "set.json", "recipe.yaml", "quarantine.jsonl"} <= set(
        before
    )
    assert prepare(recipe, root=tmp_path, workers=1) == first
    assert snapshot(first) == before
    assert not list(tmp_path.rglob("*.tmp"))


def test_it_goes_on_at_the_missing_shard(tmp_path: Path) -> None:
    recipe = notes_only()
    folder = prepare(recipe, root=tmp_path, workers=1)
    whole = {name: (folder / name).read_bytes() for name in ("pieces.jsonl", "notes.1.npy", "stats.json")}
    kept = (folder / "notes.0.npy").stat().st_mtime_ns
    for name in ("DONE", "shard.1.json", "notes.1.npy", "pieces.jsonl"):
        (folder / name).unlink()
    (folder / ".notes.1.npy.123-abc.tmp").write_bytes(b"half")
    assert prepare(recipe, root=tmp_path, workers=1) == folder
    assert {name: (folder / name).read_bytes() for name in whole} == whole
    assert (folder / "notes.0.npy").stat().st_mtime_ns == kept
    assert not list(folder.rglob(".*.tmp"))


@pytest.mark.slow
def test_processes_make_the_same_set(tmp_path: Path) -> None:
    recipe = notes_only()
    one = prepare(recipe, root=tmp_path / "one", workers=1)
    two = prepare(recipe, root=tmp_path / "two", workers=2)
    for name in ("pieces.jsonl", "notes.0.npy", "notes.1.npy", "stats.json", "set.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_the_fingerprint_is_of_everything_the_content_depends_on(tmp_path: Path, codec_folder: Path) -> None:
    def of(*overrides: str) -> str:
        recipe = load_recipe("smoke", [f"codec.source={codec_folder}", *overrides]).config
        return fingerprint(recipe, recipe.corpus.build(recipe.licence, Path()).listing())

    base = of()
    assert of() == base == of("name=other")
    changed = [
        of("pieces=3"), of("duration_s=13"), of("features.num_bins=48"), of("features=null"), of("codec=null"),
        of("audio.keep=true"), of("shards.pieces_per_shard=1"), of("licence=mine"),
    ]  # fmt: skip
    assert len({base, *changed}) == len(changed) + 1


def test_the_fingerprint_of_a_folder_is_of_its_files_not_of_its_place(tmp_path: Path) -> None:
    song(tmp_path / "a" / "x.mid")
    song(tmp_path / "b" / "x.mid")

    def of(path: Path) -> str:
        recipe = folder_recipe(path)
        return fingerprint(recipe, recipe.corpus.build(recipe.licence, path).listing())

    assert of(tmp_path / "a") == of(tmp_path / "b")
    song(tmp_path / "b" / "x.mid", seed=1)
    assert of(tmp_path / "a") != of(tmp_path / "b")


def full_disk(name: str) -> Callable[..., None]:
    original = shards._save

    def save(path: Path, array: np.ndarray) -> None:
        if path.name == name:
            path.with_name(f".{path.name}.x.tmp").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        original(path, array)

    return save


def test_a_full_disk_leaves_a_message_and_a_folder_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = notes_only()
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_save", full_disk("notes.1.npy"))
        with pytest.raises(PrepareError, match=r"disk is full .* 1 of 2 shards .* same command"):
            prepare(recipe, root=tmp_path, workers=1)
    (folder,) = (tmp_path / "smoke").iterdir()
    assert (folder / "shard.0.json").exists() and not (folder / "shard.1.json").exists()
    with pytest.raises(PreparedError, match="not finished"):
        PreparedSet(folder)
    assert len(PreparedSet(prepare(recipe, root=tmp_path, workers=1))) == 4
    assert not list(folder.rglob(".*.tmp"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_write_to_a_full_device_is_told_from_other_errors() -> None:
    with pytest.raises(OSError) as caught, Path("/dev/full").open("wb", buffering=0) as handle:
        shards.write_array(handle, np.zeros(1 << 16, np.int16))
    assert caught.value.errno in FULL_DISK


def test_ctrl_c_in_this_process_keeps_finished_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = notes_only()
    original = shards.Workbench.prepare

    def stop(self: shards.Workbench, item: Any) -> Any:
        if item.seed == 3:
            raise KeyboardInterrupt
        return original(self, item)

    with monkeypatch.context() as patch:
        patch.setattr(shards.Workbench, "prepare", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(recipe, root=tmp_path, workers=1)
    (folder,) = (tmp_path / "smoke").iterdir()
    assert (folder / "shard.0.json").exists() and not (folder / "DONE").exists()
    assert len(PreparedSet(prepare(recipe, root=tmp_path, workers=1))) == 4


def nobody_left(group: int, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_ctrl_c_on_the_command_line(tmp_path: Path, repository: Path) -> None:
    """The real signal to a real process group with workers: message, exit code 130, nobody left, and it goes on."""
    overrides = ["pieces=4000", "codec=null", "features=null"]
    command = [sys.executable, "-m", "lh_mm.cli.main", "data", "prepare", "smoke", *overrides, "workers=2"]
    environment = {**os.environ, "LH_DATA": str(tmp_path), "OMP_NUM_THREADS": "1"}
    # A suite started in the background (`&` in a script) inherits an ignored SIGINT, which its children would, too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("smoke/*/shard.*.json")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command goes on" in stderr and "Traceback" not in stderr
    assert nobody_left(process.pid)
    (folder,) = tmp_path.glob("smoke/*")
    assert not list(folder.rglob(".*.tmp")) and not (folder / "DONE").exists()
    done = len(list(folder.glob("shard.*.json")))
    assert 0 < done < 2000
    for listing in folder.glob("shard.*.json"):
        json.loads(listing.read_text())


def test_two_at_once_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = notes_only(pieces=1)

    def nested(*_: Any) -> None:
        prepare(recipe, root=tmp_path, workers=1)

    monkeypatch.setattr(module, "_run", nested)
    with pytest.raises(PrepareError, match="being prepared by another process"):
        prepare(recipe, root=tmp_path, workers=1)


def test_bad_files_go_into_quarantine_and_nothing_stops(tmp_path: Path) -> None:
    music = tmp_path / "music"
    song(music / "good.mid")
    song(music / "sub" / "good.mid", seed=1)
    (music / "corrupt.mid").write_bytes((music / "good.mid").read_bytes()[:40])
    (music / "empty.mid").write_bytes(b"")
    (music / "text.wav").write_text("this is not sound\n")
    (music / "notes.txt").write_text("ignored")
    prepared = PreparedSet(prepare(folder_recipe(music, "audio.keep=true"), root=tmp_path / "sets", workers=1))
    assert {piece.id for piece in prepared.pieces()} == {"good", "sub/good"}
    reasons = {entry["file"]: entry["reason"] for entry in prepared.quarantine}
    assert set(reasons) == {"corrupt.mid", "empty.mid", "text.wav"}
    assert "not a sound file" in reasons["text.wav"] and "truncated" in reasons["corrupt.mid"]
    assert "unexpected" not in " ".join(reasons.values())


def test_a_bug_in_one_piece_is_reported_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = shards.legalise
    calls = []

    def breaks(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError("a bug")
        return original(*args, **kwargs)

    monkeypatch.setattr(shards, "legalise", breaks)
    prepared = PreparedSet(prepare(notes_only(), root=tmp_path, workers=1))
    assert len(prepared) == 3
    assert prepared.quarantine[0]["reason"] == "unexpected ZeroDivisionError: a bug"


def test_nothing_to_prepare_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no folder"):
        prepare(folder_recipe(tmp_path / "absent"), root=tmp_path / "sets")
    (tmp_path / "music").mkdir()
    with pytest.raises(SourceError, match=r"no music in this folder \(it holds no files at all\); what is read: \.mid"):
        prepare(folder_recipe(tmp_path / "music"), root=tmp_path / "sets")
    (tmp_path / "music" / "a.pdf").write_text("x")
    with pytest.raises(SourceError, match=r"it holds 1 \.pdf"):
        prepare(folder_recipe(tmp_path / "music"), root=tmp_path / "sets")
    (tmp_path / "music" / "a.mid").write_text("x")
    with pytest.raises(SourceError, match=r"none of 1 pieces could be used:\n  a\.mid: .*not a MIDI file"):
        prepare(folder_recipe(tmp_path / "music"), root=tmp_path / "sets", workers=1)


def test_too_many_events_in_a_slot_are_quarantined(tmp_path: Path) -> None:
    tempo = TempoMap.constant(120.0)
    crowd = [
        {"start_s": 1.0, "end_s": 1.5, "pitch": pitch, "program": program, "track": program}
        for program in range(2)
        for pitch in range(60)
    ]
    (tmp_path / "music").mkdir()
    write_midi(Score(make_notes(crowd, tempo), tempo, 2.0, tracks=("a", "b")), tmp_path / "music" / "crowd.mid")
    song(tmp_path / "music" / "fine.mid")
    prepared = PreparedSet(prepare(folder_recipe(tmp_path / "music"), root=tmp_path / "sets", workers=1))
    assert [piece.id for piece in prepared.pieces()] == ["fine"]
    assert "360 events in one slot" in prepared.quarantine[0]["reason"]


def test_a_short_piece_is_quarantined(tmp_path: Path) -> None:
    song(tmp_path / "music" / "long.mid")
    song(tmp_path / "music" / "short.mid", seconds=0.6)
    prepared = PreparedSet(prepare(folder_recipe(tmp_path / "music"), root=tmp_path / "sets", workers=1))
    assert [piece.id for piece in prepared.pieces()] == ["long"]
