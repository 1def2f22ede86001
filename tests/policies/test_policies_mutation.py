"""Whoever drops one condition of a rule, one of its alternatives, or moves one of its boundaries, is found out.

By a golden vector, so that no engine starts with it; or, where the schema admits no question that tells the two
apart, by a garbled question that was kept past the schema. What neither tells apart is listed with its reason.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import regorus  # type: ignore[import-untyped]

from policies.bundle import Bundle
from policies.decision import Decision, read_decision
from policies.embedded import EmbeddedEngine
from policies.engine import Engine
from policies.errors import EngineError
from policies.question import Point, Question
from policies.vectors import Vector, base_questions
from rego_sources import Mutant, mutants
from spoilt_questions import garbled, past_the_schema

# Pattern of a mutant's name, and why nothing can tell it from the original.
EQUIVALENT = {
    r"rules/\w+/decision.rego:\d+ (condition|boundary) of `allow`: count\(required\) > 0": (
        "a bundle that requires nothing at a point does not load (BundleError)"
    ),
    r'rules/\w+/(\w+)/rule.rego:\d+ condition of `facts contains .*`: "\1" in missing': (
        "facts of rules that pass are not shown; the guard spares the time to find them"
    ),
    r"rules/\w+/decision.rego:\d+ condition of `unverified contains .*`: data\..*\.confidence == \"m\"": (
        "seen where the data change: test_policies_legal_numbers.py"
    ),
}


@lru_cache(maxsize=len(Point) + 1)
def _mutants(opa: Path, bundle: Bundle, place: str) -> tuple[Mutant, ...]:
    return tuple(
        mutant
        for path, source in sorted(bundle.files.items())
        if path.startswith(f"rules/{place}/") and path.endswith(".rego")
        for mutant in mutants(opa, path, source)
    )


def _is_equivalent(mutant: Mutant) -> bool:
    return any(re.fullmatch(pattern, mutant.name) for pattern in EQUIVALENT)


@dataclasses.dataclass(frozen=True, slots=True)
class Judge:
    """An interpreter of one point's rules; cloning one that was loaded takes a tenth of loading it."""

    interpreter: Any
    bundle: Bundle

    def decide(self, question: Question) -> Decision:
        """Judge as the embedded engine does."""
        try:
            self.interpreter.set_input_json(question.canonical.decode())
            answer = self.interpreter.eval_rule_as_json(f"data.fleetgate.{question.point}.decision")
        except RuntimeError as error:
            raise EngineError(str(error)) from error
        return read_decision(json.loads(answer), question=question, bundle=self.bundle, engine="mutant")


@lru_cache(maxsize=2)
def _data(bundle: Bundle) -> str:
    return json.dumps(bundle.data())


@lru_cache(maxsize=1)
def _loaded(bundle: Bundle, path: str) -> Any:
    """Everything that the module's point needs, but for the module."""
    point = path.split("/")[1]
    kept = ("rules/",) if point == "lib" else ("rules/lib/", f"rules/{point}/")
    interpreter = regorus.Engine()
    for other, source in sorted(bundle.modules().items()):
        if other != path and other.startswith(kept):
            interpreter.add_policy(other, source)
    interpreter.add_data_json(_data(bundle))
    return interpreter


def _mutated(bundle: Bundle, mutant: Mutant) -> Judge:
    """The mutant under the whole bundle's digest: what a tampered server would claim.

    Raises:
        EngineError: It does not load.
    """
    interpreter = _loaded(bundle, mutant.path).clone()
    try:
        interpreter.add_policy(mutant.path, mutant.source.decode())
    except RuntimeError as error:
        raise EngineError(str(error)) from error
    return Judge(interpreter, bundle)


def _concerned(mutant: Mutant, vectors: Sequence[Vector]) -> list[Vector]:
    """Vectors of the mutant's point, those that its rule refuses first."""
    _, point, rule, *_ = mutant.path.split("/")
    of_point = [v for v in vectors if point in {"lib", v.question.point.value}]
    return sorted(of_point, key=lambda vector: rule not in vector.missing)


def _fails_a_vector(bundle: Bundle, mutant: Mutant, vectors: Sequence[Vector]) -> bool:
    try:
        judge = _mutated(bundle, mutant)
        return any(v.mismatch(judge.decide(v.question)) for v in _concerned(mutant, vectors))
    except EngineError:
        return True


def _garbled_questions(bundle: Bundle, point: Point) -> Iterator[Question]:
    """The first base with any one fact gone or garbled; the others with it gone, null, or another word."""
    bases = [question for (of, _), question in base_questions(bundle).items() if of is point]
    for base in bases:
        for _, _, document in garbled(base, thoroughly=base is bases[0]):
            yield past_the_schema(point, document)


def _answer(judge: Engine | Judge, question: Question) -> Decision | None:
    try:
        return judge.decide(question)
    except EngineError:
        return None


@lru_cache(maxsize=len(Point))
def _garbled_answers(bundle: Bundle, point: Point) -> tuple[tuple[Question, Decision], ...]:
    with EmbeddedEngine(bundle) as engine:
        answers = [(q, _answer(engine, q)) for q in _garbled_questions(bundle, point)]
    return tuple((question, answer) for question, answer in answers if answer is not None)


def _is_told_by_garbage(bundle: Bundle, mutant: Mutant) -> bool:
    _, point, rule, *_ = mutant.path.split("/")
    judge = _mutated(bundle, mutant)
    for of in Point if point == "lib" else [Point(point)]:
        for question, honest in _garbled_answers(bundle, of):
            refused = {violation.rule for violation in honest.violations}
            if rule.endswith(".rego") or rule in refused:
                answer = _answer(judge, question)
                if answer is not None and _outcome(answer) != _outcome(honest):
                    return True
    return False


def _outcome(decision: Decision) -> tuple[object, ...]:
    return decision.passed, decision.level, sorted(duty.kind for duty in decision.obligations)


@pytest.mark.parametrize("place", ["lib", *Point])
def test_every_dropped_condition_is_found_out(
    place: str, opa: Path, bundle: Bundle, vectors: tuple[Vector, ...]
) -> None:
    found = _mutants(opa, bundle, place)
    assert len(found) > 20
    survivors = [
        mutant.name
        for mutant in found
        if not _is_equivalent(mutant)
        and not _fails_a_vector(bundle, mutant, vectors)
        and not _is_told_by_garbage(bundle, mutant)
    ]
    assert survivors == []


def test_what_is_listed_as_equivalent_is_there(opa: Path, bundle: Bundle) -> None:
    """A reason outlives its rule otherwise."""
    names = [mutant.name for place in ("lib", *Point) for mutant in _mutants(opa, bundle, place)]
    for pattern in EQUIVALENT:
        assert any(re.fullmatch(pattern, name) for name in names), pattern
