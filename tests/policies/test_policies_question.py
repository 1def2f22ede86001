"""Questions are complete and well-formed, or they are not asked (DESIGN.md §3 law 5)."""

import hashlib
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.bundle import Bundle
from policies.errors import QuestionError
from policies.question import Point, Question
from policies.vectors import base_questions, changed


@pytest.fixture(scope="module")
def serve(bundle: Bundle) -> dict[str, Any]:
    return base_questions(bundle)[Point.SERVE, "engineer"]


def test_a_question_keeps_its_canonical_bytes(serve: dict[str, Any]) -> None:
    question = Question.of(serve)
    assert question.canonical == rfc8785.dumps(serve)
    assert question.digest == hashlib.sha256(question.canonical).hexdigest()
    assert Question.of(dict(reversed(serve.items()))) == question
    question.document()["subject"]["roles"].append("administrator")
    assert question.document() == serve


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"context.time": "2026-05-03T08:00:00+00:00"}, "$.context.time"),
        ({"context.time": "2026-02-30T08:00:00Z"}, "$.context.time"),
        ({"context.time": "1969-12-31T23:59:59Z"}, "$.context.time"),
        ({"context.time": "9999-12-31T23:59:59Z"}, "$.context.time"),
        ({"context.time": 1777795200}, "$.context.time"),
        ({"subject.roles": ["wizard"]}, "$.subject.roles[0]"),
        ({"subject.nationality": "cn"}, "$.subject.nationality"),
        ({"context.ledger_available": "true"}, "$.context.ledger_available"),
        ({"context.ledger_available": 1}, "$.context.ledger_available"),
        ({"context.policy.digest": ""}, "$.context.policy.digest"),
        ({"action.name": "write"}, "$.action.name"),
        ({"subject": None}, "$.subject"),
    ],
)
def test_an_error_names_the_fact(serve: dict[str, Any], change: dict[str, Any], path: str) -> None:
    with pytest.raises(QuestionError, match="is not valid at") as caught:
        Question.of(changed(serve, change))
    assert caught.value.path == path


@pytest.mark.parametrize("point", ["", "Serve", None, 4, ["serve"]])
def test_an_unknown_point_is_refused(serve: dict[str, Any], point: object) -> None:
    with pytest.raises(QuestionError, match="no such decision point"):
        Question.of(serve | {"point": point})


def test_a_question_of_one_point_is_none_of_another(serve: dict[str, Any]) -> None:
    with pytest.raises(QuestionError):
        Question.of(serve | {"point": "intake"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60, b"x", {1: 2}])
def test_what_has_no_canonical_form_is_refused(serve: dict[str, Any], value: object) -> None:
    with pytest.raises(QuestionError, match="no RFC 8785 form"):
        Question.of(serve | {"subject": value})


def test_a_fact_that_no_schema_names_is_refused(bundle: Bundle) -> None:
    for question in base_questions(bundle).values():
        for part in ("subject", "action", "resource", "context"):
            stranger = question | {part: question[part] | {"stranger": True}}
            with pytest.raises(QuestionError, match="stranger"):
                Question.of(stranger)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(
    document=st.dictionaries(st.sampled_from(["point", "subject", "action", "resource", "context"]), _JSON)
)
def test_no_document_escapes_the_schema(document: dict[str, Any]) -> None:
    for point in Point:
        with pytest.raises(QuestionError):
            Question.of(document | {"point": point.value})


def test_schemas_demand_every_fact_and_admit_no_other(bundle: Bundle) -> None:
    """Law 5: nothing is optional in a question but the two masks' further finding kinds."""
    for path, content in bundle.files.items():
        if path.startswith("questions/"):
            for name, node in _objects(json.loads(content), path):
                assert set(node["required"]) == set(node["properties"]), name
                if "masks" not in name:
                    assert node["additionalProperties"] is False, name


def _objects(node: Any, name: str) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(node, list):
        return [found for entry in node for found in _objects(entry, name)]
    if not isinstance(node, dict):
        return []
    here = [(name, node)] if node.get("type") == "object" else []
    return here + [found for key, entry in node.items() for found in _objects(entry, f"{name}/{key}")]
