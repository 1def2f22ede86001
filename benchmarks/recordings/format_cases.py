"""What the first pass over each format is measured on: its bytes, both sides, and what must pass through."""

import io
import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import can
import laspy
import numpy as np
import osmium
import pynmea2
from pypcd4 import PointCloud
from pyproj import CRS

from anonymize.can.cleanse import cleanse_can
from anonymize.formats.nmea import read_nmea, write_nmea
from anonymize.geo.cut import cut_track
from anonymize.geo.zones import ZoneSet
from anonymize.maps.cleanse import cleanse_map
from anonymize.maps.sniff import MapKind
from anonymize.points.cleanse import cleanse_cloud
from anonymize.points.kinds import CloudKind
from anonymize.profile import shipped_profile

PROFILE = shipped_profile("cn-2026").profile
PLACE = (39.9, 116.3)
UTM = "EPSG:32650"
BEGIN_S = 1_700_000_000.0
DBC = b"""VERSION ""
BU_: ECU
BO_ 258 Cabin: 8 ECU
 SG_ Door_Open : 0|4@1+ (1,0) [0|0] "" ECU
 SG_ Wiper_Mode : 4|4@1+ (1,0) [0|0] "" ECU
 SG_ Cabin_Temperature : 8|8@1+ (1,-40) [0|0] "C" ECU
BO_ 257 Place: 8 ECU
 SG_ GPS_Latitude : 0|32@1- (1E-7,0) [0|0] "deg" ECU
 SG_ GPS_Longitude : 32|32@1- (1E-7,0) [0|0] "deg" ECU
"""

Pass = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One format: its bytes, our pass, the library's, and what holds our output against the input."""

    library: str
    data: str
    content: bytes
    ours: Pass
    plain: Pass
    check: Callable[[bytes, bytes], None]


def zones() -> ZoneSet:
    features = []
    for number, angle in enumerate(np.linspace(0, 2 * np.pi, 20, endpoint=False)):
        lat, lon = PLACE[0] + 0.5 * np.sin(angle), PLACE[1] + 0.5 * np.cos(angle)
        ring = [[lon + x, lat + y] for x, y in ((-0.01, -0.01), (0.01, -0.01), (0.01, 0.01), (-0.01, 0.01))]
        properties = {"id": f"zone {number}", "kind": "MIL", "margin_m": 0.0}
        geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    collection = {"type": "FeatureCollection", "name": "benchmark", "version": 1, "features": features}
    return ZoneSet.from_geojson(json.dumps(collection).encode())


ZONES = zones()


def cloud(kind: CloudKind, content: bytes) -> bytes:
    place = None if kind is CloudKind.LAZ else (*PLACE, None)
    treated = cleanse_cloud(
        io.BytesIO(content), kind, zones=ZONES, place=place, crs=None, profile=PROFILE.points
    )
    return b"".join(treated.chunks)


def sweep(data: Path, size: float) -> tuple[str, np.ndarray]:
    real = data / "kitti_object" / "velodyne" / "000000.bin"
    if real.is_file():
        return "real", np.fromfile(real, "<f4").reshape(-1, 4)
    rng = np.random.default_rng(1)
    rows = rng.uniform(-70.0, 70.0, (int(120_000 * size), 4)).astype("<f4")
    rows[:, 3] = rng.uniform(0.0, 1.0, len(rows))
    return "made", rows


def near(rows: np.ndarray) -> np.ndarray:
    """The points of a sweep within the range that the profile keeps."""
    return rows[np.linalg.norm(rows[:, :3].astype(float), axis=1) <= PROFILE.points.max_range_m]


def kitti(data: Path, size: float) -> Case:
    where, rows = sweep(data, size)

    def check(_: bytes, out: bytes) -> None:
        assert np.array_equal(np.frombuffer(out, "<f4").reshape(-1, 4), near(rows)), "points changed"

    return Case(
        library="numpy", data=where, content=rows.tobytes(), check=check,
        ours=lambda content: cloud(CloudKind.KITTI, content),
        plain=lambda content: np.frombuffer(content, "<f4").reshape(-1, 4).copy().tobytes(),
    )  # fmt: skip


def written(points: PointCloud) -> bytes:
    file = io.BytesIO()
    points.save(file)
    return file.getvalue()


def pcd(data: Path, size: float) -> Case:
    where, rows = sweep(data, size)

    def check(_: bytes, out: bytes) -> None:
        again = PointCloud.from_fileobj(io.BytesIO(out)).numpy(("x", "y", "z", "intensity"))
        assert np.array_equal(again, near(rows)), "points changed"

    return Case(
        library="pypcd4", data=where, check=check,
        content=written(PointCloud.from_xyzi_points(rows)),
        ours=lambda content: cloud(CloudKind.PCD, content),
        plain=lambda content: written(PointCloud.from_fileobj(io.BytesIO(content))),
    )  # fmt: skip


