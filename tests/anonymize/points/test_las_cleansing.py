import io
import tracemalloc

import laspy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anonymize.errors import AnonymizeError, LimitExceededError, MalformedItemError, UnknownCrsError
from anonymize.finding import FindingKind, TreatmentKind
from anonymize.geo.crs import to_wgs84
from anonymize.points.kinds import CloudKind, cloud_kind

FORMATS = [(0, "1.2"), (1, "1.2"), (2, "1.2"), (3, "1.3"), (3, "1.4"), (6, "1.4"), (7, "1.4"), (8, "1.4")]
STAYS = ["intensity", "return_number", "number_of_returns", "classification", "red", "green", "blue", "nir",
         "synthetic", "withheld", "scan_angle", "scan_angle_rank", "reflectance"]  # fmt: skip
GOES = ["user_data", "point_source_id", "gps_time", "edge_of_flight_line", "scan_direction_flag"]


# Their coordinates are not in the system that they state: feet for metres, and longitudes up to 226.
WRONGLY_PLACED = {"simple.copc.laz", "simple1_4.las"}


def read(content):
    return laspy.read(io.BytesIO(content))


@pytest.mark.parametrize("compressed", [False, True], ids=["las", "laz"])
@pytest.mark.parametrize(("point_format", "version"), FORMATS)
def test_points_and_listed_attributes_stay_and_nothing_else_does(
    make, cleanse, point_format, version, compressed
):
    content = make.las(
        make.site(300),
        point_format=point_format,
        version=version,
        compressed=compressed,
        evlr=version == "1.4",
    )
    treated, out = cleanse(content, cloud_kind(content))
    before, after = read(content), read(out)
    names = set(before.point_format.dimension_names)
    for name in {"X", "Y", "Z", *(names & set(STAYS))}:
        assert np.array_equal(before[name], after[name]), name
    assert all(not np.asarray(after[name]).any() for name in names & set(GOES))
    assert list(after.point_format.extra_dimension_names) == ["reflectance"]
    assert make.planted.encode() not in out
    assert make.planted.encode() in content
    assert out[4:6] == bytes(2)
    assert out[8:24] == bytes(16)
    assert out[26:94] == bytes(68)
    assert not after.evlrs
    assert treated.kind is (CloudKind.LAZ if compressed else CloudKind.LAS)
    assert treated.facts["points_out"] == 300
    assert {"metadata", "unlisted_field"} <= {f.kind.value for f in treated.findings}


def test_counts_by_return_and_bounds_are_those_of_the_points_that_stay(make, cleanse):
    content = make.las(make.site(4000), point_format=6)
    zone = make.zone(make.lat, make.lon, 20.0)
    _, out = cleanse(content, CloudKind.LAS, zones=zone)
    after = read(out)
    assert 0 < len(after) < 4000
    assert np.allclose(after.header.mins, after.xyz.min(axis=0))
    assert np.allclose(after.header.maxs, after.xyz.max(axis=0))
    assert after.header.number_of_points_by_return[0] == len(after)


@pytest.mark.parametrize("compressed", [False, True], ids=["las", "laz"])
def test_points_in_a_zone_go_and_all_others_stay(make, cleanse, compressed):
    content = make.las(make.site(20_000, spread_m=150.0), compressed=compressed)
    zone = make.zone(make.lat, make.lon, 50.0)
    treated, out = cleanse(content, cloud_kind(content), zones=zone)
    before, after = read(content), read(out)
    exact = zone.test_exact(*to_wgs84(before.x, before.y, make.utm), extra_margin_m=10.0).inside
    assert 0 < exact.sum() < len(before)
    assert np.array_equal(before.xyz[~exact], after.xyz)
    assert np.array_equal(before.intensity[~exact], after.intensity)
    cut = next(t for t in treated.treatments if t.kind is TreatmentKind.CUT)
    assert cut.count == exact.sum()
    found = next(f for f in treated.findings if f.kind is FindingKind.RESTRICTED_ZONE)
    assert (found.where.start, found.where.end) == (np.flatnonzero(exact)[0], np.flatnonzero(exact)[-1] + 1)
    assert found.label == "MIL"


def test_a_cloud_within_a_zone_is_dropped_whole(make, cleanse):
    treated, out = cleanse(
        make.las(make.site(100)), CloudKind.LAS, zones=make.zone(make.lat, make.lon, 500.0)
    )
    assert treated.dropped
    assert out == b""


def test_a_cloud_on_the_earth_without_a_system_stops_until_one_is_declared(make, cleanse):
    content = make.las(make.site(100), crs=None)
    with pytest.raises(UnknownCrsError, match="none in the manifest"):
        cleanse(content, CloudKind.LAS)
    treated, out = cleanse(content, CloudKind.LAS, crs=make.utm)
    assert treated.facts["crs"] == make.utm
    assert read(out).header.parse_crs().to_epsg() == 32650


