"""Simulators that really sign and seal: people, vehicles and a house with a gate (STYLE.md, habit 12)."""

import hashlib
import io
import json
import math
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import numpy as np
from PIL import Image

from gateway.app import initialise, open_gate
from gateway.flow.approve import approve, sign_approval
from gateway.flow.build import build_release, load_built
from gateway.flow.dossier import review_release
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.flow.judge import judge_release, load_judged
from gateway.flow.looks import has_sheet
from gateway.flow.recording import DataClass, Level, ReleaseMode
from gateway.flow.release import GrantTerms, issue_grant, load_approved, release
from gateway.flow.request import ReleaseRequest, request_release
from gateway.people.assessments import Assessment, AssessmentKind, register_assessment
from gateway.people.certificates import NewCertificate, register_certificate
from gateway.people.delegations import assign_source
from gateway.people.recipients import Contract, Inspection, record_inspection, register_contract
from gateway.people.registry import (
    Actor,
    NewPerson,
    enrol_person,
    enrol_vehicle,
    prove,
    register_purpose,
    register_recipient,
)
from gateway.people.zones import install_zones
from gateway.review.contact_sheet import review_sheets
from gateway.review.quality import draw_sample, record_counts, sign_counts
from gateway.review.quality_counts import KindCount, PictureCount
from gateway.review.quality_standing import Quality, quality_standing
from gateway.settings import Settings
from gateway.vault.jws import PrivateKey, generate_person_key, public_text
from gateway.vault.keys import Keystore
from gateway.vault.root import INSECURE_TEST_ARGON2, Argon2Cost
from gateway.vault.suites import suite_by_name
from gateway.vehicles.cameras import Camera
from gateway.vehicles.manifest import Manifest, ManifestItem, parse_manifest
from gateway.workers import Advance, advance

PURPOSE = "perception-training"
RECIPIENT = "perception-team"
VEHICLE = "vehicle-01"
UNIT = "unit-1"
CERTIFICATE = "甲测资字-TEST"
REGION = "110108"
START = datetime(2026, 9, 14, 1, 30, tzinfo=UTC)
ORIGIN = (39.95, 116.30)
PASSPHRASE = "a test passphrase that opens nothing else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    actor: Actor
    key: PrivateKey


