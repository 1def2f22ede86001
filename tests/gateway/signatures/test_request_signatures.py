"""RFC 9421 request authentication: the published vector, every tampering, every parameter."""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import httpx
import pytest
from http_message_signatures import ContentDigest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OKPKey

from gateway.api.refusals import SignatureReason, SignatureRefusedError
from gateway.api.signatures import VerifiedRequest, check_content, content_digest, signed_url, verify_request
from gateway.api.signing import SignatureAuth
from memory_nonces import MemoryNonces

NOW = datetime(2026, 11, 21, 1, 30, 0, tzinfo=UTC)
KEY = OKPKey.generate_key("Ed25519")
OTHER_KEY = OKPKey.generate_key("Ed25519")
KEYS = {"vehicle-7": KEY, "vehicle-8": OTHER_KEY}
BODY = b'{"manifest": "x"}'


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as a server sees it."""

    method: str = "POST"
    url: str = "https://gate.example/vehicles/v1/recordings?part=1"
    headers: tuple[tuple[str, str], ...] = ()
    now: datetime = NOW
    required: tuple[str, ...] = ()
    nonces: MemoryNonces = field(default_factory=MemoryNonces)
    resolve_key: Callable[[str], OKPKey | None] = KEYS.get

    def verify(self) -> VerifiedRequest:
        return verify_request(
            method=self.method,
            url=self.url,
            headers=self.headers,
            resolve_key=self.resolve_key,
            now=self.now,
            nonces=self.nonces,
            required=self.required,
        )

    def with_header(self, name: str, value: str) -> "Request":
        kept = tuple(line for line in self.headers if line[0].lower() != name.lower())
        return replace(self, headers=(*kept, (name, value)))

    def without_header(self, name: str) -> "Request":
        return replace(self, headers=tuple(line for line in self.headers if line[0].lower() != name.lower()))

    def header(self, name: str) -> str:
        return next(value for key, value in self.headers if key.lower() == name.lower())

    def edit_input(self, pattern: str, replacement: str) -> "Request":
        value = self.header("signature-input")
        edited = re.sub(pattern, replacement, value)
        assert edited != value
        return self.with_header("signature-input", edited)


def signed(
    *,
    method: str = "POST",
    url: str = "https://gate.example/vehicles/v1/recordings?part=1",
    body: bytes | None = BODY,
    purpose: str | None = "perception-training",
    keyid: str = "vehicle-7",
    key: OKPKey = KEY,
    now: datetime = NOW,
) -> Request:
    headers = {} if purpose is None else {"Fleetgate-Purpose": purpose}
    if body is not None:
        headers["Content-Digest"] = content_digest(sha256(body).digest())
    request = httpx.Request(method, url, headers=headers, content=body)
    next(SignatureAuth(keyid=keyid, key=key, now=lambda: now).auth_flow(request))
    return Request(method=method, url=str(request.url), headers=tuple(request.headers.multi_items()))


def refusal(request: Request) -> SignatureRefusedError:
    with pytest.raises(SignatureRefusedError) as caught:
        request.verify()
    return caught.value


def test_a_signed_request_verifies_and_says_what_was_proved():
    verified = signed().verify()

    assert verified.keyid == "vehicle-7"
    assert verified.created == NOW
    assert verified.purpose == "perception-training"
    assert verified.content_sha256 == sha256(BODY).digest()
    assert set(verified.components) == {
        "@method", "@authority", "@path", "@query", "content-digest", "fleetgate-purpose",
    }  # fmt: skip
    check_content(verified, sha256(BODY).digest())


def test_a_request_without_body_and_purpose_proves_neither():
    verified = signed(method="GET", body=None, purpose=None).verify()

    assert verified.purpose is None
    assert verified.content_sha256 is None
    with pytest.raises(SignatureRefusedError, match="content_digest_mismatch"):
        check_content(verified, sha256(b"").digest())


def test_a_body_other_than_the_signed_one_is_refused():
    with pytest.raises(SignatureRefusedError) as caught:
        check_content(signed().verify(), sha256(BODY + b" ").digest())

    assert caught.value.reason is SignatureReason.CONTENT
    assert sha256(BODY).hexdigest() in str(caught.value)


TAMPERED: dict[str, tuple[Callable[[Request], Request], SignatureReason]] = {
    "method": (lambda r: replace(r, method="PUT"), SignatureReason.INVALID),
    "method in lower case": (lambda r: replace(r, method="post"), SignatureReason.INVALID),
    "path": (lambda r: replace(r, url=r.url.replace("recordings", "records")), SignatureReason.INVALID),
    "path encoding": (lambda r: replace(r, url=r.url.replace("/v1", "/%761")), SignatureReason.INVALID),
    "query": (lambda r: replace(r, url=r.url.replace("part=1", "part=2")), SignatureReason.INVALID),
    "query removed": (lambda r: replace(r, url=r.url.split("?")[0]), SignatureReason.INVALID),
    "query extended": (lambda r: replace(r, url=r.url + "&all=1"), SignatureReason.INVALID),
    "authority": (lambda r: replace(r, url=r.url.replace("gate.", "other.")), SignatureReason.INVALID),
    "unparsable target": (lambda r: replace(r, url="https://gate.example/a b"), SignatureReason.INVALID),
    "purpose": (lambda r: r.with_header("fleetgate-purpose", "marketing"), SignatureReason.INVALID),
    "purpose removed": (lambda r: r.without_header("fleetgate-purpose"), SignatureReason.UNCOVERED),
    "digest": (
        lambda r: r.with_header("content-digest", content_digest(sha256(b"").digest())),
        SignatureReason.INVALID,
    ),
    "digest removed": (lambda r: r.without_header("content-digest"), SignatureReason.UNCOVERED),
    "signature of another key": (
        lambda r: r.edit_input('keyid="vehicle-7"', 'keyid="vehicle-8"'),
        SignatureReason.INVALID,
    ),
    "nonce": (lambda r: r.edit_input('nonce="...', 'nonce="AAA'), SignatureReason.INVALID),
    "created": (lambda r: r.edit_input(r"created=\d+", "created=1795224601"), SignatureReason.INVALID),
    "signature": (
        lambda r: r.with_header("signature", f"fleetgate=:{b64encode(bytes(64)).decode()}:"),
        SignatureReason.INVALID,
    ),
    "signature too short": (
        lambda r: r.with_header("signature", f"fleetgate=:{b64encode(bytes(63)).decode()}:"),
        SignatureReason.INVALID,
    ),
    "unknown key": (lambda r: r.edit_input("vehicle-7", "vehicle-9"), SignatureReason.UNKNOWN_KEY),
    "other algorithm": (
        lambda r: r.edit_input('alg="ed25519"', 'alg="hmac-sha256"'),
        SignatureReason.ALGORITHM,
    ),
    "no algorithm": (lambda r: r.edit_input(';alg="ed25519"', ""), SignatureReason.PARAMETERS),
    "other tag": (lambda r: r.edit_input('tag="fleetgate"', 'tag="webapp"'), SignatureReason.PARAMETERS),
    "no nonce": (lambda r: r.edit_input(r';nonce="[^"]*"', ""), SignatureReason.PARAMETERS),
    "short nonce": (lambda r: r.edit_input(r'nonce="[^"]*"', 'nonce="abc"'), SignatureReason.PARAMETERS),
    "no created": (lambda r: r.edit_input(r";created=\d+", ""), SignatureReason.PARAMETERS),
    "no expires": (lambda r: r.edit_input(r";expires=\d+", ""), SignatureReason.PARAMETERS),
    "expires before created": (
        lambda r: r.edit_input(r"expires=\d+", "expires=5"),
        SignatureReason.PARAMETERS,
    ),
    "created as text": (lambda r: r.edit_input(r"created=\d+", 'created="1"'), SignatureReason.MALFORMED),
    "unknown parameter": (lambda r: r.edit_input(";tag=", ';x="1";tag='), SignatureReason.PARAMETERS),
    "method not covered": (lambda r: r.edit_input('"@method" ', ""), SignatureReason.UNCOVERED),
    "path not covered": (lambda r: r.edit_input('"@path" ', ""), SignatureReason.UNCOVERED),
    "query not covered": (lambda r: r.edit_input('"@query" ', ""), SignatureReason.UNCOVERED),
    "authority not covered": (lambda r: r.edit_input('"@authority" ', ""), SignatureReason.UNCOVERED),
    "digest not covered": (lambda r: r.edit_input('"content-digest" ', ""), SignatureReason.UNCOVERED),
    "purpose not covered": (lambda r: r.edit_input(' "fleetgate-purpose"', ""), SignatureReason.UNCOVERED),
    "component of a response": (
        lambda r: r.edit_input('"@method"', '"@method";req'),
        SignatureReason.MALFORMED,
    ),
    "component twice": (lambda r: r.edit_input('"@path"', '"@path" "@path"'), SignatureReason.MALFORMED),
    "no signature": (lambda r: r.without_header("signature"), SignatureReason.MISSING),
    "no signature input": (lambda r: r.without_header("signature-input"), SignatureReason.MISSING),
    "signature of other label": (
        lambda r: r.with_header("signature", r.header("signature").replace("fleetgate=", "other=")),
        SignatureReason.MALFORMED,
    ),
    "input is no dictionary": (lambda r: r.with_header("signature-input", "(((("), SignatureReason.MALFORMED),
    "signature is no byte sequence": (
        lambda r: r.with_header("signature", 'fleetgate="abc"'),
        SignatureReason.MALFORMED,
    ),
    "two signatures in one field": (
        lambda r: r.with_header(
            "signature-input",
            r.header("signature-input") + ", b" + r.header("signature-input")[len("fleetgate") :],
        ).with_header("signature", r.header("signature") + ", b=:AAAA:"),
        SignatureReason.MALFORMED,
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_request_is_refused_with_its_reason(case: str):
    tamper, reason = TAMPERED[case]

    assert refusal(tamper(signed())).reason is reason


@pytest.mark.parametrize("name", ["signature", "signature-input", "content-digest", "fleetgate-purpose"])
def test_a_repeated_field_is_refused(name: str):
    request = signed()

    repeated = replace(request, headers=(*request.headers, (name.title(), request.header(name))))

    assert refusal(repeated).reason is SignatureReason.DUPLICATED


def test_a_body_without_signed_digest_is_refused():
    request = signed(body=None)

    assert refusal(request.with_header("content-length", "3")).reason is SignatureReason.UNCOVERED
    assert refusal(request.with_header("transfer-encoding", "chunked")).reason is SignatureReason.UNCOVERED


def test_a_purpose_added_on_the_way_is_refused():
    assert (
        refusal(signed(purpose=None).with_header("fleetgate-purpose", "x")).reason
        is SignatureReason.UNCOVERED
    )


def test_what_the_caller_requires_must_be_covered():
    request = signed(method="GET", body=None)

    assert refusal(replace(request, required=("content-digest",))).reason is SignatureReason.UNCOVERED
    assert refusal(replace(request, required=("range",))).reason is SignatureReason.UNCOVERED


@pytest.mark.parametrize(
    ("offset_s", "reason"),
    [
        (-6, SignatureReason.FUTURE),
        (61, SignatureReason.EXPIRED),
        (86_400, SignatureReason.EXPIRED),
    ],
)
def test_a_signature_outside_its_time_is_refused(offset_s: int, reason: SignatureReason):
    assert refusal(replace(signed(), now=NOW + timedelta(seconds=offset_s))).reason is reason


@pytest.mark.parametrize("offset_s", [-5, 0, 60])
def test_a_signature_within_its_time_is_accepted(offset_s: int):
    assert replace(signed(), now=NOW + timedelta(seconds=offset_s)).verify().created == NOW


def test_a_signature_that_expired_before_its_greatest_age_is_refused():
    request = signed().edit_input(r"expires=\d+", f"expires={int(NOW.timestamp()) + 1}")

    assert refusal(replace(request, now=NOW + timedelta(seconds=30))).reason is SignatureReason.EXPIRED


def test_a_replay_is_refused():
    request = signed()
    request.verify()

    assert refusal(request).reason is SignatureReason.REPLAYED


def test_a_refused_request_spends_no_nonce():
    request = signed()
    refusal(replace(request, method="PUT"))

    assert request.verify().keyid == "vehicle-7"


def test_the_same_request_sent_again_is_signed_anew():
    auth = SignatureAuth(keyid="vehicle-7", key=KEY, now=lambda: NOW)
    request = httpx.Request("GET", "https://gate.example/x")
    next(auth.auth_flow(request))
    first = request.headers["signature-input"]
    next(auth.auth_flow(request))

    assert request.headers["signature-input"] != first


def test_an_error_while_looking_up_a_key_is_not_a_refusal():
    def unreachable(_keyid: str) -> OKPKey | None:
        raise ConnectionError("the key register is unreachable")

    with pytest.raises(ConnectionError):
        replace(signed(), resolve_key=unreachable).verify()


def test_a_key_of_another_curve_is_refused():
    other = OKPKey.generate_key("X25519")

    assert refusal(replace(signed(), resolve_key=lambda _keyid: other)).reason is SignatureReason.INVALID
    with pytest.raises(ValueError, match="X25519"):
        SignatureAuth(keyid="a", key=other)


def test_a_public_key_cannot_sign():
    public = OKPKey.import_key(KEY.as_dict(private=False))

    with pytest.raises(ValueError, match="expected Ed25519 private"):
        SignatureAuth(keyid="a", key=public)


class CarelessDigest(ContentDigest):
    """Signs whatever the field says."""

    @classmethod
    def prepare(cls, headers, body, *, use_existing_digest):
        del headers, body, use_existing_digest


@pytest.mark.parametrize(
    "value",
    [
        "sha-512=:AAAA:",
        "sha-256=:AAAA:",
        'sha-256="abc"',
        content_digest(bytes(32)) + ", sha-512=:AAAA:",
        content_digest(bytes(32))[:-3] + "B=:",
        "",
    ],
)
def test_a_malformed_content_digest_is_refused(value: str):
    request = httpx.Request("PUT", "https://gate.example/x", headers={"Content-Digest": value})
    auth = SignatureAuth(keyid="vehicle-7", key=KEY, now=lambda: NOW)
    auth._signer.content_digest_class = CarelessDigest
    next(auth.auth_flow(request))
    seen = Request(method="PUT", url=str(request.url), headers=tuple(request.headers.multi_items()))

    assert refusal(seen).reason is SignatureReason.CONTENT


def test_rfc_9530_appendix_digest_of_a_known_body():
    assert (
        content_digest(sha256(b'{"hello": "world"}').digest())
        == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    )


@given(
    header=st.sampled_from(["signature", "signature-input", "content-digest", "fleetgate-purpose"]),
    value=st.text(st.characters(max_codepoint=255), max_size=60),
)
def test_no_field_value_gets_past_the_verifier_or_breaks_it(header: str, value: str):
    request = signed()
    if request.header(header).strip() == value.strip():
        return

    assert isinstance(refusal(request.with_header(header, value)), SignatureRefusedError)


def scope(**changes: object) -> dict[str, object]:
    return {
        "scheme": "http",
        "raw_path": b"/items/a%2Fb%20c",
        "path": "/items/a/b c",
        "query_string": b"x=%41",
        "headers": [(b"host", b"gate.example:8000")],
        **changes,
    }


def test_the_signed_url_keeps_the_bytes_of_the_wire():
    assert signed_url(scope()) == "http://gate.example:8000/items/a%2Fb%20c?x=%41"
    assert signed_url(scope(query_string=b"")) == "http://gate.example:8000/items/a%2Fb%20c"


@pytest.mark.parametrize("hosts", [[], [(b"host", b"a"), (b"host", b"b")]])
def test_a_request_without_exactly_one_host_has_no_signed_url(hosts: list[tuple[bytes, bytes]]):
    with pytest.raises(SignatureRefusedError, match="Host"):
        signed_url(scope(headers=hosts))
