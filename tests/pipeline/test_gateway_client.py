"""The downstream client against a server that verifies: manifests, ranges, streams, refusals, tampering."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import (
    KeyFileError,
    RefusedError,
    TamperedReleaseError,
    UnexpectedAnswerError,
    UnreachableError,
    Violation,
)

RELEASE = "rel-4c1f"
PURPOSE = "perception-training"
IMAGE = "image/000001.jpg"


@pytest.fixture
def connect(base_url: str, principal_key: OKPKey, release_key: OKPKey):
    clients: list[GatewayClient] = []

    def make(**changes: Any) -> GatewayClient:
        arguments: dict[str, Any] = {
            "base_url": base_url,
            "key": principal_key,
            "principal": "engineer-1",
            "purpose": PURPOSE,
            "release_key": release_key.as_dict(private=False),
            **changes,
        }
        clients.append(GatewayClient(arguments.pop("base_url"), **arguments))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[..., GatewayClient]) -> GatewayClient:
    return connect()


def test_releases_are_listed(client: GatewayClient):
    (summary,) = client.releases()

    assert (summary.release, summary.purpose) == (RELEASE, PURPOSE)


def test_a_manifest_is_verified_once_and_kept(client: GatewayClient, peer: Any):
    manifest = client.manifest(RELEASE)

    assert client.manifest(RELEASE) is manifest
    assert manifest.profile == ("cn-2026", "ef" * 32)
    assert [item.name for item in manifest.items] == list(peer.contents)
    assert manifest.approvals == ("a.b.c", "d.e.f")
    assert len(peer.requests) == 1


def test_every_item_reads_whole(client: GatewayClient, peer: Any):
    assert {name: client.read(RELEASE, name) for name in peer.contents} == peer.contents


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (5, 900), (767_999, None), (1, None), (None, 10), (0, None), (0, 768_000)]
)
def test_a_range_reads_what_was_asked_for(
    client: GatewayClient, peer: Any, start: int | None, end: int | None
):
    assert client.read(RELEASE, IMAGE, start, end) == peer.contents[IMAGE][start:end]


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (9, 5), (0, 768_001), (768_000, None)])
def test_a_range_outside_the_item_is_an_error(client: GatewayClient, start: int, end: int | None):
    with pytest.raises(ValueError, match=IMAGE):
        client.read(RELEASE, IMAGE, start, end)


def test_an_unknown_item_is_an_error_without_a_request(client: GatewayClient, peer: Any):
    client.manifest(RELEASE)
    peer.requests.clear()

    with pytest.raises(KeyError):
        client.read(RELEASE, "other.jpg")
    with pytest.raises(KeyError), client.open(RELEASE, "other.jpg"):
        pass
    assert peer.requests == []


def test_a_stream_is_a_file_that_knows_when_it_is_proved(client: GatewayClient, peer: Any):
    with client.open(RELEASE, IMAGE) as reader:
        buffered = io.BufferedReader(reader)
        head = buffered.read(1000)
        assert not reader.verified
        assert head + buffered.read() == peer.contents[IMAGE]
        assert reader.verified
    assert reader.closed


def test_a_stream_left_early_is_closed_and_unproved(client: GatewayClient):
    with client.open(RELEASE, IMAGE) as reader:
        assert reader.read(10)

    assert not reader.verified
    assert client.read(RELEASE, "image/000002.jpg") == b"second"


TAMPERED = {
    "one bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "shorter": lambda content: content[:-1],
    "longer": lambda content: content + b"x",
    "empty": lambda _content: b"",
}


@pytest.mark.parametrize("case", TAMPERED)
def test_tampered_bytes_are_refused(client: GatewayClient, peer: Any, case: str):
    peer.contents[IMAGE] = TAMPERED[case](peer.contents[IMAGE])

    with pytest.raises(TamperedReleaseError, match=r"image/000001\.jpg"):
        client.read(RELEASE, IMAGE)
    with client.open(RELEASE, IMAGE) as reader, pytest.raises(TamperedReleaseError):
        list(iter(lambda: reader.read(100_000), b""))


@pytest.mark.parametrize(
    "answer",
    [
        Response(b"x" * 768_000),
        Response(b"xxxxx", status_code=206),
        Response(b"xxxxx", status_code=206, headers={"Content-Range": "bytes 0-4/768000"}),
        Response(b"xxxxx", status_code=206, headers={"Content-Range": "bytes 5-9/768001"}),
        Response(b"xxxx", status_code=206, headers={"Content-Range": "bytes 5-9/768000"}),
        Response(b"xxxxxx", status_code=206, headers={"Content-Range": "bytes 5-9/768000"}),
    ],
    ids=["whole", "no Content-Range", "other range", "other size", "short", "long"],
)
def test_an_answer_that_is_not_the_range_asked_for_is_refused(
    client: GatewayClient, peer: Any, answer: Response
):
    peer.answer = lambda _name: answer

    with pytest.raises(UnexpectedAnswerError, match="range"):
        client.read(RELEASE, IMAGE, 5, 10)


def test_a_partial_answer_to_a_whole_read_is_refused(client: GatewayClient, peer: Any):
    peer.answer = lambda _name: Response(b"xxxxx", status_code=206)

    with pytest.raises(UnexpectedAnswerError, match="206"):
        client.read(RELEASE, IMAGE)


def test_another_purpose_is_refused_with_rule_and_clause(connect: Callable[..., GatewayClient]):
    with pytest.raises(RefusedError) as caught:
        connect(purpose="marketing").manifest(RELEASE)

    assert (caught.value.status, caught.value.reason) == (403, "denied")
    assert caught.value.violations == (
        Violation(
            rule="purpose_of_grant",
            clause="COMPLIANCE 3.5",
            text_zh="用途与授权不符",
            text_en="the purpose is not the grant's",
        ),
    )
    assert "purpose_of_grant (COMPLIANCE 3.5)" in str(caught.value)


def test_an_unknown_principal_and_an_unknown_release_are_refused(connect: Callable[..., GatewayClient]):
    with pytest.raises(RefusedError) as caught:
        connect(principal="stranger").releases()
    assert (caught.value.status, caught.value.reason) == (401, "signature_key_unknown")

    with pytest.raises(RefusedError) as caught:
        connect().manifest("rel-other")
    assert (caught.value.status, caught.value.reason) == (404, "not_found")


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (Response("<html>", status_code=502, media_type="text/html"), 502, "unexpected_answer"),
        (Response("{", status_code=500, media_type="application/problem+json"), 500, "unexpected_answer"),
        (Response("[]", status_code=500, media_type="application/problem+json"), 500, "unexpected_answer"),
        (
            JSONResponse({"reason": "denied", "violations": "x"}, 403, media_type="application/problem+json"),
            403,
            "denied",
        ),
        (
            JSONResponse({"reason": "denied", "violations": [1]}, 403, media_type="application/problem+json"),
            403,
            "denied",
        ),
        (RedirectResponse("http://elsewhere.example/"), 307, "unexpected_answer"),
    ],
)
def test_any_other_answer_is_a_refusal_too(
    client: GatewayClient, peer: Any, answer: Response, status: int, reason: str
):
    peer.answer = lambda _name: answer

    with pytest.raises(RefusedError) as caught:
        client.read(RELEASE, IMAGE)

    assert (caught.value.status, caught.value.reason) == (status, reason)
    assert caught.value.violations == ()


def test_a_connection_that_breaks_while_reading_is_unreachable(client: GatewayClient, peer: Any):
    async def short():
        yield b"only this"

    peer.answer = lambda _name: StreamingResponse(short(), headers={"Content-Length": "768000"})

    with pytest.raises(UnreachableError):
        client.read(RELEASE, IMAGE)


def test_nobody_there_is_unreachable(connect: Callable[..., GatewayClient]):
    with pytest.raises(UnreachableError):
        connect(base_url="http://127.0.0.1:1").releases()


def test_keys_come_from_files_too(
    connect: Callable[..., GatewayClient], principal_key: OKPKey, tmp_path: Path
):
    path = tmp_path / "engineer.pem"
    path.write_bytes(principal_key.as_pem(private=True, password="correct horse"))

    assert connect(key=path, passphrase="correct horse").releases()
    with pytest.raises(KeyFileError):
        connect(key=path, passphrase="wrong")
    with pytest.raises(KeyFileError):
        connect(key=path)
    with pytest.raises(KeyFileError):
        connect(key=tmp_path / "missing.pem")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"key": OKPKey.generate_key("X25519")}, KeyFileError),
        ({"key": OKPKey.generate_key("Ed25519", private=False)}, KeyFileError),
        ({"release_key": {"kty": "oct", "k": "AA"}}, KeyFileError),
        ({"release_key": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}}, KeyFileError),
        ({"release_key": {"kty": "OKP", "crv": "Ed25519"}}, KeyFileError),
        ({"purpose": ""}, ValueError),
        ({"purpose": "训练"}, ValueError),
        ({"principal": "a\nb"}, ValueError),
        ({"base_url": "gate.example"}, ValueError),
        ({"base_url": "ftp://gate.example"}, ValueError),
    ],
)
def test_what_cannot_work_is_refused_before_any_request(
    connect: Callable[..., GatewayClient], changes: dict[str, Any], error: type[Exception]
):
    with pytest.raises(error):
        connect(**changes)


def test_a_client_that_was_handed_in_stays_open(connect: Callable[..., GatewayClient]):
    with httpx.Client() as http:
        with connect(client=http) as client:
            assert client.releases()

        assert not http.is_closed
