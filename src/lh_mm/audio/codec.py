"""What a codec is to the rest of the house, and code files on disk.

A codec turns mono sound into frames of K codes at a constant rate and back. Codes are time first,
`(B, N, K)`; frame n stands for the samples [n * hop, (n + 1) * hop), so N = ceil(T / hop). A codec that
streams threads an explicit state and gives the same result however the sound is cut.

A code file is a short JSON header and the codes in `ceil(log2 C)` bits each, most significant bit first,
frame after frame: EnCodec's plain `.ecdc` (Défossez et al. 2022) with one thing more, the fingerprint of
the codec that made it, so that no other codec turns it into noise in silence.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from lh_mm.core.files import write_atomic

MAGIC = b"LHCODES1"
SUFFIX = ".lhc"


@runtime_checkable
class Codec(Protocol):
    """Sound to codes and back; a frozen tool with an identity, not something in training."""

    @property
    def sample_rate(self) -> int:
        """Of the sound, in Hz."""

    @property
    def hop_samples(self) -> int:
        """Samples a frame stands for."""

    @property
    def rate_hz(self) -> float:
        """Frames a second: `sample_rate / hop_samples`."""

    @property
    def num_codebooks(self) -> int:
        """K."""

    @property
    def codebook_size(self) -> int:
        """C; codes are 0 .. C - 1, or `ZERO` for a codebook that contributes nothing."""

    @property
    def look_ahead_s(self) -> float:
        """How far beyond the end of a frame its sound depends on the input."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of configuration and weights: equal if and only if the codes mean the same."""

    def encode(self, wave: Float[Tensor, "batch 1 samples"]) -> Int[Tensor, "batch frames codebooks"]:
        """Codes of mono sound at `sample_rate`, int64; the last frame is filled with silence."""

    def decode(
        self, codes: Int[Tensor, "batch frames codebooks"], num_samples: int | None = None
    ) -> Float[Tensor, "batch 1 samples"]:
        """Sound of codes, cut to `num_samples`; `ZERO` in the deeper codebooks decodes by the others."""


@runtime_checkable
class StreamingCodec(Codec, Protocol):
    """A codec whose pieces equal the whole: the same samples and codes wherever the stream is cut."""

    def init_stream(self, batch: int) -> Any:
        """State of encoder and decoder before the first frame."""

    def encode_step(
        self, wave: Float[Tensor, "batch 1 samples"], state: Any
    ) -> tuple[Int[Tensor, "batch frames codebooks"], Any]:
        """Codes of the next whole frames; `samples` is a multiple of `hop_samples`."""

    def decode_step(
        self, codes: Int[Tensor, "batch frames codebooks"], state: Any, final: bool = False
    ) -> tuple[Float[Tensor, "batch 1 samples"], Any]:
        """Sound that became certain; `final` also gives what the look-ahead held back."""


@runtime_checkable
class VectorCodec(Codec, Protocol):
    """A codec whose codes are numbers of vectors that add up, so that a model can read them by their meaning."""

    def code_vectors(self) -> Float[Tensor, "codebooks codes width"]:
        """The vector of each code of each codebook."""


@dataclass(frozen=True)
class CodeFile:
    """Codes of one recording with what is needed to decode them.

    Attributes:
        codes: (N, K') with K' at most the codec's K, values 0 .. codebook_size - 1.
        num_samples: of the recording, at `sample_rate`; the last frame may stand for fewer than `hop_samples`.
        fingerprint: of the codec.
    """

    codes: NDArray[np.int64]
    num_samples: int
    sample_rate: int
    hop_samples: int
    codebook_size: int
    fingerprint: str

    def require(self, codec: Codec, name: str) -> None:
        """Refuse a codec that did not make these codes.

        Raises:
            ValueError: naming the file and both fingerprints.
        """
        if self.fingerprint != codec.fingerprint:
            raise ValueError(
                f"{name}: codes of codec {self.fingerprint[:12]} ({self.sample_rate} Hz, hop {self.hop_samples}, "
                f"{self.codes.shape[1]} x {self.codebook_size}), but the codec given is {codec.fingerprint[:12]} "
                f"({codec.sample_rate} Hz, hop {codec.hop_samples}, {codec.num_codebooks} x {codec.codebook_size})"
            )


