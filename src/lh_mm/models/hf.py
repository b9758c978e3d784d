"""A causal transformer of the library `transformers` as a sequence model, for notes alone: GPT-2, Llama, Qwen, ...

With `pretrained` it is a text model that learns music: its body and, with `prompt`, its words are kept (style, tempo
and instruments are then told in words before the music, `models/hf_words.py`), and it is given vectors of music tokens,
drawn around those of its words. All of it is trained, or adapters beside it (`lora`).

The body is theirs, from scratch by a configuration or with the weights of a folder; embedding, header and head are
ours, so it reads any of our event vocabularies. The default shape is MMM's (Ens and Pasquier 2020, arXiv:2008.06048:
GPT-2 with 6 layers of width 512, 8 heads, a window of 2,048). Their keys and values become a state as every model of
ours has one; rows may be padded, packed or at rest, by a mask and by positions that count in each row.

Nothing of a folder is executed: weights are read from safetensors, and code that comes with a model is refused.

Shapes: B rows, L positions, K keys, D width, V event ids.
"""

from __future__ import annotations

import inspect
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lh_mm.core.config import Config, ConfigError
from lh_mm.core.streams import SequenceSpec, StreamBatch
from lh_mm.models.header import HeaderEmbedding
from lh_mm.models.hf_words import Words
from lh_mm.models.notes_only import NotesOnly, NotesState, Places, no_state, or_all

_SMALL: dict[str, Any] = {"vocab_size": 1, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
"""Words are never read."""
MMM_SHAPE = {"n_layer": 6, "n_head": 8, "n_embd": 512, "n_positions": 2049}
"""One position more than the window: BOS stands before it."""


class HfConfig(Config):
    """A model of the library `transformers`."""

    kind: Literal["hf"] = "hf"
    architecture: str = "gpt2"
    """Name of the architecture, as `gpt2`, `llama`, `qwen2`."""
    shape: dict[str, Any] = Field(default_factory=lambda: dict(MMM_SHAPE))
    """Settings of that architecture's own configuration, by its own names; the rest are its defaults."""
    pretrained: str | None = None
    """A folder of weights (or a name on the hub) whose body training begins with; architecture and shape are then
    its own. A bundle holds them and not this place."""
    prompt: bool = False
    """Whether what BOS says is told in words before the music, too: needs a text model with its tokenizer."""
    words: tuple[int, int] | None = None
    """Of a bundle that reads words: how many there are, and the longest phrase. Not to be set by hand."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Of embeddings, in training; the body has settings of its own."""

    def build(self, spec: SequenceSpec) -> HfModel:
        """A model for the streams of `spec`.

        Raises:
            ConfigError: `transformers` is not installed, or does not know the architecture or a setting.
            ValueError: for streams of sound.
        """
        return HfModel(self, spec)


class HfModel(NotesOnly):
    """See the file's docstring; honours `models.base.SequenceModel`."""

    def __init__(self, config: HfConfig, spec: SequenceSpec) -> None:
        super().__init__(spec, "a model of transformers")
        self.body, vectors = _body(config)
        their = self.body.config
        self.config = config if config.pretrained is None else _resolved(config, their)
        names = ("hidden_size", "num_hidden_layers", "max_position_embeddings")
        if not all(hasattr(their, name) for name in names):
            raise ConfigError(
                "model", [f"architecture: {their.model_type} is no transformer with positions of its own"]
            )
        self.dim, self.num_layers, self.longest = (int(getattr(their, name)) for name in names)
        self.event_embedding = nn.Embedding(spec.event_vocabulary_size + 2, self.dim)  # FRAME and END are never read
        self.header_embedding = HeaderEmbedding(spec, self.dim)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.event_embedding.weight, std=0.02)
        self.words = self._words(config, vectors)
        if vectors is not None:  # music begins as words do
            with torch.no_grad():
                self.event_embedding.weight.mul_(vectors.std(0) / 0.02).add_(vectors.mean(0))
        parameters = inspect.signature(self.body.forward).parameters
        self._cache_name = "cache" if "cache" in parameters else "past_key_values"

    def _words(self, config: HfConfig, vectors: Tensor | None) -> Words | None:
        """The phrases of a text model, or room for those of a bundle. Raises ConfigError without either."""
        if not config.prompt:
            return None
        if config.words is not None:
            return Words(self.spec, *config.words, self.dim)
        if config.pretrained is None or vectors is None:
            raise ConfigError("model", ["prompt: needs a text model, whose words are read: set pretrained"])
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(config.pretrained, trust_remote_code=False)
            words = Words.of(tokenizer, vectors, self.spec)
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise ConfigError("model", [f"prompt: the tokenizer of '{config.pretrained}': {first}"]) from error
        self.config = self.config.model_copy(update={"words": words.shape})
        return words

    def hidden(
        self, batch: StreamBatch, state: NotesState | None = None, active: Tensor | None = None
    ) -> tuple[Tensor, NotesState | None]:
        """(B, L, D) before the head, and the state; see `SequenceModel`.

        Raises:
            ValueError: for a row that is longer than the body's positions.
        """
        from transformers import DynamicCache

        x, there = self.dropout(self.tokens(batch)), None
        if self.words is not None and (state is None or not state.index.shape[1]):
            told, there = self.words(batch.header)  # said before the first position of every row
            x = torch.cat([told.to(x.dtype), x], 1)
        places = Places.of(batch, state, active, there)
        if places.key.shape[1] > self.longest and int(places.key.max()) >= self.longest:
            name = self.body.config.model_type
            raise ValueError(f"a row of {int(places.key.max()) + 1} positions, but {name} has {self.longest}")
        if self.recompute != self.body.is_activation_checkpointing:
            switch = "enable" if self.recompute else "disable"
            getattr(self.body, f"activation_checkpointing_{switch}")()
        cache = None
        if state is not None:
            cache = DynamicCache(list(state.layers)) if state.layers[0][0].shape[2] else DynamicCache()
        kept: dict[str, Any] = {} if cache is None else {self._cache_name: cache}
        h: Tensor = self.body(
            inputs_embeds=x,
            attention_mask=self._mask(places),
            position_ids=places.index.clamp(0, self.longest - 1),  # only padding lies beyond
            use_cache=cache is not None,
            **kept,
        ).last_hidden_state[:, x.shape[1] - batch.shape[1] :]
        if cache is None:
            return h, None
        assert state is not None
        layers: list[tuple[Tensor, Tensor]] = [(layer.keys, layer.values) for layer in cache.layers]  # type: ignore[union-attr, misc]
        return h, NotesState(tuple(layers), places.key, places.of_key, state.count + places.real.sum(1))

    def _mask(self, places: Places) -> Tensor:
        """(B, 1, L, K) zero where a query sees a key, the lowest number elsewhere."""
        seen = or_all(places.sees()[0])
        low = torch.finfo(self.event_embedding.weight.dtype).min
        return torch.zeros_like(seen, dtype=self.event_embedding.weight.dtype).masked_fill(~seen, low).unsqueeze(1)

    def init_state(
        self,
        rows: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        max_length: int | None = None,
    ) -> NotesState:
        """The state before the first position; it grows with what is read."""
        empty = torch.zeros(rows, 1, 0, 1, device=device, dtype=dtype)
        return no_state(rows, device, ((empty, empty),) * self.num_layers)

    def flops_per_position(self, length: int) -> float:
        """Forward operations of a position in a sequence of `length`, the head included."""
        matrices = sum(p.numel() for name, p in self.body.named_parameters() if p.dim() == 2 and "wpe" not in name)
        matrices += self.event_embedding.weight.numel()
        return 2.0 * matrices + self.num_layers * 4 * self.dim * (length + 1) / 2


