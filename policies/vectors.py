"""Golden vectors: readable cases with the decision each must get, run through whichever engine starts."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from policies.bundle import Bundle
from policies.decision import Decision
from policies.errors import PolicyError
from policies.question import Point, Question

_BUNDLE = "$bundle"
_CASE_FIELDS = frozenset(
    {"name", "base", "change", "missing", "level", "obligations", "facts", "unexplained", "because"}
)
_LANGUAGES = frozenset({"zh", "en"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One case.

    Attributes:
        name: ``<point>: <what happens>``.
        question: The facts.
        missing: The rules that must not pass, sorted; empty means the act is allowed.
        level: The level that must be stated.
        obligations: Kinds of the obligations that must be stated, sorted.
        parameters: What an obligation must demand, by kind, where the case says so.
        facts: The facts that a refusal must name, all of them, by rule, where the case says so.
        unexplained: Rules that cannot name a fact, for none is there; every other refusal names at least one.
        because: Why, in Chinese and English, where the case says so.
    """

    name: str
    question: Question
    missing: tuple[str, ...]
    level: str | None
    obligations: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)
    unexplained: tuple[str, ...] = ()
    because: Mapping[str, str] = field(default_factory=dict, hash=False)

    def mismatch(self, decision: Decision) -> str | None:
        """Say how a decision differs from what is recorded; None if it does not."""
        got = (
            decision.allowed,
            tuple(violation.rule for violation in decision.violations),
            None if decision.level is None else decision.level.value,
            tuple(sorted(duty.kind.value for duty in decision.obligations)),
        )
        expected = (not self.missing, self.missing, self.level, self.obligations)
        if got != expected:
            return f"{self.name} (got {got}, expected {expected})"
        return self._explained_otherwise(decision) or self._demanded_otherwise(decision)

    def _explained_otherwise(self, decision: Decision) -> str | None:
        for violation in decision.violations:
            named = sorted((dict(fact) for fact in violation.facts), key=_ordered)
            expected = self.facts.get(violation.rule)
            if expected is not None and named != sorted(expected, key=_ordered):
                return f"{self.name}: {violation.rule} names other facts (got {named}, expected {expected})"
            if bool(named) is (violation.rule in self.unexplained):
                return f"{self.name}: {violation.rule} names {len(named)} facts"
        return None

    def _demanded_otherwise(self, decision: Decision) -> str | None:
        for kind, expected in self.parameters.items():
            got = [dict(duty.parameters) for duty in decision.obligations if duty.kind.value == kind]
            if got != [expected]:
                return f"{self.name}: {kind} demands otherwise (got {got}, expected {expected})"
        return None


@lru_cache(maxsize=2)
def shipped_vectors(bundle: Bundle) -> tuple[Vector, ...]:
    """Load the vectors that ship with Fleetgate, bound to a bundle's digest.

    Raises:
        PolicyError: A vector file is malformed or a case is not a valid question.
    """
    return vectors_of(shipped_documents(), bundle)


def shipped_documents() -> dict[Point, dict[str, Any]]:
    """The vector files that ship with Fleetgate, by point."""
    return documents_in(resources.files("policies"))


def documents_in(root: Traversable) -> dict[Point, dict[str, Any]]:
    """The vector files of a folder laid out as ``policies/`` is, by point.

    Raises:
        PolicyError: A file is missing or malformed.
    """
    folder = root / "vectors"
    return {point: _read(folder / f"{point.value}.yaml", point) for point in Point}


def vectors_of(documents: Mapping[Point, Mapping[str, Any]], bundle: Bundle) -> tuple[Vector, ...]:
    """Read the cases of every point and bind them to a bundle's digest.

    Raises:
        PolicyError: A vector file is malformed or a case is not a valid question.
    """
    return tuple(vector for point in Point for vector in read_vectors(documents[point], point, bundle))


def base_questions(
    bundle: Bundle, documents: Mapping[Point, Mapping[str, Any]] | None = None
) -> dict[tuple[Point, str], dict[str, Any]]:
    """Return the base questions by point and name, of the shipped vectors unless others are given.

    Each is allowed as it stands.
    """
    documents = shipped_documents() if documents is None else documents
    return {
        (point, name): base["question"]
        for point, document in documents.items()
        for name, base in _bases(document, point, bundle).items()
    }


