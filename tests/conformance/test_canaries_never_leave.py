"""Laws 1, 3 and 7 end to end: a planted drive goes through the real server; every byte that a downstream reader
receives, and every byte that the gate leaves on its disk, is searched for every canary in many encodings."""

import base64
import csv
import io
import json
import logging
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from audit.export import export_ledger
from conformance.canaries import (
    BACKGROUND,
    FACES,
    LONG,
    MOMENT,
    PLATES_AT,
    TEXTS,
    Needle,
    needles,
    planted_drive,
    search,
    thumbnail,
)
from conformance.drives import KEYED
from conformance.wire import Tap, caller, serving
from gateway.app import release_public_jwk
from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode
from gateway.vehicles.agent import Collection, VehicleAgent
from pipeline.client import GatewayClient
from pipeline.errors import RefusedError
from simulators import PURPOSE, REGION, START, VEHICLE, House, candidate, grant, publish

# Within the first clip, which begins with the drive and is at least 210 m long; and far from the trimmed ends.
TAKEN = {ReleaseMode.LOCAL: START + timedelta(seconds=5), ReleaseMode.OFFSET: MOMENT}
DRIVES = {ReleaseMode.LOCAL: ("zidane", 0), ReleaseMode.OFFSET: ("bus", 1)}
WAIT_S = 240.0
SHORT = 4


class Kept(logging.Handler):
    """Everything that the gate logs while it works (rule 28)."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter().format(record))


@pytest.fixture(scope="module")
def wanted() -> tuple[Needle, ...]:
    return needles()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Two drives delivered, cleansed, released and fetched over HTTP, and all that was refused on the way."""
    place = tmp_path_factory.mktemp("canaries")
    temporary = place / "tmp"
    temporary.mkdir()
    handler, root = Kept(), logging.getLogger()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        root.addHandler(handler)
        house = House(home=place / "home")
        with house.opened() as gate:
            house.furnish(gate)
            with serving(gate) as origin, Tap(int(origin.rpartition(":")[2])) as tap:
                drives = {mode: planted_drive(*DRIVES[mode], captured=TAKEN[mode]) for mode in KEYED}
                recordings = {mode: sent(place, origin, house, drives[mode]) for mode in KEYED}
                states = {mode: settled(gate, recordings[mode]) for mode in KEYED}
                released = {mode: out(gate, house, recordings[mode], mode) for mode in KEYED}
                fetched = {mode: fetch(place, tap, gate, house, released[mode]) for mode in KEYED}
                refusals = refused(tap, gate, house, released)
                exported = io.BytesIO()
                export_ledger(gate.ledger, exported)
                time.sleep(0.2)
                yield SimpleNamespace(
                    gate=gate, house=house, home=house.home, temporary=temporary, drives=drives, states=states,
                    released=released, fetched=fetched, refusals=refusals, wire=tap.received(),
                    ledger=exported.getvalue(), log="\n".join(handler.lines).encode(),
                )  # fmt: skip
        root.removeHandler(handler)


def sent(place: Path, origin: str, house: House, drive) -> str:
    sources = {}
    for number, (name, content) in enumerate(drive.files.items()):
        sources[name] = place / "vehicle" / drive.photograph / f"{number}"
        sources[name].parent.mkdir(parents=True, exist_ok=True)
        sources[name].write_bytes(content)
    collection = Collection(
        recording=str(uuid.uuid4()),
        started_at=START - timedelta(days=1),
        ended_at=START + timedelta(days=1),
        region=REGION,
        crs="EPSG:4326",
    )
    with VehicleAgent(origin, VEHICLE, house.vehicle_key) as agent:
        manifest = agent.build_manifest(sources, collection, drive.captured)
        agent.deliver(manifest, sources)
    return manifest.recording


def settled(gate: Gate, recording: str) -> dict[str, str]:
    deadline = time.monotonic() + WAIT_S
    while True:
        summary = recording_summary(gate, recording)
        if summary["state"] == "cleansed":
            return {item["name"].rpartition("/")[2]: item["state"] for item in summary["items"]}
        assert time.monotonic() < deadline, summary
        time.sleep(0.2)


def out(gate: Gate, house: House, recording: str, mode: ReleaseMode) -> str:
    release = candidate(gate, house, recording, mode=mode)
    publish(gate, house, release)
    grant(gate, house, release)
    return release


def client(tap: Tap, gate: Gate, house: House, person: str, purpose: str = PURPOSE) -> GatewayClient:
    return GatewayClient(
        tap.origin,
        key=house.people[person].key,
        principal=person,
        purpose=purpose,
        release_key=json.loads(release_public_jwk(gate)),
    )


