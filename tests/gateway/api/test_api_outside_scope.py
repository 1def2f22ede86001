"""A drive that no certificate covers, over HTTP: received, held sealed, released once one covers it (rule 7)."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.flow.classify import open_original
from gateway.flow.dossier import review_recording
from gateway.flow.intake import load_quarantined
from gateway.flow.records import ItemRow
from gateway.people.certificates import NewCertificate, register_certificate
from gateway.scheduler import run_job
from gateway.vehicles.agent import Collection, VehicleAgent
from simulators import (
    SMALL_CAPTURED,
    START,
    UNIT,
    VEHICLE,
    candidate,
    csv_track,
    publish,
    sweep,
)

RECORDING = "0b6f6d0e-93a5-4f0b-8d57-5f5ad7a6f2c1"
SHENZHEN = "440305"
FILES = {"drive.csv": csv_track(), "lidar/000000.bin": sweep()}


def delivered(served, folder):
    sources = {}
    for name, content in FILES.items():
        sources[name] = folder / name
        sources[name].parent.mkdir(parents=True, exist_ok=True)
        sources[name].write_bytes(content)
    collection = Collection(
        recording=RECORDING,
        started_at=START,
        ended_at=START + timedelta(hours=1),
        region=SHENZHEN,
        crs="EPSG:4326",
    )
    with VehicleAgent(served.url, VEHICLE, served.house.vehicle_key) as agent:
        manifest = agent.build_manifest(sources, collection, SMALL_CAPTURED)
        announced = agent.announce(manifest)
        done = agent.deliver(manifest, sources)
        again = agent.deliver(manifest, sources)
        stands = agent.status(RECORDING)
    assert (len(done.sent), again.sent) == (len(FILES), ())
    assert announced.held == done.held == again.held == stands.held
    assert [item.state for item in stands.items] == ["quarantined"] * len(FILES)
    return stands.held


def events(gate, event_type):
    wanted = EntryFilter(recording=RECORDING, types=(event_type,))
    with gate.ledger.snapshot() as snapshot:
        return sorted(find_all(snapshot, wanted), key=lambda entry: entry.index)


def originals(gate):
    with gate.database.read() as session:
        items = session.scalars(
            sa.select(ItemRow.id).where(ItemRow.recording_id == RECORDING).order_by(ItemRow.position)
        )
        return [open_original(gate, load_quarantined(gate, session, item)).read() for item in items]


def license_shenzhen(gate, house):
    officer = house.people["officer"]
    certificate = NewCertificate(
        number="甲测资字-44",
        kinds=["navigation_map"],
        grade="A",
        holder=UNIT,
        regions=["44"],
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        valid_to=datetime(2090, 1, 1, tzinfo=UTC),
    )
    register_certificate(gate, certificate, b"a scan", actor=officer.actor, key=officer.key)


def test_held_in_quarantine_until_a_certificate_covers_it_then_released(gate, house, serve_gate, tmp_path):
    with serve_gate(gate, house) as served:
        (held,) = delivered(served, tmp_path)
        assert (held.rule, "测绘法" in held.clause) == ("surveying_certificate", True)
        assert held.text_zh.startswith("测绘资质")
        hold = served.call(VEHICLE, "GET", f"/vehicles/v1/recordings/{RECORDING}").json()["hold"]
        (fact,) = hold["violations"][0]["facts"]
        assert (fact["region"], fact["certificate"]["regions"]) == (SHENZHEN, ["11"])
    for _ in range(2):
        assert run_job(gate, "retry_stalled") == {"recordings": 1, "failed": 0, "outside": 1}
    assert originals(gate) == list(FILES.values())
    assert events(gate, EventType.CLASSIFY_ITEM_CLASSIFY) == []
    # Asking again for the same reason is no news: one entry says it, and its index is what is shown.
    (refusal,) = events(gate, EventType.JUDGE_ADVANCE_DECIDE)
    assert (refusal.index, refusal.event.outcome) == (hold["entry"], Outcome.REFUSED)
    assert refusal.event.digests.keys() >= {"question", "asked", "bundle", "manifest", "certificate"}
    summary = review_recording(gate, RECORDING, actor=house.people["first"].actor)
    assert (summary["state"], summary["hold"]) == ("quarantined", hold)

    license_shenzhen(gate, house)
    assert run_job(gate, "retry_stalled") == {"recordings": 1, "failed": 0, "outside": 0}
    summary = review_recording(gate, RECORDING, actor=house.people["first"].actor)
    assert (summary["state"], "hold" in summary) == ("cleansed", False)
    assert {item["state"] for item in summary["items"]} == {"cleansed"}
    outcomes = [each.event.outcome for each in events(gate, EventType.JUDGE_ADVANCE_DECIDE)]
    assert outcomes == [Outcome.REFUSED, Outcome.COMPLETED]
    publish(gate, house, candidate(gate, house, RECORDING))
    assert gate.ledger.verify().open_intents == 0
