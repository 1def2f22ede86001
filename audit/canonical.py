"""RFC 8785 (JSON Canonicalization Scheme) bytes."""

import json
from typing import Any, NoReturn

import rfc8785


def canonical_bytes(value: Any) -> bytes:
    """Serialise ``value`` per RFC 8785.

    Raises:
        ValueError: if ``value`` holds something that RFC 8785 cannot express.
    """
    return rfc8785.dumps(value)


def parse_canonical(data: bytes) -> dict[str, Any]:
    """Parse an object and demand that ``data`` is its RFC 8785 form (section 3.2).

    Raises:
        ValueError: if ``data`` is not JSON, not an object, holds a float, or is not in canonical form.
    """
    try:
        value = json.loads(data, parse_float=_refuse_number, parse_constant=_refuse_number)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if not isinstance(value, dict):
        raise ValueError(f"not a JSON object (got {type(value).__name__})")  # noqa: TRY004 - malformed data, not a caller's mistake
    if canonical_bytes(value) != data:
        raise ValueError("not in the canonical form of RFC 8785")
    return value


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"number not permitted (got {text}, expected an integer)")