def fetch(place: Path, tap: Tap, gate: Gate, house: House, release: str) -> SimpleNamespace:
    folder = place / "downstream" / release
    folder.parent.mkdir(exist_ok=True)
    with client(tap, gate, house, "engineer") as reader:
        assert release in {each.release for each in reader.releases()}
        reader.fetch(release, folder)
        manifest = reader.manifest(release)
        partial = reader.read(release, manifest.items[0].name, 1, 9)
    items = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "release.jws"}
    assert set(items) == {file.name for file in manifest.files}
    assert items[manifest.items[0].name][1:9] == partial
    return SimpleNamespace(
        items=items, statement=(folder / "release.jws").read_bytes(), manifest=manifest,
        kinds={item.name: item.data_class for item in manifest.items},
    )  # fmt: skip


def refused(tap: Tap, gate: Gate, house: House, released: dict[ReleaseMode, str]) -> list[str]:
    """Whatever a reader who should not read is told."""
    told = []
    for release in released.values():
        for person, purpose in (("stranger", PURPOSE), ("engineer", "marketing")):
            with client(tap, gate, house, person, purpose) as reader, pytest.raises(RefusedError) as error:
                reader.manifest(release)
            told.append(str(error.value))
        for person in ("engineer", "stranger"):
            with caller(tap.origin, person, house.people[person].key, PURPOSE) as raw:
                paths = ("items/absent.jpg", "items/%2e%2e%2fmanifest", "manifest/", "items/")
                told += [raw.get(f"/downstream/v1/releases/{release}/{path}").text for path in paths]
        with caller(tap.origin, purpose=PURPOSE) as raw:
            told.append(raw.get(f"/downstream/v1/releases/{release}/manifest").text)
    return told


def opened_statements(statement: bytes) -> Iterator[bytes]:
    """The parts of a signed statement, and of the statements inside it."""
    for part in statement.split(b".")[:2]:
        payload = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
        yield payload
        for inner in re.findall(rb"[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}", payload):
            yield from opened_statements(inner)


def test_the_search_would_find_every_canary_in_what_the_vehicle_sent(
    world: SimpleNamespace, wanted: tuple[Needle, ...]
):
    """The search is worth something: in the originals it finds all of them."""
    for drive in world.drives.values():
        sent_bytes = b"".join(drive.files.values()) + "\n".join(drive.files).encode()
        found = {canary for canary, _ in search(sent_bytes, wanted)}
        assert set(TEXTS) <= found
        assert {
            "thumbnail",
            "latitude rationals little",
            "latitude DMS",
            "latitude XMP",
            "latitude E7",
        } <= found


def test_everything_understood_was_released_and_the_rest_is_held(world: SimpleNamespace):
    for mode in KEYED:
        states = world.states[mode]
        # A binary that nobody understands, and a text that names the recording's files.
        assert {name for name, state in states.items() if state == "held"} == {"radar.raw", "mentions.txt"}
        kinds = sorted(world.fetched[mode].kinds.values())
        track = "TRAJ_REL" if mode is ReleaseMode.LOCAL else "TRAJ_ABS"
        assert kinds == sorted(
            ["EXT_IMAGE", "EXT_IMAGE", "EXT_VIDEO", "POINT_CLOUD", track, track, "VEH_ID", "VEH_ID"]
        )


def test_no_canary_is_in_any_released_item(world: SimpleNamespace, wanted: tuple[Needle, ...]):
    found = {}
    for mode in KEYED:
        for name, content in world.fetched[mode].items.items():
            least = LONG if name.endswith((".jpg", ".png", ".mp4")) else SHORT
            hits = search(content, wanted, least=least)
            if hits:
                found[mode.value, name] = hits
    assert found == {}


def test_no_canary_is_in_any_byte_on_the_wire(world: SimpleNamespace, wanted: tuple[Needle, ...]):
    """Status lines, headers, lists, manifests, items, ranges and problem documents, as they came."""
    assert sum(map(len, world.wire)) > sum(
        len(content) for mode in KEYED for content in world.fetched[mode].items.values()
    )
    assert any(b"application/problem+json" in each for each in world.wire)
    assert [search(each, wanted, least=LONG) for each in world.wire if search(each, wanted, least=LONG)] == []


def test_no_canary_is_in_what_signed_statements_hold(world: SimpleNamespace, wanted: tuple[Needle, ...]):
    for mode in KEYED:
        parts = list(opened_statements(world.fetched[mode].statement))
        assert len(parts) == 6, "the manifest and both approvals have a header and a payload each"
        for part in parts:
            assert search(part, wanted, least=LONG) == []


def test_no_canary_is_in_what_refused_readers_are_told(world: SimpleNamespace, wanted: tuple[Needle, ...]):
    assert len(world.refusals) == 22
    for told in world.refusals:
        assert search(told.encode(), wanted, least=LONG) == []
        assert not any(name in told for mode in KEYED for name in world.fetched[mode].items)


