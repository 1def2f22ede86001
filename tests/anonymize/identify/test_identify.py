"""Identification by content, checked against the extension; bad input is an error that names it."""

import gzip
import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anonymize.errors import (
    AnonymizeError,
    LimitExceededError,
    MalformedItemError,
    UnknownFormatError,
    WrongExtensionError,
)
from anonymize.formats.identify import Identified, ItemKind, identify, identify_in_place


def picture(kind):
    out = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(out, kind)
    return out.getvalue()


def sweep(points=50):
    rng = np.random.default_rng(7)
    cloud = rng.uniform(-80, 80, (points, 4)).astype("<f4")
    cloud[:, 3] = rng.uniform(0, 1, points)
    return cloud.tobytes()


def geojson(*geometries):
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


LINE = {"type": "LineString", "coordinates": [[116.4, 39.9], [116.5, 39.9]]}
POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
GPX = b'<?xml version="1.0"?>\n<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1"><trk/></gpx>'
CSV = b"time,Latitude (deg),Longitude (deg)\n1,39.9,116.4\n"

OXTS = b" ".join([b"49.0 8.4", *[b"0.5"] * 23, b"4 9 6 6 6"]) + b"\n"
STAMPS = b"2011-09-26 13:02:25.964389445\n2011-09-26 13:02:26.074392250\n"
LABEL = b"Car 0.00 0 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n"
EGO_POSE = b'[{"token": "a", "timestamp": 1, "rotation": [1, 0, 0, 0], "translation": [600.1, 1600.2, 0]}]'
RINGS = np.array([[1.5, 2.5, 0.5, 7.0, 3.0]] * 4, dtype="<f4").tobytes()

MP4 = b"\x00\x00\x00\x14ftypXXXX\x00\x00\x02\x00isom\x00\x00\x00\x08moov"
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"
MKV = b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska\x42\x87\x81\x04"
H264 = b"\x00\x00\x00\x01\x67\x42\xc0\x1e"
HEVC = b"\x00\x00\x01\x40\x01\x0c\x01"

