"""What changes from one bundle to another: rules, legal data, shared files, and what golden vectors get."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from policies.bundle import Bundle
from policies.decision import Decision
from policies.drafts import Draft
from policies.engine import Engine
from policies.errors import EngineError, PolicyError
from policies.question import Point
from policies.vectors import Vector, vectors_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """A rule that was added, removed or changed; ``parts`` names what differs (``text``, ``rego``)."""

    point: str
    rule: str
    change: str
    parts: tuple[str, ...]
    before: Mapping[str, str] | None
    after: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterChange:
    """A dated parameter that was added, removed or changed; what is unchanged of it is left out.

    Attributes:
        name: ``<file>.<parameter>``.
        change: ``added``, ``removed`` or ``changed``.
        values: Old and new value by date; None where there was or is none.
        described: Old and new unit, source and confidence, where they differ.
        confidence: The confidence that holds now; that of a removed one, which held.
    """

    name: str
    change: str
    values: Mapping[str, tuple[Any, Any]]
    described: Mapping[str, tuple[Any, Any]]
    confidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorChange:
    """A golden vector that two bundles answer differently.

    Attributes:
        name: The vector.
        before: What the first answers: rules that did not pass, duties and level.
        after: What the second answers; an error's text where it gives no decision.
        turns: ``allowed``, ``denied`` or ``otherwise``: where the second leads to.
    """

    name: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    turns: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Everything that two bundles differ in; ``files`` are shared Rego files and question schemas."""

    rules: tuple[RuleChange, ...]
    parameters: tuple[ParameterChange, ...]
    files: tuple[str, ...]
    vectors: tuple[VectorChange, ...]

    @property
    def empty(self) -> bool:
        """Whether there is none."""
        return not (self.rules or self.parameters or self.files or self.vectors)


def difference(before: Draft, after: Draft, engines: tuple[Engine, Engine]) -> Difference:
    """Compare two bundles.

    Args:
        before: The one.
        after: The other.
        engines: An engine for each, in this order; the vectors of both are put to both.

    Raises:
        PolicyError: A vector file is malformed.
    """
    return Difference(
        rules=tuple(_rules(before.bundle, after.bundle)),
        parameters=tuple(_parameters(before.bundle, after.bundle)),
        files=tuple(_files(before.bundle, after.bundle)),
        vectors=changed_vectors(before, after, engines),
    )


def changed_vectors(before: Draft, after: Draft, engines: tuple[Engine, Engine]) -> tuple[VectorChange, ...]:
    """The vectors of both drafts that the two answer differently.

    Raises:
        PolicyError: A vector file is malformed.
    """
    found: dict[str, VectorChange] = {}
    both = [before.documents] if before.documents == after.documents else [before.documents, after.documents]
    for documents in both:
        # One engine after the other: a thread has one embedded interpreter, and loading it takes its time.
        said = [
            {vector.name: _answer(engine, vector) for vector in vectors_of(documents, draft.bundle)}
            for engine, draft in zip(engines, (before, after), strict=True)
        ]
        for name, first in said[0].items():
            if first != said[1][name]:
                found[name] = _vector_change(name, first, said[1][name])
    return tuple(found[name] for name in sorted(found))


def _vector_change(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> VectorChange:
    allows = (before.get("missing") == [], after.get("missing") == [])
    turns = {(False, True): "allowed", (True, False): "denied"}.get(allows, "otherwise")
    return VectorChange(name=name, before=before, after=after, turns=turns)


def _answer(engine: Engine, vector: Vector) -> dict[str, Any]:
    try:
        return summary_of(engine.decide(vector.question))
    except EngineError as error:
        return {"error": str(error)}


def summary_of(decision: Decision) -> dict[str, Any]:
    """Rules that did not pass, duties with their parameters, and the level."""
    return {
        "missing": [violation.rule for violation in decision.violations],
        "obligations": sorted(
            ({"kind": o.kind.value, "parameters": dict(o.parameters)} for o in decision.obligations), key=str
        ),
        "level": None if decision.level is None else decision.level.value,
    }


def _rules(before: Bundle, after: Bundle) -> Iterable[RuleChange]:
    for point in Point:
        old, new = before.catalogue[point], after.catalogue[point]
        for rule in [*old, *(r for r in new if r not in old)]:
            parts = []
            if old.get(rule) != new.get(rule):
                parts.append("text")
            path = f"rules/{point.value}/{rule}/rule.rego"
            if before.files.get(path) != after.files.get(path):
                parts.append("rego")
            if parts:
                change = "added" if rule not in old else "removed" if rule not in new else "changed"
                yield RuleChange(
                    point=point.value,
                    rule=rule,
                    change=change,
                    parts=tuple(parts),
                    before=old.get(rule),
                    after=new.get(rule),
                )


def _parameters(before: Bundle, after: Bundle) -> Iterable[ParameterChange]:
    old, new = _flat(before), _flat(after)
    for name in sorted(old.keys() | new.keys()):
        first, second = old.get(name, {}), new.get(name, {})
        dates = {**first.get("values", {}), **second.get("values", {})}
        values = {
            day: (first.get("values", {}).get(day), second.get("values", {}).get(day))
            for day in sorted(dates)
            if first.get("values", {}).get(day) != second.get("values", {}).get(day)
        }
        described = {
            part: (first.get(part), second.get(part))
            for part in ("unit", "source", "confidence")
            if first.get(part) != second.get(part)
        }
        if values or described:
            yield ParameterChange(
                name=name,
                change="added" if not first else "removed" if not second else "changed",
                values=values,
                described=described,
                confidence=str((second or first).get("confidence")),
            )


def _flat(bundle: Bundle) -> dict[str, dict[str, Any]]:
    return {
        f"{file}.{name}": parameter
        for file, parameters in bundle.data()["law"].items()
        for name, parameter in parameters.items()
    }


def _files(before: Bundle, after: Bundle) -> Iterable[str]:
    for path in sorted(before.files.keys() | after.files.keys()):
        own = path.endswith("/rule.rego") or path.startswith("data/") or path == "catalogue.yaml"
        if not own and before.files.get(path) != after.files.get(path):
            yield path


def as_of(bundle: Bundle, day: str) -> Bundle:
    """The same bundle as it stands on a day: what holds then held always. For simulation only.

    Args:
        bundle: Any bundle.
        day: ``YYYY-MM-DD``.

    Raises:
        PolicyError: A parameter has no dated values.
    """
    files = dict(bundle.files)
    for path, content in bundle.files.items():
        if path.startswith("data/"):
            document = yaml.load(content, Loader=yaml.CSafeLoader)
            standing = {name: _standing(name, entry, day) for name, entry in document.items()}
            files[path] = yaml.safe_dump(standing, allow_unicode=True, sort_keys=True).encode()
    return Bundle(files=files, digest=bundle.digest, version=bundle.version, catalogue=bundle.catalogue)


def _standing(name: str, entry: Mapping[str, Any], day: str) -> dict[str, Any]:
    values = entry.get("values")
    if not isinstance(values, Mapping):
        raise PolicyError(f"parameter has no dated values (got {name}: {entry!r})")
    dates = [date for date in values if str(date) <= day]
    return {**entry, "values": {"0001-01-01": values[max(dates)]} if dates else {}}