def laz_file(las: laspy.LasData) -> bytes:
    file = io.BytesIO()
    las.write(file, do_compress=True)
    return file.getvalue()


def laz(_: Path, size: float) -> Case:
    rng = np.random.default_rng(2)
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales, header.offsets = [0.001] * 3, [440_000.0, 4_417_000.0, 0.0]
    header.add_crs(CRS(UTM))
    las = laspy.LasData(header)
    east, north = (rng.uniform(0.0, 500.0, int(500_000 * size)) for _ in range(2))
    las.x, las.y, las.z = 440_000.0 + east, 4_417_000.0 + north, 40.0 + rng.normal(0.0, 2.0, len(east))
    las.intensity = rng.integers(0, 4096, len(east))
    las.gps_time = np.sort(rng.uniform(0.0, 60.0, len(east)))

    def check(before: bytes, out: bytes) -> None:
        one, other = (laspy.read(io.BytesIO(content)) for content in (before, out))
        assert np.array_equal(one.xyz, other.xyz), "points changed"
        assert np.array_equal(one.intensity, other.intensity), "intensities changed"

    return Case(
        library="laspy", data="made", content=laz_file(las), check=check,
        ours=lambda content: cloud(CloudKind.LAZ, content),
        plain=lambda content: laz_file(laspy.read(io.BytesIO(content))),
    )  # fmt: skip


def cleansed_map(kind: MapKind, content: bytes) -> bytes:
    treated = cleanse_map(io.BytesIO(content), kind, zones=ZONES, profile=PROFILE, crs="EPSG:4326")
    return b"".join(treated.chunks)