VIDEOS = {
    "mp4": ("a.mp4", MP4),
    "mp4_without_extension": ("a", MP4),
    "quicktime": ("A.MOV", MP4.replace(b"XXXX", b"qt  ")),
    "early_quicktime": ("a.mov", b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat"),
    "matroska": ("a.mkv", MKV),
    "h264": ("a.h264", H264),
    "264": ("a.264", H264[1:]),
    "hevc": ("a.hevc", HEVC),
    "265": ("a.265", b"\0" + HEVC),
}


@pytest.mark.parametrize("case", VIDEOS.values(), ids=VIDEOS.keys())
def test_a_video_is_identified_by_its_beginning(case):
    name, head = case
    expected = Identified(kind=ItemKind.VIDEO, encoding=None, media_type="video/mp4")
    assert identify_in_place(name, head) == identify(name, head) == expected
    assert identify_in_place(name, head + os.urandom(100)) == expected


@pytest.mark.parametrize(
    ("name", "head"),
    [("a.jpg", picture("JPEG")), ("a.heic", HEIC), ("a", H264), ("a.hevc", H264), ("a.mp4", b"")],
)
def test_what_is_no_video_is_left_to_the_whole_content(name: str, head: bytes):
    assert identify_in_place(name, head) is None


def test_a_video_under_another_name_is_refused_from_its_beginning():
    with pytest.raises(WrongExtensionError, match=r"\.txt for .*found video"):
        identify_in_place("a.txt", MP4)


UNDERSTOOD = {
    "jpeg": ("a.jpg", picture("JPEG"), ItemKind.JPEG, "image/jpeg"),
    "jpeg_upper": ("A.JPEG", picture("JPEG"), ItemKind.JPEG, "image/jpeg"),
    "png": ("a.png", picture("PNG"), ItemKind.PNG, "image/png"),
    "png_without_extension": ("a", picture("PNG"), ItemKind.PNG, "image/png"),
    "gpx": ("a.gpx", GPX, ItemKind.GPX, "application/gpx+xml"),
    "gpx_with_mark": ("a.gpx", b"\xef\xbb\xbf" + GPX, ItemKind.GPX, "application/gpx+xml"),
    "gpx_without_namespace": ("a.gpx", b"<gpx><trk></trk></gpx>", ItemKind.GPX, "application/gpx+xml"),
    "gpx_utf16": ("a.gpx", "<gpx></gpx>".encode("utf-16"), ItemKind.GPX, "application/gpx+xml"),
    "csv_track": ("a.csv", CSV, ItemKind.CSV_TRACK, "text/csv"),
    "csv_track_as_txt": ("geo.txt", b"lat,lng,datetime,uid\n1,2,x,1\n", ItemKind.CSV_TRACK, "text/csv"),
    "csv_track_semicolons": ("a.csv", b"lat;lon\n1;2\n", ItemKind.CSV_TRACK, "text/csv"),
    "csv_track_tabs": ("a.txt", b"gps_lat\tgps_lon\n1\t2\n", ItemKind.CSV_TRACK, "text/csv"),
    "csv_track_chinese": ("a.csv", "时间,经度,纬度\n".encode(), ItemKind.CSV_TRACK, "text/csv"),
    "csv_track_grid": ("a.csv", b"time,easting,northing\n1,2,3\n", ItemKind.CSV_TRACK, "text/csv"),
    "csv_track_xyz": ("a.csv", b"#t;Pos_X [m];Pos_Y [m];z\n1;2;3;4\n", ItemKind.CSV_TRACK, "text/csv"),
    "csv_track_utm_chinese": ("a.txt", "时间\t东坐标\t北坐标\n".encode(), ItemKind.CSV_TRACK, "text/csv"),
    "csv_table": ("a.csv", b"frame,lateral,weather\n1,2,rain\n", ItemKind.TEXT, "text/plain"),
    "csv_velocities": ("a.csv", b"frame,v_x,v_y,lane\n1,2,3,left\n", ItemKind.TEXT, "text/plain"),
    "numbers_in_text": ("a.log", b"boot\n10.5 V at 25.0 C\n3 4\nok\nbye\n", ItemKind.TEXT, "text/plain"),
    "geojson": ("a.geojson", geojson(LINE), ItemKind.GEOJSON_TRACK, "application/geo+json"),
    "geojson_as_json": ("a.json", geojson(POLYGON, LINE), ItemKind.GEOJSON_MAP, "application/geo+json"),
    "geojson_collection": (
        "a.json",
        json.dumps({"type": "GeometryCollection", "geometries": [LINE]}).encode(),
        ItemKind.GEOJSON_TRACK,
        "application/geo+json",
    ),
    "geojson_polygons": ("a.geojson", geojson(POLYGON), ItemKind.GEOJSON_MAP, "application/geo+json"),
    "json": ("meta.json", b' {"type": "camera"}', ItemKind.JSON, "application/json"),
    "json_scalar": ("meta.json", b"42", ItemKind.JSON, "application/json"),
    "json_without_extension": ("meta", b"[1, 2]", ItemKind.JSON, "application/json"),
    "text": ("notes.txt", "雨天".encode(), ItemKind.TEXT, "text/plain"),
    "text_with_bracket": ("run.txt", b"[info] started", ItemKind.TEXT, "text/plain"),
    "text_unknown_extension": ("drive.log", b"started", ItemKind.TEXT, "text/plain"),
    "kitti": ("000000.bin", sweep(), ItemKind.KITTI_POINTS, "application/octet-stream"),
    "oxts": ("0000000000.txt", OXTS, ItemKind.KITTI_OXTS, "text/plain"),
    "oxts_without_extension": ("0000000000", OXTS, ItemKind.KITTI_OXTS, "text/plain"),
    "timestamps": ("timestamps.txt", STAMPS, ItemKind.KITTI_TIMESTAMPS, "text/plain"),
    "times": ("times.txt", b"0.0e+00\n1.0e-01\n", ItemKind.KITTI_TIMES, "text/plain"),
    "poses": ("00.txt", b"1 0 0 0 0 1 0 0 0 0 1 0\n", ItemKind.KITTI_POSES, "text/plain"),
    "frame_numbers": ("train.txt", b"000001\n000003\n", ItemKind.TEXT, "text/plain"),
    "kitti_label": ("000000.txt", LABEL, ItemKind.TEXT, "text/plain"),
    "kitti_calibration": ("calib.txt", b"P0: 7.1e+02 0.0 6.0e+02 0.0\n", ItemKind.TEXT, "text/plain"),
    "ego_pose": ("ego_pose.json", EGO_POSE, ItemKind.NUSCENES_TABLE, "application/json"),
    "nuscenes_sweep": ("a.pcd.bin", RINGS, ItemKind.NUSCENES_SWEEP, "application/octet-stream"),
    "heic": ("a.heic", HEIC, ItemKind.HEIC, "image/heic"),
    "heif": ("a.HEIF", HEIC.replace(b"ftypheic", b"ftypmif1"), ItemKind.HEIC, "image/heic"),
    "dotted_folder": ("a.jpg/notes", b"rain", ItemKind.TEXT, "text/plain"),
}


@pytest.mark.parametrize("case", UNDERSTOOD.values(), ids=UNDERSTOOD.keys())
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_is_identified_by_content(case, packed):
    name, content, kind, media_type = case
    if packed:
        name, content = f"{name}.gz", gzip.compress(content)
    expected = Identified(kind=kind, encoding="gzip" if packed else None, media_type=media_type)
    assert identify(name, content) == expected


BOMB = gzip.compress(b"0" * 20_000_000)

REFUSED = {
    "empty": ("a.jpg", b"", MalformedItemError, "empty"),
    "empty_in_gzip": ("a.txt.gz", gzip.compress(b""), MalformedItemError, "empty"),
    "png_named_jpg": ("a.jpg", picture("PNG"), WrongExtensionError, r"\.jpg for jpeg, found png"),
    "text_named_jpg": ("a.jpg", b"hello", WrongExtensionError, r"\.jpg for jpeg, found text"),
    "binary_named_jpg": ("a.jpg", b"\x00\x01\x02", WrongExtensionError, "found bytes 00 01 02"),
    "jpeg_named_txt": ("a.txt", picture("JPEG"), WrongExtensionError, "found jpeg"),
    "gpx_named_json": ("a.json", GPX, WrongExtensionError, "found gpx"),
    "json_named_gpx": ("a.gpx", b"{}", WrongExtensionError, r"\.gpx for gpx, found json"),
    "text_named_json": ("a.json", b"hello", WrongExtensionError, "found text"),
    "text_named_bin": ("a.bin", b"0123456789abcdef", WrongExtensionError, "found text"),
    "gzip_not_named": ("a.csv", gzip.compress(CSV), WrongExtensionError, r"expected \.csv\.gz"),
    "named_gzip": ("a.csv.gz", CSV, WrongExtensionError, r"got \.gz"),
    "truncated_json": ("a.json", b'{"a": [1, 2', MalformedItemError, "malformed"),
    "truncated_gpx": ("a.gpx", b"<gp", MalformedItemError, "GPX"),
    "truncated_sweep": ("a.bin", sweep()[:-3], MalformedItemError, "797 bytes, not a multiple of 16"),
    "labels_named_bin": ("a.bin", np.arange(64, dtype="<u4").tobytes(), MalformedItemError, "plausible"),
    "noise_named_bin": ("a.bin", bytes(range(128, 256)) * 4, MalformedItemError, "plausible"),
    "trajectory": ("tum.txt", b"0.1 1 2 3 0 0 0 1\n", UnknownFormatError, "may hold a path"),
    "headed_numbers": ("a.csv", b"a,b,c\n1,491451.5,4416663.0\n", UnknownFormatError, "may hold a path"),
    "commented_trajectory": (
        "tum.txt",
        b"# timestamp tx ty tz qx qy qz qw\n0.1 1 2 3 0 0 0 1\n0.2 1 2 3 0 0 0 1\n",
        UnknownFormatError,
        "may hold a path",
    ),
    "dated_numbers": (
        "a.txt",
        b'date,k1,k2\n2026-09-14 01:30:00,491451.5,4416663.0\n2026-09-14T01:30:01.5Z,491452.5,"4416664.0"\n',
        UnknownFormatError,
        "may hold a path",
    ),
    "ragged_numbers": ("a.txt", b"1.5 2.5\n3.5\n", UnknownFormatError, "lines of 1 to 2"),
    "can_bus_of_nuscenes": ("a.json", b'[{"utime": 1, "speed": 2.0}]', UnknownFormatError, "CAN bus"),
    "not_utf8": ("a.txt", b"caf\xe9", MalformedItemError, "0xe9 at offset 3"),
    "control_characters": ("a.txt", b"ab\x07", MalformedItemError, r"U\+0007 at character 2"),
    "xml_of_other_kind": (
        "map.kml",
        b"<kml><Folder/></kml>",
        UnknownFormatError,
        "expected the root 'gpx' or 'osm'",
    ),
    "xml_with_doctype": (
        "a.gpx",
        b'<!DOCTYPE gpx [<!ENTITY a "b">]><gpx/>',
        MalformedItemError,
        "document type",
    ),
    "binary_unknown": ("a.raw", b"\x00\x00\x00\x18ftypavif", UnknownFormatError, "00 00 00 18 66 74 79 70"),
    "audio_named_mp4": ("a.mp4", b"\x00\x00\x00\x14ftypM4A \0\0\0\0mp40", WrongExtensionError, "found bytes"),
    "video_named_jpg": ("a.jpg", MP4, WrongExtensionError, r"\.jpg for jpeg, found video"),
    "video_named_heic": ("a.heic", MP4, WrongExtensionError, r"\.heic for heic, found video"),
    "heic_named_mp4": ("a.mp4", HEIC, WrongExtensionError, r"\.mp4 for video, found heic"),
    "jpeg_named_mp4": ("a.mp4", picture("JPEG"), WrongExtensionError, r"\.mp4 for video, found jpeg"),
    "bare_stream_without_extension": ("a", H264, UnknownFormatError, "00 00 00 01 67"),
    "program_stream_named_h264": ("a.h264", b"\0\0\x01\xba\x44\0", WrongExtensionError, "00 00 01 ba"),
    "video_in_gzip": ("a.mp4.gz", gzip.compress(MP4), UnknownFormatError, "within gzip"),
    "binary_no_extension": ("a", b"\x00\x01", UnknownFormatError, r"extension \.\(none\)"),
    "bomb": ("a.txt.gz", BOMB, LimitExceededError, r"ratio of at least \d+:1, expected at most 100:1"),
    "too_large": (
        "a.txt.gz",
        gzip.compress(os.urandom(2000).hex().encode()),
        LimitExceededError,
        "more than 1000 bytes",
    ),
    "gzip_truncated": ("a.txt.gz", gzip.compress(b"hello world")[:-9], MalformedItemError, "truncated"),
    "gzip_damaged": (
        "a.txt.gz",
        gzip.compress(b"hello world")[:-6] + b"\0" * 6,
        MalformedItemError,
        "damaged",
    ),
    "gzip_trailing": ("a.txt.gz", gzip.compress(b"hello") + b"secret", MalformedItemError, "6 bytes more"),
    "gzip_two_members": ("a.txt.gz", gzip.compress(b"a") * 2, MalformedItemError, "followed by other data"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_is_refused_by_name(case):
    name, content, error, message = case
    limits = {"max_bytes": 1000} if "more than 1000" in message else {}
    with pytest.raises(error, match=message):
        identify(name, content, **limits)


def test_a_sweep_with_a_few_missing_returns_is_still_a_sweep():
    cloud = np.frombuffer(sweep(), dtype="<f4").reshape(-1, 4).copy()
    cloud[3] = np.nan
    assert identify("a.bin", cloud.tobytes()).kind is ItemKind.KITTI_POINTS


def test_deep_json_is_not_followed():
    with pytest.raises(LimitExceededError, match="nested"):
        identify("a.json", b"[" * 100_000)
    assert identify("a.txt", b"[" * 100_000).kind is ItemKind.TEXT


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    extension=st.sampled_from(
        ["", ".txt", ".csv", ".json", ".geojson", ".gpx", ".jpg", ".png", ".bin", ".gz", ".x.gz"]
    ),
    head=st.sampled_from(
        [b"", b"{", b"<gpx", b"<?xml", b"\xff\xfe<", b"lat,lon\n", b"\x1f\x8b\x08\x00", b"\xff\xd8\xff"]
    ),
    tail=st.binary(max_size=60),
)
def test_any_bytes_are_identified_or_refused_by_name(extension, head, tail):
    try:
        identify(f"a{extension}", head + tail)
    except AnonymizeError as error:
        assert "got" in str(error)  # noqa: PT017 - either outcome is right


@settings(max_examples=40, deadline=None, derandomize=True)
@given(content=st.binary(min_size=1, max_size=200), cut=st.integers(min_value=1))
def test_every_truncation_of_gzip_is_refused(content, cut):
    packed = gzip.compress(content)
    with pytest.raises(AnonymizeError):
        identify("a.txt.gz", packed[: cut % len(packed)])


@pytest.fixture(scope="session")
def formats():
    root = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).parents[4] / "shared")) / "data"
    if not root.is_dir():
        pytest.skip(f"no real samples at {root} (set FLEETGATE_SHARED)")
    return root


