"""Bad input through the real intake: a clear reason that names it, nothing lost, nothing released.

Every bad item lies in one drive beside good ones. Law 4: each sealed original still opens to the delivered
bytes. Law 5: each is held. Law 1: the release that is built from the drive holds only what was cleansed.
"""

import gzip
import io
import json
import struct
import zlib
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from anonymize.errors import ZoneFileError
from audit.events import EventType, Outcome
from gateway.commands.deliver import carrier_manifest, collect, ingest_files
from gateway.errors import (
    ConflictError,
    DeniedError,
    DigestMismatchError,
    EvidenceError,
    InvalidRequestError,
    StageOrderError,
)
from gateway.flow.build import load_built
from gateway.flow.dossier import recording_summary
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.flow.records import ItemRow, RecordingRow, RejectedUploadRow
from gateway.people.delegations import assign_source
from gateway.people.records import ZoneFileRow
from gateway.people.registry import ACT_TYPE, check_in_carrier
from gateway.people.zones import install_zones, zones_in_force
from gateway.vault.jws import generate_person_key, sign_statement, thumbprint
from gateway.vault.store import Context
from gateway.vehicles.errors import ManifestError
from gateway.vehicles.manifest import parse_manifest, read_manifest, sign_manifest
from gateway.workers import advance
from simulators import (
    SMALL_CAPTURED,
    SMALL_DRIVE,
    START,
    UNIT,
    VEHICLE,
    House,
    candidate,
    cleanse,
    deliver,
    manifest_of,
    png,
    sweep,
    vehicle_actor,
    video,
    zone_file,
)


def corrupt(content: bytes) -> bytes:
    """A video whose coded frames are noise in the middle; the container is whole."""
    start = content.index(b"mdat") + 4
    end = start - 8 + int.from_bytes(content[start - 8 : start - 4], "big")
    middle = (start + end) // 2
    noise = np.random.default_rng(3).integers(0, 256, 200, dtype=np.uint8).tobytes()
    return content[:middle] + noise + content[middle + len(noise) :]


