import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymize.geo.residual import find_positions

LAT, LON = 39.984094, 116.319236


def dms(degrees: float) -> tuple[int, int, float]:
    minutes = degrees % 1 * 60
    return int(degrees), int(minutes), minutes % 1 * 60


(LAT_D, LAT_M, LAT_S), (LON_D, LON_M, LON_S) = dms(LAT), dms(LON)

WRITTEN = {
    "decimal, latitude first": (f"{LAT:.6f},{LON:.6f}", "decimal"),
    "decimal, longitude first": (f"[{LON:.5f}, {LAT:.5f}]", "decimal"),
    "JSON with a number between": (f'{{"lat": {LAT}, "alt": 50.1234, "lon": {LON}}}', "decimal"),
    "southern and western": (None, "decimal"),
    "degrees minutes seconds": (
        f"{LAT_D}°{LAT_M}'{LAT_S:.2f}\"N, {LON_D}°{LON_M}'{LON_S:.2f}\"E",
        "degrees minutes seconds",
    ),
    "typographic": (
        f"N {LAT_D}° {LAT_M}′ {LAT_S:.1f}″ E {LON_D}° {LON_M}′ {LON_S:.1f}″",
        "degrees minutes seconds",
    ),
    "spaces only": (
        f"{LAT_D} {LAT_M:02d} {LAT_S:.2f} {LON_D} {LON_M:02d} {LON_S:.2f}",
        "degrees minutes seconds",
    ),
    "Chinese": (
        f"北纬{LAT_D}度{LAT_M}分{LAT_S:.1f}秒，东经{LON_D}度{LON_M}分{LON_S:.1f}秒",
        "degrees minutes seconds",
    ),
    "NMEA": (f"$GPGGA,05,39{LAT % 1 * 60:07.4f},N,116{LON % 1 * 60:07.4f},E,1", "nmea"),
    "E7 integers": (f'{{"latE7":{LAT * 1e7:.0f},"lonE7":{LON * 1e7:.0f}}}', "e7"),
    "micro-degrees": (f"{LAT * 1e6:.0f} {LON * 1e6:.0f}", "e6"),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_every_notation_is_found_and_far_places_are_not(case):
    text, notation = WRITTEN[case]
    lat, lon = (LAT, LON) if text else (-LAT, -LON)
    content = f"prefix 12 {text or f'{lat},{lon}'} suffix 7.25".encode()
    found = find_positions(content, lat=[10.0, lat], lon=[20.0, lon])
    assert notation in {f.label for f in found}
    assert not find_positions(content, lat=[lat + 0.001], lon=[lon])


@pytest.mark.parametrize("layout", ["<dd", ">dd", "<ff", ">ff", "<ii", ">ii"])
def test_binary_positions_are_found_at_any_offset(layout):
    pair = (LAT, LON) if "i" not in layout else (int(LAT * 1e7), int(LON * 1e7))
    for lead in (b"\xff", b"\xff\x00abcd"):
        content = lead + struct.pack(layout, *pair) + b"\xfe tail"
        found = find_positions(content, lat=[LAT], lon=[LON])
        assert [f.where.start for f in found] == [len(lead)]


def test_places_are_given_in_code_points_and_carry_no_content():
    finding = find_positions(f"位置：{LAT:.6f},{LON:.6f}".encode(), lat=[LAT], lon=[LON])[0]
    assert (finding.where.start, finding.where.end) == (3, 23)
    assert "39.98" not in str(finding.as_dict())


def test_without_fixes_nothing_is_found_and_many_findings_are_bounded():
    content = f"{LAT},{LON}\n".encode() * 3000
    assert find_positions(content, lat=[], lon=[]) == ()
    assert len(find_positions(content, lat=[LAT], lon=[LON])) == 1000


@given(st.binary(max_size=400))
def test_any_bytes_can_be_searched(content):
    find_positions(content, lat=[LAT], lon=[LON])


@given(st.floats(-84, 84), st.floats(-179.9, 179.9), st.floats(0, 14), st.floats(0, 6.28))
def test_the_tolerance_is_metres(lat, lon, away, turn):
    y = lat + away * np.cos(turn) / 111_700.0
    x = lon + away * np.sin(turn) / (111_700.0 * np.cos(np.radians(lat)))
    assert find_positions(f"{y:.8f} {x:.8f}".encode(), lat=[lat], lon=[lon])
