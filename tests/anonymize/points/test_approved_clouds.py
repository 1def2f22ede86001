"""A cloud that a secrecy processor placed is held against it, point by point."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import laspy
import numpy as np
import pytest

from anonymize.errors import ProfileError, ResidualError
from anonymize.geo.approved_displacement import ApprovedDisplacement
from anonymize.geo.approved_witness import WitnessedDisplacement
from anonymize.geo.crs import geodesic_m, to_wgs84
from anonymize.geo.displacement import KeyedOffset
from anonymize.points.kinds import CloudKind, cloud_kind
from anonymize.points.residual import CloudCheck, scan_cloud
from anonymize.points.unlink import CloudRelease, unlink_cloud
from unsafe_secrecy_processor import ALLOWED, UnsafeTestProcessor

KEY = bytes(range(32))
NOW = datetime(2026, 6, 1, tzinfo=UTC)


class UnsafeShortShift(UnsafeTestProcessor):
    """Moves by a dozen metres: less than an offset has to."""

    def process(self, lat, lon, height_m):
        lat_out, lon_out, height = super().process(lat, lon, height_m)
        return lat + (lat_out - lat) / 40.0, lon + (lon_out - lon) / 40.0, height


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    monkeypatch.setenv(ALLOWED, "1")


@pytest.fixture
def leave(profile, tracks):
    def run(content, *, mode="APPROVED", offset=None):
        kept = replace(tracks, keep_elevation=True)
        displacement = offset or WitnessedDisplacement(UnsafeShortShift(), kept, now=NOW)
        made = unlink_cloud(
            io.BytesIO(content),
            cloud_kind(content),
            release=CloudRelease(mode=mode, key=KEY, context=b"r", offset=displacement),
            crs=None,
            profile=profile,
            tracks=kept,
        )
        return made, b"".join(made.chunks), displacement

    return run


@pytest.fixture
def scanned(profile, tracks):
    def run(out, clean, *, processor=UnsafeShortShift, stage="APPROVED"):
        check = CloudCheck(
            stage=stage,
            georeferenced=True,
            original=io.BytesIO(clean),
            processor=None if processor is None else ApprovedDisplacement(processor(), tracks, now=NOW),
        )
        return scan_cloud(io.BytesIO(out), cloud_kind(out), check=check, profile=profile, tracks=tracks)

    return run


@pytest.mark.parametrize("compressed", [False, True], ids=["las", "laz"])
def test_points_are_the_processors_however_near_and_heights_are_not_kept(
    make, cleanse, leave, scanned, compressed
):
    _, clean = cleanse(make.las(make.site(500), compressed=compressed), CloudKind.LAS)
    made, out, witness = leave(clean)
    before, after = (laspy.read(io.BytesIO(content)) for content in (clean, out))
    want = UnsafeShortShift().process(*to_wgs84(np.array(before.x), np.array(before.y), make.utm), None)
    shown = to_wgs84(np.array(after.x), np.array(after.y), make.utm)
    assert geodesic_m(want[0], want[1], *shown)[0].max() < 0.002
    assert np.abs(np.array(before.z) - before.z.min() - np.array(after.z)).max() < 0.002
    assert set(made.facts) == {"mode", "points_in", "points_out", "situation", "crs"}
    assert [t.kind.value for t in made.treatments] == ["secrecy_processor"]
    assert witness.evidence().positions >= 500
    report = scanned(out, clean)
    assert report.clean, report.residual
    assert report.facts["stage"] == "APPROVED"


def test_the_scan_finds_a_point_two_centimetres_off_and_another_processor(make, cleanse, leave, scanned):
    _, clean = cleanse(make.las(make.site(200)), CloudKind.LAS)
    _, out, _ = leave(clean)
    assert {f.label for f in scanned(out, clean, processor=UnsafeTestProcessor).residual} == {
        "not the processor's position"
    }
    # The X of the eighth point, in steps of a millimetre.
    (at,) = np.frombuffer(out[96:100], "<u4")
    (length,) = np.frombuffer(out[105:107], "<u2")
    start = int(at) + 7 * int(length)
    (x,) = np.frombuffer(out[start : start + 4], "<i4")
    spoilt = out[:start] + np.int32(x + 20).tobytes() + out[start + 4 :]
    labels = {(f.label, f.where.start) for f in scanned(spoilt, clean).residual if f.label}
    assert ("not the processor's position", 7) in labels


def test_a_processor_belongs_to_its_mode_and_no_other(make, cleanse, leave, scanned, tracks):
    _, clean = cleanse(make.las(make.site(50)), CloudKind.LAS)
    with pytest.raises(ProfileError, match="mode APPROVED"):
        leave(clean, offset=KeyedOffset(KEY, tracks))
    with pytest.raises(ProfileError, match="mode OFFSET"):
        leave(clean, mode="OFFSET")
    _, out, _ = leave(clean)
    with pytest.raises(ResidualError, match="held against its processor"):
        scanned(out, clean, processor=None)
    with pytest.raises(ResidualError, match="held against its processor"):
        scanned(out, clean, stage="OFFSET")
