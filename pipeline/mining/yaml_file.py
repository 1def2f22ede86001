"""YAML that people write by hand, read strictly."""

import math
from collections.abc import Iterator
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match


class YamlFileError(Exception):
    """The file is no YAML, or has other members than its schema names."""


def read_yaml(content: bytes, validator: Draft202012Validator) -> dict[str, Any]:
    """A document of UTF-8 text whose keys are distinct texts, of the schema's form, with finite numbers.

    Raises:
        YamlFileError: See there; the message names the member.
    """
    try:
        document = yaml.load(content.decode("utf-8"), _DistinctKeys)  # noqa: S506 - a SafeLoader
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise YamlFileError(f"it is no YAML in UTF-8: {' '.join(str(error).split())}") from error
    wrong = best_match(validator.iter_errors(document))
    if wrong is not None:
        raise YamlFileError(f"{_path(wrong.absolute_path)}: {wrong.message}")
    for path, value in _numbers(document, ()):
        if not math.isfinite(value):
            raise YamlFileError(f"{_path(path)} (got {value}, expected a finite number)")
    found: dict[str, Any] = document
    return found


class _DistinctKeys(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys; here they are an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        """See ``yaml.SafeLoader``."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if not isinstance(key, str) or keys.count(key) > 1:
                place = f"line {node.start_mark.line + 1}"
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} near {place} occurs twice or is no text", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


def _numbers(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], float]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, (*path, key))
    elif isinstance(value, float):
        yield path, value


def _path(parts: Any) -> str:
    return ".".join(str(part) for part in parts) or "the file"