def test_no_true_fix_is_in_any_released_track(world: SimpleNamespace):
    for mode in KEYED:
        truth = {(f"{lat:.6f}", f"{lon:.6f}") for lat, lon in world.drives[mode].fixes}
        seen = 0
        for name, content in world.fetched[mode].items.items():
            if not name.endswith((".csv", ".gpx")):
                continue
            numbers = [
                re.findall(r"-?\d+\.\d{3,}", line) for line in re.split(r"\n|<trkpt", content.decode())
            ]
            pairs = {
                (f"{float(a):.6f}", f"{float(b):.6f}")
                for row in numbers
                for a in row
                for b in row
                if abs(float(a)) <= 90
            }
            assert not pairs & truth
            seen += len(numbers)
        assert seen > 400


def test_local_tracks_hold_nothing_that_could_be_a_place_on_earth(world: SimpleNamespace):
    for name, content in world.fetched[ReleaseMode.LOCAL].items.items():
        if name.endswith(".csv"):
            rows = list(csv.reader(io.StringIO(content.decode())))[1:]
            assert len(rows) > 100
            assert max(abs(float(value)) for row in rows for value in row[2:4]) < 2000


def grey(content: bytes, box: tuple[int, int, int, int]) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened.convert("L").crop(box), dtype=np.float64)


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two pictures of one size; 0 where one of them is even."""
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return 0.0 if scale < 1e-9 * a.size else float((a * b).sum()) / scale


def photograph_of(world: SimpleNamespace, mode: ReleaseMode) -> tuple[str, bytes, bytes]:
    drive = world.drives[mode]
    before = next(content for name, content in drive.files.items() if name.endswith(".jpg"))
    (after,) = (c for name, c in world.fetched[mode].items.items() if name.endswith(".jpg"))
    return drive.photograph, before, after


@pytest.mark.parametrize("mode", KEYED)
def test_faces_and_the_plate_are_gone_from_the_pixels_and_nothing_else_is(
    world: SimpleNamespace, mode: ReleaseMode
):
    which, before, after = photograph_of(world, mode)
    assert likeness(grey(before, BACKGROUND[which]), grey(after, BACKGROUND[which])) > 0.95
    for box in (*FACES[which], PLATES_AT[which]):
        old, new = grey(before, box), grey(after, box)
        assert abs(likeness(old, new)) < 0.3, f"{box} is still to be recognised"
        assert np.abs(np.diff(new, axis=1)).mean() < 0.3 * np.abs(np.diff(old, axis=1)).mean()


@pytest.mark.parametrize("mode", KEYED)
def test_no_picture_hides_inside_a_released_item(world: SimpleNamespace, mode: ReleaseMode):
    with Image.open(io.BytesIO(thumbnail())) as opened:
        preview = np.asarray(opened.convert("RGB").resize((16, 12)), dtype=np.float64)
    for name, content in world.fetched[mode].items.items():
        starts = [m.start() for m in re.finditer(rb"\xff\xd8\xff", content)]
        assert starts == ([0] if name.endswith(".jpg") else [])
        if name.endswith((".jpg", ".png")):
            with Image.open(io.BytesIO(content)) as opened:
                assert not opened.getexif()
                assert set(opened.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
                pixels = np.asarray(opened.convert("RGB").resize((16, 12)), dtype=np.float64)
            assert np.abs(pixels - preview).mean() > 40


@pytest.mark.parametrize("mode", KEYED)
def test_a_released_video_holds_frames_only(world: SimpleNamespace, mode: ReleaseMode):
    (content,) = (c for name, c in world.fetched[mode].items.items() if name.endswith(".mp4"))
    for hidden in (b"mp4a", b"\xa9xyz", b"udta", b"GPMF", b"free", b"x264"):
        assert hidden not in content
    with av.open(io.BytesIO(content)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert not {key for key in container.metadata if "brand" not in key and key != "minor_version"}
        assert sum(1 for _ in container.decode(video=0)) == 4


def test_no_canary_is_on_the_gates_disk(world: SimpleNamespace, wanted: tuple[Needle, ...]):
    """Law 3: sealed files, databases with their write-ahead logs, ledger, keystore, temporary files."""
    files = [p for root in (world.home, world.temporary) for p in root.rglob("*") if p.is_file()]
    assert {"gateway.db-wal", "ledger.db-wal"} <= {path.name for path in files}
    found = {}
    for path in files:
        hits = search(path.name.encode() + b"\n" + path.read_bytes(), wanted, least=LONG)
        if hits:
            found[str(path.relative_to(world.home.parent))] = hits
    assert found == {}


def test_no_stretch_of_an_original_is_on_the_gates_disk(world: SimpleNamespace):
    stretches = [
        content[at : at + 32]
        for drive in world.drives.values()
        for content in drive.files.values()
        for at in range(600, len(content) - 32, max(32, len(content) // 8))
    ]
    for root in (world.home, world.temporary):
        for path in root.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert not any(stretch in content for stretch in stretches), path


def test_neither_ledger_export_nor_log_holds_a_canary(world: SimpleNamespace, wanted: tuple[Needle, ...]):
    assert world.ledger
    assert search(world.ledger, wanted, least=LONG) == []
    assert search(world.log, wanted, least=LONG) == []