def read_vectors(document: Mapping[str, Any], point: Point, bundle: Bundle) -> list[Vector]:
    """Read the cases of one file: every base as it stands, then every change of one.

    Raises:
        PolicyError: A base or case is malformed, names an unknown base or changes a fact that is not there.
    """
    bases = _bases(document, point, bundle)
    vectors = [
        _vector(f"{point.value}: base {name}", base, base | {"missing": []}) for name, base in bases.items()
    ]
    for case in document["cases"]:
        if not case.keys() <= _CASE_FIELDS or case.get("base") not in bases:
            raise PolicyError(f"vector is malformed (got {case!r}, expected {sorted(_CASE_FIELDS)})")
        if case.get("because", dict.fromkeys(_LANGUAGES)).keys() != _LANGUAGES:
            raise PolicyError(
                f"vector gives its reason otherwise (got {case!r}, expected {sorted(_LANGUAGES)})"
            )
        if not {*case.get("facts", ()), *case.get("unexplained", ())} <= set(case["missing"]):
            raise PolicyError(f"vector explains a rule that it does not name (got {case!r})")
        base = bases[case["base"]]
        question = changed(base["question"], case["change"])
        vectors.append(_vector(f"{point.value}: {case['name']}", base | {"question": question}, case))
    return vectors


def _vector(name: str, base: Mapping[str, Any], case: Mapping[str, Any]) -> Vector:
    duties = case.get("obligations", base["obligations"])
    demanded = {kind: to for duty in duties if isinstance(duty, dict) for kind, to in duty.items()}
    return Vector(
        name=name,
        question=Question.of(base["question"]),
        missing=tuple(sorted(case["missing"])),
        level=case.get("level", base["level"]),
        obligations=tuple(sorted([*demanded, *(duty for duty in duties if isinstance(duty, str))])),
        parameters=demanded,
        facts=case.get("facts", {}),
        unexplained=tuple(case.get("unexplained", ())),
        because=case.get("because", {}),
    )


def _ordered(fact: Any) -> str:
    """Sets have no order of their own, and facts hold lists that were sets."""
    return json.dumps(fact, sort_keys=True)


def changed(question: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a question with some facts replaced.

    Args:
        question: The question to start from.
        change: New values by dotted path (``resource.items.0.vin_found``); an index one past the end
            of a list appends.

    Raises:
        PolicyError: A path leads nowhere.
    """
    document: dict[str, Any] = copy.deepcopy(dict(question))
    for path, value in change.items():
        *parents, last = path.split(".")
        place: Any = document
        try:
            for step in parents:
                place = place[int(step)] if isinstance(place, list) else place[step]
            if isinstance(place, list) and int(last) == len(place):
                place.append(copy.deepcopy(value))
            elif isinstance(place, list):
                place[int(last)] = copy.deepcopy(value)
            else:
                place[last], _ = copy.deepcopy(value), place[last]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PolicyError(f"vector changes a fact that is not there (got {path!r})") from error
    return document


def _bases(document: Mapping[str, Any], point: Point, bundle: Bundle) -> dict[str, dict[str, Any]]:
    bases: dict[str, dict[str, Any]] = {}
    for name, entry in document["bases"].items():
        if "from" in entry:
            question = changed(bases[entry["from"]]["question"], entry["change"])
        else:
            question = {"point": point.value, **_bound(entry["question"], bundle)}
        bases[name] = {"question": question, "level": entry["level"], "obligations": entry["obligations"]}
    return bases


def _bound(value: Any, bundle: Bundle) -> Any:
    """Put the bundle's digest where a vector says ``$bundle``."""
    if isinstance(value, dict):
        return {key: _bound(entry, bundle) for key, entry in value.items()}
    if isinstance(value, list):
        return [_bound(entry, bundle) for entry in value]
    return bundle.digest if value == _BUNDLE else value


def _read(source: Traversable, point: Point) -> dict[str, Any]:
    try:
        document = yaml.load(source.read_bytes(), Loader=yaml.CSafeLoader)
    except (OSError, yaml.YAMLError) as error:
        raise PolicyError(f"vectors of {point} cannot be read: {error}") from error
    if not isinstance(document, dict) or document.keys() != {"bases", "cases"}:
        raise PolicyError(f"vectors of {point} are malformed (expected 'bases' and 'cases')")
    return document
