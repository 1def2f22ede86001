"""JSON messages of a JSON Schema, as Foxglove publishes them: times are objects, bytes are base64."""

import base64
import binascii
import json
from typing import Any

from anonymize.containers.stream import Schema
from anonymize.containers.tree import Fields, Stamp, stamp_of
from anonymize.errors import MalformedItemError
from anonymize.formats import strict_json

_DEPTH = 32
_SECONDS = frozenset({"sec", "nsec"})
_STYLES: tuple[dict[str, Any], ...] = (
    {"separators": (",", ":"), "ensure_ascii": False},
    {"separators": (",", ":"), "ensure_ascii": True},
    {"ensure_ascii": True},
    {"ensure_ascii": False},
)


class JsonCodec:
    """Messages of one JSON Schema; a member that the schema does not name is an error."""

    def __init__(self, schema: Schema) -> None:
        """Read the schema.

        Raises:
            MalformedItemError: The schema is no JSON Schema of an object.
        """
        document = strict_json.parse(schema.data, max_depth=_DEPTH)
        if not isinstance(document, dict) or not isinstance(document.get("properties"), dict):
            raise MalformedItemError(f"schema {schema.name!r} is no JSON Schema of an object with properties")
        self._name = schema.name
        self._schema: dict[str, Any] = document

    @property
    def field_names(self) -> frozenset[str]:
        """Names of the fields of a message."""
        return frozenset(self._schema["properties"])

    @property
    def definition(self) -> Schema:
        """The schema without descriptions, comments, examples and defaults."""
        text = json.dumps(_bare(self._schema), ensure_ascii=False, separators=(",", ":"))
        return Schema(name=self._name, encoding="jsonschema", data=text.encode())

    def decode(self, data: bytes) -> Fields:
        """Decode a message.

        Raises:
            MalformedItemError: It is no JSON, or has a member or a type that the schema does not name.
        """
        fields: Fields = _read(strict_json.parse(data, max_depth=_DEPTH), self._schema)
        return fields

    @property
    def tells_edges(self) -> bool:
        """Without outlines, never."""
        return False

    def outline(self, data: bytes) -> None:
        """None: only decoding tells what a message holds."""

    def encode(self, fields: Fields, *, like: bytes) -> bytes:
        """Encode a message in the spacing of ``like``.

        Raises:
            MalformedItemError: A value has no JSON form.
        """
        parsed = strict_json.parse(like, max_depth=_DEPTH)
        style = next((s for s in _STYLES if json.dumps(parsed, **s).encode() == like), _STYLES[0])
        try:
            return json.dumps(_write(fields), allow_nan=False, **style).encode()
        except (TypeError, ValueError) as error:
            raise MalformedItemError("a changed message has no JSON form") from error

    def same(self, data: bytes, again: bytes, fields: Fields) -> bool:  # noqa: ARG002 - as the other codecs
        """Whether two texts are one document; spacing and the spelling of numbers have no value."""
        return data == again or strict_json.parse(data, max_depth=_DEPTH) == strict_json.parse(
            again, max_depth=_DEPTH
        )


def _bare(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return {}
    made: dict[str, Any] = {
        key: schema[key] for key in ("type", "contentEncoding", "required") if key in schema
    }
    if schema.get("title") in {"time", "duration"}:
        made["title"] = schema["title"]
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {key: _bare(value) for key, value in schema["properties"].items()}
    if "items" in schema:
        made["items"] = _bare(schema["items"])
    return made


def _read(node: Any, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind == "object" and isinstance(node, dict):
        properties = schema.get("properties", {})
        if unknown := sorted(set(node) - set(properties)):
            raise MalformedItemError(
                f"a message has members that its schema does not name (got {len(unknown)})"
            )
        if set(properties) == _SECONDS and set(node) == _SECONDS and schema.get("title") != "duration":
            return stamp_of(node["sec"], node["nsec"])
        return {key: _read(value, properties[key]) for key, value in node.items()}
    if kind == "array" and isinstance(node, list):
        return [_read(value, schema.get("items", {})) for value in node]
    if kind == "string" and isinstance(node, str):
        return _bytes(node) if schema.get("contentEncoding") == "base64" else node
    if kind in {"number", "integer"} and isinstance(node, int | float) and not isinstance(node, bool):
        return node
    if kind == "boolean" and isinstance(node, bool):
        return node
    raise MalformedItemError(
        f"a value is not of its schema's type (got {type(node).__name__}, expected {kind!r})"
    )


def _bytes(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedItemError("a member is no base64 (expected as its schema says)") from error
    return content


def _write(node: Any) -> Any:
    if isinstance(node, Stamp):
        sec, nsec = node.split()
        return {"sec": sec, "nsec": nsec}
    if isinstance(node, dict):
        return {key: _write(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_write(value) for value in node]
    if isinstance(node, bytes | bytearray):
        return base64.b64encode(node).decode()
    return node
