"""A log's time against the track's: the clock, the spans that are cut, and the second look at what is left."""

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.can.frame import Frame
from anonymize.can.log import measure, write_can
from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind
from anonymize.formats.track import Track
from anonymize.geo.zone_spans import ZoneSpan
from anonymize.geo.zones import ZoneSet
from anonymize.residual import ResidualReport
from anonymize.text.planted_strings import PlantedStrings
from gateway.errors import HeldError
from gateway.flow.kinds.can_way import hold_against, require_same_clock, spans_to_cut, zone_kinds
from gateway.flow.kinds.surroundings import Surroundings
from gateway.people.zones import InstalledZones
from simulators import ORIGIN, START, route, zone_file

T0 = START.timestamp()
CLEAN = ResidualReport(scanners=("first",), residual=())


def track(count: int = 400) -> Track:
    lats, lons = route(count)
    return Track(
        lat=np.array(lats),
        lon=np.array(lons),
        # Fixes without a time say nothing of when.
        time_s=np.where(np.arange(count) == 7, np.nan, T0 + np.arange(count)),
        elevation_m=np.full(count, np.nan),
        speed_mps=np.full(count, np.nan),
        segment=np.zeros(count, np.int32),
        crs="EPSG:4326",
    )


def around(*rings: tuple[str, float, float, float], attested: bool = False) -> Surroundings:
    zones = ZoneSet.from_geojson(zone_file(*rings))
    return Surroundings(
        zones=InstalledZones(zones=zones, digest=zones.digest, version=1),
        tracks=(),
        positions=np.zeros((2, 0)),
        captured={},
        attested=attested,
        planted=PlantedStrings(()),
    )


def log(kind: str, times_s: list[float]) -> io.BytesIO:
    """A cleansed log with frames at these POSIX seconds."""
    frames = [
        Frame(time_ns=round((t - T0) * 1e9), channel=1, id=0x100, extended=False, data=b"\x01", length=1)
        for t in times_s
    ]
    totals = measure(frames, kind)
    return io.BytesIO(b"".join(write_can(frames, kind, start_ms=round(T0 * 1000), totals=totals)))


@settings(deadline=None, max_examples=60)
@given(begin=st.floats(-2000.0, 2000.0), length=st.floats(0.0, 2000.0))
def test_a_clock_counts_as_the_track_s_when_half_of_the_log_lies_in_its_time(begin, length):
    shared = min(begin + length, 399.0) - max(begin, 0.0)
    span = (T0 + begin, T0 + begin + length)
    if abs(shared - 0.5 * length) < 1e-3 or abs(shared) < 1e-3:
        return
    if shared > 0.5 * length:
        require_same_clock(span, track())
        return
    with pytest.raises(MalformedItemError, match="clock is not that of the track") as told:
        require_same_clock(span, track())
    assert str(int(T0))[:6] not in str(told.value)


def test_a_log_without_a_date_stops():
    with pytest.raises(MalformedItemError, match="tells no date"):
        require_same_clock(None, track())


def test_what_lies_outside_the_time_of_the_track_is_cut_but_its_ends():
    before, after = spans_to_cut(track(), around(), 10.0)
    assert (before.begin_s, after.end_s) == (-math.inf, math.inf)
    assert before.end_s < T0 < T0 + 399 < after.begin_s
    assert after.begin_s - (T0 + 399) < 1e-6
    assert spans_to_cut(track(), around(attested=True), 10.0) == ()


def test_spans_name_their_zones_and_a_log_only_those_that_it_may_have_met():
    lat, lon = ORIGIN
    cuts = spans_to_cut(track(), around(("MIL", lat, lon, 60.0), ("ENERGY", lat, lon + 0.04, 60.0)), 10.0)
    kinds = [kind.value for cut in cuts for kind in cut.kinds]
    assert sorted(kinds) == ["ENERGY", "MIL"]
    assert zone_kinds((T0 + 100, T0 + 398), cuts) == ["ENERGY"]
    assert zone_kinds((T0 + 100, T0 + 110), cuts) == []
    assert zone_kinds(None, cuts) == []


def test_no_attestation_stands_for_a_zone_file():
    held = Surroundings(
        zones=None,
        tracks=(),
        positions=np.zeros((2, 0)),
        captured={},
        attested=True,
        planted=PlantedStrings(()),
    )
    with pytest.raises(HeldError, match="no zone file"):
        spans_to_cut(track(), held, 10.0)


@pytest.mark.parametrize("kind", ["asc", "blf"])
def test_a_frame_that_was_left_in_a_zone_is_found(kind):
    cuts = (
        ZoneSpan(begin_s=-math.inf, end_s=T0 - 1.0, kinds=()),
        ZoneSpan(begin_s=T0 + 10.0, end_s=T0 + 20.0, kinds=()),
    )
    clear = hold_against(CLEAN, log(kind, [T0, T0 + 9.9999, T0 + 20.0001, T0 + 30]), kind, cuts)
    assert clear.clean
    assert clear.scanners == ("first", "re-read-and-zone-times")
    left = hold_against(CLEAN, log(kind, [T0, T0 + 15, T0 + 30]), kind, cuts)
    assert [finding.kind for finding in left.residual] == [FindingKind.RESTRICTED_ZONE]
