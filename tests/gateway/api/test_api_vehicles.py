"""Vehicles at the door: what an enrolled vehicle may deliver, and every way to be turned away."""

import uuid
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import httpx
import pytest
import sqlalchemy as sa

from audit.events import EventType, Outcome
from gateway.api.signatures import content_digest
from gateway.api.signing import SignatureAuth
from gateway.flow.records import ItemRow, RecordingRow, RejectedUploadRow
from gateway.people.registry import enrol_vehicle
from gateway.vault.jws import generate_person_key, public_text
from gateway.vault.store import Context
from gateway.vehicles.manifest import sign_manifest
from simulators import VEHICLE, manifest_of

PATH = "/vehicles/v1/recordings"
FILES = {"meta.json": b'{"weather": "rain"}', "lidar/0.bin": b"\x00\x00\x80?" * 8}


def announced(served, files=FILES, **more):
    manifest = manifest_of(files, captured={}, **more)
    body = {"manifest": sign_manifest(manifest, served.house.vehicle_key)}
    answer = served.call(VEHICLE, "POST", PATH, document=body)
    assert answer.status_code == 201, answer.text
    return manifest, answer.json()


def put(served, recording, position, content, **more):
    return served.call(VEHICLE, "PUT", f"{PATH}/{recording}/items/{position}", body=content, **more)


def state_of(served, recording, position):
    with served.gate.database.read() as session:
        statement = sa.select(ItemRow.state).where(
            ItemRow.recording_id == recording, ItemRow.position == position
        )
        return session.scalar(statement)


@pytest.fixture(scope="module")
def other_vehicle(served):
    key = generate_person_key()
    enrol_vehicle(served.gate, "vehicle-02", public_text(key), actor=served.house.people["officer"].actor)
    return key


def test_announce_deliver_ask(served):
    manifest, answer = announced(served)
    assert [(i["name"], i["state"]) for i in answer["items"]] == [
        ("meta.json", "awaited"),
        ("lidar/0.bin", "awaited"),
    ]
    first = put(served, manifest.recording, 0, FILES["meta.json"])
    assert (first.status_code, first.json()["state"]) == (201, "quarantined")
    status = served.call(VEHICLE, "GET", f"{PATH}/{manifest.recording}").json()
    assert [i["state"] for i in status["items"]] == ["quarantined", "awaited"]
    assert status["items"][1]["href"] == f"{PATH}/{manifest.recording}/items/1"


def test_repeating_changes_nothing(served):
    manifest, first = announced(served)
    again = served.call(
        VEHICLE, "POST", PATH, document={"manifest": sign_manifest(manifest, served.house.vehicle_key)}
    )
    assert again.status_code == 201
    assert again.json() == first
    assert put(served, manifest.recording, 0, FILES["meta.json"]).status_code == 201
    before = len(served.entries(type=EventType.INTAKE_ITEM_RECEIVE))
    assert put(served, manifest.recording, 0, FILES["meta.json"]).json()["state"] == "quarantined"
    assert len(served.entries(type=EventType.INTAKE_ITEM_RECEIVE)) == before


def test_another_manifest_under_one_id_is_a_conflict(served, is_problem):
    manifest, _ = announced(served)
    changed = manifest_of({"other.json": b"{}"}, recording=manifest.recording, captured={})
    body = {"manifest": sign_manifest(changed, served.house.vehicle_key)}
    document = is_problem(served.call(VEHICLE, "POST", PATH, document=body), 409, "conflict")
    assert manifest.recording in document["detail"]


def signed_but(served, change, *, method="GET", path=PATH + "/x", content=None):
    """A properly signed request, changed on its way."""
    headers = {} if content is None else {"Content-Digest": content_digest(sha256(content).digest())}
    request = httpx.Request(method, served.url + path, headers=headers, content=content)
    signed = next(SignatureAuth(keyid=VEHICLE, key=served.house.vehicle_key).auth_flow(request))
    fields, url = change(dict(signed.headers), str(signed.url))
    with httpx.Client() as client:
        return client.request(method, url, headers=fields, content=content)


