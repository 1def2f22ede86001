"""Questions with one fact deleted or garbled, through their schema or past it."""

import copy
import hashlib
from collections.abc import Iterator
from typing import Any

import rfc8785

from policies.question import Point, Question

ABSENT = object()
Path = tuple[str | int, ...]


def paths(node: Any, path: Path = ()) -> Iterator[Path]:
    """Every fact at every depth."""
    entries: Any = (
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    )
    for key, value in entries:
        yield (*path, key)
        yield from paths(value, (*path, key))


def at(question: dict[str, Any], path: Path) -> Any:
    """The fact at a path."""
    for step in path:
        question = question[step]  # type: ignore[index]
    return question


def spoilt(question: dict[str, Any], path: Path, value: object) -> dict[str, Any]:
    """A copy with the fact replaced, or deleted where the value is ``ABSENT``."""
    document = copy.deepcopy(question)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def garbage_for(value: object) -> tuple[object, ...]:
    """What a fact of this type is replaced by: nothing, another type, or a value outside its vocabulary."""
    match value:
        case bool():
            return (ABSENT, None, str(value).lower(), int(value), {})
        case int() | float():
            return (ABSENT, None, str(value), -1, {})
        case str():
            return (ABSENT, None, "", [value], 7, {})
        case list():
            return (ABSENT, None, "x", {}, 7)
        case dict():
            return (ABSENT, None, "x", [], 7)
        case _:
            return (ABSENT, "", [7], {}, 7)


def garbled(
    question: dict[str, Any], *, thoroughly: bool = True
) -> Iterator[tuple[Path, object, dict[str, Any]]]:
    """Path, garbage and question for every fact; an element of a list is garbled, not deleted.

    Args:
        question: The question to spoil.
        thoroughly: With all garbage; else with nothing, null and text only, which takes half the time.
    """
    for path in paths(question):
        for value in garbage_for(at(question, path)):
            quick = value is ABSENT or value is None or isinstance(value, str)
            if (thoroughly or quick) and not (value is ABSENT and isinstance(path[-1], int)):
                yield path, value, spoilt(question, path, value)


def past_the_schema(point: Point, document: dict[str, Any]) -> Question:
    """A question that no schema saw."""
    canonical = rfc8785.dumps(document)
    return Question(point=point, canonical=canonical, digest=hashlib.sha256(canonical).hexdigest())


def name_of(path: Path) -> str:
    """A fact's name, whatever item of a list it is of."""
    return ".".join("*" if isinstance(step, int) else step for step in path)
