"""The one way out: reads under a grant, ranges as RFC 9110 has them, and readers who go away."""

import socket
import struct
import time
from hashlib import sha256
from urllib.parse import urlsplit

import httpx
import pytest

from audit.events import EventType, Outcome
from gateway.api.signing import SignatureAuth
from gateway.flow.release import load_released
from gateway.flow.serve import read_item
from gateway.vault.jws import verify_statement
from simulators import PURPOSE, released


@pytest.fixture(scope="session")
def points(served):
    """The released sweep: its path and its bytes."""
    with served.gate.database.read() as session:
        manifest = load_released(served.gate, session, served.release).manifest
    name = next(item["name"] for item in manifest["items"] if item["class"] == "POINT_CLOUD")
    path = f"/{served.release}/items/{name}"
    answer = served.read(path)
    assert answer.status_code == 200
    return path, answer.content


def test_reader_lists_and_verifies_before_reading(served):
    listed = served.read("").json()["releases"]
    assert [(r["release"], r["purpose"]) for r in listed] == [(served.release, PURPOSE)]
    answer = served.read(f"/{served.release}/manifest")
    assert answer.headers["content-type"] == "application/jose"
    manifest = verify_statement(
        answer.text, "fleetgate-release+jwt", served.gate.keystore.signing_key("release")
    )
    assert manifest["release"] == served.release
    assert served.read("", who="stranger").json() == {"releases": []}


def test_whole_item_is_what_the_manifest_signs(served, points):
    path, content = points
    answer = served.read(path)
    assert answer.status_code == 200
    assert answer.content == content
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["etag"] == f'"{sha256(content).hexdigest()}"'
    assert "content-range" not in answer.headers


RANGES = {
    "first byte": ("bytes=0-0", lambda _: (0, 1)),
    "middle": ("bytes=100-199", lambda _: (100, 200)),
    "last byte": ("bytes={last}-{last}", lambda n: (n - 1, n)),
    "open end": ("bytes=16-", lambda n: (16, n)),
    "suffix": ("bytes=-16", lambda n: (n - 16, n)),
    "suffix beyond the start": ("bytes=-999999999", lambda n: (0, n)),
    "end beyond the item": ("bytes=32-999999999", lambda n: (32, n)),
    "everything": ("bytes=0-", lambda n: (0, n)),
    "upper case": ("BYTES=5-9", lambda _: (5, 10)),
}


@pytest.mark.parametrize("name", RANGES)
def test_range_yields_exactly_these_bytes(served, points, name):
    path, content = points
    template, bounds = RANGES[name]
    start, end = bounds(len(content))
    answer = served.read(path, Range=template.format(last=len(content) - 1))
    assert answer.status_code == 206
    assert answer.content == content[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(content)}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes={size}-",
        "bytes=-0",
        "bytes=9-5",
        "bytes=0-1,5-6",
        "bytes=a-b",
        "bytes=-",
        "bytes=",
        "bytes=٣-٤",
    ],
)
def test_unsatisfiable_range_is_416_with_the_size(served, points, is_problem, wanted):
    path, content = points
    value = wanted.format(size=len(content)).encode()
    auth = SignatureAuth(keyid="engineer", key=served.key("engineer"))
    headers = [(b"Range", value), (b"Fleetgate-Purpose", PURPOSE.encode())]
    answer = httpx.get(f"{served.url}/downstream/v1/releases{path}", headers=headers, auth=auth)
    is_problem(answer, 416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(content)}"


