"""The bundle under one digest and one signature (COMPLIANCE.md rule 1; DESIGN.md §3 law 6)."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from joserfc import jws
from joserfc.jwk import OKPKey

from policies.bundle import Bundle, bundle_of, shipped_bundle, sign_bundle, verify_bundle, write_bundle
from policies.errors import BundleError
from policies.question import Point

START = datetime(2026, 5, 1, tzinfo=UTC)
END = START + timedelta(days=90)
NOW = START + timedelta(days=1)
KEY = OKPKey.generate_key("Ed25519")
OTHER = OKPKey.generate_key("Ed25519")


def _signed(bundle: Bundle, key: OKPKey = KEY) -> str:
    return sign_bundle(bundle, key, signer="policy-office", not_before=START, not_after=END)


def _statement(claims: object, *, key: OKPKey = KEY, typ: str = "fleetgate-policy-bundle+jws") -> str:
    header = {"alg": "Ed25519", "typ": typ}
    return jws.serialize_compact(header, json.dumps(claims).encode(), key, algorithms=["Ed25519"])


def test_digest_is_stable_and_covers_every_file(bundle: Bundle) -> None:
    assert shipped_bundle().digest == bundle.digest
    for path, content in bundle.files.items():
        if path != "catalogue.yaml":
            assert bundle_of(bundle.files | {path: content + b"\n"}).digest != bundle.digest, path
    some = next(path for path in bundle.files if path.endswith(".rego"))
    assert bundle_of({p: c for p, c in bundle.files.items() if p != some}).digest != bundle.digest


def test_bundle_holds_rules_data_and_schemas_but_no_unit_tests(bundle: Bundle) -> None:
    assert not [path for path in bundle.files if path.endswith("_test.rego")]
    assert {path.partition("/")[0] for path in bundle.files} == {
        "catalogue.yaml",
        "rules",
        "data",
        "questions",
    }


def test_signed_bundle_verifies_and_states_its_facts(bundle: Bundle) -> None:
    verified = verify_bundle(bundle, _signed(bundle), KEY, NOW)
    assert verified.signer == "policy-office"
    assert verified.facts() == {
        "signed": True,
        "not_before": "2026-05-01T00:00:00Z",
        "not_after": "2026-07-30T00:00:00Z",
        "digest": bundle.digest,
    }


@pytest.mark.parametrize("now", [START - timedelta(seconds=1), END, NOW.replace(tzinfo=None)])
def test_a_bundle_outside_its_period_is_refused(bundle: Bundle, now: datetime) -> None:
    with pytest.raises(BundleError, match="not in force"):
        verify_bundle(bundle, _signed(bundle), KEY, now)


def test_another_key_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="not signed by the trusted key"):
        verify_bundle(bundle, _signed(bundle, OTHER), KEY, NOW)


def test_an_altered_bundle_is_refused(bundle: Bundle) -> None:
    path = "rules/serve/grant_live/rule.rego"
    altered = bundle_of(bundle.files | {path: bundle.files[path].replace(b"== false", b"!= 7")})
    with pytest.raises(BundleError, match="another bundle"):
        verify_bundle(altered, _signed(bundle), KEY, NOW)


def test_another_version_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="another bundle"):
        verify_bundle(dataclasses.replace(bundle, version="0"), _signed(bundle), KEY, NOW)


def _claims(bundle: Bundle, **change: object) -> dict[str, object]:
    return {
        "bundle": bundle.digest,
        "version": bundle.version,
        "not_before": "2026-05-01T00:00:00Z",
        "not_after": "2026-07-30T00:00:00Z",
        "signer": "policy-office",
    } | change


def test_malformed_statements_are_refused(bundle: Bundle) -> None:
    cases = {
        "another type": _statement(_claims(bundle), typ="JWT"),
        "malformed": _statement([1]),
        "malformed ": _statement(_claims(bundle, extra="x")),
        "malformed  ": _statement(_claims(bundle, signer=7)),
        "no instant": _statement(_claims(bundle, not_before="yesterday")),
        "local time": _statement(_claims(bundle, not_after="2026-07-30T00:00:00")),
        "not signed": "not.a.jws",
        "not signed ": "",
        "not signed  ": "Grüße",
    }
    for expected, statement in cases.items():
        with pytest.raises(BundleError, match=expected.strip()):
            verify_bundle(bundle, statement, KEY, NOW)


def test_an_unsigned_statement_is_refused(bundle: Bundle) -> None:
    _, payload, _ = _signed(bundle).split(".")
    with pytest.raises(BundleError, match="not signed"):
        verify_bundle(bundle, f"eyJhbGciOiJub25lIn0.{payload}.", KEY, NOW)


def test_a_period_must_be_aware_and_grow(bundle: Bundle) -> None:
    for start, end in [(END, START), (START, START), (START.replace(tzinfo=None), END)]:
        with pytest.raises(BundleError, match="period"):
            sign_bundle(bundle, KEY, signer="x", not_before=start, not_after=end)


def test_a_public_key_cannot_sign(bundle: Bundle) -> None:
    public = OKPKey.import_key(KEY.as_dict(private=False))
    with pytest.raises(BundleError, match="could not be signed"):
        _signed(bundle, public)


def _catalogue(**rules: object) -> bytes:
    every = {point.value: rules.get(point.value, {}) for point in Point}
    return yaml.safe_dump({"version": "1", "rules": every}, sort_keys=False).encode()


@pytest.mark.parametrize(
    ("catalogue", "expected"),
    [
        (b"", "catalogue is malformed"),
        (b"]", "not YAML"),
        (b"version: 1\nrules: {}", "catalogue is malformed"),
        (_catalogue(), "no rules for intake"),
        (_catalogue(intake={"a": {}}), "intake/a is malformed"),
    ],
)
def test_an_incomplete_catalogue_is_refused(bundle: Bundle, catalogue: bytes, expected: str) -> None:
    """Law 5: a bundle that requires nothing is an error, never permission."""
    with pytest.raises(BundleError, match=expected):
        bundle_of(bundle.files | {"catalogue.yaml": catalogue})


def test_a_bundle_without_rules_or_with_unreadable_files_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="no rules"):
        bundle_of({"catalogue.yaml": bundle.files["catalogue.yaml"]})
    for path, content in {"rules/x.rego": b"\xff", "data/x.yaml": b"]"}.items():
        with pytest.raises(BundleError, match="unreadable"):
            bundle_of(bundle.files | {path: content})


def test_a_bundle_is_written_once(bundle: Bundle, tmp_path: Path) -> None:
    write_bundle(bundle, tmp_path / "new")
    assert json.loads((tmp_path / "new" / "data.json").read_text("utf-8")) == bundle.data()
    with pytest.raises(BundleError, match="not empty"):
        write_bundle(bundle, tmp_path / "new")
