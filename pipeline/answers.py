"""What the gateway says when it refuses: RFC 9457 problems."""

import json
from collections.abc import Mapping
from typing import Any, Final

import httpx

from pipeline.errors import RefusedError, Violation

MAX_PROBLEM_BYTES: Final = 1024 * 1024


def refusal_of(response: httpx.Response) -> RefusedError:
    """The refusal that a streamed response of status 3xx, 4xx or 5xx states."""
    problem = _problem(response)
    violations = problem.get("violations")
    return RefusedError(
        response.status_code,
        str(problem.get("reason", "unexpected_answer")),
        str(problem.get("detail", problem.get("title", response.reason_phrase))),
        [_violation(entry) for entry in violations if isinstance(entry, Mapping)]
        if isinstance(violations, list)
        else (),
    )


def _violation(entry: Mapping[str, Any]) -> Violation:
    return Violation(
        rule=str(entry.get("rule", "")),
        clause=str(entry.get("clause", "")),
        text_zh=str(entry.get("text_zh", "")),
        text_en=str(entry.get("text_en", "")),
    )


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return {}
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > MAX_PROBLEM_BYTES:
            return {}
    try:
        problem = json.loads(content)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}
