from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.core import files
from lh_mm.core.files import (
    atomic_folder,
    free_bytes,
    read_json,
    safe_extract,
    sha256_file,
    sha256_of,
    write_atomic,
    write_json,
)


class Boom(BaseException):
    """As Ctrl-C: not an Exception."""


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_write_atomic_writes_bytes_and_text_and_makes_folders(tmp_path: Path) -> None:
    with write_atomic(tmp_path / "a" / "b.bin") as handle:
        handle.write(b"\x00\r\n")
    with write_atomic(tmp_path / "a" / "c.txt", "w") as text:
        text.write("Größe\n")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"\x00\r\n"
    assert (tmp_path / "a" / "c.txt").read_bytes() == "Größe\n".encode()
    assert names(tmp_path) == ["a", "a/b.bin", "a/c.txt"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_written_files_have_the_permissions_of_any_other_file(tmp_path: Path) -> None:
    with write_atomic(tmp_path / "ours") as handle:
        handle.write(b"x")
    (tmp_path / "plain").write_bytes(b"x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")}
    assert len(modes) == 1


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), Boom()])
def test_what_was_there_stays_when_writing_stops(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("before")
    with pytest.raises(type(error)), write_atomic(target, "w") as handle:
        handle.write("half")
        assert target.read_text() == "before"
        raise error
    assert target.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_full_disk_names_the_target_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a.bin").write_bytes(b"before")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"disk is full.*a\.bin") as caught, write_atomic(tmp_path / "a.bin") as handle:
        handle.write(b"x" * 100)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b"before"
    assert names(tmp_path) == ["a.bin"]


def test_full_disk_in_the_block_is_told_the_same_way(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"disk is full.*pieces"), atomic_folder(tmp_path / "pieces") as folder:
        (folder / "x").write_text("x")
        raise OSError(errno.ENOSPC, "from deep inside a library")
    assert names(tmp_path) == []


def test_other_system_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="mine"), write_atomic(tmp_path / "a") as handle:
        handle.write(b"x")
        raise PermissionError(errno.EACCES, "mine")
    assert names(tmp_path) == []


def test_atomic_folder_appears_whole(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "deep" / "set") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "x").write_text("1")
        assert not (tmp_path / "deep" / "set").exists()
    assert names(tmp_path) == ["deep", "deep/set", "deep/set/sub", "deep/set/sub/x"]


def test_atomic_folder_keeps_the_old_one_until_the_new_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "set"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(FileExistsError, match="set"), atomic_folder(target):
        pytest.fail("the block must not run")
    with pytest.raises(KeyboardInterrupt), atomic_folder(target, replace=True) as folder:
        (folder / "new").write_text("new")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["set", "set/old"]
    with atomic_folder(target, replace=True) as folder:
        (folder / "new").write_text("new")
    assert names(tmp_path) == ["set", "set/new"]


def test_sha256_of_known_values(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    # The hash of the text {"a":[1,2.5],"b":null}: this form must never change, prepared sets are named by it.
    assert sha256_of({"b": None, "a": (1, 2.5)}) == "f66b2c50ccae61e3f2445d2439f42efc245581b18ed184ce5d3c22fb58eed9c4"


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=5), st.integers() | st.booleans() | st.none() | st.text(max_size=5)))
def test_sha256_of_ignores_the_order_of_keys(value: dict[str, object]) -> None:
    assert sha256_of(value) == sha256_of(dict(reversed(value.items())))
    assert sha256_of(value) != sha256_of({**value, "more than five": 1})


@pytest.mark.parametrize(
    ("value", "error", "where"),
    [
        ({"a": [0, float("nan")]}, ValueError, r"value\.a\[1\]"),
        ({"a": {1: "x"}}, TypeError, r"value\.a: keys"),
        ({"a": Path("x")}, TypeError, r"value\.a: \w*Path"),
    ],
)
def test_what_json_does_not_hold_is_named_with_its_place(value: object, error: type[Exception], where: str) -> None:
    with pytest.raises(error, match=where):
        sha256_of(value)


