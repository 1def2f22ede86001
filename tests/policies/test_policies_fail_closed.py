"""A fact that is absent, null or of the wrong type never allows (DESIGN.md §3 law 5)."""

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import regorus  # type: ignore[import-untyped]

from policies.bundle import Bundle, write_bundle
from policies.embedded import EmbeddedEngine
from policies.errors import EngineError, QuestionError
from policies.question import Point, Question
from policies.vectors import base_questions

ABSENT = object()


def _paths(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    entries: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _with(question: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    document = copy.deepcopy(question)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def _leaf(question: dict[str, Any], path: tuple[str | int, ...]) -> Any:
    for step in path:
        question = question[step]  # type: ignore[index]
    return question


@pytest.mark.parametrize("point", Point)
def test_a_spoilt_fact_is_refused_or_denies(point: Point, bundle: Bundle, embedded: EmbeddedEngine) -> None:
    """Deleting or spoiling any one fact of any base raises or denies, unless the schema admits the value."""
    for (of, name), base in base_questions(bundle).items():
        if of is not point:
            continue
        for path in _paths(base):
            for value in (ABSENT, None, ["wrong"], {"wrong": 1}, 7.5):
                if value == _leaf(base, path) or (value is ABSENT and isinstance(path[-1], int)):
                    continue
                spoilt = _with(base, path, value)
                try:
                    decision = embedded.decide(Question.of(spoilt))
                except (QuestionError, EngineError):
                    continue
                assert not decision.allowed or (name, path, value) in _ADMISSIBLE, (point, name, path, value)


# Facts that a base states but does not rest on: their absence is a statement too.
_ADMISSIBLE: set[tuple[str, tuple[str | int, ...], object]] = set()


# Facts that identify or explain and that no rule judges; the schema demands them, and the ledger records them.
_UNJUDGED = {
    Point.INTAKE: {
        "subject.id", "action", "action.name", "resource.recording", "context.profile.name",
        "context.profile.digest", "context.certificate.number", "context.certificate.unverified",
        "context.accredited_for_secrets",
    },
    Point.RELEASE: {
        "subject.id", "action", "action.name", "resource.release", "resource.secrecy_tech_id", "resource.offset",
        "resource.recordings.*.source", "resource.items.*.findings.metadata", "resource.items.*.findings.position",
        "resource.items.*.sign_attributes_nulled", "context.recipient.id", "context.map_number",
        "context.profile.name", "context.certificate.number", "context.certificate.unverified",
        "context.dpia_reference", "context.certificate",
    },
    Point.PUBLISH: {
        "subject.id", "action", "action.name", "resource.release", "context.profile.name",
        "context.profile.digest", "context.certificate.number", "context.certificate.unverified",
    },
    Point.SERVE: {
        "action", "action.name", "resource.item", "context.grant.id", "context.profile.name",
        "context.profile.digest",
    },
}  # fmt: skip


def _spoilt(bundle: Bundle, point: Point) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every question of a base with one fact absent, null or of another type, as no schema would let it by."""
    for (of, _), base in base_questions(bundle).items():
        if of is point:
            for path in _paths(base):
                name = ".".join("*" if isinstance(step, int) else step for step in path)
                for value in (ABSENT, None, {}, "x"):
                    if value != _leaf(base, path) and not (value is ABSENT and isinstance(path[-1], int)):
                        yield f"{name} {'absent' if value is ABSENT else value!r}", _with(base, path, value)


def _interpreted(bundle: Bundle, point: Point, documents: list[dict[str, Any]]) -> list[bool]:
    engine = regorus.Engine()
    for name, source in sorted(bundle.modules().items()):
        engine.add_policy(name, source)
    engine.add_data_json(json.dumps(bundle.data()))
    answers = []
    for document in documents:
        engine.set_input_json(json.dumps(document))
        try:
            answers.append(json.loads(engine.eval_rule_as_json(f"data.fleetgate.{point.value}.decision.allow")) is True)
        except RuntimeError:
            answers.append(False)
    return answers


def _unjudged(point: Point, names: list[str], allowed: list[bool]) -> set[str]:
    return {name for name, allow in zip(names, allowed, strict=True) if allow} - {
        f"{fact} {value}" for fact in _UNJUDGED[point] for value in ("absent", "None", "{}", "'x'")
    }


@pytest.mark.parametrize("point", Point)
def test_rules_deny_without_their_facts_even_without_a_schema(point: Point, bundle: Bundle) -> None:
    """The rules stand alone: a fact that any rule judges denies when it is gone, schema or no schema."""
    names, documents = zip(*_spoilt(bundle, point), strict=True)
    assert len(documents) > 100
    assert _unjudged(point, list(names), _interpreted(bundle, point, list(documents))) == _TYPES[point]


# What a fact of another type still means the same: a text that only has to be equal to another text, and the like.
_TYPES: dict[Point, set[str]] = {point: set() for point in Point}


@pytest.mark.parametrize("point", Point)
def test_opa_denies_without_its_facts_even_without_a_schema(
    point: Point, bundle: Bundle, opa: Path, tmp_path: Path
) -> None:
    """Both engines allow the same spoilt questions."""
    names, documents = zip(*_spoilt(bundle, point), strict=True)
    write_bundle(bundle, tmp_path / "bundle")
    (tmp_path / "spoilt.json").write_text(json.dumps({"spoilt": documents}), "utf-8")
    query = f"[allow | some q in data.spoilt; allow := data.fleetgate.{point.value}.decision.allow with input as q]"
    command = [opa, "eval", "--format", "raw", "-d", tmp_path / "bundle", "-d", tmp_path / "spoilt.json", query]
    result = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    allowed = json.loads(result.stdout)
    assert len(allowed) == len(names)
    assert _unjudged(point, list(names), allowed) == _TYPES[point]
