"""Nothing but a complete and consistent answer becomes a decision (DESIGN.md §3 laws 5 and 10)."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785

from policies.bundle import Bundle
from policies.decision import read_decision
from policies.embedded import EmbeddedEngine
from policies.errors import EngineError
from policies.question import Point, Question
from policies.vectors import Vector, base_questions, changed


@pytest.fixture(scope="module")
def question(bundle: Bundle) -> Question:
    return Question.of(base_questions(bundle)[Point.SERVE, "engineer"])


@pytest.fixture(scope="module")
def answer(bundle: Bundle) -> dict[str, Any]:
    rules = sorted(bundle.catalogue[Point.SERVE])
    return {
        "allow": True,
        "required": rules,
        "passed": rules,
        "violations": [],
        "obligations": [{"kind": "record_access", "parameters": {}}],
        "level": None,
        "bundle": bundle.digest,
    }


def test_a_complete_answer_is_a_decision(bundle: Bundle, question: Question, answer: dict[str, Any]) -> None:
    decision = read_decision(answer, question=question, bundle=bundle, engine="x")
    assert decision.allowed
    assert decision.question_digest == question.digest


_BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "undefined": lambda _: {},
    "null": lambda _: None,
    "text": lambda _: "<undefined>",
    "true": lambda _: True,
    "list": lambda a: [a],
    "no allow": lambda a: {k: v for k, v in a.items() if k != "allow"},
    "a stranger": lambda a: a | {"allowed": True},
    "allow is 1": lambda a: a | {"allow": 1},
    "allow is text": lambda a: a | {"allow": "true"},
    "another bundle": lambda a: a | {"bundle": "0" * 64},
    "no bundle": lambda a: a | {"bundle": None},
    "requires nothing": lambda a: a | {"required": [], "passed": []},
    "requires less": lambda a: a | {"required": a["required"][1:], "passed": a["passed"][1:]},
    "requires more": lambda a: a | {"required": [*a["required"], "z"], "passed": [*a["passed"], "z"]},
    "required is a map": lambda a: a | {"required": dict.fromkeys(a["required"])},
    "required holds numbers": lambda a: a | {"required": [1]},
    "allows though a rule did not pass": lambda a: a | {"passed": a["passed"][1:]},
    "denies though every rule passed": lambda a: a | {"allow": False},
    "passed a stranger": lambda a: a | {"passed": [*a["passed"], "z"]},
    "names a violation of a rule that passed": lambda a: (
        a | {"violations": [{"rule": a["passed"][0], "facts": []}]}
    ),
    "names no violation": lambda a: a | {"allow": False, "passed": a["passed"][1:]},
    "violations is no list": lambda a: a | {"violations": {}},
    "violation is text": lambda a: a | {"violations": ["x"]},
    "violation without facts": lambda a: (
        a | {"allow": False, "passed": a["passed"][1:], "violations": [{"rule": a["passed"][0]}]}
    ),
    "violation of a stranger": lambda a: a | {"violations": [{"rule": "z", "facts": []}]},
    "obligations is no list": lambda a: a | {"obligations": None},
    "unknown obligation": lambda a: a | {"obligations": [{"kind": "dance", "parameters": {}}]},
    "obligation with unhashable kind": lambda a: a | {"obligations": [{"kind": [], "parameters": {}}]},
    "obligation without parameters": lambda a: a | {"obligations": [{"kind": "record_access"}]},
    "obligation is text": lambda a: a | {"obligations": ["record_access"]},
    "unknown level": lambda a: a | {"level": "S9"},
    "level is a list": lambda a: a | {"level": []},
}


@pytest.mark.parametrize("case", _BROKEN)
def test_a_broken_answer_is_an_error(
    case: str, bundle: Bundle, question: Question, answer: dict[str, Any]
) -> None:
    with pytest.raises(EngineError):
        read_decision(_BROKEN[case](copy.deepcopy(answer)), question=question, bundle=bundle, engine="x")


def test_a_violation_names_rule_clause_text_and_fact(embedded: EmbeddedEngine, bundle: Bundle) -> None:
    """Law 10: a denial says which rule, which clause and which fact."""
    base = base_questions(bundle)[Point.RELEASE, "local"]
    question = Question.of(changed(base, {"resource.items.0.detectors_ran": ["face"]}))
    (violation,) = embedded.decide(question).violations
    assert (violation.rule, violation.number, violation.confidence) == ("faces_plates_masked", "16", "L2")
    assert "GB/T 44464" in violation.clause
    assert "人脸" in violation.text_zh
    assert "detector" in violation.text_en
    assert [(fact["item"], fact["detectors_ran"]) for fact in violation.facts] == [("image-1", ["face"])]


def test_every_denial_with_all_facts_present_explains_itself(
    embedded: EmbeddedEngine, vectors: tuple[Vector, ...]
) -> None:
    """Law 10: whoever asks gets the facts; only a fact that is absent as a whole leaves them empty."""
    silent = {
        (vector.name, violation.rule)
        for vector in vectors
        for violation in embedded.decide(vector.question).violations
        if not violation.facts
    }
    # Where the fact is an empty list there is no entry to show, and before all law no number: vectors say so.
    assert silent == {(vector.name, rule) for vector in vectors for rule in vector.unexplained}
    assert len(silent) <= len(vectors) // 50


def test_a_decision_has_a_canonical_form(embedded: EmbeddedEngine, vectors: tuple[Vector, ...]) -> None:
    for vector in vectors[::7]:
        decision = embedded.decide(vector.question)
        assert json.loads(rfc8785.dumps(decision.as_dict())) == decision.as_dict()
