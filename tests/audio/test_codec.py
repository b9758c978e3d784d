from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lh_mm.audio.codec import MAGIC, CodeFile, bits_per_code, pack_codes, read_codes, unpack_codes, write_codes


def _file(num_frames: int = 100, num_codebooks: int = 4, size: int = 1024) -> CodeFile:
    codes = np.random.default_rng(0).integers(0, size, (num_frames, num_codebooks))
    return CodeFile(codes, num_frames * 320 - 5, 24_000, 320, size, "ab" * 32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    num_frames=st.integers(0, 40),
    num_codebooks=st.integers(1, 8),
    size=st.sampled_from([2, 3, 256, 257, 512, 1000, 1024, 2048]),
    seed=st.integers(0, 1000),
)
def test_packing_is_lossless_and_as_small_as_it_says(num_frames: int, num_codebooks: int, size: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, size, (num_frames, num_codebooks))
    packed = pack_codes(codes, size)
    assert len(packed) == -(-num_frames * num_codebooks * bits_per_code(size) // 8)
    assert np.array_equal(unpack_codes(packed, num_frames, num_codebooks, size), codes)


def test_known_bits() -> None:
    assert [bits_per_code(size) for size in (2, 3, 512, 513, 1024, 1025)] == [1, 2, 9, 10, 10, 11]
    assert pack_codes(np.array([[1023, 0], [1, 512]]), 1024) == bytes.fromhex("ffc00006 00".replace(" ", ""))


def test_a_file_comes_back_and_its_size_is_header_plus_bits(tmp_path: Path) -> None:
    file = _file()
    path = tmp_path / "a.lhc"
    write_codes(path, file)
    back = read_codes(path)
    assert np.array_equal(back.codes, file.codes)
    assert (back.num_samples, back.fingerprint) == (file.num_samples, file.fingerprint)
    content = path.read_bytes()
    header = struct.unpack("<I", content[8:12])[0]
    assert len(content) == len(MAGIC) + 4 + header + 4 * 10 * 100 // 8
    assert json.loads(content[12 : 12 + header])["codec"] == file.fingerprint


@pytest.mark.parametrize("code", [-1, 1024])
def test_codes_out_of_range_are_not_packed(code: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1023"):
        pack_codes(np.array([[0, code]]), 1024)


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.lhc"
    write_codes(path, _file())
    content = path.read_bytes()
    for damaged in (b"", b"RIFF" + content[4:], content[:10], content[:40], content[:-1], content + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.lhc"):
            read_codes(path)
    # A code that no codebook of this size has.
    file = _file(size=1000)
    write_codes(path, file)
    content = bytearray(path.read_bytes())
    content[-6:] = b"\xff" * 6
    path.write_bytes(content)
    with pytest.raises(ValueError, match="1023"):
        read_codes(path)


def test_another_codec_is_refused() -> None:
    class Other:
        sample_rate, hop_samples, rate_hz, num_codebooks, codebook_size = 24_000, 320, 75.0, 8, 1024
        fingerprint = "cd" * 32

    with pytest.raises(ValueError, match=r"song\.lhc.*abababababab.*cdcdcdcdcdcd"):
        _file().require(Other(), "song.lhc")  # type: ignore[arg-type]
    Other.fingerprint = "ab" * 32
    _file().require(Other(), "song.lhc")  # type: ignore[arg-type]
