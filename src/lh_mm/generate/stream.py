"""Sound while it is being written: frames of a generation through a streaming codec, a piece at a time.

The pieces put together equal the sound of the finished generation, sample by sample up to rounding, for the codec's
decoder carries its state. What can be heard lags behind what is drawn by the delay of the codebooks (K - 1 frames) and
the codec's look-ahead, and by `chunk_frames`, which trades latency for fewer calls.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lh_mm.audio.codec import StreamingCodec
from lh_mm.generate.sampler import Generation


def sound_as_it_comes(
    generation: Generation, codec: StreamingCodec, *, row: int = 0, track: int = 0, chunk_frames: int = 15
) -> Iterator[NDArray[np.float32]]:
    """Run a generation and yield the sound of one of its rows, (samples,) at a time.

    Args:
        generation: fresh, or put away and loaded: what it has already written comes first.
        codec: that of the bundle.
        row: whose sound; the others run along.
        track: index of the audio track.
        chunk_frames: frames that are decoded together, at least 1.

    Raises:
        ValueError: the track is not generated, or `chunk_frames` is below 1.
    """
    if chunk_frames < 1:
        raise ValueError(f"chunk_frames should be 1 or more, got {chunk_frames}")
    stream = generation.requests[row].audio[track]
    if stream.role != "generated":
        raise ValueError(f"track '{stream.name}' is {stream.role}: there is no sound to be written")
    state, heard = codec.init_stream(1), 0
    writer = generation.rows[row].writer
    for made, frame in generation:
        if made == row and frame + 1 - heard >= chunk_frames:
            wave, state = codec.decode_step(_codes(writer.codes[track], heard, frame + 1), state)
            heard = frame + 1
            if wave.shape[-1]:
                yield wave[0, 0].numpy()
    assert writer.num_frames is not None
    wave, _ = codec.decode_step(_codes(writer.codes[track], heard, writer.num_frames), state, final=True)
    yield wave[0, 0].numpy()


def _codes(codes: NDArray[np.int64], first: int, end: int) -> torch.Tensor:
    return torch.from_numpy(codes[first:end].copy())[None]
