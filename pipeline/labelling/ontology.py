"""What may be labelled: classes with names in Chinese and English, their kinds of geometry, and attributes."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from jsonschema import Draft202012Validator

from pipeline.labelling.errors import LabelOntologyError
from pipeline.mining.yaml_file import YamlFileError, read_yaml

FORMAT: Final = "fleetgate-label-ontology"
MAX_TEXT: Final = 1000

_WORD: Final = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"}
_NAMED: Final = {"zh": {"type": "string", "minLength": 1}, "en": {"type": "string", "minLength": 1}}


class GeometryKind(StrEnum):
    """Shapes of labels; the values are the words of ontologies and tasks."""

    BBOX = "bbox"
    POLYGON = "polygon"
    CUBOID = "cuboid"


class AttributeType(StrEnum):
    """What values an attribute takes."""

    BOOLEAN = "boolean"
    NUMBER = "number"
    TEXT = "text"
    CHOICE = "choice"


AttributeValue = bool | float | str


_VALIDATOR: Final = Draft202012Validator(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["format", "name", "version", "classes"],
        "properties": {
            "format": {"const": FORMAT},
            "name": _WORD,
            "version": {"type": "integer", "minimum": 1},
            "attributes": {
                "type": "object",
                "propertyNames": _WORD,
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["zh", "en", "type"],
                    "properties": _NAMED
                    | {
                        "type": {"enum": [each.value for each in AttributeType]},
                        "minimum": {"type": "number"},
                        "maximum": {"type": "number"},
                        "values": {
                            "type": "object",
                            "minProperties": 1,
                            "propertyNames": _WORD,
                            "additionalProperties": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["zh", "en"],
                                "properties": _NAMED,
                            },
                        },
                    },
                },
            },
            "classes": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": _WORD,
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["zh", "en", "geometry"],
                    "properties": _NAMED
                    | {
                        "geometry": {
                            "type": "array",
                            "minItems": 1,
                            "uniqueItems": True,
                            "items": {"enum": [each.value for each in GeometryKind]},
                        },
                        "attributes": {"type": "array", "uniqueItems": True, "items": _WORD},
                    },
                },
            },
        },
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """What may be said of a label beside its class.

    Attributes:
        name: Its id.
        zh: What people read in Chinese.
        en: What people read in English.
        type: What values it takes.
        values: Names of the values of a choice, by value.
        minimum: Of a number; None where there is none.
        maximum: Of a number; None where there is none.
    """

    name: str
    zh: str
    en: str
    type: AttributeType
    values: Mapping[str, Mapping[str, str]]
    minimum: float | None
    maximum: float | None

    def checked(self, value: Any) -> AttributeValue:
        """The value, in the type of the attribute.

        Raises:
            LabelOntologyError: It is none of this attribute.
        """
        match self.type:
            case AttributeType.BOOLEAN:
                right, expected = isinstance(value, bool), "true or false"
            case AttributeType.CHOICE:
                right, expected = (
                    isinstance(value, str) and value in self.values,
                    f"one of {list(self.values)}",
                )
            case AttributeType.TEXT:
                right = isinstance(value, str) and len(value) <= MAX_TEXT
                expected = f"a text of at most {MAX_TEXT} characters"
            case AttributeType.NUMBER:
                low = -math.inf if self.minimum is None else self.minimum
                high = math.inf if self.maximum is None else self.maximum
                number = isinstance(value, int | float) and not isinstance(value, bool)
                right = number and math.isfinite(value) and low <= value <= high
                expected = f"a finite number in [{low}, {high}]"
        if not right:
            raise LabelOntologyError(f"attribute {self.name!r} (got {value!r}, expected {expected})")
        return float(value) if self.type is AttributeType.NUMBER else value


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelClass:
    """A class of objects.

    Attributes:
        name: Its id.
        zh: What people read in Chinese.
        en: What people read in English.
        geometry: Kinds of geometry that its labels may have.
        attributes: What may be said of its labels, by name.
    """

    name: str
    zh: str
    en: str
    geometry: tuple[GeometryKind, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOntology:
    """A valid ontology.

    Attributes:
        name: What it is called.
        version: Of the file; whoever changes the file raises it.
        digest: SHA-256 of the file, hexadecimal.
        classes: What may be labelled, by name, in the order of the file.
    """

    name: str
    version: int
    digest: str
    classes: Mapping[str, LabelClass]

    def class_of(self, name: str) -> LabelClass:
        """The class of a name.

        Raises:
            LabelOntologyError: There is none.
        """
        if name not in self.classes:
            raise LabelOntologyError(
                f"class (got {name!r}, expected one of {sorted(self.classes)} of {self.name} {self.version})"
            )
        return self.classes[name]

    def checked(
        self, name: str, kind: GeometryKind, attributes: Mapping[str, Any]
    ) -> Mapping[str, AttributeValue]:
        """The attributes of a label of a class, in their types and in order of their names.

        Raises:
            LabelOntologyError: The class is unknown, has no labels of that kind, or no such attributes or values.
        """
        known = self.class_of(name)
        if kind not in known.geometry:
            raise LabelOntologyError(
                f"geometry of {name!r} (got {kind.value!r}, expected one of {[k.value for k in known.geometry]})"
            )
        if unknown := sorted(set(attributes) - set(known.attributes)):
            raise LabelOntologyError(
                f"attributes of {name!r} (got {unknown}, expected of {sorted(known.attributes)})"
            )
        return {each: known.attributes[each].checked(attributes[each]) for each in sorted(attributes)}


def shipped_label_ontology() -> LabelOntology:
    """The ontology for driving that comes with this package."""
    return read_label_ontology(files("pipeline.labelling").joinpath("driving.yaml").read_bytes())


def read_label_ontology(content: bytes) -> LabelOntology:
    """Read an ontology.

    Raises:
        LabelOntologyError: It is malformed, a class names an attribute that is not declared, or an attribute has
            values or limits that its type has not.
    """
    try:
        document = read_yaml(content, _VALIDATOR)
    except YamlFileError as error:
        raise LabelOntologyError(str(error)) from error
    attributes = {name: _attribute(name, entry) for name, entry in document.get("attributes", {}).items()}
    classes = {}
    for name, entry in document["classes"].items():
        wanted = entry.get("attributes", [])
        if undeclared := [each for each in wanted if each not in attributes]:
            raise LabelOntologyError(
                f"classes.{name}.attributes (got {undeclared}, expected of {sorted(attributes)})"
            )
        classes[name] = LabelClass(
            name=name,
            zh=entry["zh"],
            en=entry["en"],
            geometry=tuple(GeometryKind(each) for each in entry["geometry"]),
            attributes={each: attributes[each] for each in wanted},
        )
    return LabelOntology(
        name=document["name"],
        version=document["version"],
        digest=sha256(content).hexdigest(),
        classes=classes,
    )


def _attribute(name: str, entry: Mapping[str, Any]) -> Attribute:
    kind = AttributeType(entry["type"])
    if ("values" in entry) is not (kind is AttributeType.CHOICE):
        raise LabelOntologyError(f"attributes.{name}.values (expected for a choice, and for nothing else)")
    limits = {each: entry[each] for each in ("minimum", "maximum") if each in entry}
    if limits and kind is not AttributeType.NUMBER:
        raise LabelOntologyError(f"attributes.{name} (got {json.dumps(limits)}, expected for a number only)")
    low, high = entry.get("minimum", -math.inf), entry.get("maximum", math.inf)
    if low > high:
        raise LabelOntologyError(f"attributes.{name} (got minimum {low} above maximum {high})")
    return Attribute(
        name=name,
        zh=entry["zh"],
        en=entry["en"],
        type=kind,
        values=entry.get("values", {}),
        minimum=entry.get("minimum"),
        maximum=entry.get("maximum"),
    )
