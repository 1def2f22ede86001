"""Questions put to policy: AuthZEN-shaped facts, validated against the schema of their decision point."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from typing import Any, Self

import rfc8785
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from policies.errors import QuestionError

_MESSAGE_LIMIT = 240
_FIRST_YEAR, _LAST_YEAR = 1970, 2261
_formats = FormatChecker(formats=())


class Point(StrEnum):
    """Where the gateway asks for a decision."""

    INTAKE = "intake"
    ADVANCE = "advance"
    RELEASE = "release"
    PUBLISH = "publish"
    SERVE = "serve"
    DESTROY = "destroy"
    LOG = "log"
    ACT = "act"


@_formats.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    """Tell whether an RFC 3339 instant exists and fits the engines' signed 64-bit nanoseconds."""
    if not isinstance(value, str):
        return True
    return _FIRST_YEAR <= datetime.fromisoformat(value).year <= _LAST_YEAR


@lru_cache(maxsize=len(Point))
def _validator(point: Point) -> Draft202012Validator:
    folder = resources.files("policies") / "questions"
    shared, schema = (
        json.loads((folder / f"{name}.schema.json").read_text("utf-8")) for name in ("shared", point.value)
    )
    inlined = _inlined(schema, shared)
    Draft202012Validator.check_schema(inlined)
    return Draft202012Validator(inlined, format_checker=_formats)


def _inlined(schema: Any, shared: dict[str, Any]) -> Any:
    """Put the shared terms in place: following references would take most of a validation's time."""
    if isinstance(schema, list):
        return [_inlined(entry, shared) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _inlined(shared["$defs"][name], shared)
    return {key: _inlined(entry, shared) for key, entry in schema.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A valid question, kept as the bytes that are judged; make one with :meth:`of`.

    Attributes:
        point: The decision point.
        canonical: The question as RFC 8785 bytes.
        digest: SHA-256 of ``canonical``, hexadecimal.
    """

    point: Point
    canonical: bytes
    digest: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Validate a document and freeze it.

        Args:
            document: ``{"point", "subject", "action", "resource", "context"}`` with every fact that
                ``questions/<point>.schema.json`` names and no other.

        Raises:
            QuestionError: The point is unknown, a fact is missing, unknown or of the wrong type or range, or
                a number has no RFC 8785 form.
        """
        named = document.get("point")
        if not isinstance(named, str) or named not in set(Point):
            raise QuestionError(
                f"no such decision point (got {named!r}, expected {[*Point]})", path="$.point"
            )
        try:
            canonical = rfc8785.dumps(dict(document))
        except (rfc8785.CanonicalizationError, RecursionError) as error:
            raise QuestionError(f"question has no RFC 8785 form: {error}", path="$") from error
        point = Point(named)
        fault = best_match(_validator(point).iter_errors(json.loads(canonical)))
        if fault is not None:
            path = fault.json_path
            message = f"question at {point.value} is not valid at {path}: {fault.message[:_MESSAGE_LIMIT]}"
            raise QuestionError(message, path=path)
        return cls(point=point, canonical=canonical, digest=hashlib.sha256(canonical).hexdigest())

    def document(self) -> dict[str, Any]:
        """Return a fresh copy of the question as JSON values."""
        parsed: dict[str, Any] = json.loads(self.canonical)
        return parsed
