"""A data recipe: YAML that says *what* is prepared; `corpora/*.py` say how each corpus is read.

A recipe names its corpus (a union tagged by `kind`), the licence, which sound belongs to the notes, the codec
and the front end whose values are stored, the rate and the size of shards. Everything here is in the
fingerprint of the set it makes, so a changed recipe never reuses what another one made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from lh_mm.audio.features import FeatureConfig
from lh_mm.core.assets import asset
from lh_mm.core.config import Config, ConfigError, Loaded, load_config
from lh_mm.data.corpora.electronic import ElectronicConfig
from lh_mm.data.corpora.folder import FolderConfig
from lh_mm.data.corpora.groove import GrooveConfig
from lh_mm.data.corpora.jsb import JsbConfig
from lh_mm.data.corpora.pop909 import Pop909Config

if TYPE_CHECKING:
    from lh_mm.audio.codec import Codec

DEFAULT_RATE_HZ = 75.0
"""That of the shipped codec, so that notes prepared alone can later stand beside its codes."""

KINDS = (ElectronicConfig, Pop909Config, GrooveConfig, JsbConfig, FolderConfig)
CorpusConfig = Annotated[
    ElectronicConfig | Pop909Config | GrooveConfig | JsbConfig | FolderConfig, Field(discriminator="kind")
]


class AudioConfig(Config):
    """The sound that belongs to the notes."""

    sample_rate: int = Field(24_000, ge=8_000)
    """Of everything that is rendered, encoded, analysed and kept, in Hz; mono."""
    render: Literal["synth", "none"] = "none"
    """Whether the built-in synthesizer plays notes that come without sound, for codec and features to hear; without
    either it plays nothing. What it plays is aligned exactly."""
    on_slots: bool = False
    """Move notes to the middles of their slots before they are rendered (by at most half a slot), so that their tokens
    hold all that the sound depends on. Notes that come with a recording stay where they are."""
    keep: bool = False
    """Store recordings (16-bit FLAC), so that the set can be listened to and measured without their files. What is
    rendered is never stored: the same notes render to the same samples."""
    loudness_lufs: float | None = Field(None, ge=-40.0, le=-5.0)
    """Loudness that recordings are brought to, all tracks of a piece by one gain; None leaves them as they are.
    What would exceed full scale is turned down. Rendered sound has the synthesizer's own loudness."""


class CodecChoice(Config):
    """The codec whose codes are stored."""

    source: str = "rvq"
    """`rvq` is the shipped codec, `encodec` EnCodec's at 24 kHz; else a folder that holds one."""


class ShardConfig(Config):
    """How a set is cut into units of work."""

    pieces_per_shard: int = Field(8, ge=1)
    """A shard is prepared by one process and is there whole or not at all."""


class LimitConfig(Config):
    """Pieces outside of these are quarantined."""

    min_duration_s: float = Field(1.0, gt=0)
    """Shorter pieces hold no music to learn from."""
    max_duration_s: float = Field(3600.0, gt=0)
    """Longer ones are damaged files more often than music, and have to fit in memory."""


class Recipe(Config):
    """The top of a data recipe."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Folder below `$LH_DATA`."""
    licence: str
    """Printed before a download and copied to every piece."""
    corpus: CorpusConfig
    """Where the music comes from."""
    audio: AudioConfig = AudioConfig()
    codec: CodecChoice | None = None
    """None prepares notes alone."""
    features: FeatureConfig | None = None
    """What the front end hears; None without."""
    rate_hz: float | None = Field(None, gt=0, le=1000)
    """Slots a second. None is the codec's rate, or 75 without a codec."""
    shards: ShardConfig = ShardConfig()
    limits: LimitConfig = LimitConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if not isinstance(self.corpus, FolderConfig) and self.audio.render == "none":
            for key in ("codec", "features"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key}: corpus '{self.corpus.kind}' has no sound; set audio.render: synth")
        return self

    @property
    def plays(self) -> bool:
        """Whether notes without sound are played."""
        return self.audio.render == "synth" and (self.codec is not None or self.features is not None)

    def rate_of(self, codec: Codec | None) -> float:
        """Slots a second with this codec.

        Raises:
            ValueError: the codec has another rate, or takes another sample rate.
        """
        if codec is None:
            return self.rate_hz or DEFAULT_RATE_HZ
        if self.rate_hz is not None and self.rate_hz != codec.rate_hz:
            raise ValueError(f"rate_hz: {self.rate_hz} is not the codec's rate, {codec.rate_hz:g}; leave rate_hz out")
        if self.audio.sample_rate != codec.sample_rate:
            raise ValueError(f"audio.sample_rate: {self.audio.sample_rate}, but the codec takes {codec.sample_rate}")
        return codec.rate_hz


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Loaded[Recipe]:
    """A recipe from a file, with overrides `key=value`; `.config` is the recipe.

    Args:
        path: a YAML file; a name that is no file here is looked for among the shipped recipes.
        overrides: as in any configuration. A key of the corpus needs no prefix: `path=DIR`, `pieces=400`.

    Raises:
        ConfigError: every mistake at once.
    """
    file = find_recipe(path)
    own = set(Recipe.model_fields)
    corpus_keys = {key for kind in KINDS for key in kind.model_fields}
    expanded = []
    for override in overrides:
        first = override.partition("=")[0].partition(".")[0]
        expanded.append(f"corpus.{override}" if first in corpus_keys and first not in own else override)
    return load_config(Recipe, file, expanded)


def find_recipe(path: str | Path) -> Path:
    """The file itself, or the shipped recipe of that name.

    Raises:
        ConfigError: there is neither; the message names what is shipped.
    """
    path = Path(path)
    if path.is_file():
        return path
    name = path.name if path.suffix == ".yaml" else f"{path.name}.yaml"
    try:
        if path.is_absolute() or len(path.parts) > 2:
            raise FileNotFoundError(f"no such file {path}")
        return asset(f"data_recipes/{name}")
    except FileNotFoundError as error:
        raise ConfigError(str(path), [str(error)]) from None
