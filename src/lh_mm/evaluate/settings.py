"""How a run is judged: the settings of `lh evaluate`, in every experiment so that comparisons are fair."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lh_mm.core.config import Config


class EvaluateConfig(Config):
    """What is measured, on how much."""

    split: Literal["valid", "test"] = "test"
    """Pieces that training has not seen."""
    likelihood_rows: int | None = Field(64, ge=0)
    """Fixed crops of the split whose likelihood is measured, all tasks in turn; none for the whole split."""
    num_crops: int = Field(64, ge=0)
    """Crops of MIDI to audio that are generated and judged against their notes; 0 leaves them out."""
    num_transcriptions: int = Field(16, ge=0)
    """Crops of audio to MIDI that are generated and judged by note F1; 0 leaves them out."""
    num_infills: int = Field(16, ge=0)
    """Crops whose notes are filled into a hole, judged by note F1; 0 leaves them out."""
    num_pieces: int = Field(16, ge=0)
    """Free generations whose music statistics are compared with the split's; 0 leaves them out."""
    piece_s: float = Field(24.0, gt=0)
    """Length of a free generation of notes alone, from the beginning of a piece; MMM's have the bars of a window."""
    num_windows: int = Field(32, ge=0)
    """Held-out windows in which a model of MMM's tokens writes a track with attributes, and fills bars; 0 leaves them
    out."""
    crop_s: float = Field(10.0, gt=0)
    """Length of a generated crop."""
    keep_crops: int = Field(4, ge=0)
    """Crops of MIDI to audio that are kept as sound files with their notes, in `crops/`."""
    batch_size: int = Field(16, ge=1)
    """Crops generated at once."""
    temperature: float = Field(1.0, ge=0)
    """Of sampling."""
    top_p: float = Field(0.95, gt=0, le=1)
    """Draw from the likeliest that make up this share."""
    guidance: float = Field(1.0, ge=0)
    """Classifier-free guidance of MIDI to audio, and of notes alone by controls and attributes; 1 is none."""
    ngram_order: int = Field(5, ge=0, le=8)
    """Highest order of the n-gram floor of symbolic runs; 0 leaves it out."""
    seed: int = Field(0, ge=0)
    """Of crops and sampling."""
