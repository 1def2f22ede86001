"""What would have to change for a rule to pass: facts that are tried one by one on the rule that denied.

The answer is a hint and says so: it is found by asking the bundle anew with facts of its own golden vectors in
place of those that were stated. It proves nothing about what was decided.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.bundle import Bundle
from policies.embedded import EmbeddedEngine
from policies.errors import PolicyError
from policies.question import Point, Question

_NAME = re.compile(r"\.([a-z_]+)")
_LIB = re.compile(r"\blib\.([a-z_]+)")
_LAW = re.compile(r"data\.law\.(\w+)\.(\w+)")
_FIXED = frozenset({"context.time", "context.policy.digest"})
"""Nobody is told to wait for another day or to have another bundle."""
_MEASURED = frozenset({"profile", "class", "kind", "crs", "level_in", "tags", "findings", "counts", "items"})
"""What the data are and which law holds is no choice: to state it otherwise would be a lie."""
_MOST_TRIALS = 400
_MOST_ITEMS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A fact with which, changed alone, the rule would pass: ``*`` in its path stands for every entry."""

    path: str
    stated: Any
    passes_with: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A dated parameter that a rule reads, as it stood on the day of the question.

    ``value`` is None where none held yet; ``unverified`` tells that no primary text was seen.
    """

    name: str
    value: Any
    since: str | None
    unit: str
    source: str
    confidence: str

    @property
    def unverified(self) -> bool:
        """Whether the number rests on memory only (COMPLIANCE.md confidence ``m``)."""
        return self.confidence == "m"


def limits_of(bundle: Bundle, point: Point, rule: str, day: str) -> tuple[Limit, ...]:
    """The dated parameters behind a rule, as they stood on a day (``YYYY-MM-DD``).

    Raises:
        PolicyError: The bundle has no such rule.
    """
    law = bundle.data()["law"]
    found = []
    for file, name in sorted(set(_LAW.findall(_source_with_law(bundle, point, rule)))):
        entry = law.get(file, {}).get(name)
        if entry is None:
            continue
        dates = [date for date in entry["values"] if str(date) <= day]
        since = max(dates) if dates else None
        found.append(
            Limit(
                name=f"{file}.{name}",
                value=None if since is None else entry["values"][since],
                since=since,
                unit=str(entry["unit"]),
                source=str(entry["source"]),
                confidence=str(entry["confidence"]),
            )
        )
    return tuple(found)


def changes_of(
    engine: EmbeddedEngine, question: Question, rule: str, examples: Mapping[str, Mapping[str, Any]]
) -> tuple[Change, ...]:
    """Single facts with which the rule would pass, each changed alone.

    Args:
        engine: An engine of the bundle that decided.
        question: What was asked.
        rule: The rule that did not pass.
        examples: Base questions of the point by name; each is allowed as it stands.

    Raises:
        PolicyError: The bundle has no such rule.
    """
    document = _reduced(question.document())
    read = _names_read(engine.bundle, question.point, rule)
    found: list[Change] = []
    trials = 0
    paths = {path for path, _ in _leaves(document) if _may_change(path, read)}
    # The deepest first: that a certificate would have to be another one says less than that its date would.
    for path in sorted(paths, key=lambda p: (-p.count("."), p)):
        if any(each.path.startswith(f"{path}.") for each in found):
            continue
        for value in _values(examples, path):
            if trials == _MOST_TRIALS:
                return tuple(found)
            changed, stated = _replaced(document, path, value)
            if stated == [value] or (stated and all(each == value for each in stated)):
                continue
            trials += 1
            if _passes(engine, changed, rule):
                shown = stated[0] if len(stated) == 1 else stated
                found.append(Change(path=path, stated=shown, passes_with=value))
                break
    return tuple(found)


def _may_change(path: str, read: set[str]) -> bool:
    steps = path.split(".")
    measured = _MEASURED & set(steps if "items" not in steps or steps[-1] == "items" else steps[3:])
    return len(steps) > 1 and steps[-1] in read and path not in _FIXED and not measured


def _passes(engine: EmbeddedEngine, document: Mapping[str, Any], rule: str) -> bool:
    try:
        return rule in engine.decide(Question.of(document)).passed
    except PolicyError:
        return False


def _reduced(document: dict[str, Any]) -> dict[str, Any]:
    """A long release by its first items: hints are for people, and each costs a question."""
    items = document["resource"].get("items")
    if isinstance(items, list) and len(items) > _MOST_ITEMS:
        document["resource"]["items"] = items[:_MOST_ITEMS]
    return document


def _source(bundle: Bundle, point: Point, rule: str) -> str:
    content = bundle.files.get(f"rules/{point.value}/{rule}/rule.rego")
    if content is None:
        raise PolicyError(f"the bundle has no such rule (got {point.value}/{rule})")
    return content.decode()


def _source_with_law(bundle: Bundle, point: Point, rule: str) -> str:
    """The rule, the definitions of its point and of the library that it names."""
    source = _source(bundle, point, rule)
    law = bundle.files.get(f"rules/{point.value}/law.rego", b"").decode()
    names = set(re.findall(r"\blaw_\w+", source))
    lines = [line for line in law.splitlines() if line.split(" ")[0].split("(")[0] in names]
    return "\n".join([source, *lines, *_library(bundle, set(_LIB.findall(source)))])


def _library(bundle: Bundle, functions: set[str]) -> Iterator[str]:
    for path, content in bundle.files.items():
        if path.startswith("rules/lib/") and path.endswith(".rego"):
            for block in content.decode().split("\n\n"):
                head = next((line for line in block.splitlines() if not line.startswith("#")), "")
                if head.split("(")[0] in functions:
                    yield block


def _names_read(bundle: Bundle, point: Point, rule: str) -> set[str]:
    source = _source(bundle, point, rule)
    return set(_NAME.findall("\n".join([source, *_library(bundle, set(_LIB.findall(source)))])))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Facts by path: scalars and lists of scalars; ``*`` for the entries of a list of objects."""
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from _leaves(entry, f"{path}.{key}" if path else key)
        yield path, value
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for entry in value:
            yield from _leaves(entry, f"{path}.*")
        yield path, value
    else:
        yield path, value


def _values(examples: Mapping[str, Mapping[str, Any]], path: str) -> list[Any]:
    found: list[Any] = []
    for question in examples.values():
        for other, value in _leaves(question):
            if other == path and value not in found:
                found.append(value)
    return found


def _replaced(document: Mapping[str, Any], path: str, value: Any) -> tuple[dict[str, Any], list[Any]]:
    changed: dict[str, Any] = copy.deepcopy(dict(document))
    places: list[Any] = [changed]
    *parents, last = path.split(".")
    for step in parents:
        if step == "*":
            places = [entry for place in places if isinstance(place, list) for entry in place]
        else:
            places = [place[step] for place in places if isinstance(place, dict) and step in place]
    stated = []
    for place in places:
        if isinstance(place, dict) and last in place:
            stated.append(place[last])
            place[last] = copy.deepcopy(value)
    return changed, stated