def test_json_round_trip_and_its_errors(tmp_path: Path) -> None:
    value = {"name": "Größe", "rows": [1, 2.5, None, True]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    (tmp_path / "bad.json").write_text('{"a": 1,\n "b" 2}')
    with pytest.raises(ValueError, match=r"bad\.json, line 2, column 6: not JSON"):
        read_json(tmp_path / "bad.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_json(tmp_path / "binary.json")
    with pytest.raises(ValueError, match=r"nan\.json\.x"):
        write_json(tmp_path / "nan.json", {"x": float("inf")})
    assert not (tmp_path / "nan.json").exists()


def test_free_bytes_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "there") > 0


# --- archives ---------------------------------------------------------------------------------------------


def make_zip(path: Path, entries: list[tuple[str, bytes]], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            zipped.writestr(info, content)
    return path


def make_tar(path: Path, entries: list[tuple[str, bytes]], kind: bytes = tarfile.REGTYPE, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tarred:  # type: ignore[call-overload]
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            tarred.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_extract_gives_the_files_back(tmp_path: Path, make: object) -> None:
    entries = [("set/a.mid", b"MThd"), ("set/deep/b.wav", bytes(range(256)) * 10_000), ("./c", b"")]
    archive = make(tmp_path / "archive", entries)  # type: ignore[operator]
    out = safe_extract(archive, tmp_path / "out")
    assert out == [tmp_path / "out" / n for n in ("set/a.mid", "set/deep/b.wav", "c")]
    assert [p.read_bytes() for p in out] == [content for _, content in entries]


def test_extract_makes_empty_folders(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("empty/", b""), ("x", b"1")])
    safe_extract(archive, tmp_path / "out")
    assert names(tmp_path / "out") == ["empty", "x"]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "a\\..\\evil", "C:/evil"])
def test_extract_refuses_paths_that_leave_the_folder(tmp_path: Path, make: object, name: str) -> None:
    archive = make(tmp_path / "archive", [("fine", b"1"), (name, b"2")])  # type: ignore[operator]
    with pytest.raises(ValueError, match="outside of its folder"):
        safe_extract(archive, tmp_path / "in" / "out")
    assert [n for n in names(tmp_path) if n not in ("archive", "in")] == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_extract_refuses_links_and_devices_in_tar(tmp_path: Path, kind: bytes) -> None:
    archive = make_tar(tmp_path / "a.tar", [("x", b"")], kind)
    with pytest.raises(ValueError, match="link or a device"):
        safe_extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_extract_refuses_links_in_zip(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("x", b"/etc/passwd")], stat.S_IFLNK | 0o777)
    with pytest.raises(ValueError, match="link"):
        safe_extract(archive, tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_extract_stops_at_its_limits(tmp_path: Path, make: object) -> None:
    archive = make(tmp_path / "bomb", [(f"{i}", b"\0" * 100_000) for i in range(10)])  # type: ignore[operator]
    assert archive.stat().st_size < 20_000
    with pytest.raises(ValueError, match="more than 999999 bytes"):
        safe_extract(archive, tmp_path / "out", max_bytes=999_999)
    with pytest.raises(ValueError, match="more than 9 entries"):
        safe_extract(archive, tmp_path / "out", max_files=9)
    assert names(tmp_path) == ["bomb"]
    assert len(safe_extract(archive, tmp_path / "out", max_bytes=1_000_000, max_files=10)) == 10


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("second", ["a", "./a", "a/b"])
def test_extract_refuses_two_entries_of_one_place(tmp_path: Path, make: object, second: str) -> None:
    archive = make(tmp_path / "archive", [("a", b"1"), (second, b"2")])  # type: ignore[operator]
    with pytest.raises(ValueError, match="archive"):
        safe_extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.97])
def test_a_cut_archive_is_named_damaged(tmp_path: Path, make: object, part: float) -> None:
    noise = os.urandom(50_000)  # so that a cut falls inside of the compressed bytes
    archive = make(tmp_path / "archive", [("a", noise), ("b", noise)])  # type: ignore[operator]
    archive.write_bytes(archive.read_bytes()[: int(part * archive.stat().st_size)])
    with pytest.raises(ValueError, match=str(archive)):
        safe_extract(archive, tmp_path / "out")
    assert names(tmp_path) == ["archive"]


def test_garbled_bytes_are_named_damaged(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("a", b"music" * 1000)])
    content = bytearray(archive.read_bytes())
    content[40] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.zip: damaged"):
        safe_extract(archive, tmp_path / "out")


def test_text_is_not_an_archive_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("not an archive")
    with pytest.raises(ValueError, match="neither a zip nor a tar"):
        safe_extract(tmp_path / "a.zip", tmp_path / "out")
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(b"not a tar"))
    with pytest.raises(ValueError, match="neither a zip nor a tar"):
        safe_extract(tmp_path / "b.tar.gz", tmp_path / "out")


def test_extract_does_not_touch_what_exists(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("a", b"1")])
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="out"):
        safe_extract(archive, tmp_path / "out")