def _resolved(config: HfConfig, their: Any) -> HfConfig:
    """The same model without its place: what differs from the architecture's defaults is the shape."""
    plain = ("str", "int", "float", "bool")
    shape = {k: v for k, v in their.to_diff_dict().items() if type(v).__name__ in plain and hasattr(their, k)}
    kept = {k: v for k, v in shape.items() if k not in ("model_type", "transformers_version", "dtype", *_SMALL)}
    return config.model_copy(update={"architecture": their.model_type, "shape": kept, "pretrained": None})


def _body(config: HfConfig) -> tuple[Any, Tensor | None]:
    """The transformer without its embedding of words, and those of a text model (words, D)."""
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise ConfigError("model", ["kind hf needs the library transformers: pip install 'lh_mm[hf]'"]) from error
    if config.pretrained is not None:
        try:
            body = AutoModel.from_pretrained(config.pretrained, use_safetensors=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise ConfigError("model", [f"pretrained: '{config.pretrained}' cannot be read: {first}"]) from error
    else:
        try:
            known = AutoConfig.for_model(config.architecture)
        except ValueError as error:
            raise ConfigError("model", [f"architecture: transformers knows no '{config.architecture}'"]) from error
        if unknown := [key for key in config.shape if not hasattr(known, key)]:
            raise ConfigError("model", [f"shape.{key}: {config.architecture} has no such setting" for key in unknown])
        body = AutoModel.from_config(AutoConfig.for_model(config.architecture, **{**config.shape, **_SMALL}))
    vectors = None if config.pretrained is None else body.get_input_embeddings().weight.detach().float()
    body.set_input_embeddings(None)
    return body, vectors
