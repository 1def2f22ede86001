"""Strict reading of YAML: no key twice, no key unknown, no number that is none; complaints name the place."""

import math
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.simulation.errors import ScenarioError


def load(source: str) -> Any:
    """What YAML says.

    Raises:
        ScenarioError: It is no YAML, or gives a key twice.
    """
    try:
        return yaml.load(source, Loader=_NoDuplicates)  # noqa: S506 - a SafeLoader that refuses repeated keys
    except yaml.YAMLError as error:
        raise ScenarioError(f"no YAML: {error}") from error


class _NoDuplicates(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently keep the last."""


def _unique(loader: _NoDuplicates, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise ScenarioError(f"line {key_node.start_mark.line + 1}: key {key!r} (expected text)")
        if key in seen:
            raise ScenarioError(f"line {key_node.start_mark.line + 1}: {key!r} is given twice")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_NoDuplicates.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique)


def mapping(value: Any, where: str, allowed: set[str] | None, required: set[str]) -> Mapping[str, Any]:
    """A mapping with the required keys and no other than the allowed ones (any, for ``None``).

    Raises:
        ScenarioError: It is another.
    """
    if not isinstance(value, Mapping):
        raise ScenarioError(f"{where} (got {type(value).__name__}, expected a mapping)")
    if missing := sorted(required - value.keys()):
        raise ScenarioError(f"{where} lacks {', '.join(missing)}")
    if allowed is not None and (unknown := sorted(value.keys() - allowed)):
        raise ScenarioError(
            f"{where} has unknown {', '.join(unknown)} (expected only {', '.join(sorted(allowed))})"
        )
    return value


def number(value: Any, where: str) -> float:
    """A finite number.

    Raises:
        ScenarioError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ScenarioError(f"{where} (got {value!r}, expected a finite number)")
    return float(value)


def text(value: Any, where: str) -> str:
    """Text that says something.

    Raises:
        ScenarioError: It is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise ScenarioError(f"{where} (got {value!r}, expected text)")
    return value