def test_unknown_unit_and_stale_if_range_are_answered_with_the_whole(served, points):
    path, content = points
    assert served.read(path, Range="fixes=0-1").status_code == 200
    stale = served.read(path, **{"Range": "bytes=0-3", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, content)
    fresh = served.read(path, **{"Range": "bytes=0-3", "If-Range": stale.headers["etag"]})
    assert (fresh.status_code, fresh.content) == (206, content[:4])


def test_nobody_learns_of_a_release_without_a_grant(served, points, is_problem):
    path, _ = points
    refused = is_problem(served.read(path, who="stranger"), 403, "no_grant")
    unknown = is_problem(served.read("/" + "0" * 32 + "/manifest"), 403, "no_grant")
    assert refused["detail"].replace(served.release, "") == unknown["detail"].replace("0" * 32, "")


def test_purpose_is_signed_stated_and_judged(served, points, is_problem):
    path, _ = points
    url = f"/downstream/v1/releases{path}"
    is_problem(served.call("engineer", "GET", url), 422, "invalid_request")
    denied = is_problem(served.call("engineer", "GET", url, purpose="marketing"), 403, "denied")
    assert [v["rule"] for v in denied["violations"]] == ["purpose_bound"]
    assert denied["violations"][0]["text_zh"]
    assert denied["violations"][0]["clause"]


def test_item_outside_the_release_is_not_found(served, is_problem):
    is_problem(served.read(f"/{served.release}/items/none.bin"), 404, "not_found")
    is_problem(served.read(f"/{served.release}/items/..%2f..%2fkeystore"), 404, "not_found")


def test_content_is_read_with_get_alone(served, points, is_problem):
    path, _ = points
    url = f"/downstream/v1/releases{path}"
    head = served.call("engineer", "HEAD", url, purpose=PURPOSE)
    assert head.status_code == 405
    assert head.headers["allow"] == "GET"
    is_problem(served.call("engineer", "DELETE", url, purpose=PURPOSE), 405, "method_not_allowed")


def settled(served, before):
    """The outcomes of the one read since ``before``, once it is settled."""
    deadline = time.monotonic() + 10  # far less than until the garbage collector comes by
    entries = []
    while len(entries) < 2 and time.monotonic() < deadline:
        new = (entry.event for entry in served.gate.ledger.entries(before))
        entries = [event for event in new if event.type is EventType.SERVE_ITEM_READ]
        time.sleep(0.05)
    return entries


def test_every_read_is_an_intent_and_a_completion_of_its_bytes(served, points):
    """Law 2: the intent is there before the first byte, the completion counts them."""
    path, _ = points
    before = served.gate.ledger.size
    served.read(path, Range="bytes=0-99")
    intent, completion = settled(served, before)
    assert (intent.outcome, completion.outcome) == (Outcome.INTENT, Outcome.COMPLETED)
    assert completion.facts["bytes"] == 100
    assert (completion.actor, completion.purpose) == ("engineer", PURPOSE)


def test_reader_who_goes_away_leaves_a_failed_entry(served):
    """Law 2: what was begun is settled, and as failed, when the reader hangs up half-way."""
    sweep = {"lidar/big.bin": struct.pack("<4f", 1.0, 2.0, 3.0, 0.5) * 800_000}
    release = released(served.gate, served.house, sweep, attestation="test: no position")
    with served.gate.database.read() as session:
        name = load_released(served.gate, session, release).manifest["items"][0]["name"]
    before = served.gate.ledger.size
    url = f"{served.url}/downstream/v1/releases/{release}/items/{name}"
    auth = SignatureAuth(keyid="engineer", key=served.key("engineer"))
    signed = next(auth.auth_flow(httpx.Request("GET", url, headers={"Fleetgate-Purpose": PURPOSE})))
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        lines = [f"GET {parts.path} HTTP/1.1", *(f"{k}: {v}" for k, v in signed.headers.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert [event.outcome for event in settled(served, before)] == [Outcome.INTENT, Outcome.FAILED]


def test_reading_that_was_opened_but_never_begun_is_settled_too(served, points):
    """Law 2: the reader went away between the intent and the first byte."""
    name = points[0].rpartition("/")[2]
    engineer = served.house.people["engineer"].actor
    before = served.gate.ledger.size
    reading = read_item(served.gate, served.release, name, actor=engineer, purpose=PURPOSE, wanted=None)
    reading.settle()
    reading.settle()
    assert [event.outcome for event in settled(served, before)] == [Outcome.INTENT, Outcome.FAILED]
