"""Files that are either whole or not there: atomic writes, content hashes, archives opened with care.

Everything the house writes goes through `write_atomic` or `atomic_folder`: the bytes go to a hidden name beside
the target, reach the disk, and take the target's name in one step. A crash, Ctrl-C or a full disk leaves what
was there before. Archives come from strangers: `safe_extract` writes nothing outside its folder and stops at
limits that the caller states.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import lzma
import math
import os
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, Literal, TextIO, overload

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})
_CHUNK_BYTES = 1 << 20
DAMAGED = (
    *(
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        gzip.BadGzipFile,
        EOFError,
        NotImplementedError,
    ),
    *(NotADirectoryError, FileExistsError, IsADirectoryError),
)
"""What the standard library raises on archives that are cut, garbled, oddly compressed, or hold a file and a
folder of one name."""


@overload
@contextmanager
def write_atomic(path: Path | str, mode: Literal["wb"] = "wb") -> Iterator[BinaryIO]: ...


@overload
@contextmanager
def write_atomic(path: Path | str, mode: Literal["w"]) -> Iterator[TextIO]: ...


@contextmanager
def write_atomic(path: Path | str, mode: Literal["w", "wb"] = "wb") -> Iterator[IO[Any]]:
    """Open a file that replaces `path` when the block ends well, and never exists in part.

    Missing parent folders are made. Text is UTF-8 with Unix line ends.

    Raises:
        OSError: as the system says; a full disk names the target and how much was free.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    text = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    with _removed_on_failure(path, temporary):
        # "x" and not tempfile: the file gets the permissions that the user's umask gives any other file.
        with temporary.open(mode.replace("w", "x"), **text) as handle:  # type: ignore[call-overload]
            yield handle
            if not handle.closed:
                handle.flush()
                os.fsync(handle.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)


@contextmanager
def atomic_folder(path: Path | str, *, replace: bool = False) -> Iterator[Path]:
    """Build a folder under a hidden name; it takes the name `path` when the block ends well.

    Args:
        path: the folder to make.
        replace: put it in the place of an existing folder, which is kept whole until then.

    Raises:
        FileExistsError: `path` exists and `replace` is false.
    """
    path = Path(path)
    if path.exists() and not replace:
        raise FileExistsError(f"{path} exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    with _removed_on_failure(path, temporary):
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        if not path.exists():
            temporary.replace(path)
        else:
            former = _temporary_beside(path)
            path.replace(former)
            try:
                temporary.replace(path)
            except BaseException:
                former.replace(path)
                raise
            shutil.rmtree(former)
        _sync_folder(path.parent)


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


@contextmanager
def _removed_on_failure(path: Path, temporary: Path) -> Iterator[None]:
    """Remove what was begun on any exception, Ctrl-C included, and say what a full disk means."""
    try:
        yield
    except BaseException as error:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            free_mb = free_bytes(path) / 1e6
            message = f"the disk is full ({free_mb:.0f} MB free): could not write; what was there before is unchanged"
            raise OSError(error.errno, message, str(path)) from error
        raise


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system can open folders."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_bytes(path: Path | str) -> int:
    """Bytes free on the disk that holds `path`, which need not exist yet."""
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_of(value: Any) -> str:
    """SHA-256 of a JSON value: the same for equal values, whatever the order of keys; tuples count as lists.

    Raises:
        TypeError: something that JSON does not hold, or a key that is not text (1 and "1" would collide).
        ValueError: a number that is not finite.
    """
    _check_json(value, "value")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_json(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where}: keys must be text, got {key!r}")
            _check_json(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_json(item, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: {value} is not a JSON number")
    elif not (value is None or type(value) in (bool, int, float, str)):
        raise TypeError(f"{where}: {type(value).__name__} is not a JSON value")


def write_json(path: Path | str, value: Any) -> None:
    """Write a JSON value, indented, atomically; refuses what `sha256_of` refuses."""
    _check_json(value, str(path))
    with write_atomic(path, "w") as handle:
        json.dump(value, handle, indent=2, ensure_ascii=False)
        handle.write("\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: it is not JSON; the message names file, line and column.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not JSON (not UTF-8 text)") from error


def safe_extract(
    archive: Path | str, folder: Path | str, *, max_bytes: int = 20 << 30, max_files: int = 200_000
) -> list[Path]:
    """Unpack a zip or tar archive (gzip, bzip2, xz) into a folder that must not exist yet.

    Args:
        archive: told by its content, not by its name.
        folder: appears whole, or not at all.
        max_bytes: the most that all files may take unpacked, as counted while unpacking, not as declared.
        max_files: the most files and folders.

    Returns:
        The files, in the archive's order.

    Raises:
        ValueError: a damaged archive, a link, device or encrypted entry, a path that is absolute, has `..` or a
            backslash, or comes twice, or more than the limits allow. The message names archive and entry.
    """
    archive = Path(archive)
    files: list[str] = []
    with atomic_folder(folder) as target:
        seen: set[str] = set()
        left = max_bytes
        try:
            for name, source in _entries(archive):
                parts = _checked_parts(archive, name)
                if parts in seen and source is not None:
                    raise ValueError(f"{archive}: {name!r} comes twice")
                seen.add(parts)
                if len(seen) > max_files:
                    raise ValueError(f"{archive}: more than {max_files} entries")
                path = target / parts
                if source is None:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                files.append(parts)
                with path.open("xb") as handle:
                    while chunk := source.read(min(_CHUNK_BYTES, left + 1)):
                        left -= len(chunk)
                        if left < 0:
                            raise ValueError(f"{archive}: more than {max_bytes} bytes unpacked, at {name!r}")
                        handle.write(chunk)
        except DAMAGED as error:
            raise ValueError(f"{archive}: damaged archive ({error})") from error
    return [Path(folder) / name for name in files]


def _entries(archive: Path) -> Iterable[tuple[str, IO[bytes] | None]]:
    """Each entry's name with its open content, None for a folder; raises on what is neither file nor folder."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or info.flag_bits & 1:
                    raise ValueError(f"{archive}: {info.filename!r} is a link, a device or encrypted")
                if info.is_dir():
                    yield info.filename, None
                else:
                    with zipped.open(info) as source:
                        yield info.filename, source
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tarred:
            for member in tarred:
                if not (member.isfile() or member.isdir()):
                    raise ValueError(f"{archive}: {member.name!r} is a link or a device")
                yield member.name, tarred.extractfile(member) if member.isfile() else None
    else:
        raise ValueError(f"{archive}: neither a zip nor a tar archive")


def _checked_parts(archive: Path, name: str) -> str:
    """An entry's path inside the folder, as relative POSIX text."""
    path = PurePosixPath(name)
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or drive:
        raise ValueError(f"{archive}: {name!r} would be written outside of its folder")
    return path.as_posix()