def bits_per_code(codebook_size: int) -> int:
    """Bits that hold 0 .. codebook_size - 1."""
    return max(1, (codebook_size - 1).bit_length())


def pack_codes(codes: NDArray[np.integer], codebook_size: int) -> bytes:
    """Codes `(N, K)` in the least whole number of bits each, frame after frame, zero bits to the last byte.

    Raises:
        ValueError: a code outside 0 .. codebook_size - 1 (`ZERO` is left out by leaving out its codebook).
    """
    flat = np.asarray(codes).reshape(-1)
    if flat.size and not (flat.min() >= 0 and flat.max() < codebook_size):
        raise ValueError(f"codes must lie in 0..{codebook_size - 1}, got {flat.min()}..{flat.max()}")
    bits = bits_per_code(codebook_size)
    shifts = np.arange(bits - 1, -1, -1)
    return np.packbits((flat[:, None] >> shifts & 1).astype(np.uint8)).tobytes()


def unpack_codes(packed: bytes, num_frames: int, num_codebooks: int, codebook_size: int) -> NDArray[np.int64]:
    """The inverse of `pack_codes`, `(N, K)`.

    Raises:
        ValueError: the bytes are not as many as the shape needs, or hold a code that is not below `codebook_size`.
    """
    bits, num_codes = bits_per_code(codebook_size), num_frames * num_codebooks
    expected = -(-num_codes * bits // 8)
    if len(packed) != expected:
        raise ValueError(
            f"{num_frames} frames x {num_codebooks} codebooks x {bits} bits are {expected} bytes, got {len(packed)}"
        )
    flags = np.unpackbits(np.frombuffer(packed, np.uint8), count=num_codes * bits).reshape(num_codes, bits)
    codes = flags.astype(np.int64) @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))
    if codes.size and codes.max() >= codebook_size:
        raise ValueError(f"code {codes.max()} in a codebook of {codebook_size}")
    return codes.reshape(num_frames, num_codebooks)


def write_codes(path: Path, file: CodeFile) -> None:
    """Write a code file; it appears whole or not at all."""
    header = {
        "sample_rate": file.sample_rate,
        "hop_samples": file.hop_samples,
        "num_samples": file.num_samples,
        "num_frames": file.codes.shape[0],
        "num_codebooks": file.codes.shape[1],
        "codebook_size": file.codebook_size,
        "codec": file.fingerprint,
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    with write_atomic(path) as handle:
        handle.write(MAGIC + struct.pack("<I", len(text)) + text + pack_codes(file.codes, file.codebook_size))


def read_codes(path: Path) -> CodeFile:
    """Read a code file.

    Raises:
        ValueError: not a code file, cut short, or damaged; the message names the file.
    """
    content = path.read_bytes()
    start = len(MAGIC) + 4
    if content[: len(MAGIC)] != MAGIC or len(content) < start:
        raise ValueError(f"{path}: not a code file (it does not begin with {MAGIC.decode()})")
    end = start + struct.unpack("<I", content[len(MAGIC) : start])[0]
    try:
        header = json.loads(content[start:end])
        codes = unpack_codes(content[end:], header["num_frames"], header["num_codebooks"], header["codebook_size"])
        return CodeFile(
            codes=codes,
            num_samples=int(header["num_samples"]),
            sample_rate=int(header["sample_rate"]),
            hop_samples=int(header["hop_samples"]),
            codebook_size=int(header["codebook_size"]),
            fingerprint=str(header["codec"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged code file: {error}") from error