REAL = {
    "formats/kitti_object/velodyne/*.bin": ItemKind.KITTI_POINTS,
    "formats/kitti_object/[cl]*/*.txt": ItemKind.TEXT,
    "formats/traj/*.gz": ItemKind.CSV_TRACK,
    "formats/gpx/[!g]*.gpx": ItemKind.GPX,
    "formats/nmea/*.log": ItemKind.NMEA,
    "formats/las/[aefs]*[!c]*.las": ItemKind.LAS,
    "formats/las/autzen_trim.laz": ItemKind.LAZ,
    "formats/las/*.copc.laz": ItemKind.COPC,
    "formats/osm/*.pbf": ItemKind.OSM_PBF,
    "formats/osm/*.osm.gz": ItemKind.OSM_XML,
    "formats/ros1/*.bag": ItemKind.ROS1_BAG,
    "formats/ros2/*.db3": ItemKind.ROS2_DB3,
    "formats/ros2/*.mcap": ItemKind.MCAP,
    "media/exif_gps/*": ItemKind.JPEG,
}


@pytest.mark.parametrize("pattern", REAL)
def test_real_files_are_identified(formats, pattern):
    files = sorted(formats.glob(pattern))
    assert files
    assert {identify(file.name, file.read_bytes()).kind for file in files} == {REAL[pattern]}


