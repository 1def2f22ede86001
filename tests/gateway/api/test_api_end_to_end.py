"""One drive over HTTP from the vehicle to the engineer, on SQLite and on PostgreSQL."""

import time
from datetime import timedelta

import pytest

from gateway.flow.approve import sign_approval
from gateway.flow.judge import load_judged
from gateway.vehicles.agent import Collection, VehicleAgent
from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.errors import RefusedError
from simulators import PURPOSE, RECIPIENT, REGION, SMALL_CAPTURED, SMALL_DRIVE, START, VEHICLE

RECORDING = "6c1b6a52-7d3c-4c2e-9a55-0f0a4f3f7a10"


def delivered(served, folder):
    sources = {}
    for name, content in SMALL_DRIVE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sources[name] = path
    collection = Collection(
        recording=RECORDING,
        started_at=START,
        ended_at=START + timedelta(hours=1),
        region=REGION,
        crs="EPSG:4326",
    )
    with VehicleAgent(served.url, VEHICLE, served.house.vehicle_key) as agent:
        manifest = agent.build_manifest(sources, collection, SMALL_CAPTURED)
        agent.deliver(manifest, sources)
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            states = {item.state for item in agent.status(RECORDING).items}
            if states <= {"cleansed", "cut", "held"}:
                return states
            time.sleep(0.1)
    raise AssertionError(states)


def test_vehicle_to_engineer_over_http(gate, house, serve_gate, tmp_path):
    with serve_gate(gate, house) as served:
        assert delivered(served, tmp_path / "vehicle") == {"cleansed"}
        terms = {
            "recordings": [RECORDING],
            "purpose": PURPOSE,
            "recipient": RECIPIENT,
            "mode": "LOCAL",
            "expires_at": (gate.clock() + timedelta(days=30)).isoformat(),
        }
        requested = served.call("submitter", "POST", "/operators/v1/releases", document=terms)
        while requested.status_code == 409:  # the worker has yet to settle the recording
            time.sleep(0.1)
            requested = served.call("submitter", "POST", "/operators/v1/releases", document=terms)
        assert requested.status_code == 201, requested.text
        release = requested.json()["release"]
        for person in ("first", "second"):
            with gate.database.read() as session:
                judged = load_judged(gate, session, release)
            looked = served.call(person, "GET", f"/operators/v1/releases/{release}")
            assert looked.status_code == 200
            statement = sign_approval(judged, person, house.people[person].key, gate.clock())
            path = f"/operators/v1/releases/{release}/approvals"
            assert served.call(person, "POST", path, document={"statement": statement}).status_code == 201
        assert (
            served.call("first", "POST", f"/operators/v1/releases/{release}/publication").status_code == 201
        )
        until = (gate.clock() + timedelta(days=7)).isoformat()
        grant = {"release": release, "principal": "engineer", "not_after": until}
        assert served.call("second", "POST", "/operators/v1/grants", document=grant).status_code == 201
        with GatewayClient(
            served.url,
            key=house.people["engineer"].key,
            principal="engineer",
            purpose=PURPOSE,
            release_key=gate.keystore.signing_key("release").as_dict(private=False),
        ) as client:
            fetched = client.fetch(release, tmp_path / "out")
            item = client.manifest(release).items[0]
            index = client.register(
                DerivedArtefact(
                    kind=ArtefactKind.INDEX,
                    name="an index",
                    sha256="ab" * 32,
                    code="git:1234567",
                    parameters={"metric": "cosine"},
                    releases=(release,),
                    items=(item.sha256,),
                )
            )
            assert client.standing(index).revoked is False
            lineage = served.call("auditor", "GET", f"/operators/v1/releases/{release}/lineage").json()
            assert [each["artefact"] for each in lineage["artefacts"]] == [index]
            revoked = served.call("first", "POST", f"/operators/v1/releases/{release}/revocation")
            assert revoked.status_code == 201
            (received,) = revoked.json()["received"]
            assert (received["principal"], len(received["items"])) == ("engineer", len(SMALL_DRIVE))
            assert [each["artefact"] for each in revoked.json()["artefacts"]] == [index]
            assert client.standing(index).revoked_releases == (release,)
            with pytest.raises(RefusedError, match="422"):
                client.register(
                    DerivedArtefact(
                        kind=ArtefactKind.MODEL, name="late", sha256="cd" * 32, code="x", artefacts=(index,)
                    )
                )
        assert len(fetched.fetched) == len(SMALL_DRIVE)
        everything = b"".join(p.read_bytes() for p in (tmp_path / "out").iterdir())
        for canary in (b"13800138000", b"LSVNV2187E2100001", b"drive.csv", VEHICLE.encode()):
            assert canary not in everything
    assert gate.ledger.verify().open_intents == 0
