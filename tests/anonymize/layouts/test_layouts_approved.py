"""In APPROVED mode folder layouts carry the processor's positions; the offset's limits are not its limits."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from anonymize.geo.approved_displacement import ApprovedDisplacement, plan_approved
from anonymize.geo.crs import geodesic_m
from anonymize.layouts.kitti_residual import scan_oxts, scan_poses
from anonymize.layouts.oxts import offset_oxts, read_oxts
from anonymize.layouts.poses import offset_poses, place_poses, read_poses
from unsafe_secrecy_processor import ALLOWED, UnsafeTestProcessor

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class UnsafeShortShift(UnsafeTestProcessor):
    """Moves by a dozen metres: less than an offset has to."""

    def process(self, lat, lon, height_m):
        lat_out, lon_out, height = super().process(lat, lon, height_m)
        return lat + (lat_out - lat) / 40.0, lon + (lon_out - lon) / 40.0, height


@pytest.fixture
def plan(drive, profile, monkeypatch):
    monkeypatch.setenv(ALLOWED, "1")
    displacement = ApprovedDisplacement(UnsafeShortShift(), profile, now=NOW)
    return plan_approved(
        drive.track(), key=bytes(32), context=b"r", profile=profile, displacement=displacement
    )


def test_records_and_poses_leave_as_the_processor_gives_them(drive, plan, profile):
    oxts = read_oxts(drive.oxts(), time_s=drive.t, profile=profile)
    flat = oxts.values.copy()
    flat[:, [2, 10]] = 0.0
    made = offset_oxts(replace(oxts, values=flat), plan, profile=profile)
    assert made.evidence is None
    values = read_oxts(made.content, time_s=None, profile=profile).values
    lat, lon = made.source.values[:, 0], made.source.values[:, 1]
    want = UnsafeShortShift().process(lat, lon, None)
    assert geodesic_m(values[:, 0], values[:, 1], want[0], want[1])[0].max() < 0.01
    assert np.allclose(made.time_s, made.source.time_s + plan.shift_s)
    report = scan_oxts(made.content, lat=lat, lon=lon, time_s=made.source.time_s, plan=plan, profile=profile)
    assert report.clean, report.residual[:3]
    spoilt = made.content.replace(b"%.8f" % values[0, 0], b"%.8f" % lat[0], 1)
    assert not scan_oxts(
        spoilt, lat=lat, lon=lon, time_s=made.source.time_s, plan=plan, profile=profile
    ).clean
    placed = place_poses(read_poses(drive.poses(), profile=profile), time_s=drive.t, track=drive.track())
    poses = offset_poses(replace(placed, height_m=np.zeros(len(placed))), plan, profile=profile)
    assert poses.evidence is None
    source = poses.source
    scan = scan_poses(
        poses.content, lat=source.lat, lon=source.lon, time_s=source.time_s, plan=plan, profile=profile
    )
    assert scan.clean, scan.residual[:3]
