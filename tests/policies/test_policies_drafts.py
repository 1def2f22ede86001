"""Drafts of bundles: tried by their vectors and tests of rules on both engines, and compared with one another."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path

import pytest

from policies.bundle import Bundle, shipped_bundle, write_bundle
from policies.counterfactual import changes_of, limits_of
from policies.difference import as_of, difference
from policies.drafts import Draft, draft_in, draft_of, packed_files, shipped_draft
from policies.embedded import EmbeddedEngine
from policies.errors import BundleError, PolicyError
from policies.opa_server import OpaServerEngine
from policies.question import Point, Question
from policies.trial import try_rule_tests, try_vectors
from policies.vectors import changed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draft: a smaller area from 2027 on, and a rule that lets annotators download."""
    folder = tmp_path_factory.mktemp("draft") / "policies"
    shutil.copytree(str(resources.files("policies")), folder)
    for name, before, after in (
        ("data/surveying.yaml", '"2020-07-01": 25', '"2020-07-01": 25, "2027-01-01": 10'),
        ("rules/serve/reader_role/rule.rego", '"engineer"', '"annotator", "engineer"'),
    ):
        text = (folder / name).read_text("utf-8")
        assert before in text
        (folder / name).write_text(text.replace(before, after), "utf-8")
    return folder


@pytest.fixture(scope="module")
def draft(folder: Path) -> Draft:
    return draft_in(folder)


def test_what_a_draft_does_otherwise_than_it_says_is_found(draft: Draft) -> None:
    """Its vector and its test of the rule that was changed; nothing else."""
    with EmbeddedEngine(draft.bundle) as engine:
        vectors, tests = try_vectors(draft, engine), try_rule_tests(draft, engine.name)
    assert {fault.name for fault in vectors.faults} >= {"serve: an annotator downloads"}
    assert all("annotator" in fault.name for fault in vectors.faults)
    assert tests.faults
    assert all(fault.name.startswith("serve/reader_role") for fault in tests.faults)


def test_an_opa_server_finds_the_same(
    serving: Callable[[Path], AbstractContextManager[str]], draft: Draft, tmp_path: Path
) -> None:
    write_bundle(draft.bundle, tmp_path / "bundle")
    with serving(tmp_path / "bundle") as url, EmbeddedEngine(draft.bundle) as engine:
        server = OpaServerEngine(url, draft.bundle, 5.0, None)
        try:
            served = {fault.name for fault in try_vectors(draft, server).faults}
        finally:
            server.close()
        assert served == {fault.name for fault in try_vectors(draft, engine).faults}


def test_rules_numbers_and_answers_that_differ_are_told(draft: Draft) -> None:
    shipped = shipped_draft()
    with EmbeddedEngine(shipped.bundle) as one, EmbeddedEngine(draft.bundle) as other:
        found = difference(shipped, draft, (one, other))
        assert difference(draft, draft, (other, other)).empty
    assert [(rule.rule, rule.change, rule.parts) for rule in found.rules] == [
        ("reader_role", "changed", ("rego",))
    ]
    (parameter,) = found.parameters
    assert (parameter.name, parameter.values) == ("surveying.secret_area_km2", {"2027-01-01": (None, 10)})
    turned = {vector.name: vector.turns for vector in found.vectors}
    assert turned["serve: an annotator downloads"] == "allowed"


def test_a_number_stands_as_on_the_day_that_is_asked_for(draft: Draft) -> None:
    area = [
        as_of(draft.bundle, day).data()["law"]["surveying"]["secret_area_km2"]["values"]
        for day in ("2020-06-30", "2026-12-31", "2027-01-01")
    ]
    assert [list(values.values()) for values in area] == [[], [25], [10]]


def test_packed_files_make_the_same_draft(folder: Path, draft: Draft) -> None:
    again = draft_of(packed_files(folder))
    assert again.bundle.digest == draft.bundle.digest
    assert again.vectors_digest() == draft.vectors_digest()
    assert again.vectors_digest() == shipped_draft().vectors_digest()


def test_a_folder_that_is_no_draft_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        draft_in(tmp_path / "nothing")
    with pytest.raises(BundleError, match="cannot be read"):
        draft_in(tmp_path)
    with pytest.raises(BundleError, match="catalogue is malformed"):
        draft_of({"catalogue.yaml": b""})
    with pytest.raises(PolicyError, match="vectors of a bundle"):
        draft_of(shipped_bundle().files)


@pytest.mark.parametrize(
    ("point", "change", "rule", "path", "value"),
    [
        (Point.SERVE, {"context.grant.revoked": True}, "grant_live", "context.grant.revoked", False),
        (Point.PUBLISH, {"subject.roles": []}, "operator_publishes", "subject.roles", ["operator"]),
        (Point.INTAKE, {"subject.enrolled": False}, "known_source", "subject.enrolled", True),
    ],
)
def test_the_fact_that_would_have_to_change_is_found(
    embedded: EmbeddedEngine,
    point: Point,
    change: dict[str, object],
    rule: str,
    path: str,
    value: object,
) -> None:
    """Law 10: tried on the rule itself, with facts of the bundle's own vectors."""
    examples = shipped_draft().examples()[point.value]
    question = Question.of(changed(next(iter(examples.values())), change))
    assert rule not in embedded.decide(question).passed
    found = {each.path: each.passes_with for each in changes_of(embedded, question, rule, examples)}
    assert found[path] == value


def test_the_limits_behind_a_rule_have_source_date_and_confidence(bundle: Bundle) -> None:
    limits = {each.name: each for each in limits_of(bundle, Point.RELEASE, "absolute_position", "2026-06-01")}
    shift = limits["position.offset_min_shift_m"]
    assert (shift.value, shift.since, shift.confidence, shift.unverified) == (50, "2020-01-01", "m", True)
    assert {each.value for each in limits_of(bundle, Point.RELEASE, "cumulative_area", "2019-01-01")} == {
        None
    }
    with pytest.raises(PolicyError, match="no such rule"):
        limits_of(bundle, Point.RELEASE, "nothing", "2026-06-01")