def jpeg(width: int = 64, height: int = 48, exif: Image.Exif | None = None) -> bytes:
    out = io.BytesIO()
    extra = {} if exif is None else {"exif": exif}
    Image.open(io.BytesIO(png(width, height))).save(out, "JPEG", **extra)
    return out.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A tiny PNG whose header claims another size."""
    content = bytearray(png())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def jpeg_claiming(width: int, height: int) -> bytes:
    content = bytearray(jpeg())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def gpx(lat: str, lon: str) -> bytes:
    points = "".join(f'<trkpt lat="39.{i}" lon="116.{i}"></trkpt>' for i in range(10, 20))
    bad = f'<trkpt lat="{lat}" lon="{lon}"></trkpt>'
    namespace = "http://www.topografix.com/GPX/1/1"
    return f'<gpx xmlns="{namespace}" version="1.1"><trk><trkseg>{points}{bad}</trkseg></trk></gpx>'.encode()


def csv(value: str) -> bytes:
    return f"lat,lon\n39.95,116.30\n{value},116.31\n".encode()


def geojson(position: str) -> bytes:
    line = f"[[116.3,39.9],{position}]"
    geometry = f'{{"type":"LineString","coordinates":{line}}}'
    return f'{{"type":"Feature","properties":{{}},"geometry":{geometry}}}'.encode()


def points(*, at: int, value: float) -> bytes:
    values = np.frombuffer(sweep(), "<f4").copy()
    values[at] = value
    return values.tobytes()


def exif_gps(latitude: tuple[float, float, float], reference: str = "N") -> Image.Exif:
    exif = Image.Exif()
    gps = exif.get_ifd(0x8825)
    gps.update({1: reference, 2: latitude, 3: "E", 4: (116.0, 18.0, 0.0)})
    exif[0x8825] = gps
    return exif


NOISE = np.random.default_rng(5).bytes(4096)

# Name of the item: content, reason code, what the detail must name.
BAD = {
    "empty.jpg": (b"", "malformed", "0 bytes"),
    "empty.csv": (b"", "malformed", "0 bytes"),
    "empty.txt.gz": (gzip.compress(b""), "malformed", "0 bytes within gzip"),
    "cut.jpg": (jpeg()[:-200], "malformed", "truncated"),
    "cut.png": (png()[:-20], "malformed", "truncated"),
    "cut.gpx": (gpx("39.9", "116.3")[:-40], "malformed", "well-formed"),
    "cut.json": (b'{"weather": "rain", "sensors": [', "malformed", "JSON"),
    "cut.bin": (sweep()[:-3], "malformed", "7997 bytes"),
    "cut.csv.gz": (gzip.compress(SMALL_DRIVE["drive.csv"])[:-20], "malformed", "truncated"),
    "image.jpg": (png(), "wrong_extension", ".jpg"),
    "image.png": (jpeg(), "wrong_extension", ".png"),
    "picture.csv": (png(), "wrong_extension", ".csv"),
    "packed.csv": (gzip.compress(SMALL_DRIVE["drive.csv"]), "wrong_extension", "csv.gz"),
    "bomb.png": (png_claiming(30_000, 30_000), "limit_exceeded", "30000×30000"),
    "bomb.jpg": (jpeg_claiming(30_000, 30_000), "limit_exceeded", "30000×30000"),
    "none.png": (png_claiming(0, 0), "malformed", "0×0"),
    "none.jpg": (jpeg_claiming(0, 0), "malformed", "0"),
    "wide.png": (png(30_000, 20), "limit_exceeded", "30000×20"),
    "tiny.png": (png(4, 4), "limit_exceeded", "4×4"),
    "nan.csv": (csv("nan"), "malformed", "nan"),
    "inf.csv": (csv("inf"), "malformed", "inf"),
    "far.csv": (csv("90.5"), "malformed", "90.5"),
    "word.csv": (csv("north"), "malformed", "north"),
    "nan.gpx": (gpx("nan", "116.3"), "malformed", "nan"),
    "far.gpx": (gpx("39.9", "181.25"), "malformed", "181.25"),
    "entity.gpx": (b'<!DOCTYPE gpx [<!ENTITY a "b">]>' + gpx("39.9", "116.3"), "malformed", "document type"),
    "nan.geojson": (geojson("[NaN,39.9]"), "malformed", "NaN"),
    "inf.geojson": (geojson("[116.3,1e999]"), "malformed", "binary64 (at /2/1/1/1"),
    "far.geojson": (geojson("[-200.5,39.9]"), "malformed", "-200.5"),
    "crs.geojson": (
        geojson("[116.3,39.9]").replace(
            b'"properties"', b'"crs":{"type":"name","properties":{"name":"EPSG:3857"}},"properties"'
        ),
        "unknown_crs",
        "EPSG:3857",
    ),
    "nan.bin": (points(at=404, value=float("nan")), "malformed", "nan"),
    "inf.bin": (points(at=5, value=float("inf")), "malformed", "inf"),
    "far.bin": (points(at=8, value=5e6), "malformed", "5000000.0"),
    "latin.txt": ("Straße".encode("latin-1"), "malformed", "0xdf"),
    "gbk.csv": ("纬度,经度\n39.9,116.3\n".encode("gbk"), "malformed", "UTF-8"),
    "latin.json": (b'{"note": "Stra\xdfe"}', "malformed", "0xdf"),
    "nul.txt": (b"rain\x00snow", "malformed", "U+0000"),
    "deep.json": (b"[" * 5000 + b"]" * 5000, "limit_exceeded", ""),
    "twice.json": (b'{"vin": "a", "vin": "b"}', "malformed", "duplicate key"),
    "bomb.txt.gz": (gzip.compress(b"0" * 30_000_000), "limit_exceeded", ":1"),
    "noise.dat": (NOISE, "unknown_format", NOISE[:8].hex(" ")),
    "page.html": (b"<html><body>x</body></html>", "unknown_format", "gpx"),
    "gps.jpg": (jpeg(exif=exif_gps((95.0, 0.0, 0.0))), "malformed", "90 degrees"),
    "gpsref.jpg": (jpeg(exif=exif_gps((39.0, 0.0, 0.0), "Q")), "malformed", "axis NS"),
    "cut.mp4": (video()[:-300], "malformed", "cut short"),
    "ten.mp4": (video(pixels="yuv420p10le"), "malformed", "bit depth"),
    "text.mp4": (b"no video at all", "wrong_extension", "found text"),
    "video.jpg": (video(), "wrong_extension", "found video"),
    "corrupt.mp4": (corrupt(video(frames=24, width=160)), "malformed", ""),
    "nowhere.mp4": (video(), "zones_unchecked", "position is unknown"),
    "nowhere.png": (png(), "zones_unchecked", "position is unknown"),
    "nowhere.bin": (sweep(600), "zones_unchecked", "position is unknown"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """A drive of good and bad items, carried as far as it goes, and the candidate built from it."""

    gate: object
    recording: str
    release: str
    held: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def house_and_gate(tmp_path_factory):
    house = House(home=tmp_path_factory.mktemp("bad") / "home")
    with house.opened() as gate:
        house.furnish(gate)
        yield house, gate


@pytest.fixture(scope="module")
def drive(house_and_gate) -> Drive:
    house, gate = house_and_gate
    files = {**SMALL_DRIVE, **{name: content for name, (content, _, _) in BAD.items()}}
    captured = {**SMALL_CAPTURED, "corrupt.mp4": START + timedelta(seconds=30)}
    recording = cleanse(gate, files, captured=captured)
    items = recording_summary(gate, recording)["items"]
    held = {item["name"]: item for item in items}
    return Drive(gate=gate, recording=recording, release=candidate(gate, house, recording), held=held)


@pytest.mark.parametrize("name", BAD)
def test_bad_item_is_held_with_a_reason_that_names_it(drive, name):
    """Law 5."""
    _, reason, said = BAD[name]
    item = drive.held[name]
    assert (item["state"], item.get("reason")) == ("held", reason), item
    assert said in item["detail"]


@pytest.mark.parametrize("name", BAD)
def test_bad_item_is_not_lost(drive, name):
    """Law 4: the sealed original opens to the delivered bytes."""
    gate = drive.gate
    with gate.database.read() as session:
        row = session.get_one(ItemRow, drive.held[name]["item"])
    context = Context(owner=drive.recording, object=row.id, role="original")
    assert gate.vault.read_all(row.original_seal, context) == BAD[name][0]
    assert row.treated_seal is None


def test_nothing_bad_is_in_the_release_and_everything_good_is(drive):
    """Law 1."""
    gate = drive.gate
    with gate.database.read() as session:
        built = load_built(gate, session, drive.release)
        sources = {item.source for item in built.items}
    assert sources == {drive.held[name]["item"] for name in SMALL_DRIVE}
    assert built.left_out == {}


def test_each_hold_is_in_the_ledger_without_content(drive):
    """Rule 28: the reason code is public, the detail that quotes content is sealed."""
    holds = [
        entry
        for entry in drive.gate.ledger.entries()
        if entry.event.type is EventType.INTAKE_ITEM_HOLD and entry.event.outcome is Outcome.INTENT
    ]
    mine = {entry.event.item for entry in holds if entry.event.recording == drive.recording}
    assert mine == {drive.held[name]["item"] for name in BAD}
    leaves = b"".join(entry.leaf for entry in drive.gate.ledger.entries())
    for canary in (b"noise.dat", b"EPSG:3857", b"Stra", b"39.9500000"):
        assert canary not in leaves


def test_metadata_in_another_encoding_is_stripped_not_fatal(house_and_gate):
    """EXIF text that is no UTF-8 tells nothing about the pixels: the image passes and the text does not."""
    house, gate = house_and_gate
    exif = Image.Exif()
    exif[0x010E] = "Straße".encode("latin-1")
    exif[0x9286] = b"UNICODE\x00\xff\xfe\xfd"
    recording = cleanse(gate, {"text.jpg": jpeg(64, 56, exif=exif)}, attestation="a closed test track")
    (item,) = recording_summary(gate, recording)["items"]
    assert item["state"] == "cleansed", item
    made = candidate(gate, house, recording)
    with gate.database.read() as session:
        (built,) = load_built(gate, session, made).items
    content = gate.vault.read_all(built.seal, Context(owner=made, object=built.name, role="release"))
    assert b"Stra" not in content
    assert b"UNICODE" not in content


def test_item_without_position_passes_only_under_an_attestation(house_and_gate):
    _, gate = house_and_gate
    picture = {"nowhere.png": png(80, 60)}
    refused = cleanse(gate, picture)
    attested = cleanse(gate, picture, attestation="a closed test track")
    (held,), (passed,) = (recording_summary(gate, r)["items"] for r in (refused, attested))
    assert (held["state"], held["reason"]) == ("held", "zones_unchecked")
    assert passed["state"] == "cleansed"
    with gate.database.read() as session:
        assert session.get_one(RecordingRow, attested).zone_attestation is not None


def test_drive_in_an_unknown_frame_is_refused_at_the_door(house_and_gate):
    """Rules 2 and 26: a frame that is not known is never guessed; it may be a state secret."""
    _, gate = house_and_gate
    for crs in ("BD-10", "EPSG:9999999", "wgs84"):
        manifest = manifest_of({"drive.csv": SMALL_DRIVE["drive.csv"]}, crs=crs)
        delivery = Delivery(manifest=manifest, source="vehicle", manifest_signed=True)
        with pytest.raises(DeniedError) as caught:
            announce(gate, delivery, actor=vehicle_actor())
        (violation,) = caught.value.decision.violations
        assert (violation.rule, violation.facts[0]["crs"]) == ("known_frame", crs)
        with gate.database.read() as session:
            assert session.get(RecordingRow, manifest.recording) is None


@pytest.mark.parametrize("crs", ["EPSG:4610", "EPSG:9001", "LOCAL"])
def test_track_in_a_frame_that_no_reader_knows_is_held(house_and_gate, crs):
    """Rules 2 and 9: a frame that policy can name but that cannot be brought to WGS-84 is held, not guessed."""
    _, gate = house_and_gate
    manifest = manifest_of({"drive.csv": SMALL_DRIVE["drive.csv"]}, crs=crs)
    delivery = Delivery(manifest=manifest, source="vehicle", manifest_signed=True)
    recording = announce(gate, delivery, actor=vehicle_actor())
    receive_item(gate, recording, 0, [SMALL_DRIVE["drive.csv"]], actor=vehicle_actor())
    advance(gate, recording)
    (item,) = recording_summary(gate, recording)["items"]
    assert (item["state"], item["reason"]) == ("held", "unknown_crs")
    assert crs in item["detail"]


def test_drive_of_nothing_known_is_refused_at_the_door(house_and_gate):
    """Rules 2 and 26: what is of unknown class throughout is handled as a state secret."""
    _, gate = house_and_gate
    with pytest.raises(DeniedError, match="known_frame"):
        deliver(gate, {"noise.dat": NOISE})


def test_nothing_can_be_released_from_a_drive_of_bad_items_only(house_and_gate):
    house, gate = house_and_gate
    recording = cleanse(gate, {"noise.json": NOISE})
    with pytest.raises(InvalidRequestError, match="no item to offer"):
        candidate(gate, house, recording)


PATHS = {
    "parent": "../keystore/keystore.json",
    "inner parent": "camera/../../x.jpg",
    "absolute": "/etc/passwd",
    "drive letter": "C:/x.jpg",
    "backslash": "camera\\x.jpg",
    "dot": "./x.jpg",
    "empty part": "camera//x.jpg",
    "nul": "x\x00.jpg",
    "newline": "x\n.jpg",
    "override": "x\u202egpj.exe",
    "not composed": "stra\u0308sse.txt",
    "lone surrogate": "x\ud800.jpg",
    "empty": "",
    "long": "x" * 300,
}


@pytest.mark.parametrize("name", PATHS)
def test_path_that_leaves_or_hides_is_refused_in_a_manifest(name):
    payload = manifest_of({"a.txt": b"x"}, captured={}).payload()
    payload["items"][0]["name"] = PATHS[name]
    with pytest.raises(ManifestError) as caught:
        parse_manifest(payload)
    assert caught.value.field == "items[0].name"
    assert PATHS[name][:20] in str(caught.value) or ascii(PATHS[name][:20])[1:-1] in str(caught.value)


@pytest.mark.parametrize(
    "names", [("a.txt", "a.txt"), ("a.txt", "A.TXT"), ("straße.txt", "STRASSE.txt"), ("É.txt", "é.txt")]
)
def test_duplicate_names_are_refused_however_spelt(names):
    payload = manifest_of({"first": b"x", "second": b"x"}, captured={}).payload()
    for item, name in zip(payload["items"], names, strict=True):
        item["name"] = name
    with pytest.raises(ManifestError, match=r"items\[1\]\.name .* other than that of items\[0\]"):
        parse_manifest(payload)


def test_carrier_with_a_hostile_folder_is_refused_whole(house_and_gate, tmp_path):
    """What a disk holds cannot reach beyond the disk, nor hide an item behind another."""
    _, gate = house_and_gate
    secret = tmp_path / "secret.json"
    secret.write_text('{"note": "of this machine"}')
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "notes.txt").write_text("rain")
    for name in ("link.json", "folder"):
        link = disk / name
        link.symlink_to(secret if name == "link.json" else tmp_path)
        with pytest.raises(InvalidRequestError, match=f"{name}'.*links are refused"):
            collect([disk])
        link.unlink()
    (disk / "back\\slash.txt").write_text("x")
    with pytest.raises(ManifestError, match="backslash"):
        carrier_manifest(gate, "disk-9", collect([disk]), region="110108", crs="EPSG:4326")
    (disk / "back\\slash.txt").rename(disk / "NOTES.TXT")
    with pytest.raises(ManifestError, match="other than that of"):
        carrier_manifest(gate, "disk-9", collect([disk]), region="110108", crs="EPSG:4326")
    with pytest.raises(InvalidRequestError, match="no such file"):
        collect([tmp_path / "missing"])
    with pytest.raises(InvalidRequestError, match="two files of one name"):
        collect([disk, disk])


def test_carrier_whose_files_change_while_they_are_read_is_not_taken(house_and_gate, tmp_path):
    house, gate = house_and_gate
    officer = house.people["officer"]
    check_in_carrier(gate, "disk-7", actor=officer.actor, key=officer.key)
    assign_source(gate, "disk-7", UNIT, actor=officer.actor, key=officer.key)
    (tmp_path / "notes.txt").write_text("rain in the morning")
    files = collect([tmp_path])
    manifest = carrier_manifest(gate, "disk-7", files, region="110108", crs="EPSG:4326")
    (tmp_path / "notes.txt").write_text("snow in the evening")
    with pytest.raises(DigestMismatchError, match=r"notes\.txt"):
        ingest_files(gate, manifest, files, actor=officer.actor, attestation=None)
    assert recording_summary(gate, manifest.recording)["items"][0]["state"] == "awaited"


def test_bytes_other_than_announced_are_kept_apart_and_never_released(house_and_gate):
    house, gate = house_and_gate
    announced, sent = b'{"weather": "sun"}', b'{"weather": "fog"}'
    manifest = manifest_of({"meta.json": announced}, captured={})
    delivery = Delivery(manifest=manifest, source="vehicle", manifest_signed=True)
    recording = announce(gate, delivery, actor=vehicle_actor())
    with pytest.raises(DigestMismatchError, match=r"meta\.json") as caught:
        receive_item(gate, recording, 0, [sent], actor=vehicle_actor())
    assert manifest.items[0].sha256 in str(caught.value)
    with gate.database.read() as session:
        row = session.scalar(
            sa.select(RejectedUploadRow).join(ItemRow).where(ItemRow.recording_id == recording)
        )
    assert (
        gate.vault.read_all(row.seal, Context(owner=recording, object=row.item_id, role="original")) == sent
    )
    advance(gate, recording)
    with pytest.raises(StageOrderError, match="not cleansed"):
        candidate(gate, house, recording)


def test_manifest_by_another_hand_or_of_another_drive_is_refused(house_and_gate):
    house, gate = house_and_gate
    manifest = manifest_of(SMALL_DRIVE)
    public = house.vehicle_key
    signed = sign_manifest(manifest, house.vehicle_key)
    assert read_manifest(signed, public) == manifest
    with pytest.raises(ManifestError, match="signed by the vehicle"):
        read_manifest(sign_manifest(manifest, generate_person_key()), public)
    head, body, signature = signed.split(".")
    for altered in (f"{head}.{body[:-4]}AAAA.{signature}", f"{head}.{body}.{signature[:-4]}AAAA", "x", ""):
        with pytest.raises(ManifestError, match="signed by the vehicle"):
            read_manifest(altered, public)
    with pytest.raises(ManifestError, match="ended_at"):
        parse_manifest(replace(manifest, ended_at=START - timedelta(hours=1)).payload())
    deliver(gate, SMALL_DRIVE, recording=manifest.recording)
    other = manifest_of({"other.txt": b"x"}, recording=manifest.recording, captured={})
    delivery = Delivery(manifest=other, source="vehicle", manifest_signed=True)
    with pytest.raises(ConflictError, match=manifest.recording):
        announce(gate, delivery, actor=vehicle_actor())
    assert manifest.vehicle == VEHICLE


ZONES = {
    "no JSON": (b"{", "no JSON"),
    "no collection": (b"[]", "FeatureCollection"),
    "no version": (b'{"type":"FeatureCollection","name":"n","features":[]}', "version"),
    "unknown kind": (zone_file(("PARK", 39.9, 116.3, 100), version=90), "PARK"),
    "no margin": (
        zone_file(("MIL", 39.9, 116.3, 100), version=90).replace(b'"margin_m": 50', b'"m": 1'),
        "margin_m",
    ),
    "not a number": (zone_file(("MIL", 39.9, 116.3, 100), version=90).replace(b"50}", b"NaN}"), "margin_m"),
    "bow tie": (
        json.dumps(
            {
                "type": "FeatureCollection",
                "name": "n",
                "version": 90,
                "features": [
                    {
                        "type": "Feature",
                        "properties": {"id": "z", "kind": "MIL", "margin_m": 50},
                        "geometry": {
                            "type": "Polygon",
                            "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]],
                        },
                    }
                ],
            }
        ).encode(),
        "Self-intersection",
    ),
}


@pytest.mark.parametrize("name", ZONES)
def test_malformed_zone_file_is_refused_and_the_old_one_stays(house_and_gate, name):
    house, gate = house_and_gate
    content, said = ZONES[name]
    officer = house.people["officer"]
    with pytest.raises(ZoneFileError, match=said):
        install_zones(gate, content, actor=officer.actor, key=officer.key)
    with gate.database.read() as session:
        assert zones_in_force(gate, session).version == 1


def test_zone_file_under_another_signature_is_not_installed(house_and_gate):
    house, gate = house_and_gate
    officer = house.people["officer"].actor
    with pytest.raises(EvidenceError, match="signature does not verify"):
        install_zones(gate, zone_file(version=2), actor=officer, key=generate_person_key())
    with gate.database.read() as session:
        assert zones_in_force(gate, session).version == 1


def test_zone_file_whose_signature_was_exchanged_stops_cleansing(sqlite_gate, sqlite_house):
    """Law 6: the signature is verified whenever the zones are used, not only when they are installed."""
    gate, officer = sqlite_gate, sqlite_house.people["officer"]
    recording = deliver(gate, SMALL_DRIVE)
    installed = install_zones(gate, zone_file(version=2), actor=officer.actor, key=officer.key)
    said = {"act": "zones.install", "digest": installed.digest, "person": "officer", "version": 2}
    stranger = generate_person_key()
    for statement in (
        sign_statement(stranger, ACT_TYPE, thumbprint(stranger), said),
        sign_statement(officer.key, ACT_TYPE, thumbprint(officer.key), said | {"digest": "0" * 64}),
        sign_statement(officer.key, ACT_TYPE, thumbprint(officer.key), said | {"act": "dbc.install"}),
    ):
        with gate.database.transaction() as session:
            session.execute(
                sa.update(ZoneFileRow).where(ZoneFileRow.version == 2).values(statement=statement)
            )
        with pytest.raises(EvidenceError, match="signature"):
            advance(gate, recording)
    install_zones(gate, zone_file(version=3), actor=officer.actor, key=officer.key)
    assert advance(gate, recording).cleansed == len(SMALL_DRIVE)
