"""Golden vectors admit an engine or stop it (DESIGN.md §4 Policy; §3 law 5)."""

import dataclasses
import time
from typing import Any

import pytest

from policies.bundle import Bundle, bundle_of
from policies.embedded import EmbeddedEngine
from policies.engine import start_engine
from policies.errors import EngineError, PolicyError, VectorMismatchError
from policies.question import Point
from policies.vectors import Vector, base_questions, changed, read_vectors, shipped_vectors


def _without(bundle: Bundle, point: Point, rule: str) -> Bundle:
    """A bundle that claims the digest of the whole one but no longer requires one of its rules."""
    rules = {name: entry for name, entry in bundle.catalogue[point].items() if name != rule}
    return dataclasses.replace(bundle, catalogue={**bundle.catalogue, point.value: rules})


def test_the_embedded_engine_starts_within_seconds(bundle: Bundle, vectors: tuple[Vector, ...]) -> None:
    assert len(vectors) >= 60
    engine = EmbeddedEngine(bundle)
    started = time.process_time()
    assert start_engine(engine, vectors) is engine
    # All vectors are run before the first decision: who starts a gate waits for them.
    assert time.process_time() - started < 3.0
    engine.close()


def test_every_rule_denies_by_itself_in_some_vector(bundle: Bundle, vectors: tuple[Vector, ...]) -> None:
    alone = {(v.question.point, v.missing[0]) for v in vectors if len(v.missing) == 1}
    assert alone == {(point, rule) for point in Point for rule in bundle.catalogue[point]}


@pytest.mark.parametrize("point", Point)
def test_a_rule_that_is_no_longer_required_stops_start_up(
    bundle: Bundle, vectors: tuple[Vector, ...], point: Point
) -> None:
    """Law 5: leaving one rule out of the required ones makes a vector fail, whichever rule it is."""
    for rule in bundle.catalogue[point]:
        denied = [v for v in vectors if v.question.point is point and v.missing == (rule,)]
        with EmbeddedEngine(_without(bundle, point, rule)) as engine:
            decisions = [engine.decide(vector.question) for vector in denied]
        assert [
            v.name for v, decision in zip(denied, decisions, strict=True) if not decision.allowed
        ] == [], rule
        assert all(vector.mismatch(decision) for vector, decision in zip(denied, decisions, strict=True)), (
            rule
        )


@pytest.mark.parametrize("point", Point)
def test_a_rule_file_that_is_gone_denies_everything(
    bundle: Bundle, vectors: tuple[Vector, ...], point: Point
) -> None:
    """Law 5: a rule that cannot pass because its file is missing denies everything."""
    for rule in bundle.catalogue[point]:
        path = f"rules/{point.value}/{rule}/rule.rego"
        kept = {name: content for name, content in bundle.files.items() if name != path}
        base = next(v for v in vectors if v.question.point is point and not v.missing)
        with EmbeddedEngine(dataclasses.replace(bundle, files=kept)) as engine:
            (violation,) = engine.decide(base.question).violations
        assert violation.rule == rule


def test_weakened_engines_are_not_admitted(bundle: Bundle, vectors: tuple[Vector, ...]) -> None:
    engine = EmbeddedEngine(_without(bundle, Point.SERVE, "grant_live"))
    with pytest.raises(VectorMismatchError, match="somebody else's grant"):
        start_engine(engine, vectors)
    with pytest.raises(EngineError, match="closed"):
        engine.decide(vectors[0].question)


def test_an_edited_rule_is_not_admitted(bundle: Bundle) -> None:
    path = "rules/release/trip_once/rule.rego"
    source = bundle.files[path].replace(
        b"recording.prior_live_releases == 0", b"recording.prior_live_releases >= 0"
    )
    edited = bundle_of(bundle.files | {path: source})
    with pytest.raises(VectorMismatchError, match="the trip is out already"):
        start_engine(EmbeddedEngine(edited), shipped_vectors(edited))


