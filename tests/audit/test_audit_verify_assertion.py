"""The offline verifier of approvals by security keys, by itself: each of its steps refuses what is bent there."""

import json
from typing import Any

import pytest

from audit.verify_assertion import (
    ACT,
    FORM,
    challenge_of,
    is_assertion,
    read_assertion,
    require_origin,
    verify_assertion,
)
from security_keys import PRESENT, RP_ID, SecurityKey, encoded

APPROVAL = {"approver": "first", "digest": "ab" * 32, "release": "r1"}


def text(**changes: object) -> str:
    return json.dumps({"act": ACT, "approval": APPROVAL, "nonce": "n1", **changes})


def said(key: SecurityKey) -> dict[str, Any]:
    return {
        "act": "credential.register",
        "credential": key.id,
        "key": encoded(key.spki()),
        "person": "first",
        "rp_id": RP_ID,
    }


def document(key: SecurityKey, approval: str, challenged: str | None = None) -> dict[str, Any]:
    challenge = encoded(challenge_of(approval if challenged is None else challenged))
    answer = key.get({"challenge": challenge})["response"]
    return {
        "form": FORM,
        "approval": approval,
        "registration": "verified by the caller",
        "authenticator_data": answer["authenticatorData"],
        "client_data": answer["clientDataJSON"],
        "signature": answer["signature"],
    }


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_an_assertion_verifies(algorithm):
    key = SecurityKey(algorithm=algorithm)
    statement = json.dumps(document(key, text()))
    assert is_assertion(statement)
    assert verify_assertion(read_assertion(statement), said(key)) == APPROVAL


BENT = {
    "another origin": {"origin": "https://evil.example"},
    "a host that only ends alike": {"origin": "https://evilgate.example"},
    "an origin without TLS": {"origin": "http://gate.example"},
    "another RP id": {"rp_id": "evil.example"},
    "a user who was not verified": {"flags": PRESENT},
    "nobody present": {"flags": 0x04},
    "another private key": {"private": SecurityKey().private},
}


@pytest.mark.parametrize("what", BENT)
def test_what_is_bent_before_signing_is_refused(what):
    key = SecurityKey()
    registered = said(key)
    for name, value in BENT[what].items():
        setattr(key, name, value)
    with pytest.raises(ValueError, match=r"origin|RP id|present and verified|does not verify"):
        verify_assertion(document(key, text()), registered)


def test_another_text_challenge_ceremony_frame_or_act_is_refused():
    key = SecurityKey()
    with pytest.raises(ValueError, match="over another text"):
        verify_assertion(document(key, text(), challenged=text(nonce="n2")), said(key))
    with pytest.raises(ValueError, match="another act"):
        verify_assertion(document(key, text(act="release.reject")), said(key))
    with pytest.raises(ValueError, match="another act"):
        verify_assertion(document(key, text()), {**said(key), "act": "zones.install"})
    for changed, message in (
        ({"type": "webauthn.create"}, "over another text"),
        ({"crossOrigin": True}, "frame of another site"),
    ):

        class Bent(SecurityKey):
            def _client_data(self, kind: str, challenge: str) -> bytes:
                return json.dumps({**json.loads(super()._client_data(kind, challenge)), **changed}).encode()  # noqa: B023

        bent = Bent()
        with pytest.raises(ValueError, match=message):
            verify_assertion(document(bent, text()), said(bent))


def test_every_changed_byte_of_an_answer_is_refused():
    key = SecurityKey()
    whole = document(key, text())
    for name in ("authenticator_data", "client_data", "signature"):
        for at in (0, len(whole[name]) // 2):
            letter = "B" if whole[name][at] == "A" else "A"
            changed = {**whole, name: whole[name][:at] + letter + whole[name][at + 1 :]}
            with pytest.raises(ValueError):  # noqa: PT011 (which step refuses depends on the byte)
                verify_assertion(changed, said(key))
    with pytest.raises(ValueError, match="base64url"):
        verify_assertion({**whole, "signature": whole["signature"] + "=="}, said(key))


def test_a_document_of_another_form_is_refused():
    whole = document(SecurityKey(), text())
    for changed in ({**whole, "form": "x"}, {**whole, "more": "x"}, {**whole, "signature": 1}, [whole]):
        with pytest.raises(ValueError, match="approval"):
            read_assertion(json.dumps(changed))
    assert not is_assertion("eyJhbGciOiJFZDI1NTE5In0.e30.c2ln")


def test_browsers_allow_localhost_without_tls():
    require_origin("http://localhost:8443", "localhost")
    require_origin("https://gate.example:8443", RP_ID)
    for origin in ("http://127.0.0.1", "ftp://localhost", "gate.example", ""):
        with pytest.raises(ValueError, match="origin"):
            require_origin(origin, RP_ID)