def test_a_cloud_about_the_origin_without_a_system_is_a_sweep_within_range(make, cleanse, profile):
    xyz = np.random.default_rng(0).uniform(-300, 300, (2000, 3))
    content = make.las(xyz, crs=None, offsets=(0.0, 0.0, 0.0))
    treated, out = cleanse(content, CloudKind.LAS)
    after = read(out).xyz
    assert treated.facts["situation"] == "sweep"
    assert np.hypot(after[:, 0], after[:, 1]).max() <= profile.max_range_m
    assert treated.facts["points_out"] == len(after) < 2000


def test_times_that_the_profile_keeps_begin_at_zero(make, cleanse, profile):
    kept = type(profile)(
        max_points=10_000, max_range_m=100.0, keep_every=1, keep_attributes=("gps_time", "point_source_id")
    )
    content = make.las(make.site(200))
    treated, out = cleanse(content, CloudKind.LAS, profile=kept)
    before, after = read(content), read(out)
    assert after.gps_time[0] == 0.0
    assert np.array_equal(np.diff(before.gps_time), np.diff(after.gps_time))
    assert FindingKind.TIMESTAMP in {f.kind for f in treated.findings}
    assert set(np.asarray(after.point_source_id)) == {1, 2, 3}
    same = before.point_source_id[:, None] == before.point_source_id
    assert np.array_equal(same, after.point_source_id[:, None] == after.point_source_id)


def test_points_without_a_place_leave_a_cloud_on_the_earth(make, cleanse):
    xyz = make.site(50)
    xyz[7] = 0.0
    treated, out = cleanse(make.las(xyz, offsets=(0.0, 0.0, 0.0)), CloudKind.LAS)
    assert len(read(out)) == 49
    assert any(f.label == "no place" for f in treated.findings)


@pytest.mark.parametrize("minor", [0, 1])
def test_versions_before_12_leave_as_12(make, cleanse, minor):
    content = bytearray(make.las(make.site(20), point_format=1))
    content[25] = minor
    _, out = cleanse(bytes(content), CloudKind.LAS)
    assert out[25] == 2
    assert len(read(out)) == 20


def test_streamed_laz_is_read_by_both_decoders_of_lazrs(make, cleanse):
    content = make.las(make.site(120_000), point_format=1, compressed=True)
    _, out = cleanse(content, CloudKind.LAZ)
    before = read(content).xyz
    for backend in (laspy.LazBackend.Lazrs, laspy.LazBackend.LazrsParallel):
        assert np.array_equal(laspy.read(io.BytesIO(out), laz_backend=backend).xyz, before)


def patched(content, at, value):
    return content[:at] + value + content[at + len(value) :]