def test_vectors_that_cover_too_little_admit_nothing(bundle: Bundle, vectors: tuple[Vector, ...]) -> None:
    cases: dict[str, list[Vector]] = {
        "no vector allows at intake": [],
        "no vector allows at serve": [v for v in vectors if v.question.point is not Point.SERVE],
        "no vector denies by release/trip_once": [v for v in vectors if "trip_once" not in v.missing],
    }
    for expected, some in cases.items():
        with pytest.raises(VectorMismatchError, match=expected):
            start_engine(EmbeddedEngine(bundle), some)


def test_vectors_of_another_bundle_do_not_match(bundle: Bundle, vectors: tuple[Vector, ...]) -> None:
    other = bundle_of(bundle.files | {"data/approval.yaml": bundle.files["data/approval.yaml"] + b"\n"})
    with pytest.raises(VectorMismatchError, match="policy_in_force"):
        start_engine(EmbeddedEngine(other), vectors)


def test_a_mismatch_shows_both_sides(embedded: EmbeddedEngine, vectors: tuple[Vector, ...]) -> None:
    vector = vectors[0]
    decision = embedded.decide(vector.question)
    assert vector.mismatch(decision) is None
    assert "S1_PROCESSED" in str(dataclasses.replace(vector, level="S1_PROCESSED").mismatch(decision))
    assert "approvals" in str(dataclasses.replace(vector, obligations=("approvals",)).mismatch(decision))


def test_malformed_vectors_are_refused(bundle: Bundle) -> None:
    question = {k: v for k, v in base_questions(bundle)[Point.SERVE, "engineer"].items() if k != "point"}
    bases = {"a": {"question": question, "level": None, "obligations": []}}
    cases: list[dict[str, Any]] = [
        {"name": "x", "base": "b", "change": {}, "missing": []},
        {"name": "x", "base": "a", "change": {}, "missing": [], "allow": True},
        {"name": "x", "base": "a", "change": {"context.nothing": 1}, "missing": []},
        {"name": "x", "base": "a", "change": {"subject.roles.3": "engineer"}, "missing": []},
        {"name": "x", "base": "a", "change": {"context.time.deep": 1}, "missing": []},
    ]
    for case in cases:
        with pytest.raises(PolicyError, match="vector"):
            read_vectors({"bases": bases, "cases": [case]}, Point.SERVE, bundle)


def test_a_change_leaves_its_base_alone(bundle: Bundle) -> None:
    base = base_questions(bundle)[Point.SERVE, "engineer"]
    patched = changed(base, {"subject.roles.1": "annotator"})
    assert patched["subject"]["roles"] == ["engineer", "annotator"]
    assert base["subject"]["roles"] == ["engineer"]


def test_vectors_are_many_and_named_apart(vectors: tuple[Vector, ...]) -> None:
    """A lawyer reads them: each has a name of its own, and both profiles are judged at each point."""
    assert len(vectors) >= 200
    assert len({vector.name for vector in vectors}) == len(vectors)
    for point in Point:
        judged = [v for v in vectors if v.question.point is point]
        for jurisdiction in ("CN", "EU"):
            of = [
                v
                for v in judged
                if v.question.document()["context"]["profile"]["jurisdiction"] == jurisdiction
            ]
            assert {bool(v.missing) for v in of} == {True, False}, (point, jurisdiction)


def test_a_refusal_that_names_no_fact_is_a_mismatch(
    embedded: EmbeddedEngine, vectors: tuple[Vector, ...]
) -> None:
    """Law 10: for any denial, which rule, clause and fact."""
    vector = next(v for v in vectors if v.missing)
    decision = embedded.decide(vector.question)
    mute = dataclasses.replace(
        decision, violations=tuple(dataclasses.replace(v, facts=()) for v in decision.violations)
    )
    assert "names 0 facts" in str(vector.mismatch(mute))
    other = dataclasses.replace(vector, facts={vector.missing[0]: [{"other": 1}]})
    assert "names other facts" in str(other.mismatch(decision))


def test_an_obligation_that_demands_otherwise_is_a_mismatch(
    embedded: EmbeddedEngine, vectors: tuple[Vector, ...]
) -> None:
    vector = next(v for v in vectors if v.parameters)
    kind = next(iter(vector.parameters))
    wanted = dataclasses.replace(vector, parameters={kind: {"count": 7}})
    assert "demands otherwise" in str(wanted.mismatch(embedded.decide(vector.question)))
