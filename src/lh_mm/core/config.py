"""Strict typed configuration: one YAML file, at most one parent, overrides `a.b=c`, every mistake at once.

A component's settings are a `Config` in the component's own file; variants are unions tagged by `kind`.
There are no import strings, so a configuration from a stranger cannot run code. What a file or an
override leaves unsaid is the field's default; an unknown key never passes.

Why our own loader: Hydra without a schema takes a misspelt key silently and trains with the default,
and jsonargparse can build the wrong one of two same-shaped variants; see docs/architecture.md.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

ConfigT = TypeVar("ConfigT", bound="Config")
Tree = dict[str, Any]
KeyPath = tuple[str, ...]


class Config(BaseModel):
    """Base of every settings class: frozen, unknown keys refused, docs taken from attribute docstrings."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, validate_default=True
    )


class ConfigError(ValueError):
    """Everything that is wrong with one configuration, a line a problem.

    Attributes:
        source: the file (and overrides) that was read.
        problems: lines `path: message, got value (did you mean ...?)`.
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source, self.problems = source, list(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        super().__init__("\n  ".join([f"{source}: {len(self.problems)} {noun}", *self.problems]))


@dataclass(frozen=True)
class Loaded(Generic[ConfigT]):
    """A built configuration with the tree it came from and where each value was said."""

    config: ConfigT
    tree: Tree
    sources: Mapping[KeyPath, str]


def load_config(
    root: type[ConfigT],
    path: Path,
    overrides: Sequence[str] = (),
    alternatives: Sequence[tuple[str, ...]] = (),
) -> Loaded[ConfigT]:
    """Read a YAML file with its parents, apply overrides, validate.

    Args:
        root: the class at the top of the tree.
        path: the YAML file. Its key `base` names one parent, relative to the file.
        overrides: `a.b=value`; the value is read as YAML. Applied in order, after the file.
        alternatives: groups of sibling keys of which a later layer's replaces an earlier layer's, with all that stands
            beside it (`("recipe", "folder")`). A different `kind` always replaces the whole node.

    Raises:
        ConfigError: with every problem of file and overrides, each with its path, the value and the
            nearest valid key.
    """
    sources: dict[KeyPath, str] = {}
    tree: Tree = {}
    for file in reversed(_chain(Path(path))):
        layer = _read_yaml(file)
        layer.pop("base", None)
        _merge(tree, layer, file.name, sources, alternatives)
    problems = []
    for override in overrides:
        try:
            _merge(tree, _parse_override(override), "command line", sources, alternatives)
        except ValueError as error:
            problems.append(str(error))
    label = " ".join([str(path), *overrides])
    try:
        config = root.model_validate(tree)
    except ValidationError as error:
        problems += describe_errors(root, error)
        raise ConfigError(label, problems) from None
    if problems:
        raise ConfigError(label, problems)
    return Loaded(config, tree, sources)


def validate(root: type[ConfigT], tree: Mapping[str, Any], source: str) -> ConfigT:
    """Validate a tree that is already in memory; errors as in `load_config`."""
    try:
        return root.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(source, describe_errors(root, error)) from None


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe subset, but a key given twice is an error instead of the last one winning.

    `on`, `off`, `yes` and `no` are words, as in YAML 1.2; only `true` and `false` are truth values.
    """

    yaml_implicit_resolvers: typing.ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:bool"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def _read_yaml(path: Path) -> Tree:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")], n=1)
        raise ConfigError(str(path), [f"no such file{f' (did you mean {near[0]}?)' if near else ''}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from None
    try:
        # _StrictLoader is a SafeLoader: it builds plain values only.
        tree = yaml.load(text, Loader=_StrictLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise ConfigError(str(path), [f"not valid YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(tree, dict):
        raise ConfigError(str(path), [f"expected keys and values at the top, got {type(tree).__name__}"])
    return tree


def _chain(path: Path) -> list[Path]:
    """The file, its parent, its parent's parent, ..."""
    files = [path]
    while base := _read_yaml(files[-1]).get("base"):
        if not isinstance(base, str):
            raise ConfigError(str(files[-1]), [f"base: should name one file, got {base!r}"])
        parent = (files[-1].parent / base).resolve()
        if parent in {file.resolve() for file in files}:
            raise ConfigError(str(files[-1]), [f"base: {base} leads back to a file that builds on this one"])
        files.append(parent)
    return files


def _parse_override(override: str) -> Tree:
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ValueError(f"{override}: an override is written key=value or a.b=value")
    try:
        value = yaml.load(text, Loader=_StrictLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise ValueError(f"{key}: not a valid value, got {text!r} ({' '.join(str(error).split())})") from None
    for part in reversed(key.split(".")):
        value = {part: value}
    return typing.cast("Tree", value)


def _merge(
    tree: Tree,
    layer: Mapping[str, Any],
    source: str,
    sources: dict[KeyPath, str],
    alternatives: Sequence[tuple[str, ...]],
    at: KeyPath = (),
) -> None:
    """Lay `layer` over `tree` in place, recording who said each leaf."""
    for group in alternatives:
        if any(key in group for key in layer) and any(key in tree and key not in layer for key in group):
            tree.clear()  # what stood beside the one was said of it, and not of the other
    for key, value in layer.items():
        here = (*at, str(key))
        old = tree.get(key)
        if isinstance(value, Mapping) and isinstance(old, dict):
            if "kind" in value and value["kind"] != old.get("kind"):
                old.clear()
            _merge(old, value, source, sources, alternatives, here)
        elif isinstance(value, Mapping):
            tree[key] = {}
            _merge(tree[key], value, source, sources, alternatives, here)
        else:
            tree[key] = value
        sources[here] = source


def describe_errors(root: type[BaseModel], error: ValidationError) -> list[str]:
    """One line a problem: path, what is wrong, the value, the nearest valid key."""
    lines = []
    for problem in error.errors(include_url=False):
        loc = [part for part in problem["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
        path, owner = _locate(root, loc)
        message, value = problem["msg"].removeprefix("Value error, "), problem["input"]
        got = "" if problem["type"] == "missing" else f", got {_short(value)}"
        hint = ""
        if problem["type"] == "extra_forbidden":
            message = "no such key"
            hint = _suggest(root, owner, path)
        elif problem["type"] == "missing":
            message = "required, but not given"
        elif problem["type"] == "union_tag_not_found":
            message = "needs its 'kind'"
        elif problem["type"] == "union_tag_invalid":
            tags = str(problem.get("ctx", {}).get("expected_tags", ""))
            tag = value.get("kind") if isinstance(value, Mapping) else value
            near = difflib.get_close_matches(str(tag), [t.strip(" '") for t in tags.split(",")], n=1)
            message, got = f"unknown kind, one of {tags}", f", got {tag!r}"
            hint = f" (did you mean '{near[0]}'?)" if near else ""
        lines.append(f"{'.'.join(path) or '(top)'}: {message}{got}{hint}")
    return lines


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _suggest(root: type[BaseModel], owner: type[BaseModel] | None, path: Sequence[str]) -> str:
    key = path[-1]
    if owner is not None and (near := difflib.get_close_matches(key, list(owner.model_fields), n=1, cutoff=0.5)):
        return f" (did you mean '{'.'.join([*path[:-1], near[0]])}'?)"
    elsewhere = [".".join(p) for p in field_paths(root) if p[-1] == key]
    if ".".join(path) in elsewhere and owner is not None:
        return f" (it is of another kind; valid here: {', '.join(owner.model_fields)})"
    if elsewhere:
        return f" (did you mean '{elsewhere[0]}'?)"
    return f" (valid here: {', '.join(owner.model_fields)})" if owner is not None else ""


def _variants(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every settings class that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, tuple, list, dict):
        for argument in typing.get_args(annotation):
            yield from _variants(argument)


def field_paths(root: type[BaseModel], at: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key of the tree, as paths, through all variants."""
    for name, info in root.model_fields.items():
        yield (*at, name)
        for variant in _variants(info.annotation):
            yield from field_paths(variant, (*at, name))


def _locate(root: type[BaseModel], loc: Sequence[int | str]) -> tuple[list[str], type[BaseModel] | None]:
    """The written path of a pydantic location (variant tags taken out) and the class that owns its last key."""
    path: list[str] = []
    owners: list[type[BaseModel]] = [root]
    owner: type[BaseModel] | None = root
    for part in loc:
        fields = [o for o in owners if isinstance(part, str) and part in o.model_fields]
        if not fields and isinstance(part, str) and len(owners) > 1:
            tagged = [o for o in owners if _tag(o) == part]
            if tagged:
                owners = tagged
                continue
        path.append(str(part))
        owner = fields[0] if fields else (owners[0] if owners else None)
        owners = [v for o in fields for v in _variants(o.model_fields[str(part)].annotation)] if fields else owners
    return path, owner


def _tag(owner: type[BaseModel]) -> str | None:
    kind = owner.model_fields.get("kind")
    arguments = typing.get_args(kind.annotation) if kind is not None else ()
    return str(arguments[0]) if arguments else None
