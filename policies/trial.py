"""Trying a bundle: its golden vectors on an engine, and its tests of rules on the embedded one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policies.bundle import Bundle
from policies.drafts import Draft
from policies.embedded import rule_answers
from policies.engine import Engine, gaps_of, mismatch_of
from policies.question import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that a bundle does otherwise than it says.

    Attributes:
        kind: ``coverage``, ``vector`` or ``rule_test``.
        engine: Which engine.
        name: The vector, or ``<point>/<rule>: <case>``.
        detail: What was expected and what came.
    """

    kind: str
    engine: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What trying a bundle on one engine gave.

    Attributes:
        engine: Which engine.
        vectors: How many vectors were asked.
        cases: How many cases of tests of rules were asked.
        faults: What failed.
    """

    engine: str
    vectors: int
    cases: int
    faults: tuple[Fault, ...]


def try_vectors(draft: Draft, engine: Engine) -> Trial:
    """Ask every golden vector of a draft; the vectors must also allow at each point and deny by each rule.

    Raises:
        PolicyError: A vector is no valid question.
    """
    vectors = draft.vectors()
    faults = [
        Fault(kind="coverage", engine=engine.name, name=gap, detail="expected at least one")
        for gap in gaps_of(draft.bundle, vectors)
    ]
    faults += [
        Fault(kind="vector", engine=engine.name, name=vector.name, detail=detail)
        for vector in vectors
        if (detail := mismatch_of(engine, vector)) is not None
    ]
    return Trial(engine=engine.name, vectors=len(vectors), cases=0, faults=tuple(faults))


def try_rule_tests(draft: Draft, engine_name: str) -> Trial:
    """Ask each case of each test of a rule as a question of its own, in the embedded engine.

    A rule without a test, a test without a case that passes and one that does not, and a test for no rule are
    faults.

    Raises:
        EngineError: A test does not compile.
    """
    tested = {_rule_of(path) for path in draft.tests}
    rules = {(point.value, rule) for point in Point for rule in draft.bundle.catalogue[point]}
    faults = [
        Fault(kind="rule_test", engine=engine_name, name="/".join(rule), detail="expected a rule_test.rego")
        for rule in sorted(rules - tested)
    ]
    count = 0
    for (point, rule), cases in _answered(draft):
        named = f"{point}/{rule}"
        if (point, rule) not in rules or {case["passes"] for case in cases.values()} != {True, False}:
            detail = "expected a rule of the catalogue, a case that passes and one that does not"
            faults.append(Fault(kind="rule_test", engine=engine_name, name=named, detail=detail))
        for name, case in cases.items():
            count += 1
            if case["got"] is not case["passes"]:
                detail = f"got passes={case['got']}, expected passes={case['passes']}"
                faults.append(
                    Fault(kind="rule_test", engine=engine_name, name=f"{named}: {name}", detail=detail)
                )
    return Trial(engine=engine_name, vectors=0, cases=count, faults=tuple(faults))


def _answered(draft: Draft) -> Iterator[tuple[tuple[str, str], dict[str, dict[str, Any]]]]:
    keys = [_rule_of(path) for path in sorted(draft.tests)]
    data = json.dumps(draft.bundle.data() | {"examples": draft.examples()})
    yield from rule_answers({**draft.bundle.modules(), **draft.tests}, data, keys)


def _rule_of(path: str) -> tuple[str, str]:
    _, point, rule, _ = path.split("/")
    return point, rule


def missing_rules(bundle: Bundle, reference: Bundle) -> list[str]:
    """Rules of the reference that a bundle does not require, as ``<point>/<rule>``."""
    return [
        f"{point.value}/{rule}"
        for point in Point
        for rule in reference.catalogue[point]
        if rule not in bundle.catalogue[point]
    ]