def osm_written(fill: Callable[[osmium.SimpleWriter], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.osm.pbf"
        with osmium.SimpleWriter(str(path)) as writer:
            fill(writer)
        return path.read_bytes()


def osm_plain(content: bytes) -> bytes:
    def fill(writer: osmium.SimpleWriter) -> None:
        for one in osmium.FileProcessor(osmium.io.FileBuffer(content, "pbf")):
            writer.add(one)

    return osm_written(fill)


def osm_ways(content: bytes) -> set[tuple[tuple[int, int], ...]]:
    """The places of each way in 1e-7 degrees, parted where an extract lacks a node."""
    processor = osmium.FileProcessor(osmium.io.FileBuffer(content, "pbf")).with_locations()
    return {
        tuple((n.x, n.y) for n in run)
        for way in processor
        if way.is_way()
        for there, run in itertools.groupby(way.nodes, key=lambda n: n.location.valid())
        if there
    }


def pbf(data: Path, size: float) -> Case:
    real = data / "osm" / "Helsinki.osm.pbf"
    rng = np.random.default_rng(3)

    def fill(writer: osmium.SimpleWriter) -> None:
        mutable = osmium.osm.mutable
        count = int(80_000 * size)
        for number, (lon, lat) in enumerate(
            rng.uniform((116.2, 39.8), (116.4, 40.0), (count, 2)).tolist(), 1
        ):
            writer.add_node(mutable.Node(id=number, location=(lon, lat)))
        for number in range(1, count // 8):
            nodes = range(8 * number - 7, 8 * number + 1)
            writer.add_way(mutable.Way(id=number, nodes=nodes, tags={"highway": "residential"}))

    def check(before: bytes, out: bytes) -> None:
        ways, left = osm_ways(before), osm_ways(out)
        assert left, "no way is left"
        assert left <= ways, "ways changed"

    return Case(
        library="osmium", data="real" if real.is_file() else "made", check=check, plain=osm_plain,
        content=real.read_bytes() if real.is_file() else osm_written(fill),
        ours=lambda content: cleansed_map(MapKind.OSM_PBF, content),
    )  # fmt: skip


def geojson(_: Path, size: float) -> Case:
    rng = np.random.default_rng(4)
    features = [
        {
            "type": "Feature",
            "properties": {"highway": "residential", "lanes": 2},
            "geometry": {"type": "LineString", "coordinates": np.round(line, 7).tolist()},
        }
        for line in rng.uniform((116.2, 39.8), (116.4, 40.0), (int(20_000 * size), 8, 2))
    ]

    def check(_: bytes, out: bytes) -> None:
        left = [feature["geometry"] for feature in json.loads(out)["features"]]
        assert left == [feature["geometry"] for feature in features], "features changed"

    return Case(
        library="json", data="made", check=check,
        content=json.dumps({"type": "FeatureCollection", "features": features}).encode(),
        ours=lambda content: cleansed_map(MapKind.GEOJSON, content),
        plain=lambda content: json.dumps(json.loads(content)).encode(),
    )  # fmt: skip


def can_messages(content: bytes, kind: str) -> list[can.Message]:
    reader = (
        can.ASCReader(io.StringIO(content.decode())) if kind == "asc" else can.BLFReader(io.BytesIO(content))
    )
    return list(reader)


def can_written(messages: list[can.Message], kind: str) -> bytes:
    """The log as python-can writes it, to a file of a name: it closes what it is given."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"log.{kind}"
        with can.ASCWriter(path) if kind == "asc" else can.BLFWriter(path) as writer:
            for message in messages:
                writer.on_message_received(message)
        return path.read_bytes()


def can_log(kind: str, size: float) -> Case:
    rng = np.random.default_rng(6)
    cabin = [
        can.Message(
            timestamp=BEGIN_S + n / 100, arbitration_id=258, is_extended_id=False, channel=0,
            data=bytes([n % 200, 60, 0, 0, 0, 0, 0, int(rng.integers(256))]),
        )
        for n in range(int(60_000 * size))
    ]  # fmt: skip
    place = round(PLACE[0] * 1e7).to_bytes(4, "little") + round(PLACE[1] * 1e7).to_bytes(4, "little")
    places = [
        can.Message(timestamp=m.timestamp, arbitration_id=257, is_extended_id=False, channel=0, data=place)
        for m in cabin[::10]
    ]

    def ours(content: bytes) -> bytes:
        treated = cleanse_can(
            io.BytesIO(content),
            kind,
            dbc=DBC,
            spans_to_cut=(),
            profile=PROFILE.can,
            start_s=BEGIN_S,  # type: ignore[arg-type]
        )
        return b"".join(treated.chunks)

    def check(before: bytes, out: bytes) -> None:
        one, other = (
            [
                (m.arbitration_id, bytes(m.data[:2]))
                for m in can_messages(content, kind)
                if m.arbitration_id == 258
            ]
            for content in (before, out)
        )
        assert one == other, "frames of the cabin changed"
        assert place not in out, "a position is left"

    return Case(
        library="python-can", data="made", check=check, ours=ours,
        content=can_written(sorted([*cabin, *places], key=lambda m: m.timestamp), kind),
        plain=lambda content: can_written(can_messages(content, kind), kind),
    )  # fmt: skip


def nmea(_: Path, size: float) -> Case:
    lines = []
    for n in range(int(20_000 * size)):
        hours, minutes, seconds = n // 3600, n // 60 % 60, n % 60
        clock = f"{hours:02d}{minutes:02d}{seconds:02d}.000"
        lat, lon = f"39{54 + n * 1e-4:010.7f}", f"116{18 + n * 1e-4:010.7f}"
        lines += [
            pynmea2.RMC("GN", "RMC", (clock, "A", lat, "N", lon, "E", "15.552", "", "141123", "", "", "A")),
            pynmea2.GGA("GN", "GGA", (clock, lat, "N", lon, "E", "1", "12", "0.8", "", "M", "", "M", "", "")),
        ]

    def ours(content: bytes) -> bytes:
        cut = cut_track(read_nmea(content, profile=PROFILE.tracks), ZONES, profile=PROFILE.tracks)
        assert cut.track is not None
        return write_nmea(cut.track)

    def fixes(content: bytes) -> np.ndarray:
        read = (pynmea2.parse(line) for line in content.decode().split())
        return np.array([(m.latitude, m.longitude) for m in read if m.sentence_type == "RMC" and m.lat])

    def check(before: bytes, out: bytes) -> None:
        one, other = fixes(before), fixes(out)
        assert one.shape == other.shape, "fixes are missing"
        assert np.abs(one - other).max() < 1e-8, "fixes changed"

    return Case(
        library="pynmea2", data="made", check=check, ours=ours,
        content="\r\n".join([*map(str, lines), ""]).encode(),
        plain=lambda content: "\r\n".join(str(pynmea2.parse(line)) for line in content.decode().split()).encode(),
    )  # fmt: skip


CASES: dict[str, Callable[[Path, float], Case]] = {
    "KITTI": kitti,
    "PCD": pcd,
    "LAZ": laz,
    "OSM PBF": pbf,
    "GeoJSON": geojson,
    "CAN asc": lambda _, size: can_log("asc", size),
    "CAN blf": lambda _, size: can_log("blf", size),
    "NMEA": nmea,
}
