"""The Ed25519 example of RFC 9421 appendix B.2.6, through the library and our verifier's message form."""

from datetime import UTC, datetime

import httpx
import pytest
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ED25519
from joserfc.jwk import OKPKey

from gateway.api.refusals import SignatureReason, SignatureRefusedError
from gateway.api.signatures import verify_request
from memory_nonces import MemoryNonces

KEY = OKPKey.import_key(
    {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": "test-key-ed25519",
        "d": "n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU",
        "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs",
    }
)
URL = "https://example.com/foo?param=Value&Pet=dog"
HEADERS = {
    "Host": "example.com",
    "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "Content-Type": "application/json",
    "Content-Digest": (
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
    ),
    "Content-Length": "18",
}
COVERED = ("date", "@method", "@path", "@authority", "content-type", "content-length")
SIGNATURE = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
SIGNATURE_INPUT = (
    '("date" "@method" "@path" "@authority" "content-type" "content-length")'
    ';created=1618884473;keyid="test-key-ed25519"'
)


def vector() -> httpx.Request:
    return httpx.Request("POST", URL, headers=HEADERS)


def with_signature(request: httpx.Request) -> httpx.Request:
    request.headers["Signature-Input"] = f"sig-b26={SIGNATURE_INPUT}"
    request.headers["Signature"] = f"sig-b26=:{SIGNATURE}:"
    return request


def test_signing_the_example_gives_the_published_signature():
    request = vector()

    HTTPMessageSigner(
        signature_algorithm=ED25519,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={"test-key-ed25519": KEY.private_key}),
    ).sign(
        request,
        key_id="test-key-ed25519",
        created=datetime.fromtimestamp(1618884473, tz=UTC),
        include_alg=False,
        label="sig-b26",
        covered_component_ids=COVERED,
        use_existing_digest=True,
    )

    assert request.headers["signature"] == f"sig-b26=:{SIGNATURE}:"
    assert request.headers["signature-input"] == f"sig-b26={SIGNATURE_INPUT}"


def test_the_published_signature_verifies_and_a_changed_path_does_not():
    verifier = HTTPMessageVerifier(
        signature_algorithm=ED25519,
        key_resolver=MappingKeyResolver(public_keys={"test-key-ed25519": KEY.public_key}, private_keys={}),
    )
    (result,) = verifier.verify(with_signature(vector()), max_age=None)
    assert result.covered_components['"@path"'] == "/foo"

    with pytest.raises(InvalidSignature):
        verifier.verify(
            with_signature(httpx.Request("POST", URL.replace("foo", "bar"), headers=HEADERS)), max_age=None
        )


def test_the_profile_refuses_the_example_for_what_it_lacks():
    request = with_signature(vector())

    with pytest.raises(SignatureRefusedError) as caught:
        verify_request(
            method=request.method,
            url=str(request.url),
            headers=request.headers.multi_items(),
            resolve_key={"test-key-ed25519": KEY}.get,
            now=datetime.fromtimestamp(1618884480, tz=UTC),
            nonces=MemoryNonces(),
        )

    assert caught.value.reason is SignatureReason.PARAMETERS
