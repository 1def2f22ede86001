"""Numbers of the law are signed with the rules, and an unverified one is shown where somebody decides on it."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from joserfc.jwk import OKPKey

from policies.bundle import Bundle, bundle_of, sign_bundle, verify_bundle
from policies.decision import ObligationKind
from policies.embedded import EmbeddedEngine
from policies.errors import BundleError
from policies.question import Point, Question
from policies.vectors import Vector, base_questions

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


def _changed(bundle: Bundle, file: str, name: str, **to: object) -> dict[str, bytes]:
    parameters = yaml.safe_load(bundle.files[file])
    parameters[name] |= to
    return {**bundle.files, file: yaml.safe_dump(parameters, allow_unicode=True).encode()}


def test_a_changed_number_is_another_bundle_which_nobody_signed(bundle: Bundle) -> None:
    """STYLE habit 9: whoever raises 25 km² needs the signature of the policy's owner."""
    key = OKPKey.generate_key("Ed25519")
    statement = sign_bundle(bundle, key, signer="office", not_before=START, not_after=END)
    verify_bundle(bundle, statement, key, START)
    for file in sorted(path for path in bundle.files if path.startswith("data/")):
        name = next(iter(yaml.safe_load(bundle.files[file])))
        for to in ({"values": {"2020-01-01": 26}}, {"confidence": "L"}, {"source": "elsewhere"}):
            other = bundle_of(_changed(bundle, file, name, **to))
            assert other.digest != bundle.digest
            with pytest.raises(BundleError, match="another bundle"):
                verify_bundle(other, statement, key, START)


@pytest.mark.parametrize("values", [{}, {"2020-01-01": []}, {"2020-01-01": None}, {"2020-01-01": ""}, None])
def test_a_parameter_without_a_value_stops_the_bundle(bundle: Bundle, values: object) -> None:
    """Law 5: an empty list of forbidden sites would forbid none."""
    with pytest.raises(BundleError, match="forbidden_site_tags is no parameter"):
        bundle_of(_changed(bundle, "data/taxonomy.yaml", "forbidden_site_tags", values=values))
    with pytest.raises(BundleError, match="no parameters"):
        bundle_of({**bundle.files, "data/taxonomy.yaml": b"[]"})


def test_every_unverified_number_and_rule_is_shown_in_some_vector(
    bundle: Bundle, vectors: tuple[Vector, ...]
) -> None:
    """COMPLIANCE.md: whatever is ``m`` is shown as unverified where somebody decides on it."""
    unverified = {
        f"{file}.{name}"
        for file, parameters in bundle.data()["law"].items()
        for name, parameter in parameters.items()
        if parameter["confidence"] == "m"
        and any(f"data.law.{file}.{name})" in source for source in bundle.modules().values())
    }
    unverified |= {
        rule
        for entries in bundle.catalogue.values()
        for rule, entry in entries.items()
        if entry["confidence"] == "m"
    }
    shown = {
        what for vector in vectors for what in vector.parameters.get("show_unverified", {}).get("what", ())
    }
    assert shown == unverified | {"certificate"}


def _unverified(bundle: Bundle, question: dict[str, Any]) -> set[str]:
    with EmbeddedEngine(bundle) as engine:
        duties = engine.decide(Question.of(question)).obligations
    return {
        what
        for duty in duties
        if duty.kind is ObligationKind.SHOW_UNVERIFIED
        for what in duty.parameters["what"]
    }


def test_a_number_that_was_verified_is_flagged_no_more(bundle: Bundle) -> None:
    """The flag follows the data, not the code."""
    question = base_questions(bundle)[Point.RELEASE, "offset"]
    files = _changed(bundle, "data/position.yaml", "offset_min_shift_m", confidence="L")
    before, after = (
        _unverified(each, question) for each in (bundle, dataclasses.replace(bundle, files=files))
    )
    assert before - after == {"position.offset_min_shift_m"}
    rules = {**bundle.catalogue["release"]}
    rules["slope_reviewed"] = {**rules["slope_reviewed"], "confidence": "L"}
    confirmed = dataclasses.replace(bundle, catalogue={**bundle.catalogue, "release": rules})
    sloped = base_questions(bundle)[Point.RELEASE, "local"]
    sloped["resource"]["items"][1]["tags"] = ["SLOPE_CURV"]
    for each, flagged in ((bundle, True), (confirmed, False)):
        assert ("slope_reviewed" in _unverified(each, sloped)) is flagged
    question = base_questions(bundle)[Point.RELEASE, "local"]
    for file, name in (("quality", "recall_threshold"), ("recipients", "supervision_days")):
        files = _changed(bundle, f"data/{file}.yaml", name, confidence="L")
        after = _unverified(dataclasses.replace(bundle, files=files), question)
        assert _unverified(bundle, question) - after == {f"{file}.{name}"}
