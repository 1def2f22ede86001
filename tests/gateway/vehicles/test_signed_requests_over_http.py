"""What a real server sees: the signature holds for the very bytes on the wire, once."""

from hashlib import sha256
from typing import Any

import httpx
import pytest
from fastapi import Request
from joserfc.jwk import OKPKey

from gateway.api.signatures import check_content, content_digest
from gateway.api.signing import SignatureAuth

BODY = b'{"manifest": "a.b.c"}'


@pytest.fixture
def http(base_url: str):
    with httpx.Client(base_url=base_url) as client:
        yield client


def signed(http: httpx.Client, key: OKPKey, path: str, body: bytes = BODY) -> httpx.Request:
    headers = {"Content-Digest": content_digest(sha256(body).digest()), "Fleetgate-Purpose": "delivery"}
    request = http.build_request("POST", path, content=body, headers=headers)
    next(SignatureAuth(keyid="vehicle-7", key=key).auth_flow(request))
    return request


def reason(response: httpx.Response) -> Any:
    return response.json().get("reason")


def test_a_request_replayed_byte_for_byte_is_refused(http: httpx.Client, vehicle_key: OKPKey, peer: Any):
    peer.app.post("/echo")(echo_of(peer))
    request = signed(http, vehicle_key, "/echo")

    assert http.send(request).status_code == 200
    again = http.send(request)

    assert (again.status_code, reason(again)) == (401, "signature_replayed")


@pytest.mark.parametrize("name", ["Fleetgate-Purpose", "Content-Digest", "Signature", "Signature-Input"])
def test_a_field_sent_twice_is_refused(http: httpx.Client, vehicle_key: OKPKey, peer: Any, name: str):
    peer.app.post("/echo")(echo_of(peer))
    request = signed(http, vehicle_key, "/echo")
    request.headers = httpx.Headers([*request.headers.multi_items(), (name, request.headers[name])])

    answer = http.send(request)

    assert (answer.status_code, reason(answer)) == (401, "signature_field_duplicated")


def test_another_body_under_the_signed_digest_is_refused(http: httpx.Client, vehicle_key: OKPKey, peer: Any):
    peer.app.post("/echo")(echo_of(peer))
    request = signed(http, vehicle_key, "/echo")
    other = BODY.replace(b"a.b.c", b"d.e.f")
    altered = http.build_request("POST", "/echo", content=other, headers=request.headers)

    answer = http.send(altered)

    assert (answer.status_code, reason(answer)) == (401, "content_digest_mismatch")


@pytest.mark.parametrize(
    "path", ["/echo/a%2Fb%20c?x=%41&y=1", "/echo/%E8%BD%A8?", "/echo/a+b?q=a+b", "/echo/~!$&'()*,;=:@"]
)
def test_escapes_in_path_and_query_are_signed_as_they_travel(
    http: httpx.Client, vehicle_key: OKPKey, peer: Any, path: str
):
    peer.app.post("/echo/{rest:path}")(echo_of(peer))

    assert http.send(signed(http, vehicle_key, path)).status_code == 200


def test_the_same_path_in_another_spelling_is_refused(http: httpx.Client, vehicle_key: OKPKey, peer: Any):
    peer.app.post("/echo/{rest:path}")(echo_of(peer))
    request = signed(http, vehicle_key, "/echo/abc")
    respelt = http.build_request("POST", "/echo/a%62c", content=BODY, headers=request.headers)

    answer = http.send(respelt)

    assert (answer.status_code, reason(answer)) == (401, "signature_invalid")


def echo_of(peer: Any):

    async def echo(request: Request) -> dict[str, str]:
        verified = peer.verify(request, "content-digest", "fleetgate-purpose")
        check_content(verified, sha256(await request.body()).digest())
        return {"keyid": verified.keyid}

    return echo
