"""`lh show`: the whole resolved configuration, with what each key means and where its value was said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from lh_mm.core.config import KeyPath
from lh_mm.run.runs import find_file


def show(file: str, overrides: Sequence[str] = (), *, doc: bool = True) -> str:
    """The resolved tree of an experiment or a recipe, a line a value.

    Args:
        file: a path or a name in `experiments/` or `data_recipes/`.
        overrides: `a.b=c`.
        doc: whether to add each field's doc.

    Raises:
        ConfigError: with every mistake.
    """
    from lh_mm.run.experiment import load_experiment

    try:
        path = find_file(file, "experiments")
    except ValueError as not_an_experiment:
        try:
            recipe = find_file(file, "data_recipes")
        except ValueError:
            raise not_an_experiment from None
        from lh_mm.data.recipe import load_recipe

        loaded: Any = load_recipe(recipe, overrides)
    else:
        if "data_recipes" in path.parts:
            from lh_mm.data.recipe import load_recipe

            loaded = load_recipe(path, overrides)
        else:
            loaded = load_experiment(path, overrides)
    return "\n".join(lines_of(loaded.config, loaded.sources, doc=doc))


def lines_of(
    config: BaseModel, sources: Mapping[KeyPath, str], *, doc: bool, at: KeyPath = (), indent: int = 0
) -> Iterator[str]:
    """YAML lines with comments: `key: value  # doc (source)`."""
    pad = "  " * indent
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        here = (*at, name)
        source = sources.get(here, "default")
        about = f"{' '.join(info.description.split())} " if doc and info.description else ""
        if isinstance(value, BaseModel):
            yield f"{pad}{name}:{f'  # {about.strip()}' if about else ''}"
            yield from lines_of(value, sources, doc=doc, at=here, indent=indent + 1)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            yield f"{pad}{name}:  # {about}({source})"
            for item in value:
                inner = list(lines_of(item, {}, doc=False, indent=indent + 2))
                yield f"{pad}  - {inner[0].strip()}"
                yield from inner[1:]
        else:
            yield f"{pad}{name}: {_plain(value)}  # {about}({source})"


def _plain(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in value.items()) + "}"
    return str(value)