def without(*names):
    return lambda fields, url: ({k: v for k, v in fields.items() if k.lower() not in names}, url)


CHANGED = {
    "no signature": (without("signature", "signature-input"), "signature_missing"),
    "half a signature": (without("signature"), "signature_missing"),
    "other path": (lambda f, url: (f, url + "y"), "signature_invalid"),
    "other query": (lambda f, url: (f, url + "?all=1"), "signature_invalid"),
    "other key id": (
        lambda f, url: (
            {**f, "signature-input": f["signature-input"].replace(VEHICLE, "vehicle-99")},
            url,
        ),
        "signature_key_unknown",
    ),
    "nonsense": (lambda f, url: ({**f, "signature-input": "%%%"}, url), "signature_malformed"),
    "added purpose": (lambda f, url: ({**f, "fleetgate-purpose": "p"}, url), "signature_coverage"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_request_that_was_not_signed_so_is_refused_and_recorded(served, is_problem, name):
    change, reason = CHANGED[name]
    before = len(served.entries(type=EventType.AUTH_REQUEST_REFUSE))
    is_problem(signed_but(served, change), 401, reason)
    entries = served.entries(type=EventType.AUTH_REQUEST_REFUSE)
    assert len(entries) == before + 1
    assert entries[-1].event.facts["reason"] == reason
    assert entries[-1].event.actor == "unknown"


def test_replayed_request_is_refused(served, is_problem):
    kept = {}

    def keep(fields, url):
        kept.update(fields)
        return fields, url

    is_problem(signed_but(served, keep), 404, "not_found")
    with httpx.Client() as client:
        is_problem(client.get(f"{served.url}{PATH}/x", headers=kept), 401, "signature_replayed")


def test_key_of_a_person_opens_no_vehicle_door_nor_the_reverse(served, is_problem):
    is_problem(served.call("officer", "GET", f"{PATH}/x"), 401, "signature_key_unknown")
    is_problem(served.call(VEHICLE, "GET", "/auditors/v1/ledger/checkpoint"), 401, "signature_key_unknown")


MANIFESTS = {
    "no manifest": (lambda _: {}, 422, "invalid_request", "manifest"),
    "not a string": (lambda _: {"manifest": 5}, 422, "invalid_request", "manifest"),
    "no list": (lambda _: [1], 422, "invalid_request", "list"),
    "other vehicle": (
        lambda s: {"manifest": sign_other_vehicle(s)},
        401,
        "unauthenticated",
        "vehicle-02",
    ),
    "other key": (
        lambda _: {"manifest": sign_manifest(manifest_of(FILES, captured={}), generate_person_key())},
        422,
        "manifest_invalid",
        "manifest",
    ),
    "altered": (
        lambda s: {
            "manifest": sign_manifest(manifest_of(FILES, captured={}), s.house.vehicle_key)[:-6] + "AAAAAA"
        },
        422,
        "manifest_invalid",
        "manifest",
    ),
}


def sign_other_vehicle(served):

    manifest = replace(manifest_of(FILES, captured={}), vehicle="vehicle-02")
    return sign_manifest(manifest, served.house.vehicle_key)


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_that_does_not_verify_is_refused(served, is_problem, name):
    build, status, reason, said = MANIFESTS[name]
    document = is_problem(served.call(VEHICLE, "POST", PATH, document=build(served)), status, reason)
    assert said in document["detail"]


def test_body_that_is_no_json_or_not_the_one_signed(served, is_problem):
    is_problem(served.call(VEHICLE, "POST", PATH, body=b"{"), 422, "invalid_request")
    headers = {"Content-Digest": content_digest(sha256(b"other").digest())}
    answer = served.call(VEHICLE, "POST", PATH, body=b"{}", headers=headers)
    is_problem(answer, 401, "content_digest_mismatch")
    is_problem(served.call(VEHICLE, "POST", PATH), 401, "content_digest_mismatch")


def test_digest_signed_for_other_bytes_is_refused_before_they_are_read(served, is_problem):
    manifest, _ = announced(served)
    is_problem(put(served, manifest.recording, 0, b"something else"), 422, "digest_mismatch")
    assert state_of(served, manifest.recording, 0) == "awaited"


DELIVERED = {
    "other bytes": b"X" * len(FILES["meta.json"]),
    "longer": FILES["meta.json"] + b" ",
    "shorter": FILES["meta.json"][:-1],
}


@pytest.mark.parametrize("name", DELIVERED)
def test_bytes_that_are_not_the_announced_ones_are_kept_sealed_as_rejected(served, is_problem, name):
    """Law 4: what arrived is kept; law 5: it is not taken for the item."""
    content = DELIVERED[name]
    manifest, _ = announced(served)
    claim = {"Content-Digest": content_digest(sha256(FILES["meta.json"]).digest())}
    answer = put(served, manifest.recording, 0, content, headers=claim)
    document = is_problem(answer, 422, "digest_mismatch")
    assert sha256(content).hexdigest() in document["detail"]
    assert "meta.json" in document["detail"]
    assert state_of(served, manifest.recording, 0) == "awaited"
    with served.gate.database.read() as session:
        row = session.scalar(
            sa.select(RejectedUploadRow)
            .join(ItemRow, ItemRow.id == RejectedUploadRow.item_id)
            .where(ItemRow.recording_id == manifest.recording)
        )
        assert session.get_one(RecordingRow, manifest.recording).state == "received"
    context = Context(owner=manifest.recording, object=row.item_id, role="original")
    assert served.gate.vault.read_all(row.seal, context) == content
    refusals = served.entries(
        type=EventType.INTAKE_ITEM_RECEIVE, outcome=Outcome.REFUSED, recording=manifest.recording
    )
    assert [e.event.facts["reason"] for e in refusals] == ["digest_mismatch"]
    assert put(served, manifest.recording, 0, FILES["meta.json"]).status_code == 201


def test_vehicle_sees_its_own_recordings_only(served, other_vehicle, is_problem):
    manifest, _ = announced(served)
    auth = SignatureAuth(keyid="vehicle-02", key=other_vehicle)
    with httpx.Client(base_url=served.url, auth=auth) as client:
        is_problem(client.get(f"{PATH}/{manifest.recording}"), 404, "not_found")
        content = FILES["meta.json"]
        headers = {"Content-Digest": content_digest(sha256(content).digest())}
        answer = client.put(f"{PATH}/{manifest.recording}/items/0", content=content, headers=headers)
        is_problem(answer, 404, "not_found")
    assert state_of(served, manifest.recording, 0) == "awaited"


def test_unknown_recording_or_item(served, is_problem):
    manifest, _ = announced(served)
    unknown = str(uuid.UUID(int=0, version=4))
    is_problem(served.call(VEHICLE, "GET", f"{PATH}/{unknown}"), 404, "not_found")
    is_problem(put(served, unknown, 0, b"x"), 404, "not_found")
    is_problem(put(served, manifest.recording, 7, b"x"), 404, "not_found")
    is_problem(put(served, manifest.recording, -1, b"x"), 404, "not_found")
    document = is_problem(put(served, manifest.recording, "one", b"x"), 422, "invalid_request")
    assert "position" in document["detail"]


def test_policy_refuses_a_drive_from_the_future(served, is_problem):

    manifest = manifest_of(FILES, captured={})
    future = served.gate.clock() + timedelta(days=2)
    manifest = replace(manifest, started_at=future, ended_at=future)
    body = {"manifest": sign_manifest(manifest, served.house.vehicle_key)}
    document = is_problem(served.call(VEHICLE, "POST", PATH, document=body), 403, "denied")
    (violation,) = document["violations"]
    assert violation["rule"] == "period_plausible"
    assert violation["facts"][0]["ended_at"].startswith(future.strftime("%Y-%m-%dT%H:%M"))
