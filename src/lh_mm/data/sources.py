"""Where a recipe's files come from: a folder given, a local copy, or a verified download.

A local copy is `LH_SOURCES/<local>`. Otherwise the archive is downloaded once into `$LH_DATA/sources`,
checked against its SHA-256 where the recipe has one, and unpacked with care. Archives that a host packs anew
on each request have no stable hash of their own; then the recipe gives the hash of the *files* (`content`),
which holds for local copies just the same.
"""

from __future__ import annotations

import hashlib
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path

from lh_mm.core.config import Config
from lh_mm.core.files import safe_extract, sha256_file, write_atomic
from lh_mm.core.log import progress
from lh_mm.data.corpora.base import SourceError, SourceFile

LOGGER = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20


class SourceConfig(Config):
    """The public source of a corpus."""

    url: str
    """A zip or tar archive."""
    sha256: str | None = None
    """Of the archive; None where its host packs it anew."""
    content_sha256: str | None = None
    """Of the files that are read: `content_hash`. Checked for downloads and local copies alike."""
    commit: str | None = None
    """Of the repository, for people; the hashes are what is checked."""
    local: str
    """Folder below LH_SOURCES that holds the same, unpacked."""
    archive: str | None = None
    """Name of the archive, where the local folder holds it packed instead of its files."""
    inside: str = ""
    """Folder inside the archive that corresponds to the local one."""


class PublicCorpus(Config):
    """What the settings of every public corpus have; its `kind` says which one it is."""

    source: SourceConfig
    """The public archive, and the folder below LH_SOURCES that holds the same."""
    pieces: int | None = None
    """Only the first so many pieces, for a quick look; their splits stay the same."""

    def locate(self, licence: str) -> Path:
        return resolve_source(self.source, licence)


def data_root() -> Path:
    """Where prepared sets and downloads live: `$LH_DATA`, by default `./data`."""
    return Path(os.environ.get("LH_DATA") or "data")


def resolve_source(source: SourceConfig, licence: str) -> Path:
    """The folder that holds a source's files, downloaded when there is no local copy.

    Raises:
        SourceError: neither could be had; the message says what to do.
    """
    packed = None
    if local_root := os.environ.get("LH_SOURCES"):
        folder = Path(local_root).expanduser() / source.local
        packed = folder / source.archive if source.archive else None
        if packed is None and folder.is_dir():
            return folder
        if packed is None or not packed.is_file():
            packed = None
            LOGGER.warning("LH_SOURCES has no %s (%s): downloading instead", source.archive or source.local, folder)
    folder = data_root() / "sources" / f"{source.local}-{hashlib.sha256(source.url.encode()).hexdigest()[:12]}"
    if not folder.is_dir() and packed is not None:
        _check_archive(source, packed)
        safe_extract(packed, folder)
    if not folder.is_dir():
        LOGGER.info("downloading %s (licence: %s)", source.url, licence)
        archive = folder.with_suffix(".archive")
        try:
            _download(source, archive)
            try:
                safe_extract(archive, folder)
            except ValueError as error:
                raise SourceError(f"{source.url}: {error}") from error
        finally:
            archive.unlink(missing_ok=True)
    inner = folder / source.inside
    if not inner.is_dir():
        raise SourceError(f"{source.url}: the archive has no folder {source.inside!r}; delete {folder} to load it anew")
    return inner


def _download(source: SourceConfig, target: Path) -> None:
    """The archive under `target`, whole and with the right hash, or not at all."""
    advice = f"put its content into a folder {source.local} and name the folder above it in LH_SOURCES"
    try:
        with urllib.request.urlopen(source.url, timeout=60) as response, write_atomic(target) as handle:
            size = response.headers.get("Content-Length")
            total = int(size) if size and size.isdigit() else None
            with progress("downloading", total // _CHUNK_BYTES if total else None, "MiB") as bar:
                received = 0
                while chunk := response.read(_CHUNK_BYTES):
                    handle.write(chunk)
                    bar.advance((received + len(chunk)) // _CHUNK_BYTES - received // _CHUNK_BYTES)
                    received += len(chunk)
            if total is not None and received != total:
                raise SourceError(f"{source.url}: got {received} of {total} bytes; run the same command again")
    except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
        raise SourceError(f"{source.url}: cannot be downloaded ({error}). Without network {advice}.") from error
    try:
        _check_archive(source, target)
    except SourceError:
        target.unlink()
        raise


def _check_archive(source: SourceConfig, archive: Path) -> None:
    if source.sha256 is not None and (found := sha256_file(archive)) != source.sha256:
        raise SourceError(f"{source.url}: the archive's sha256 is {found}, the recipe says {source.sha256}")


def content_hash(files: Iterable[SourceFile]) -> str:
    """SHA-256 of the lines `<sha256>  <name>` in the order of names, as `sha256sum` prints them."""
    lines = "".join(f"{file.sha256}  {file.name}\n" for file in sorted(files, key=lambda file: file.name))
    return hashlib.sha256(lines.encode()).hexdigest()


def check_content(source: SourceConfig, files: Iterable[SourceFile], folder: Path) -> None:
    """Refuse files other than those the recipe was written for.

    Raises:
        SourceError: naming the folder and both hashes.
    """
    if source.content_sha256 is None:
        return
    found = content_hash(files)
    if found != source.content_sha256:
        raise SourceError(
            f"{folder}: the files' content hash is {found}, the recipe's source.content_sha256 is "
            f"{source.content_sha256}: another version, or files are missing or changed"
        )
