"""What has nothing to do with the drive is no finding: random bytes, sweeps, photographs, videos, local frames."""

import gzip
import io
import itertools
import struct

import lz4.frame
import numpy as np
import pytest
from PIL import Image

from anonymize.geo.chance import tail
from anonymize.geo.position_index import PositionIndex
from anonymize.geo.positions import find_positions, search, search_positions

MIB = 1 << 20
RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def index(drive):
    """A drive of 2,000 fixes in Peking, and its every notation."""
    track = drive()
    return PositionIndex(track.lat, track.lon)


@pytest.fixture(scope="module")
def far_index(drive):
    """Seven hours of driving, 100 km from end to end: as many fixes as a day of one vehicle gives."""
    track = drive(fixes=25_000, step_m=12.0)
    return PositionIndex(track.lat, track.lon)


def photograph() -> bytes:
    pixels = RNG.integers(0, 256, (900, 900, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def sweep(points: int = 120_000) -> np.ndarray:
    turn, reach = RNG.uniform(0, 2 * np.pi, points), 120 * np.sqrt(RNG.uniform(0, 1, points))
    columns = (
        reach * np.cos(turn),
        reach * np.sin(turn),
        RNG.normal(0, 2, points),
        RNG.uniform(0, 1, points),
    )
    return np.column_stack(columns)


def rows(values: np.ndarray, form: str) -> bytes:
    return "\n".join(form % tuple(row) for row in values.tolist()).encode()


UNRELATED = {
    "random bytes": lambda: RNG.bytes(8 * MIB),
    "random 64-bit floats": lambda: RNG.normal(0, 60, MIB // 2).tobytes(),
    "random 32-bit floats": lambda: RNG.normal(0, 60, MIB).astype("<f4").tobytes(),
    "uniform 32-bit floats": lambda: RNG.uniform(0, 180, MIB).astype(">f4").tobytes(),
    "a lidar sweep": lambda: sweep().astype("<f4").tobytes(),
    "a lidar sweep of 64-bit floats": lambda: sweep().astype("<f8").tobytes(),
    "a lidar sweep in millimetres": lambda: (sweep() * 1000).astype("<i4").tobytes(),
    "a lidar sweep as text": lambda: rows(sweep(40_000), "%.4f %.4f %.4f %.2f"),
    "a JPEG photograph": photograph,
    "LZ4": lambda: lz4.frame.compress(sweep().astype("<f4").tobytes()),
    "a local track": lambda: rows(np.cumsum(RNG.normal(0, 1, (50_000, 2)), axis=0), "0,1.0,%.3f,%.3f"),
    "counters": lambda: rows(np.arange(200_000).reshape(-1, 2) + 440_000.0, "%d,%d"),
    "numbers of ten digits": lambda: rows(RNG.integers(0, 10**10, (100_000, 2)), "%d %d"),
    "zeros": lambda: bytes(4 * MIB),
    "counters of 32 bits": lambda: np.arange(MIB, dtype="<u4").tobytes(),
    "small integers": lambda: RNG.integers(0, 200, MIB // 2).astype("<i4").tobytes(),
}


@pytest.mark.parametrize("content", UNRELATED)
def test_megabytes_that_have_nothing_to_do_with_the_drive_are_clean(content, index, far_index):
    made = UNRELATED[content]()
    for known in (index, far_index):
        assert search([made], known) == ()


@pytest.mark.parametrize(
    "name",
    [
        "formats/kitti_object/velodyne/000000.bin",
        "formats/kitti_object/image_2/000000.png",
        "formats/exif/no_exif.jpg",
        "formats/mp4/max-heromode.mp4",
        "formats/las/autzen_trim.laz",
        "formats/ros2/wbag_0.mcap",
        "formats/osm/test.osm.pbf",
        "media/faces_dlib/2007_007763.jpg",
    ],
)
def test_real_files_of_other_places_are_clean(name, shared_data, index, far_index):
    content = (shared_data / name).read_bytes()
    for known in (index, far_index):
        assert search([content], known) == ()


def test_a_real_drive_elsewhere_in_the_city_is_no_finding_but_the_same_drive_is(shared_data):
    with gzip.open(shared_data / "formats/traj/geolife_sample.txt.gz") as source:
        lines = source.read(3 * MIB).splitlines()[:20_000]
    fixes = np.array([row for line in lines if (row := numbers(line)) is not None])
    known = PositionIndex(fixes[:200, 0], fixes[:200, 1])
    assert search([rows(fixes[:200], "%.6f,%.6f")], known)
    apart = fixes[
        (np.abs(fixes - fixes[:200].mean(axis=0)) > np.ptp(fixes[:200], axis=0) + 0.003).any(axis=1)
    ]
    assert len(apart) > 100
    assert search([rows(apart, "%.6f,%.6f")], known) == ()


def numbers(line: bytes) -> tuple[float, float] | None:
    """Latitude and longitude of a line of the sample, whatever stands beside them."""
    values = [float(v) for v in line.replace(b",", b" ").split() if v.replace(b".", b"").isdigit()]
    pairs = itertools.pairwise(values)
    return next(((a, b) if a < b else (b, a) for a, b in pairs if {a // 30, b // 30} == {1, 3}), None)


@pytest.mark.parametrize("code", ["<i", ">i"])
def test_consistent_integers_among_random_bytes_are_found_and_one_alone_is_chance(code, index, drive):
    track = drive()
    pairs = [
        struct.pack(f"{code[0]}2i", round(y * 1e7), round(x * 1e7))
        for y, x in zip(track.lat[:60:10], track.lon[:60:10], strict=True)
    ]
    noise = np.random.default_rng(3).bytes(MIB)
    alone = noise[:500_001] + pairs[0] + noise[500_001:]
    assert search([alone], index) == ()
    together = noise[:500_001] + b"\x07".join(pairs) + noise[500_001:]
    assert {h.label for h in search([together], index)} == {"int32 e7"}


def test_one_position_for_each_mebibyte_adds_up(index, drive):
    track = drive()
    content = b"".join(
        np.random.default_rng(k).bytes(MIB // 2)
        + struct.pack("<2i", round(track.lat[30 * k] * 1e7), round(track.lon[30 * k] * 1e7))
        for k in range(16)
    )
    assert len(search([content], index)) >= 16


def test_the_poisson_tail():
    assert tail(0, 0.1) == 1.0
    assert tail(1, 0.0) == 0.0
    assert tail(1, 1e-4) == pytest.approx(1e-4, rel=1e-3)
    assert tail(3, 0.01) == pytest.approx(1.654e-7, rel=1e-2)
    assert tail(5, 7.0) == 1.0


def test_what_an_offset_release_may_show_is_no_finding_and_a_true_fix_among_it_is(drive):
    track = drive(fixes=3000)
    # A displacement along the road: every released position lies near a true one.
    shown = (track.lat[40:2940], track.lon[40:2940])
    released = list(zip(track.lat[80:2900:4].tolist(), track.lon[80:2900:4].tolist(), strict=True))
    content = rows(np.array(released), "%.7f,%.7f")
    assert find_positions(content, lat=track.lat, lon=track.lon)
    index = PositionIndex(track.lat[:30], track.lon[:30], shown=shown)
    everything = PositionIndex(track.lat, track.lon, shown=shown)
    assert search([content], everything) == ()
    hidden = content + b"\nstart %.6f,%.6f" % (track.lat[3], track.lon[3])
    assert [h.start for h in search([hidden], index)] == [len(content) + 7]
    assert len(content) + 7 in [h.start for h in search([hidden], everything)]


def test_positions_between_fixes_of_a_fast_drive_are_known():
    lat = np.linspace(39.9, 39.95, 140)
    lon = np.full(140, 116.4)
    between = (lat[70] + lat[71]) / 2
    assert find_positions(b"%.6f,%.6f" % (between, 116.4), lat=lat, lon=lon)
    assert not search_positions([b"%.6f,%.6f" % (between, 116.4005)], lat=lat, lon=lon)
