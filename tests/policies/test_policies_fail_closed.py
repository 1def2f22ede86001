"""A fact that is absent, null or of the wrong type never allows (DESIGN.md §3 law 5)."""

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
from spoilt_questions import ABSENT, garbled, name_of


@pytest.mark.parametrize("point", Point)
def test_a_spoilt_fact_is_refused_or_denies(point: Point, bundle: Bundle, embedded: EmbeddedEngine) -> None:
    """Deleting or garbling any one fact of any base raises or denies, but for what is said below."""
    asked = 0
    bases = {name: question for (of, name), question in base_questions(bundle).items() if of is point}
    first = next(iter(bases))
    for name, base in bases.items():
        for path, value, document in garbled(base, thoroughly=name == first):
            asked += 1
            try:
                decision = embedded.decide(Question.of(document))
            except (QuestionError, EngineError):
                continue
            further = path[-2:-1] == ("findings",) and path[-1] not in {"face", "plate"} and value is ABSENT
            # EU law knows no surveying certificate, so that nobody need say which unit collected.
            unlicensed = name == "eu" and path[-1] == "unit" and value is None
            assert not decision.allowed or further or unlicensed, (name, path, value)
    assert asked > 100


# What the schema alone guards: facts that no rule judges, for they identify or explain, or the first base does not
# rest on them (a vehicle has no carrier, a local frame no offset).
_UNJUDGED = {
    Point.INTAKE: {
        "action", "action.name", "context.accredited_for_secrets", "context.profile.digest",
        "context.profile.name", "point", "resource.carrier_checked_in_by_role",
        "resource.carrier_registered", "resource.recording", "subject.id",
    },
    Point.ADVANCE: {
        "action", "action.name", "context.certificate.number", "context.certificate.unverified",
        "context.delegations", "context.profile.digest", "context.profile.name", "point",
        "resource.recording", "resource.vehicle", "subject", "subject.id",
    },
    Point.RELEASE: {
        "action", "action.name", "context.certificate.number", "context.certificate.unverified",
        "context.delegations", "context.dpia_reference", "context.map_number", "context.profile.name",
        "context.quality.kinds.*.hits", "context.quality.kinds.*.misses",
        "context.assessments.*.classes.*", "context.assessments.*.levels.*", "context.assessments.*.reference",
        "context.purposes_registered.*", "context.recipient.contracts.*.number",
        "context.recipient.contracts.*.purposes.*", "context.recipient.id", "point",
        "resource.items.*.findings.metadata", "resource.items.*.findings.position", "resource.items.*.id",
        "resource.items.*.kind", "resource.items.*.sign_attributes_nulled", "resource.items.*.treatments",
        "resource.items.*.treatments.*", "resource.offset", "resource.recordings.*.id",
        "resource.recordings.*.source", "resource.recordings.*.vehicle", "resource.release",
        "resource.secrecy_tech_id", "subject.id",
    },
    Point.PUBLISH: {
        "action", "action.name", "context.approvals.*.roles.*", "context.certificate.number",
        "context.certificate.unverified", "context.delegations", "context.profile.digest",
        "context.profile.name", "point", "resource.recordings.*.vehicle", "resource.release", "subject.id",
    },
    Point.DESTROY: {
        "action", "action.name", "context.profile", "context.profile.digest", "context.profile.jurisdiction",
        "context.profile.name", "point", "resource.id", "subject", "subject.id",
    },
    Point.LOG: {
        "action", "action.name", "context.profile", "context.profile.digest", "context.profile.jurisdiction",
        "context.profile.name", "point", "subject", "subject.id",
    },
    Point.SERVE: {
        "action", "action.name", "context.grant.id", "context.profile.digest", "context.profile.name",
        "point", "resource.item",
    },
    Point.ACT: {
        "context.break_glass.id", "context.break_glass.objects.*", "context.profile.digest",
        "context.profile.name", "point", "resource.done",
    },
}  # fmt: skip


def _spoilt(bundle: Bundle, point: Point) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first base with one fact deleted or garbled, as no schema would let it by."""
    base = next(question for (of, _), question in base_questions(bundle).items() if of is point)
    yield "nothing", base
    for path, _, document in garbled(base):
        yield name_of(path), document


def _interpreted(bundle: Bundle, point: Point, documents: list[dict[str, Any]]) -> list[bool]:
    engine = regorus.Engine()
    for name, source in sorted(bundle.modules().items()):
        engine.add_policy(name, source)
    engine.add_data_json(json.dumps(bundle.data()))
    answers = []
    for document in documents:
        engine.set_input_json(json.dumps(document))
        try:
            answers.append(engine.eval_rule(f"data.fleetgate.{point.value}.allow") is True)
        except RuntimeError:
            answers.append(False)
    return answers


@pytest.mark.parametrize("point", Point)
def test_rules_deny_without_their_facts_even_without_a_schema(point: Point, bundle: Bundle) -> None:
    """The rules stand alone: a fact that any rule judges denies when it is gone, schema or no schema."""
    names, documents = zip(*_spoilt(bundle, point), strict=True)
    assert len(documents) > 100
    allowed = _interpreted(bundle, point, list(documents))
    assert {name for name, allow in zip(names, allowed, strict=True) if allow} == _UNJUDGED[point] | {
        "nothing"
    }


@pytest.mark.parametrize("point", Point)
def test_opa_denies_without_its_facts_even_without_a_schema(
    point: Point, bundle: Bundle, opa: Path, tmp_path: Path
) -> None:
    """Both engines allow the same spoilt questions."""
    names, documents = zip(*_spoilt(bundle, point), strict=True)
    write_bundle(bundle, tmp_path / "bundle")
    (tmp_path / "spoilt.json").write_text(json.dumps({"spoilt": documents}), "utf-8")
    query = f"[allow | some q in data.spoilt; allow := data.fleetgate.{point.value}.allow with input as q]"
    command = [
        opa,
        "eval",
        "--format",
        "raw",
        "-d",
        tmp_path / "bundle",
        "-d",
        tmp_path / "spoilt.json",
        query,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    allowed = json.loads(result.stdout)
    assert {name for name, allow in zip(names, allowed, strict=True) if allow} == _UNJUDGED[point] | {
        "nothing"
    }
