"""Kernels that others wrote for CUDA machines, found when they are first asked for.

Of `mamba_ssm` we use what is written in Triton alone: the chunked scan of Mamba-2. Importing the
package also asks for a compiled extension that many installations lack or have for another torch; then its Triton
files are imported without it. Nothing here is needed: where a kernel is missing, plain PyTorch does the same.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

log = logging.getLogger(__name__)

PACKAGE = "mamba_ssm"


@functools.cache
def chunk_scan() -> Callable[..., Any] | None:
    """`mamba_chunk_scan_combined` of mamba_ssm, or None."""
    return _find("ssd_combined", "mamba_chunk_scan_combined")


def _find(module: str, name: str) -> Callable[..., Any] | None:
    if importlib.util.find_spec(PACKAGE) is None or importlib.util.find_spec("triton") is None:
        log.info("%s: plain PyTorch (mamba_ssm or triton is not installed)", name)
        return None
    try:
        found = _triton_module(module)
    except Exception as error:  # a build for another torch raises anything from ImportError to OSError
        log.warning("%s: plain PyTorch, for mamba_ssm cannot be imported (%s: %s)", name, type(error).__name__, error)
        return None
    log.info("%s: mamba_ssm's Triton kernel", name)
    kernel: Callable[..., Any] = getattr(found, name)
    return kernel


def _triton_module(module: str) -> ModuleType:
    """A module of `mamba_ssm.ops.triton`, with or without the package's compiled extension."""
    path = f"{PACKAGE}.ops.triton.{module}"
    try:
        return importlib.import_module(path)
    except ImportError as error:
        log.info("mamba_ssm has no compiled extension here (%s); its Triton files are imported alone", error)
    with _without_init(PACKAGE):
        return importlib.import_module(path)


@contextmanager
def _without_init(package: str) -> Iterator[None]:
    """Let modules of a package be imported without running the package's `__init__`.

    Afterwards the package itself is as unimported as before, so that whoever imports it gets its own error.
    """
    spec = importlib.util.find_spec(package)
    assert spec is not None
    bare = ModuleType(package)
    bare.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[package] = bare
    try:
        yield
    finally:
        del sys.modules[package]