BAD = {
    "no points": (lambda c: patched(c, 107, bytes(4)), MalformedItemError, "no points"),
    "bomb": (lambda c: patched(c, 107, b"\xff" * 4), LimitExceededError, "too many points"),
    "wrong count": (lambda c: patched(c, 107, (51).to_bytes(4, "little")), MalformedItemError, "truncated"),
    "truncated": (lambda c: c[:-7], MalformedItemError, "truncated"),
    "only a header": (lambda c: c[:200], MalformedItemError, "no LAS header"),
    "unknown version": (lambda c: patched(c, 25, b"\x07"), MalformedItemError, "version"),
    "unknown format": (lambda c: patched(c, 104, b"\x0b"), MalformedItemError, "point format"),
    "waveforms": (lambda c: patched(c, 104, b"\x04"), MalformedItemError, "waveforms"),
    "short records": (lambda c: patched(c, 105, b"\x05\x00"), MalformedItemError, "too short"),
    "scale 0": (lambda c: patched(c, 131, bytes(8)), MalformedItemError, "scale"),
    "scale NaN": (lambda c: patched(c, 131, np.float64(np.nan).tobytes()), MalformedItemError, "scale"),
    "offset infinite": (
        lambda c: patched(c, 155, np.float64(np.inf).tobytes()),
        MalformedItemError,
        "offset",
    ),
    "points before the header": (lambda c: patched(c, 96, bytes(4)), MalformedItemError, "outside the file"),
    "many records": (lambda c: patched(c, 100, b"\xff" * 4), LimitExceededError, "too many VLRs"),
    "scale that leaves the system": (
        lambda c: patched(c, 131, np.float64(1e4).tobytes()),
        MalformedItemError,
        "outside|Earth|impossible|not finite",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_damaged_files_are_refused(make, cleanse, case):
    damage, error, message = BAD[case]
    with pytest.raises(error, match=message):
        cleanse(damage(make.las(make.site(50))), CloudKind.LAS)


def test_two_counts_that_differ_are_refused(make, cleanse):
    content = make.las(make.site(50), point_format=3, version="1.4")
    with pytest.raises(MalformedItemError, match="counts differ"):
        cleanse(patched(content, 107, (49).to_bytes(4, "little")), CloudKind.LAS)


def layers_at(content):
    return int.from_bytes(content[96:100], "little") + 8 + int.from_bytes(content[105:107], "little") + 4


BAD_LAZ = {
    "truncated": (lambda c: c[: len(c) * 2 // 3], "chunk table"),
    "table beyond the end": (
        lambda c: patched(c, int.from_bytes(c[96:100], "little"), (1 << 40).to_bytes(8, "little")),
        "chunk table",
    ),
    "table of 4 billion chunks": (
        lambda c: patched(
            c,
            int.from_bytes(c[int.from_bytes(c[96:100], "little") :][:8], "little") + 4,
            b"\xff\xff\xff\xff",
        ),
        "too many chunks",
    ),
    "layer of 4 GiB": (lambda c: patched(c, layers_at(c), b"\xff\xff\xff\xff"), "layers reach"),
}


@pytest.mark.parametrize("case", BAD_LAZ)
def test_damaged_compression_is_refused_before_anything_is_allocated(make, cleanse, case):
    damage, message = BAD_LAZ[case]
    content = make.las(make.site(500), point_format=6, compressed=True)
    with pytest.raises(MalformedItemError, match=message):
        cleanse(damage(content), CloudKind.LAZ)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.lists(st.integers(0, 5999), min_size=1, max_size=6), value=st.integers(0, 255), laz=st.booleans(),
    end=st.integers(0, 60_000),
)  # fmt: skip
def test_any_damage_is_read_or_refused(make, cleanse, at, value, laz, end):
    content = bytearray(make.las(make.site(60), point_format=6, compressed=laz, evlr=True))
    for place in at:
        content[place % len(content)] = value
    damaged = bytes(content[: end or None])
    try:
        treated, out = cleanse(damaged, CloudKind.LAZ if laz else CloudKind.LAS)
    except AnonymizeError:
        return
    assert treated.dropped or len(read(out)) == treated.facts["points_out"]


class EndlessLas(io.RawIOBase):
    """A LAS file of many points in the frame of a sensor, made up while it is read."""

    def __init__(self, head, records, count):
        super().__init__()
        self.head, self.tile, self.at = head, records * 4096, 0
        self.size = len(head) + len(records) // 2 * count

    def seekable(self):
        return True

    def readable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def read(self, count=-1):
        end = self.size if count < 0 else min(self.at + count, self.size)
        parts = [self.head[self.at : min(end, len(self.head))]]
        at = self.at + len(parts[0])
        while at < end:
            within = (at - len(self.head)) % len(self.tile)
            parts.append(self.tile[within : within + end - at])
            at += len(parts[-1])
        self.at = end
        return b"".join(parts)


def test_memory_does_not_grow_with_the_file(make, profile):
    from anonymize.points.cleanse import cleanse_cloud  # noqa: PLC0415

    corners = np.array([[5.0, 5.0, 1.0], [-5.0, 9.0, 1.0]])
    small = make.las(corners, point_format=0, crs=None, offsets=(0.0, 0.0, 0.0))
    at = int.from_bytes(small[96:100], "little")
    peaks = []
    for count in (400_000, 3_000_000):
        file = EndlessLas(patched(small, 107, count.to_bytes(4, "little"))[:at], small[at:], count)
        tracemalloc.start()
        treated = cleanse_cloud(file, CloudKind.LAS, zones=None, place=None, crs=None, profile=profile)
        assert sum(map(len, treated.chunks)) > 20 * count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_real_files_keep_their_points(shared, cleanse):
    seen = 0
    for path in sorted((shared / "las").iterdir()):
        content = path.read_bytes()
        if path.name in WRONGLY_PLACED:
            with pytest.raises(MalformedItemError, match="outside the area"):
                cleanse(content, cloud_kind(content))
            continue
        treated, out = cleanse(content, cloud_kind(content), crs="EPSG:2992")
        seen += 1
        before, after = laspy.read(path), read(out)
        assert np.array_equal(before.xyz, after.xyz)
        assert np.array_equal(before.intensity, after.intensity)
        assert treated.facts["points_in"] == treated.facts["points_out"] == len(before)
    assert seen == 5


def test_a_real_copc_leaves_as_laz_once_its_system_is_right(shared, cleanse):
    content = (shared / "las" / "simple.copc.laz").read_bytes()
    # The sample states metres, but its coordinates are feet: without its WKT, the declared system counts.
    renamed = content.replace(b"LASF_Projection", b"LASF_Projectio\x00")
    assert cloud_kind(content) is CloudKind.COPC
    treated, out = cleanse(renamed, CloudKind.COPC, crs="EPSG:2992")
    assert treated.kind is cloud_kind(out) is CloudKind.LAZ
    assert b"copc" not in out
    before = laspy.read(shared / "las" / "simple.copc.laz")
    after = read(out)
    assert np.array_equal(before.xyz, after.xyz)
    assert np.array_equal(before.intensity, after.intensity)
