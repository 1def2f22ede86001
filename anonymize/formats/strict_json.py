"""JSON as RFC 8259 defines it, without the latitude that parsers usually take: one meaning or an error.

Places in error messages count members and elements from 0 (``/2/0``); keys may be personal: not quoted.
"""

import json
import re
from dataclasses import dataclass
from math import isfinite
from typing import Any

from anonymize.errors import LimitExceededError, MalformedItemError

BOM = b"\xef\xbb\xbf"

_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
_MAX_DIGITS = 400


@dataclass(frozen=True, slots=True)
class _Members:
    pairs: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class _Refused:
    what: str


def parse(content: bytes, *, max_depth: int) -> Any:
    """Parse a JSON document into dicts, lists, strings, numbers, booleans and None.

    Args:
        content: UTF-8, a leading byte order mark is tolerated.
        max_depth: Deepest nesting of arrays and objects; a scalar has depth 0.

    Raises:
        LimitExceededError: Nested deeper than ``max_depth``.
        MalformedItemError: Not UTF-8, not JSON, a duplicate key, NaN, an infinite or over-long number, a lone
            surrogate.
    """
    text = decode_utf8(content)
    _check_depth(text, max_depth)
    try:
        document = json.loads(
            text,
            object_pairs_hook=lambda pairs: _Members(tuple(pairs)),
            parse_constant=_Refused,
            parse_float=_number,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise MalformedItemError(f"JSON is malformed (got {error.msg} at character {error.pos})") from error
    return _settle(document, "")


def decode_utf8(content: bytes) -> str:
    """Decode UTF-8 and drop a leading byte order mark.

    Raises:
        MalformedItemError: Not UTF-8; names the byte offset.
    """
    body = content.removeprefix(BOM)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        offset = error.start + len(content) - len(body)
        raise MalformedItemError(
            f"text is not UTF-8 (got byte 0x{content[offset]:02x} at offset {offset}, expected UTF-8)"
        ) from error


def _check_depth(text: str, max_depth: int) -> None:
    depth = 0
    for token in _STRUCTURE.finditer(text):
        mark = text[token.start()]
        if mark in "[{":
            depth += 1
            if depth > max_depth:
                raise LimitExceededError(
                    f"JSON is nested too deeply (got more than {max_depth} levels at character "
                    f"{token.start()}, expected at most {max_depth})"
                )
        elif mark in "]}":
            depth -= 1


def _number(literal: str) -> Any:
    value = float(literal)
    return value if isfinite(value) else _Refused("a number beyond the range of binary64")


def _integer(literal: str) -> Any:
    return int(literal) if len(literal) <= _MAX_DIGITS else _Refused(f"a number of {len(literal)} digits")


def _settle(node: Any, place: str) -> Any:
    if isinstance(node, _Members):
        return _settle_object(node, place)
    if isinstance(node, list):
        return [_settle(element, f"{place}/{index}") for index, element in enumerate(node)]
    if isinstance(node, _Refused):
        raise MalformedItemError(f"JSON holds {node.what} (at {place or '/'}, expected finite numbers)")
    if isinstance(node, str):
        _check_string(node, place)
    return node


def _settle_object(members: _Members, place: str) -> dict[str, Any]:
    settled: dict[str, Any] = {}
    for index, (key, value) in enumerate(members.pairs):
        if key in settled:
            raise MalformedItemError(
                f"JSON has a duplicate key (got member {index} of the object at {place or '/'})"
            )
        _check_string(key, f"{place}/{index}")
        settled[key] = _settle(value, f"{place}/{index}")
    return settled


def _check_string(text: str, place: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedItemError(f"JSON holds a lone surrogate (in the string at {place or '/'})") from error
