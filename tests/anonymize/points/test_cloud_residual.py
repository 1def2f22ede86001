import io
import struct

import laspy
import numpy as np
import pytest

from anonymize.errors import MalformedItemError, ResidualError
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.headings import Heading
from anonymize.points.kinds import CloudKind, cloud_kind
from anonymize.points.residual import CloudCheck, scan_cloud
from anonymize.points.unlink import CloudRelease, unlink_cloud

KEY = bytes(range(32))


@pytest.fixture(name="scan")
def _scan(profile, tracks):
    def run(content, kind, stage, *, georeferenced=True, original=None, **options):
        check = CloudCheck(
            stage=stage,
            georeferenced=georeferenced,
            original=None if original is None else io.BytesIO(original),
            **options,
        )
        report = scan_cloud(io.BytesIO(content), kind, check=check, profile=profile, tracks=tracks)
        return {f.label or getattr(f.where, "path", "") for f in report.residual}

    return run


@pytest.fixture(name="released")
def _released(make, cleanse, profile, tracks):
    def run(mode, *, compressed=False, point_format=3):
        content = make.las(make.site(400), compressed=compressed, point_format=point_format)
        _, clean = cleanse(content, cloud_kind(content))
        release = CloudRelease(mode=mode, key=KEY, context=b"", offset=KeyedOffset(KEY, tracks))
        treated = unlink_cloud(
            io.BytesIO(clean), cloud_kind(clean), release=release, crs=None, profile=profile, tracks=tracks
        )
        return content, clean, b"".join(treated.chunks), treated.kind

    return run


@pytest.mark.parametrize("compressed", [False, True], ids=["las", "laz"])
@pytest.mark.parametrize("point_format", [3, 6])
@pytest.mark.parametrize("mode", ["LOCAL", "OFFSET"])
def test_what_the_passes_write_is_clean(make, scan, released, mode, compressed, point_format):
    _, clean, out, kind = released(mode, compressed=compressed, point_format=point_format)
    far = make.zone(make.lat + 1.0, make.lon, 50.0)
    assert scan(clean, kind, "CLEANSED", zones=far) == set()
    assert scan(out, kind, mode, original=clean) == set()


def test_the_original_is_not_clean(scan, released):
    content, clean, _, _ = released("OFFSET")
    found = scan(content, CloudKind.LAS, "OFFSET", original=clean)
    assert {"offset", "system_identifier", "generating_software", "creation_date", "guid", "file_source_id",
            "vlr/surveyor/9", "unlisted extra dimension", "extra bytes description", "operator", "gps_time",
            "user_data", "point_source_id"} <= found  # fmt: skip


def test_a_cleansed_cloud_is_no_release(scan, released):
    _, clean, _, _ = released("OFFSET")
    assert "offset" in scan(clean, CloudKind.LAS, "OFFSET", original=clean)
    assert {"clip", "vlr/LASF_Projection/34735"} <= scan(clean, CloudKind.LAS, "LOCAL")


def test_a_point_left_in_a_zone_is_found(make, scan, released):
    _, clean, _, _ = released("OFFSET")
    assert scan(clean, CloudKind.LAS, "CLEANSED", zones=make.zone(make.lat, make.lon, 10.0)) == {"MIL"}


def test_fewer_points_than_the_original_cannot_be_held_against_it(scan, released):
    _, _, out, _ = released("OFFSET")
    _, clean, _, _ = released("OFFSET", compressed=True)
    short = laspy.read(io.BytesIO(clean))
    short.points = short.points[:300]
    kept = io.BytesIO()
    short.write(kept)
    assert "offset" in scan(out, CloudKind.LAS, "OFFSET", original=kept.getvalue())
    with pytest.raises(ResidualError, match="original"):
        scan(out, CloudKind.LAS, "OFFSET")


def patched(content, at, value):
    return content[:at] + value + content[at + len(value) :]


PLANTS = {
    "trailing bytes": (lambda c: c + b"hidden", "trailing data"),
    "serial": (lambda c: patched(c, 30, b"SN1"), "system_identifier"),
    "date": (lambda c: patched(c, 92, b"\xea\x07"), "creation_date"),
    "guid": (lambda c: patched(c, 10, b"\x01"), "guid"),
    "encoding": (lambda c: patched(c, 6, b"\x01"), "global_encoding"),
    "description": (lambda c: patched(c, 227 + 30, b"Zhang"), "vlr/LASF_Projection/34735/description"),
}


@pytest.mark.parametrize("case", PLANTS)
def test_what_is_planted_is_found(scan, released, case):
    plant, name = PLANTS[case]
    _, clean, out, _ = released("OFFSET")
    assert out[25] == 2
    assert name in scan(plant(out), CloudKind.LAS, "OFFSET", original=clean)


@pytest.mark.parametrize("where", ["behind the table", "between chunks and table"])
def test_bytes_hidden_in_a_laz_are_found(scan, released, where):
    _, _, out, _ = released("LOCAL", compressed=True)
    (table_at,) = struct.unpack("<q", out[-8:])
    if where == "behind the table":
        hidden = out[:-8] + b"hidden" + out[-8:]
    else:
        hidden = out[:table_at] + b"hidden" + out[table_at:-8] + struct.pack("<q", table_at + 6)
    assert "trailing data" in scan(hidden, CloudKind.LAZ, "LOCAL")


def test_bounds_of_other_points_are_refused(scan, released):
    _, _, out, _ = released("LOCAL")
    with pytest.raises(MalformedItemError, match="bounds"):
        scan(patched(out, 179, np.float64(447_000.0).tobytes()), CloudKind.LAS, "LOCAL")


def test_pcd_files_are_held_against_a_grammar(make, cleanse, scan):
    _, out = cleanse(make.pcd(make.sweep(), encoding="binary_compressed"), CloudKind.PCD)
    assert scan(out, CloudKind.PCD, "CLEANSED", georeferenced=False) == set()
    assert scan(out + b"x", CloudKind.PCD, "CLEANSED", georeferenced=False) == {"trailing data"}
    for changed in (
        b"# mine\n" + out,
        out.replace(b"VIEWPOINT 0", b"VIEWPOINT 9"),
        out.replace(b"0.7", b".7", 1),
    ):
        assert "header" in scan(changed, CloudKind.PCD, "CLEANSED", georeferenced=False)
    far = make.pcd(make.sweep(reach_m=400.0))
    assert "range" in scan(far, CloudKind.PCD, "OFFSET", georeferenced=False)


def test_a_sweep_is_held_against_zones_and_range(make, cleanse, scan):
    zone = make.zone(make.lat + 4e-4, make.lon, 30.0)
    place = (make.lat, make.lon, Heading(course_deg=0.0, spread_deg=0.0))
    content = make.pcd(make.sweep(5000))
    _, out = cleanse(content, CloudKind.PCD, zones=zone, place=place)
    assert scan(out, CloudKind.PCD, "CLEANSED", georeferenced=False, zones=zone, place=place) == set()
    _, uncut = cleanse(content, CloudKind.PCD)
    assert "MIL" in scan(uncut, CloudKind.PCD, "CLEANSED", georeferenced=False, zones=zone, place=place)
    kitti = np.array([[500.0, 0.0, 0.0, 1.0]], "<f4").tobytes()
    assert scan(kitti, CloudKind.KITTI, "CLEANSED", georeferenced=False) == {"range"}
    with pytest.raises(MalformedItemError):
        scan(kitti[:-1], CloudKind.KITTI, "CLEANSED", georeferenced=False)
    with pytest.raises(ResidualError):
        scan(kitti, CloudKind.COPC, "CLEANSED")