def zone_file(*rings: tuple[str, float, float, float], version: int = 1) -> bytes:
    """A zone file of squares: kind, latitude, longitude and half side in metres."""
    features = []
    for number, (kind, lat, lon, half) in enumerate(rings):
        dy = half / 111_320
        dx = dy / math.cos(math.radians(lat))
        ring = [[lon - dx, lat - dy], [lon + dx, lat - dy], [lon + dx, lat + dy], [lon - dx, lat + dy]]
        features.append(
            {
                "type": "Feature",
                "properties": {"id": f"z{number}", "kind": kind, "margin_m": 50},
                "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            }
        )
    document = {"type": "FeatureCollection", "name": "test", "version": version, "features": features}
    return json.dumps(document).encode()


def route(count: int = 400, step_m: float = 12.0) -> tuple[list[float], list[float]]:
    """A straight drive east from ``ORIGIN``: latitudes and longitudes, one fix per second."""
    dx = step_m / (111_320 * math.cos(math.radians(ORIGIN[0])))
    return [ORIGIN[0]] * count, [ORIGIN[1] + i * dx for i in range(count)]


def csv_track(count: int = 400) -> bytes:
    lats, lons = route(count)
    rows = ["time,lat,lon,speed"]
    rows += [
        f"{(START + timedelta(seconds=i)).strftime('%Y-%m-%dT%H:%M:%SZ')},{lat:.7f},{lon:.7f},12.0"
        for i, (lat, lon) in enumerate(zip(lats, lons, strict=True))
    ]
    return ("\n".join(rows) + "\n").encode()


def png(width: int = 64, height: int = 48, seed: int = 0) -> bytes:
    """A small picture without faces or plates."""
    gradient = np.linspace(60, 180, width, dtype=np.uint8)[None, :, None].repeat(height, 0).repeat(3, 2)
    out = io.BytesIO()
    Image.fromarray((gradient + seed % 8).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def sweep(count: int = 500) -> bytes:
    generator = np.random.default_rng(7)
    points = generator.uniform(-40, 40, (count, 4))
    points[:, 2:] = generator.uniform(0, 1, (count, 2))
    return points.astype("<f4").tobytes()


def video(
    frames: int = 8, width: int = 128, height: int = 96, *, fps: int = 10, pixels: str = "yuv420p"
) -> bytes:
    """A short MP4 of a moving gradient without faces or plates."""
    out = io.BytesIO()
    gradient = np.linspace(60, 180, width, dtype=np.uint8)[None, :, None].repeat(height, 0).repeat(3, 2)
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(np.roll(gradient, number, axis=1), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return out.getvalue()


SMALL_DRIVE: Mapping[str, bytes] = {
    "drive.csv": csv_track(),
    "lidar/000000.bin": sweep(),
    "notes.txt": "天气晴，城市道路。电话13800138000。\n".encode(),
    "meta.json": json.dumps({"weather": "rain", "vin": "LSVNV2187E2100001"}).encode(),
}
"""A drive without images, which passes every stage in well under a second once the analyzer is loaded."""

# Within the first clip of a LOCAL release of the route, which begins at its start and is at least 210 m long.
SMALL_CAPTURED: Mapping[str, datetime] = {"lidar/000000.bin": START + timedelta(seconds=10)}


@dataclass
class House:
    """A home directory with a keystore, opened as often as a test likes."""

    home: Path
    database_url: str | None = None
    settings_changes: dict[str, object] = field(default_factory=dict)
    argon2: Argon2Cost = INSECURE_TEST_ARGON2
    person_key: Callable[[], PrivateKey] = generate_person_key

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        suite = suite_by_name(self.settings().suite)
        self.keystore = Keystore.create(self.home / "keystore", PASSPHRASE, argon2=self.argon2, suite=suite)
        self.people: dict[str, Person] = {}
        self.vehicle_key = generate_person_key()
        initialise(self.settings(), keystore=self.keystore)

    def settings(self) -> Settings:
        # Hundreds of houses lie on one disk; a test of the reserve asks for one.
        changes = {"database_url": self.database_url, "passphrase": PASSPHRASE, "disk_reserve_bytes": 0}
        changes |= self.settings_changes
        return Settings(home=self.home, **changes)  # type: ignore[arg-type]

    @contextmanager
    def opened(self) -> Iterator[Gate]:
        with open_gate(self.settings(), keystore=self.keystore) as gate:
            yield gate

    def enrol(
        self, gate: Gate, person: str, *roles: str, recipient: str | None = None, **more: str
    ) -> Person:
        key = self.person_key()
        enrol_person(
            gate,
            NewPerson(
                id=person,
                roles=roles,
                nationality=more.get("nationality", "CN"),
                entity_country=more.get("entity_country", "CN"),
                public_jwk=public_text(key),
                recipient=recipient,
            ),
            by="test",
        )
        self.people[person] = Person(actor=prove(gate, person, key, "test"), key=key)
        return self.people[person]

    def furnish(self, gate: Gate, zones: bytes | None = None, *, zoned: bool = True) -> None:
        """Everybody and everything that a release needs; without a zone file where it is not to be ``zoned``."""
        admin = self.enrol(gate, "admin", "administrator").actor
        register_recipient(gate, RECIPIENT, country="CN", contract="C-1", actor=admin)
        for person, role in (
            ("officer", "compliance_officer"),
            ("submitter", "operator"),
            ("first", "operator"),
            ("second", "operator"),
            ("auditor", "auditor"),
        ):
            self.enrol(gate, person, role)
        self.enrol(gate, "engineer", "engineer", recipient=RECIPIENT)
        self.enrol(gate, "stranger", "engineer", recipient=RECIPIENT)
        officer = self.people["officer"]
        for purpose in (PURPOSE, "marketing"):
            register_purpose(gate, purpose, assessment="PIA-1", actor=admin)
            for kind in AssessmentKind:
                self.assess(gate, purpose, kind)
        self.oversee(gate)
        register_certificate(
            gate,
            NewCertificate(
                number=CERTIFICATE,
                kinds=["navigation_map"],
                grade="A",
                holder=UNIT,
                regions=["11"],
                valid_from=datetime(2020, 1, 1, tzinfo=UTC),
                valid_to=datetime(2090, 1, 1, tzinfo=UTC),
            ),
            b"a scan of the certificate",
            actor=officer.actor,
            key=officer.key,
        )
        if zoned:
            install_zones(gate, zones or zone_file(), actor=officer.actor, key=officer.key)
        enrol_vehicle(gate, VEHICLE, public_text(self.vehicle_key), actor=officer.actor)
        assign_source(gate, VEHICLE, UNIT, actor=officer.actor, key=officer.key)

    def assess(self, gate: Gate, purpose: str, kind: AssessmentKind) -> None:
        """An assessment of everything that a purpose might use."""
        officer = self.people["officer"]
        assessment = Assessment(
            purpose=purpose,
            kind=kind,
            reference=f"{kind.value}-1",
            made_at=datetime(2020, 1, 1, tzinfo=UTC),
            valid_until=datetime(2090, 1, 1, tzinfo=UTC),
            classes=[each.value for each in DataClass],
            levels=[each.name for each in Level],
        )
        register_assessment(gate, assessment, b"a report", actor=officer.actor, key=officer.key)

    def oversee(self, gate: Gate) -> None:
        """A contract with the recipient, and an inspection that found nothing."""
        officer = self.people["officer"]
        contract = Contract(
            recipient=RECIPIENT,
            number="C-1",
            valid_from=datetime(2020, 1, 1, tzinfo=UTC),
            valid_to=datetime(2090, 1, 1, tzinfo=UTC),
            purposes=[PURPOSE, "marketing"],
        )
        register_contract(gate, contract, b"a contract", actor=officer.actor, key=officer.key)
        inspection = Inspection(
            recipient=RECIPIENT, inspected_at=gate.clock(), inspector="officer", finding=""
        )
        record_inspection(gate, inspection, b"a report", actor=officer.actor, key=officer.key)


def vehicle_actor() -> Actor:
    return Actor(id=VEHICLE, kind="vehicle", roles=("vehicle",), nationality="CN", entity_country="CN")


def manifest_of(
    files: Mapping[str, bytes],
    *,
    recording: str | None = None,
    captured: Mapping[str, datetime] | None = None,
    crs: str = "EPSG:4326",
    cameras: tuple[Camera, ...] = (),
    region: str = REGION,
) -> Manifest:
    items = tuple(
        ManifestItem(
            name=name,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            captured_at=(SMALL_CAPTURED if captured is None else captured).get(name),
        )
        for name, content in files.items()
    )
    manifest = Manifest(
        vehicle=VEHICLE,
        recording=recording or str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)),
        started_at=START,
        ended_at=START + timedelta(hours=1),
        region=region,
        crs=crs,
        cabin=False,
        audio=False,
        items=items,
        cameras=cameras,
    )
    return parse_manifest(manifest.payload())


def deliver(
    gate: Gate,
    files: Mapping[str, bytes],
    *,
    recording: str | None = None,
    captured: Mapping[str, datetime] | None = None,
    attestation: str | None = None,
    cameras: tuple[Camera, ...] = (),
    crs: str = "EPSG:4326",
    region: str = REGION,
) -> str:
    """Announce and deliver as an enrolled vehicle does; nothing is classified yet."""
    manifest = manifest_of(
        files, recording=recording, captured=captured, cameras=cameras, crs=crs, region=region
    )
    delivery = Delivery(
        manifest=manifest, source="vehicle", manifest_signed=True, zone_attestation=attestation
    )
    made = announce(gate, delivery, actor=vehicle_actor())
    for position, item in enumerate(manifest.items):
        receive_item(gate, made, position, [files[item.name]], actor=vehicle_actor())
    return made


def cleanse(gate: Gate, files: Mapping[str, bytes], **more: object) -> str:
    """Deliver and carry on until everything is cleansed, cut or held."""
    recording = deliver(gate, files, **more)  # type: ignore[arg-type]
    outcome = advance(gate, recording)
    assert isinstance(outcome, Advance)
    assert outcome.awaited == 0
    return recording


def candidate(
    gate: Gate, house: House, *recordings: str, mode: ReleaseMode = ReleaseMode.LOCAL, days: int = 30
) -> str:
    """A built and judged candidate."""
    request = ReleaseRequest(
        recordings=recordings,
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=mode,
        expires_at=gate.clock() + timedelta(days=days),
    )
    made = request_release(gate, request, actor=house.people["submitter"].actor)
    build_release(gate, made)
    look_over(gate, house, made)
    judge_release(gate, made)
    return made


def look(gate: Gate, house: House, release_id: str, person: str) -> None:
    """Open what an approval rests on, as whoever signs must have done before."""
    actor = house.people[person].actor
    review_release(gate, release_id, actor=actor)
    with gate.database.read() as session:
        sheet = has_sheet(gate, session, load_judged(gate, session, release_id).built)
    if sheet:
        assert all(review_sheets(gate, release_id, actor=actor, page=1))


def look_over(gate: Gate, house: House, release_id: str, person: str = "officer") -> None:
    """A simulated reviewer's say that nothing shows in any sampled picture, where there are pictures."""
    with gate.database.read() as session:
        standing = quality_standing(gate, session, load_built(gate, session, release_id))
    if standing is not Quality.NOT_DRAWN:
        return
    who = house.people[person]
    sampled = int(draw_sample(gate, release_id, actor=who.actor)["sampled"])
    if sampled:
        nothing = dict.fromkeys(range(1, sampled + 1), 0)
        count_pictures(gate, house, release_id, nothing, person=person)


def count_pictures(
    gate: Gate, house: House, release_id: str, missed: Mapping[int, int], *, person: str = "officer"
) -> None:
    """Signed counts of pictures by number: one masked face and plate in each, and so many missed faces."""
    who = house.people[person]
    counts = [
        PictureCount(
            picture=number, face=KindCount(masked=1, missed=faces), plate=KindCount(masked=1, missed=0)
        )
        for number, faces in missed.items()
    ]
    statement = sign_counts(gate, release_id, counts, reviewer=person, key=who.key)
    record_counts(gate, release_id, statement, actor=who.actor)


def sign(gate: Gate, house: House, release_id: str, person: str) -> None:
    """One operator's approval with their own key, after a look."""
    look(gate, house, release_id, person)
    with gate.database.read() as session:
        judged = load_judged(gate, session, release_id)
    who = house.people[person]
    statement = sign_approval(judged, who.actor.id, who.key, gate.clock())
    approve(gate, release_id, statement, actor=who.actor)


def publish(gate: Gate, house: House, release_id: str) -> None:
    """Two approvals, then out."""
    sign(gate, house, release_id, "first")
    sign(gate, house, release_id, "second")
    actor = house.people["first"].actor
    release(gate, load_approved(gate, release_id, actor=actor), actor=actor)


def grant(gate: Gate, house: House, release_id: str, person: str = "engineer", days: int = 7) -> str:
    terms = GrantTerms(release=release_id, principal=person, not_after=gate.clock() + timedelta(days=days))
    return issue_grant(gate, terms, actor=house.people["first"].actor)


def released(gate: Gate, house: House, files: Mapping[str, bytes], **more: object) -> str:
    """From files to a granted release; returns its id."""
    mode = more.pop("mode", ReleaseMode.LOCAL)
    recording = cleanse(gate, files, **more)
    made = candidate(gate, house, recording, mode=mode)  # type: ignore[arg-type]
    publish(gate, house, made)
    grant(gate, house, made)
    return made
