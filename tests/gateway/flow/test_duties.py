"""Duties of an allowed release are performed and proved by evidence, or it is refused (laws 1, 5 and 6)."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.errors import DeniedError, ObligationError
from gateway.flow.build import build_release, built_payload, load_built
from gateway.flow.duties import is_performed
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.recording import ReleaseMode, ReleaseState
from gateway.flow.records import ReleaseRow
from gateway.flow.release import load_released
from gateway.flow.request import ReleaseRequest, request_release
from gateway.flow.serve import ReadOverError, read_item
from policies.bundle import Bundle, bundle_of
from policies.decision import Obligation, ObligationKind
from policies.embedded import EmbeddedEngine
from simulators import PURPOSE, RECIPIENT, START, House, cleanse, csv_track, grant, publish, sweep

SWEEPS = 4
DRIVE = {"drive.csv": csv_track(), **{f"lidar/{n:06}.bin": sweep(200 + n) for n in range(SWEEPS)}}
CAPTURED = {f"lidar/{n:06}.bin": START + timedelta(seconds=4 + n) for n in range(SWEEPS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    house: House
    gate: Gate
    release: str


def built(gate: Gate, house: House, count: int) -> str:
    recording = cleanse(gate, {**DRIVE, "drive.csv": csv_track(count)}, captured=CAPTURED)
    request = ReleaseRequest(
        recordings=(recording,),
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=ReleaseMode.LOCAL,
        expires_at=gate.clock() + timedelta(days=30),
    )
    made = request_release(gate, request, actor=house.people["submitter"].actor)
    build_release(gate, made)
    return made


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    house = House(home=tmp_path_factory.mktemp("duties"))
    with house.opened() as gate:
        house.furnish(gate)
        made = built(gate, house, 400)
        yield Stage(house=house, gate=gate, release=made)


def under(gate: Gate, file: str, before: str, after: str) -> Gate:
    """The same gate under a bundle in which one number is another."""
    files = dict(gate.bundle.bundle.files)
    assert before.encode() in files[file]
    files[file] = files[file].replace(before.encode(), after.encode())
    bundle: Bundle = bundle_of(files)
    verified = dataclasses.replace(gate.bundle, bundle=bundle)
    return dataclasses.replace(gate, bundle=verified, engine=EmbeddedEngine(bundle))


STRICTER = {
    "clip_length": ("data/position.yaml", '"2020-01-01": 300', '"2020-01-01": 100'),
    "thin_points": ("data/treatment.yaml", '"2020-01-01": 2', '"2020-01-01": 4'),
}


@pytest.mark.parametrize("kind", STRICTER)
def test_what_was_built_under_a_looser_number_is_refused(stage: Stage, kind: str):
    """The profile cut and thinned less than policy now asks for: refused, closed, in the ledger."""
    made = built(stage.gate, stage.house, 390 if kind == "clip_length" else 380)
    with pytest.raises(ObligationError) as refusal:
        judge_release(under(stage.gate, *STRICTER[kind]), made)
    assert refusal.value.kinds == (kind,)
    with stage.gate.database.read() as session:
        assert session.get_one(ReleaseRow, made).state == ReleaseState.DENIED
    with stage.gate.ledger.snapshot() as snapshot:
        wanted = EntryFilter(release=made, types=(EventType.JUDGE_RELEASE_DECIDE,))
        (entry,) = find_all(snapshot, wanted)
    assert (entry.event.outcome, entry.event.facts["reason"]) == (Outcome.REFUSED, "obligation_unmet")
    assert entry.event.facts["allowed"] is True


def test_duties_are_stated_performed_and_proved(stage: Stage):
    judge_release(stage.gate, stage.release)
    with stage.gate.database.read() as session:
        judged = load_judged(stage.gate, session, stage.release)
        evidence = built_payload(stage.gate, session, stage.release)
    duties = {duty["kind"]: duty["parameters"] for duty in judged.decision["obligations"]}
    assert {"clip_length", "expire", "in_zone_only", "thin_points"} <= duties.keys()
    assert 0 < evidence["longest_clip_m"] <= duties["clip_length"]["max_m"]
    clouds = [item for item in judged.built.items if item.data_class.value == "POINT_CLOUD"]
    assert {item.payload["series"]["count"] for item in clouds} == {SWEEPS}
    assert len(clouds) == SWEEPS // duties["thin_points"]["keep_every"]
    assert "treatment.point_keep_every" in duties["show_unverified"]["what"]


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("clip_length", {"max_m": 10}),
        ("clip_length", {}),
        ("thin_points", {"keep_every": 4, "classes": ["POINT_CLOUD"]}),
        ("thin_points", {"classes": ["POINT_CLOUD"]}),
        ("in_zone_only", {"zone": "partner"}),
        ("expire", {"not_after": "2020-01-01T00:00:00Z"}),
        ("expire", {}),
        ("mask_signs", {"items": ["nothing"]}),
        ("mask_signs", {}),
        ("watermark", {"classes": ["EXT_IMAGE"], "clause": "rule 31"}),
    ],
)
def test_what_evidence_does_not_show_is_not_performed(stage: Stage, kind: str, parameters: dict[str, object]):
    """Law 5: another number, none, or a duty that nothing performs."""
    duty = Obligation(kind=ObligationKind(kind), parameters=parameters)
    with stage.gate.database.read() as session:
        candidate = load_built(stage.gate, session, stage.release)
        assert not is_performed(stage.gate, session, candidate, duty)


def test_zone_and_expiry_hold_when_it_is_read(stage: Stage):
    """Law 1: from another network zone nothing; past its end a running read gets no further byte."""
    publish(stage.gate, stage.house, stage.release)
    grant(stage.gate, stage.house, stage.release, days=7)
    with stage.gate.database.read() as session:
        manifest = load_released(stage.gate, session, stage.release).manifest
    assert manifest["destination_zone"] == "in_zone"
    name = manifest["items"][0]["name"]
    reader = {"actor": stage.house.people["engineer"].actor, "purpose": PURPOSE, "wanted": None}
    elsewhere = stage.gate.settings.model_copy(update={"network_zone": "partner"})
    with pytest.raises(DeniedError) as denial:
        read_item(dataclasses.replace(stage.gate, settings=elsewhere), stage.release, name, **reader)
    assert [v.rule for v in denial.value.decision.violations] == ["zone_bound"]
    now = [stage.gate.clock()]
    reading = read_item(dataclasses.replace(stage.gate, clock=lambda: now[0]), stage.release, name, **reader)
    now[0] += timedelta(days=8)
    with pytest.raises(ReadOverError):
        next(reading.chunks)
    reading.settle()
    with stage.gate.ledger.snapshot() as snapshot:
        last = list(find_all(snapshot, EntryFilter(item=name, types=(EventType.SERVE_ITEM_READ,))))[-1]
    assert (last.event.outcome, last.event.facts["error"]) == (Outcome.FAILED, "ReadOverError")
