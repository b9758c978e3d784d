"""The procedural composer behind the synthetic corpus `electronic`; see docs/electronic.md."""

from lh_mm.music.compose.composer import KITS, VERSION, compose
from lh_mm.music.compose.styles import STYLES

__all__ = ["KITS", "STYLES", "VERSION", "compose"]
