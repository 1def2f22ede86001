"""Rego sources as OPA's own parser sees them: their expressions and numbers, each with its exact place."""

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STRICTNESS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A module with one thing dropped or one boundary moved.

    Attributes:
        path: Module below ``policies/``.
        head: Text of the rule's head, on one line.
        row: Row of what was changed, from 1.
        what: ``condition`` dropped, ``alternative`` of a rule dropped, or ``boundary`` moved.
        text: What was dropped or moved, on one line.
        source: The module as changed.
    """

    path: str
    head: str
    row: int
    what: str
    text: str
    source: bytes

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"{self.path}:{self.row} {self.what} of `{self.head}`: {self.text}"


def parsed(opa: Path, source: bytes) -> dict[str, Any]:
    """The module's syntax tree with locations."""
    command = [opa, "parse", "--format", "json", "--json-include", "locations,-comments", "/dev/stdin"]
    result = subprocess.run(command, input=source, capture_output=True, check=True)  # noqa: S603
    tree: dict[str, Any] = json.loads(result.stdout)
    return tree


def mutants(opa: Path, path: str, source: bytes) -> Iterator[Mutant]:
    """Every module that differs from this one by a dropped condition or alternative, or by a moved boundary."""
    for rule in parsed(opa, source)["rules"]:
        head = " ".join(_text(rule["head"]).split())
        yield _mutant(path, source, head, "alternative", rule, b"")
        for expression in _expressions(rule):
            if expression["location"] == rule["head"]["location"] or _is_implied(expression):
                continue
            yield _mutant(path, source, head, "condition", expression, b"true")
            yield from _boundaries(path, source, head, expression)


def numbers(tree: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
    """Row, number and use of each numeric literal: the function that it is an argument of, or nothing."""

    def walk(node: Any, use: str) -> Iterator[tuple[int, str, str]]:
        if isinstance(node, list):
            # A call is its operator followed by its arguments.
            called = _called(node)
            for entry in node:
                yield from walk(entry, called or use)
        elif isinstance(node, dict):
            if node.get("type") == "number":
                yield node["location"]["row"], str(node["value"]), use
            for key, entry in node.items():
                if key not in {"location", "annotations", "comments"}:
                    yield from walk(entry, use)

    yield from walk(tree["rules"], "")


def _called(node: list[Any]) -> str:
    if not node or not isinstance(node[0], dict) or node[0].get("type") != "ref":
        return ""
    return ".".join(str(part["value"]) for part in node[0]["value"])


def _expressions(node: Any) -> Iterator[dict[str, Any]]:
    """Expressions of bodies at any depth, comprehensions and quantifiers included."""
    if isinstance(node, list):
        for entry in node:
            yield from _expressions(entry)
    elif isinstance(node, dict):
        for key, entry in node.items():
            if key == "body":
                yield from entry
            if key not in {"location", "annotations"}:
                yield from _expressions(entry)


def _is_implied(expression: Mapping[str, Any]) -> bool:
    """Whether the parser supplied the body of a rule that has none."""
    terms = expression["terms"]
    return isinstance(terms, dict) and terms.get("type") == "boolean" and _text(expression) != "true"


def _boundaries(path: str, source: bytes, head: str, expression: Mapping[str, Any]) -> Iterator[Mutant]:
    terms = expression["terms"]
    if isinstance(terms, list) and _text(terms[0]) in STRICTNESS:
        operator = _text(terms[0])
        start, end = _span(source, terms[0])
        yield Mutant(
            path=path,
            head=head,
            row=expression["location"]["row"],
            what="boundary",
            text=" ".join(_text(expression).split()),
            source=source[:start] + STRICTNESS[operator].encode() + source[end:],
        )


def _mutant(
    path: str, source: bytes, head: str, what: str, node: Mapping[str, Any], instead: bytes
) -> Mutant:
    start, end = _span(source, node)
    return Mutant(
        path=path,
        head=head,
        row=node["location"]["row"],
        what=what,
        text=" ".join(_text(node).split()),
        source=source[:start] + instead + source[end:],
    )


def _text(node: Mapping[str, Any]) -> str:
    return base64.b64decode(node["location"]["text"]).decode()


def _span(source: bytes, node: Mapping[str, Any]) -> tuple[int, int]:
    """Offsets of a node in bytes; columns count characters."""
    row, column = node["location"]["row"], node["location"]["col"]
    lines = source.split(b"\n")
    line = lines[row - 1].decode()
    start = sum(len(each) + 1 for each in lines[: row - 1]) + len(line[: column - 1].encode())
    text = base64.b64decode(node["location"]["text"])
    assert source[start : start + len(text)] == text, (row, column, text)
    return start, start + len(text)
