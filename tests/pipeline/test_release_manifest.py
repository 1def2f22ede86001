"""Release manifests: only what the pinned key signed, for the release and purpose asked for, names safe."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from gateway.vault.jws import sign_statement
from gateway.vault.sm2 import Sm2PrivateKey
from pipeline.errors import KeyFileError, TamperedReleaseError
from pipeline.manifest import MANIFEST_TYP, ReleaseManifest, read_release_manifest
from pipeline.signing import release_key

KEY = OKPKey.generate_key("Ed25519")
TYP = "fleetgate-release+jwt"
REMOVED = object()


def payload(**changes: Any) -> dict[str, Any]:
    good = {
        "version": 1,
        "release": "r1",
        "digest": "cd" * 32,
        "purpose": "training",
        "recipient": "lab-1",
        "mode": "LOCAL",
        "profile": {"name": "cn-2026", "digest": "ef" * 32},
        "policy": {"bundle_digest": "01" * 32},
        "expires_at": "2027-01-01T00:00:00Z",
        "items": [item()],
        "approvals": ["a.b.c"],
        **changes,
    }
    return {name: value for name, value in good.items() if value is not REMOVED}


def item(**changes: Any) -> dict[str, Any]:
    good = {
        "name": "a/b.jpg",
        "media_type": "image/jpeg",
        "class": "EXT_IMAGE",
        "level": "S1_PROCESSED",
        "size": 3,
        "sha256": "ab" * 32,
        **changes,
    }
    return {name: value for name, value in good.items() if value is not REMOVED}


def signed(content: dict[str, Any] | bytes, *, key: OKPKey = KEY, **header: str) -> str:
    plain = content if isinstance(content, bytes) else rfc8785.dumps(content)
    protected = {"alg": "Ed25519", "kid": "k", "typ": TYP, **header}
    return jws.serialize_compact(protected, plain, key, algorithms=["Ed25519"])


def confused(content: dict[str, Any]) -> str:
    """The release key's public bytes used as if they were a shared secret."""
    secret = OctKey.import_key({"kty": "oct", "k": str(KEY.as_dict(private=False)["x"])})
    return jws.serialize_compact({"alg": "HS256", "typ": TYP}, rfc8785.dumps(content), secret)


def read(statement: str) -> ReleaseManifest:
    return read_release_manifest(statement, KEY, release="r1", purpose="training")


def test_a_good_manifest_reads():
    manifest = read(signed(payload()))

    assert manifest.by_name["a/b.jpg"].size == 3
    assert manifest.expires_at.isoformat() == "2027-01-01T00:00:00+00:00"
    assert manifest.policy_bundle == "01" * 32


def test_a_manifest_of_many_items_reads():
    many = payload(items=[item(name=f"{i:06d}") for i in range(5_000)])

    class Roomy(jws.JWSRegistry):
        max_payload_length = 64 * 1024 * 1024

    statement = jws.serialize_compact(
        {"alg": "Ed25519", "typ": TYP}, rfc8785.dumps(many), KEY, registry=Roomy(algorithms=["Ed25519"])
    )

    assert len(read(statement).items) == 5_000


HEAD, BODY, SIGNATURE = signed(payload()).split(".")
OTHER_BODY = signed(payload(mode="OFFSET")).split(".")[1]

STATEMENTS = {
    "empty": "",
    "no JWS": "x.y.z",
    "no ASCII": "数据",
    "two parts": f"{HEAD}.{BODY}",
    "other payload": f"{HEAD}.{OTHER_BODY}.{SIGNATURE}",
    "no signature": f"{HEAD}.{BODY}.",
    "other key": signed(payload(), key=OKPKey.generate_key("Ed25519")),
    "other type": signed(payload(), typ="fleetgate-manifest+jwt"),
    "other algorithm": confused(payload()),
    "payload is text": signed(b"hello"),
    "payload is a list": signed(b"[]"),
    "payload has another spelling": signed(json.dumps(payload(), indent=1).encode()),
    "payload names a field twice": signed(b'{"a":1,"a":1}'),
}

