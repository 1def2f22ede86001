"""Tags and what people call them in Chinese and English: one vocabulary for tagging and for search."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from typing import Final

from jsonschema import Draft202012Validator

from pipeline.mining.errors import OntologyError
from pipeline.mining.yaml_file import YamlFileError, read_yaml

_NAMES: Final = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "minLength": 1, "maxLength": 100},
}
_NAME: Final = {"pattern": "^[a-z][a-z0-9_]{0,63}$"}
_VALIDATOR: Final = Draft202012Validator(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["format", "version", "groups"],
        "properties": {
            "format": {"const": "fleetgate-ontology"},
            "version": {"type": "integer", "minimum": 1},
            "groups": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": _NAME,
                "additionalProperties": {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": _NAME,
                    "additionalProperties": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["zh", "en"],
                        "properties": {"zh": _NAMES, "en": _NAMES},
                    },
                },
            },
        },
    }
)
_WORD: Final = re.compile(r"[a-z0-9]")


@dataclass(frozen=True)
class Ontology:
    """A valid vocabulary.

    Attributes:
        version: Of the file.
        digest: SHA-256 of its bytes, hexadecimal.
        tags: Names in both languages by ``group:value``, the main ones first.
    """

    version: int
    digest: str
    tags: Mapping[str, tuple[str, ...]]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._tag_of, key=len, reverse=True)
        return re.compile("|".join(_bounded(name) for name in longest_first))

    @cached_property
    def _tag_of(self) -> Mapping[str, str]:
        return {folded(name): tag for tag, names in self.tags.items() for name in names}

    def read(self, text: str) -> tuple[tuple[str, ...], str]:
        """The tags that a text names, the longest name at each place first, and what else it says.

        English names are whole words; Chinese ones may stand anywhere.
        """
        plain = folded(text)
        found = [self._tag_of[match.group()] for match in self._pattern.finditer(plain)]
        rest = " ".join(self._pattern.sub(" ", plain).split())
        return tuple(dict.fromkeys(found)), rest


def shipped_ontology() -> Ontology:
    """The vocabulary that comes with this package."""
    return read_ontology(files("pipeline.mining").joinpath("ontology.yaml").read_bytes())


def read_ontology(content: bytes) -> Ontology:
    """Read a vocabulary.

    Raises:
        OntologyError: It is malformed, or one name stands for two tags.
    """
    try:
        document = read_yaml(content, _VALIDATOR)
    except YamlFileError as error:
        raise OntologyError(str(error)) from error
    tags: dict[str, tuple[str, ...]] = {}
    owner: dict[str, str] = {}
    for group, values in document["groups"].items():
        for value, names in values.items():
            tag = f"{group}:{value}"
            tags[tag] = (*names["zh"], *names["en"])
            for name in tags[tag]:
                if owner.setdefault(folded(name), tag) != tag:
                    raise OntologyError(f"name {name!r} stands for {owner[folded(name)]!r} and {tag!r}")
    return Ontology(version=document["version"], digest=sha256(content).hexdigest(), tags=tags)


def folded(text: str) -> str:
    """A text as names are compared: width and case do not count, nor how many blanks there are."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _bounded(name: str) -> str:
    before = r"(?<![a-z0-9])" if _WORD.match(name) else ""
    after = r"(?![a-z0-9])" if _WORD.match(name[-1]) else ""
    return f"{before}{re.escape(name)}{after}"