def test_a_cyber_record_is_refused_with_the_reason(formats):
    content = (formats / "formats/cyber/example.record.00000").read_bytes()
    for refuse in (identify, identify_in_place):
        with pytest.raises(UnknownFormatError, match="protobuf"):
            refuse("example.record.00000", content)


def test_opendrive_is_refused_with_the_reason():
    with pytest.raises(UnknownFormatError, match="OpenDRIVE"):
        identify("town.xodr", b"<OpenDRIVE><header/></OpenDRIVE>")


LARGE = {
    "mcap": ("a.mcap", b"\x89MCAP0\r\n" + bytes(64), ItemKind.MCAP),
    "bag": ("a.bag", b"#ROSBAG V2.0\n" + bytes(64), ItemKind.ROS1_BAG),
    "db3": ("a.db3", b"SQLite format 3\0" + bytes(64), ItemKind.ROS2_DB3),
    "blf": ("a.blf", b"LOGG" + bytes(140), ItemKind.CAN_BLF),
    "asc": (
        "a.asc",
        b"date Mon Sep 28 10:00:00.000 am 2026\nbase hex  timestamps absolute\n",
        ItemKind.CAN_ASC,
    ),
    "osm": ("a.osm", b'<?xml version="1.0"?><osm version="0.6"><node id="1"', ItemKind.OSM_XML),
    "pcd": ("a.pcd", b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nDATA binary\n" + bytes(12), ItemKind.PCD),
}


@pytest.mark.parametrize("case", LARGE.values(), ids=LARGE.keys())
def test_what_may_be_large_is_identified_by_its_beginning(case):
    name, head, kind = case
    found = identify_in_place(name, head)
    assert found is not None
    assert found.kind is kind
    with pytest.raises(WrongExtensionError):
        identify_in_place("a.jpg", head)


def test_a_container_within_gzip_is_refused():
    with pytest.raises(UnknownFormatError, match="delivered as it is"):
        identify("a.mcap.gz", gzip.compress(LARGE["mcap"][1]))


def test_a_sweep_may_begin_like_another_format_only_by_its_signature():
    points = bytearray(sweep())
    points[:4] = struct.pack("<f", 12.5)
    assert identify("a.bin", bytes(points)).kind is ItemKind.KITTI_POINTS