PAYLOADS: dict[str, dict[str, Any]] = {
    "other version": payload(version=2),
    "no version": payload(version=REMOVED),
    "other release": payload(release="r2"),
    "other purpose": payload(purpose="marketing"),
    "no approvals": payload(approvals=[]),
    "approvals missing": payload(approvals=REMOVED),
    "no items": payload(items=[]),
    "items is null": payload(items=None),
    "item is text": payload(items=["x"]),
    "naive expiry": payload(expires_at="2027-01-01T00:00:00"),
    "expiry is no time": payload(expires_at="soon"),
    "expiry is a number": payload(expires_at=5),
    "no profile": payload(profile=REMOVED),
    "profile is text": payload(profile="cn"),
    "empty digest": payload(digest=""),
    "no policy digest": payload(policy={}),
    "negative size": payload(items=[item(size=-1)]),
    "size is text": payload(items=[item(size="3")]),
    "size is a truth": payload(items=[item(size=True)]),
    "digest is short": payload(items=[item(sha256="ab")]),
    "no class": payload(items=[item(**{"class": REMOVED})]),
    "climbing name": payload(items=[item(name="../x")]),
    "climbing inside": payload(items=[item(name="a/../../x")]),
    "absolute name": payload(items=[item(name="/etc/passwd")]),
    "drive": payload(items=[item(name="C:x")]),
    "backslash": payload(items=[item(name="a\\..\\b")]),
    "NUL": payload(items=[item(name="a\x00b")]),
    "dot": payload(items=[item(name="a/./b")]),
    "empty part": payload(items=[item(name="a//b")]),
    "long part": payload(items=[item(name="a" * 256)]),
    "long name": payload(items=[item(name="/".join(["a" * 200] * 6))]),
    "staging name": payload(items=[item(name=".fleetgate-partial/x")]),
    "the manifest's own name": payload(items=[item(name="Release.JWS")]),
    "same name": payload(items=[item(), item()]),
    "same name in other case": payload(items=[item(), item(name="A/B.JPG")]),
}


@pytest.mark.parametrize("case", STATEMENTS)
def test_a_statement_that_is_not_the_operator_s_is_refused(case: str):
    with pytest.raises(TamperedReleaseError):
        read(STATEMENTS[case])


@pytest.mark.parametrize("case", PAYLOADS)
def test_a_signed_manifest_that_is_malformed_is_refused(case: str):
    with pytest.raises(TamperedReleaseError):
        read(signed(PAYLOADS[case]))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner)
    ),
    max_leaves=6,
)


@given(st.data())
@settings(max_examples=150)
def test_one_changed_field_reads_or_is_tampering(data: st.DataObject):
    changed = payload()
    holder = data.draw(st.sampled_from([changed, changed["items"][0], changed["profile"], changed["policy"]]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON_VALUES)

    try:
        manifest = read(signed(changed))
    except TamperedReleaseError:
        return
    assert manifest.release == "r1"


def sm2_signed(key: Sm2PrivateKey, content: dict[str, Any], typ: str = MANIFEST_TYP) -> str:
    return sign_statement(key, typ, "k", content)


def test_a_manifest_signed_by_sm2_is_read_under_its_pinned_key_only() -> None:
    """The suite of commercial cryptography: GB/T 32918.2, the key as JWK of kty EC and crv SM2."""
    key, other = Sm2PrivateKey.generate(), Sm2PrivateKey.generate()
    pinned = release_key(key.public_key.jwk())
    statement = sm2_signed(key, payload())
    read = read_release_manifest(statement, pinned, release="r1", purpose="training")
    assert read.release == "r1"
    assert pinned.thumbprint() == key.public_key.thumbprint()
    refused = {
        "another key": (statement, release_key(other.public_key.jwk())),
        "an Ed25519 key": (statement, release_key(KEY)),
        "signed by Ed25519": (signed(payload()), pinned),
        "another kind": (sm2_signed(key, payload(), "fleetgate-approval+json"), pinned),
        "changed": (statement.replace(statement[200], "A" if statement[200] != "A" else "B", 1), pinned),
        "no signature": (statement.rpartition(".")[0] + ".", pinned),
        "not ASCII": (statement + "é", pinned),
    }
    for name, (text, trusted) in refused.items():
        with pytest.raises(TamperedReleaseError):
            pytest.fail(str(read_release_manifest(text, trusted, release="r1", purpose="training")) + name)
    jwk = key.public_key.jwk()
    for bad in (
        {**jwk, "y": jwk["x"]},
        {"kty": "EC", "crv": "SM2"},
        {**jwk, "x": "AA"},
        {**jwk, "crv": "P-256"},
    ):
        with pytest.raises(KeyFileError):
            release_key(bad)
