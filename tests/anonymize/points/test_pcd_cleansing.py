import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypcd4 import PointCloud

from anonymize.errors import AnonymizeError, LimitExceededError, MalformedItemError, UnknownCrsError
from anonymize.finding import FindingKind
from anonymize.formats.kitti import read_points, write_points
from anonymize.geo.cut import cut_points
from anonymize.geo.headings import Heading
from anonymize.points.kinds import CloudKind, cloud_kind
from anonymize.points.pcd import read_pcd

ENCODINGS = ["ascii", "binary", "binary_compressed"]


def read(content):
    return PointCloud.from_fileobj(io.BufferedReader(io.BytesIO(content)))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_listed_fields_stay_bit_by_bit_and_nothing_else_does(make, cleanse, encoding):
    columns = make.sweep() | {"operator": np.full(500, 7, "u1"), "label": np.arange(500).astype("i4")}
    content = make.pcd(
        columns,
        encoding=encoding,
        viewpoint=(12.0, 3.0, 0.0, 1.0, 0.0, 0.0, 0.0),
        comment=f"# {make.planted}\n",
    )
    treated, out = cleanse(content, CloudKind.PCD)
    cloud = read(out)
    assert cloud.fields == ("x", "y", "z", "intensity", "ring", "t", "label")
    for name in cloud.fields:
        kept = np.asarray(cloud.pc_data[name])
        assert kept.dtype == columns[name].dtype
        close = 1e-9 if encoding == "ascii" else 0.0
        assert np.allclose(kept, columns[name], rtol=0.0, atol=close), name
    assert cloud.metadata.viewpoint == (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    assert make.planted.encode() not in out
    assert {f.where.path for f in treated.findings} == {"comment", "viewpoint", "operator", "t"}
    assert treated.facts["situation"] == "sweep"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_cut_of_a_sweep_is_that_of_kitti_sweeps(make, cleanse, profile, encoding):
    columns = make.sweep(5000, reach_m=150.0)
    zone = make.zone(make.lat + 4e-4, make.lon, 30.0)
    place = (make.lat, make.lon, Heading(course_deg=30.0, spread_deg=0.0))
    columns["intensity"] = np.arange(5000).astype("f4")
    treated, out = cleanse(make.pcd(columns, encoding=encoding), CloudKind.PCD, zones=zone, place=place)
    rows = np.stack([columns[n] for n in ("x", "y", "z", "intensity")], axis=1)
    cut = cut_points(rows, zones=zone, lat=place[0], lon=place[1], heading=place[2], profile=profile)
    assert np.array_equal(np.asarray(read(out).pc_data["intensity"]), cut.points[:, 3])
    kinds = {f.kind for f in treated.findings}
    assert {FindingKind.RESTRICTED_ZONE, FindingKind.POSITION} <= kinds
    assert treated.facts["zones_tested"]


def test_without_a_place_only_the_range_is_cut_and_the_facts_say_so(make, cleanse, profile):
    treated, out = cleanse(
        make.pcd(make.sweep(2000, reach_m=400.0)), CloudKind.PCD, zones=make.zone(make.lat, make.lon, 30.0)
    )
    cloud = read(out)
    assert np.hypot(cloud.pc_data["x"], cloud.pc_data["y"]).max() <= profile.max_range_m
    assert not treated.facts["zones_tested"]


def test_points_that_did_not_return_are_left_out(make, cleanse):
    columns = make.sweep(100)
    for name in "xyz":
        columns[name][10:20] = np.nan
    treated, out = cleanse(make.pcd(columns), CloudKind.PCD)
    assert len(read(out).pc_data) == 90
    assert treated.facts["points_out"] == 90
    columns["x"][50] = np.nan
    with pytest.raises(MalformedItemError, match="point 50"):
        cleanse(make.pcd(columns), CloudKind.PCD)


def test_absolute_times_begin_at_zero(make, cleanse, profile):
    columns = make.sweep(100) | {"timestamp": 1.7e9 + np.arange(100) * 1e-3}
    kept = type(profile)(
        max_points=1000, max_range_m=100.0, keep_every=1, keep_attributes=("timestamp", "ring")
    )
    _, out = cleanse(make.pcd(columns), CloudKind.PCD, profile=kept)
    times = np.asarray(read(out).pc_data["timestamp"])
    assert times[0] == 0.0
    assert np.array_equal(np.diff(times), np.diff(columns["timestamp"]))


def test_a_compressed_field_of_several_values_is_read_as_pcl_writes_it(profile):
    xyz = np.arange(12, dtype="f4").reshape(3, 4)
    label = np.arange(8, dtype="u2").reshape(4, 2)
    planes = xyz.tobytes() + label.tobytes()
    header = (
        b"VERSION 0.7\nFIELDS x y z label\nSIZE 4 4 4 2\nTYPE F F F U\nCOUNT 1 1 1 2\nWIDTH 4\nHEIGHT 1\n"
        b"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 4\nDATA binary_compressed\n"
    )
    # Literal runs of LZF: too little to compress.
    packed = b"".join(
        bytes([len(planes[i : i + 32]) - 1]) + planes[i : i + 32] for i in range(0, len(planes), 32)
    )
    cloud = read_pcd(
        io.BytesIO(header + struct.pack("<2I", len(packed), len(planes)) + packed), profile=profile
    )
    assert np.array_equal(cloud.records["3"], label)
    assert np.array_equal(cloud.coordinates(), xyz.T)


def test_padding_fields_are_left_out(cleanse):
    content = (
        b"VERSION 0.7\nFIELDS x _ y z _\nSIZE 4 1 4 4 2\nTYPE F U F F U\nCOUNT 1 3 1 1 2\nWIDTH 2\nHEIGHT 1\n"
        b"POINTS 2\nDATA binary\n" + struct.pack("<f3xff4xf3xff4x", 1, 2, 3, 40, 5, 6)
    )
    _, out = cleanse(content, CloudKind.PCD)
    assert read(out).fields == ("x", "y", "z")
    assert np.array_equal(read(out).numpy(), [[1, 2, 3], [40, 5, 6]])


def test_a_cloud_on_the_earth_needs_a_declared_system(make, cleanse):
    xyz = make.site(300)
    columns = {n: xyz[:, i] for i, n in enumerate("xyz")} | {"intensity": np.ones(300, "f4")}
    with pytest.raises(UnknownCrsError):
        cleanse(make.pcd(columns), CloudKind.PCD)
    zone = make.zone(make.lat, make.lon, 20.0)
    treated, out = cleanse(make.pcd(columns), CloudKind.PCD, crs=make.utm, zones=zone)
    assert treated.facts["situation"] == "georeferenced"
    assert 0 < len(read(out).pc_data) < 300


def test_a_cloud_in_degrees_is_no_sweep(make, cleanse):
    rng = np.random.default_rng(0)
    columns = {
        "x": make.lon + rng.uniform(-1e-3, 1e-3, 50),
        "y": make.lat + rng.uniform(-1e-3, 1e-3, 50),
        "z": np.zeros(50),
    }
    with pytest.raises(UnknownCrsError):
        cleanse(make.pcd(columns), CloudKind.PCD)
    treated, _ = cleanse(make.pcd(columns), CloudKind.PCD, crs="EPSG:4326")
    assert treated.facts["situation"] == "georeferenced"


def test_a_viewpoint_on_the_earth_is_the_place_of_a_sweep_and_does_not_leave(make, cleanse):
    from anonymize.geo.crs import from_wgs84  # noqa: PLC0415

    x, y = from_wgs84(np.array([make.lat]), np.array([make.lon]), make.utm)
    content = make.pcd(make.sweep(), viewpoint=(float(x[0]), float(y[0]), 40.0, 1.0, 0.0, 0.0, 0.0))
    zone = make.zone(make.lat, make.lon, 20.0)
    with pytest.raises(UnknownCrsError):
        cleanse(content, CloudKind.PCD, zones=zone)
    treated, out = cleanse(content, CloudKind.PCD, zones=zone, crs=make.utm)
    assert treated.dropped
    assert out == b""
    ahead = make.zone(make.lat, make.lon + 6e-4, 25.0)  # 51 m east, where the x axis points
    treated, out = cleanse(content, CloudKind.PCD, zones=ahead, crs=make.utm)
    kept = read(out)
    assert treated.facts["points_out"] < 500
    assert not ((kept.pc_data["x"] > 40.0) & (np.abs(kept.pc_data["y"]) < 15.0)).any()
    assert b"VIEWPOINT 0 0 0 1 0 0 0\n" in out


def header(**changes):
    lines = {
        "VERSION": "0.7", "FIELDS": "x y z", "SIZE": "4 4 4", "TYPE": "F F F", "COUNT": "1 1 1", "WIDTH": "2",
        "HEIGHT": "1", "VIEWPOINT": "0 0 0 1 0 0 0", "POINTS": "2", "DATA": "binary",
    } | changes  # fmt: skip
    return "".join(f"{k} {v}\n" for k, v in lines.items() if v is not None).encode()


BODY = struct.pack("<6f", 1, 2, 3, 40, 5, 6)
BAD = {
    "no header": (b"# .PCD v0.7\n", MalformedItemError, "truncated"),
    "endless header": (b"# .PCD\n" + b"# x\n" * 50_000, MalformedItemError, "truncated"),
    "no fields": (header(FIELDS=None) + BODY, MalformedItemError, "misses"),
    "twice": (b"VERSION 0.7\n" + header() + BODY, MalformedItemError, "entry twice"),
    "body missing": (header(), MalformedItemError, "truncated"),
    "truncated": (header() + BODY[:-1], MalformedItemError, "got 23, expected 24"),
    "points differ from width": (header(WIDTH="3") + BODY, MalformedItemError, "WIDTH times HEIGHT"),
    "bomb": (
        header(WIDTH="999999999999", POINTS="999999999999") + BODY,
        LimitExceededError,
        "too many points",
    ),
    "negative": (header(WIDTH="-2") + BODY, MalformedItemError, "WIDTH"),
    "no points": (header(WIDTH="0", POINTS="0"), MalformedItemError, "WIDTH times"),
    "odd type": (header(TYPE="F F C") + BODY, MalformedItemError, "type is unknown"),
    "odd size": (header(SIZE="4 4 3") + BODY, MalformedItemError, "type is unknown"),
    "half floats": (header(SIZE="4 4 2") + BODY, MalformedItemError, "type is unknown"),
    "whole coordinates": (header(TYPE="I F F") + BODY, MalformedItemError, "field x of type F"),
    "two x": (header(FIELDS="x x z") + BODY, MalformedItemError, "field x"),
    "fewer sizes": (header(SIZE="4 4") + BODY, MalformedItemError, "as many values"),
    "count 0": (header(COUNT="1 1 0") + BODY, MalformedItemError, "type is unknown"),
    "wide record": (
        header(FIELDS="x y z f g", SIZE="4 4 4 8 8", TYPE="F F F F F", COUNT="1 1 1 9000 9000"),
        LimitExceededError,
        "too large",
    ),
    "unknown data": (header(DATA="zipped") + BODY, MalformedItemError, "DATA"),
    "viewpoint NaN": (header(VIEWPOINT="nan 0 0 1 0 0 0") + BODY, MalformedItemError, "VIEWPOINT"),
    "viewpoint of six": (header(VIEWPOINT="0 0 0 1 0 0") + BODY, MalformedItemError, "VIEWPOINT"),
    "big-endian": (
        header() + struct.pack(">6f", 1, 2, 3, 40.7, 5.1, 6.3),
        AnonymizeError,
        "impossible|no reference system",
    ),
    "infinite": (header() + struct.pack("<6f", 1, 2, 3, np.inf, 5, 6), MalformedItemError, "point 1"),
    "row too short": (header(DATA="ascii") + b"1 2 3\n4 5\n", MalformedItemError, "row"),
    "row of words": (header(DATA="ascii") + b"1 2 3\n4 5 here\n", MalformedItemError, "row"),
    "rows missing": (header(DATA="ascii") + b"1 2 3\n", MalformedItemError, "truncated"),
    "rows beyond": (header(DATA="ascii") + b"1 2 3\n" * 3, MalformedItemError, "beyond POINTS"),
    "row too long": (header(DATA="ascii") + b"1" * 10_000 + b"\n", LimitExceededError, "too long"),
    "compressed sizes": (
        header(DATA="binary_compressed") + struct.pack("<2I", 24, 1 << 31) + BODY,
        MalformedItemError,
        "another size",
    ),
    "compressed garbage": (
        header(DATA="binary_compressed") + struct.pack("<2I", 24, 24) + b"\xff" * 24,
        MalformedItemError,
        "damaged|another size",
    ),
    "compressed truncated": (
        header(DATA="binary_compressed") + struct.pack("<2I", 99, 24) + BODY,
        MalformedItemError,
        "truncated",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_damaged_files_are_refused(cleanse, case):
    content, error, message = BAD[case]
    with pytest.raises(error, match=message):
        cleanse(content, CloudKind.PCD)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300), st.sampled_from(["ascii", "binary", "binary_compressed"]), st.integers(1, 4))
def test_any_body_is_read_or_refused(profile, body, encoding, count):
    content = header(DATA=encoding, WIDTH=str(count), POINTS=str(count)) + body
    try:
        assert len(read_pcd(io.BytesIO(content), profile=profile).records) == count
    except AnonymizeError:
        return


def test_real_kitti_sweeps_keep_every_point_within_range(shared, cleanse, profile):
    for path in sorted((shared / "kitti_object" / "velodyne").glob("*.bin")):
        content = path.read_bytes()
        treated, out = cleanse(content, CloudKind.KITTI)
        points = read_points(content, profile=profile)
        near = np.hypot(points[:, 0], points[:, 1]) <= profile.max_range_m
        assert out == write_points(points[near])
        assert treated.facts["points_in"] == len(points)


def test_kinds_are_told_by_their_first_bytes(make):
    for encoding in ENCODINGS:
        assert cloud_kind(make.pcd(make.sweep(5), encoding=encoding)) is CloudKind.PCD
    assert cloud_kind(make.las(make.site(5))) is CloudKind.LAS
    assert cloud_kind(make.las(make.site(5), compressed=True)) is CloudKind.LAZ
    assert cloud_kind(bytes(64)) is None
    assert cloud_kind(b"LASF") is None
    assert cloud_kind(b"VERSION of a text, FIELDS and DATA") is None
