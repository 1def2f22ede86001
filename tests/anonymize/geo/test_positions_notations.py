"""Every notation, planted in text, JSON, XML and binary blobs: found, and not when displaced by 50 m."""

import json
import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from anonymize.geo.crs import geodesic_m
from anonymize.geo.ellipsoid import wrap_degrees
from anonymize.geo.positions import find_positions, search_positions
from anonymize.geo.public_formulas import bd09, gcj02

PEKING = (39.984094, 116.319236)
PLACES = {
    "Peking": PEKING,
    "Rio de Janeiro": (-22.908333, -43.196388),
    "Nairobi": (-1.286389, 36.817223),
    "Fiji, west of the antimeridian": (-16.578193, 179.999921),
    "Greenwich": (51.477928, -0.001545),
    "the Gulf of Guinea": (0.004321, 0.007654),
}


def utm(lat: float, lon: float) -> tuple[float, float, int]:
    zone = int((lon + 180.0) // 6.0) + 1
    epsg = (32600 if lat >= 0 else 32700) + zone
    return (*Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat), zone)


def gauss_kruger(lat: float, lon: float, width: int) -> tuple[float, float, int]:
    number = round(lon / 3.0) if width == 3 else int(lon // 6.0) + 1
    central = 3.0 * number if width == 3 else 6.0 * number - 3.0
    plane = f"+proj=tmerc +lat_0=0 +lon_0={central} +k=1 +x_0=500000 +y_0=0 +ellps=GRS80 +units=m"
    x, y = Transformer.from_crs("OGC:CRS84", plane, always_xy=True).transform(lon, lat)
    return x, y, number


def mercator(lat: float, lon: float) -> tuple[float, float]:
    return Transformer.from_crs(4326, 3857, always_xy=True).transform(lon, lat)


def earth(lat: float, lon: float, height: float = 43.7) -> tuple[float, float, float]:
    return Transformer.from_crs(4979, 4978, always_xy=True).transform(lon, lat, height)


def sexagesimal(degrees: float) -> tuple[int, int, float]:
    size = abs(degrees)
    minutes = (size % 1) * 60
    return int(size), int(minutes), minutes % 1 * 60


def dms(lat: float, lon: float, form: str) -> str:
    (a, b, c), (d, e, f) = sexagesimal(lat), sexagesimal(lon)
    return form.format(a, b, c, "N" if lat >= 0 else "S", d, e, f, "E" if lon >= 0 else "W")


def nmea(lat: float, lon: float) -> str:
    y, x = abs(lat), abs(lon)
    return (
        f"$GPRMC,081836,A,{int(y):02d}{y % 1 * 60:07.4f},{'N' if lat >= 0 else 'S'},"
        f"{int(x):03d}{x % 1 * 60:07.4f},{'E' if lon >= 0 else 'W'},000.0,360.0,130998,011.3,E*62"
    )


def iso6709(lat: float, lon: float) -> str:
    (a, b, c), (d, e, f) = sexagesimal(lat), sexagesimal(lon)
    return (
        f"{'+' if lat >= 0 else '-'}{a:02d}{b:02d}{c:05.2f}{'+' if lon >= 0 else '-'}{d:03d}{e:02d}{f:05.2f}/"
    )


def prefixed(lat: float, lon: float, width: int) -> str:
    x, y, number = gauss_kruger(lat, lon, width)
    return f"X={y:.3f} Y={number * 1e6 + x:.3f}"


def geohash(lat: float, lon: float, size: int) -> str:
    y, x = (Fraction(lat) + 90) / 180, (Fraction(lon) + 180) / 360
    bits = ""
    for _ in range(-(-5 * size // 2)):
        for name in "xy":
            value = 2 * (x if name == "x" else y)
            bits += str(int(value))
            x, y = (value % 1, y) if name == "x" else (x, value % 1)
    alphabet = "0123456789bcdefghjkmnpqrstuvwxyz"
    return "".join(alphabet[int(bits[5 * k : 5 * k + 5], 2)] for k in range(size))


def plus_code(lat: float, lon: float) -> str:
    y, x = int((lat + 90) * 8000), int((lon + 180) * 8000)
    digits = "".join("23456789CFGHJMPQRVWX"[v // 20**k % 20] for k in range(4, -1, -1) for v in (y, x))
    return f"{digits[:8]}+{digits[8:]}"


def mgrs(lat: float, lon: float) -> str:
    x, y, zone = utm(lat, lon)
    band = "CDEFGHJKLMNPQRSTUVWX"[int((lat + 80) // 8)]
    column = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")[(zone - 1) % 3][int(x // 1e5) - 1]
    row = "ABCDEFGHJKLMNPQRSTUV"[(int(y // 1e5) + (5 if zone % 2 == 0 else 0)) % 20]
    return f"{zone}{band}{column}{row}{int(x % 1e5):05d}{int(y % 1e5):05d}"


WRITTEN: dict[str, Callable[[float, float], str]] = {
    "decimal, comma": lambda y, x: f"{y:.6f},{x:.6f}",
    "decimal, blank, longitude first": lambda y, x: f"{x:.5f} {y:.5f}",
    "decimal, four decimals": lambda y, x: f"({y:.4f}; {x:.4f})",
    "decimal, fifteen decimals": lambda y, x: f"{y:.15f} {x:.15f}",
    "decimal, exponents": lambda y, x: f"{y:.12e} {x:.12e}",
    "decimal, letters": lambda y, x: (
        f"{abs(y):.6f}°{'N' if y >= 0 else 'S'} {abs(x):.6f}°{'E' if x >= 0 else 'W'}"
    ),
    "decimal, letters before": lambda y, x: (
        f"{'N' if y >= 0 else 'S'}{abs(y):.6f} {'E' if x >= 0 else 'W'}{abs(x):.6f}"
    ),
    "decimal comma": lambda y, x: f"{y:.6f} {x:.6f}".replace(".", ","),
    "decimal comma, semicolon": lambda y, x: f"{y:.6f}; {x:.6f}".replace(".", ","),
    "well-known text": lambda y, x: f"POINT Z ({x:.7f} {y:.7f} 43.5)",
    "URL": lambda y, x: f"https://example.org/map/@{y:.7f},{x:.7f},17z",
    "DMS": lambda y, x: dms(y, x, "{0}°{1}'{2:.2f}\"{3}, {4}°{5}'{6:.2f}\"{7}"),
    "DMS, typographic": lambda y, x: dms(y, x, "{3} {0}° {1}′ {2:.1f}″ {7} {4}° {5}′ {6:.1f}″"),
    "DMS, blanks": lambda y, x: dms(y, x, "{0} {1:02d} {2:05.2f} {3} {4} {5:02d} {6:05.2f} {7}"),
    "DMS, colons": lambda y, x: dms(y, x, "{0}:{1:02d}:{2:05.2f}{3} {4}:{5:02d}:{6:05.2f}{7}"),
    "degrees and minutes": lambda y, x: (
        f"{int(abs(y))}° {abs(y) % 1 * 60:.4f}' {'N' if y >= 0 else 'S'} "
        f"{int(abs(x))}° {abs(x) % 1 * 60:.4f}' {'E' if x >= 0 else 'W'}"
    ),
    "NMEA": nmea,
    "ISO 6709": iso6709,
    "E7": lambda y, x: f"{y * 1e7:.0f} {x * 1e7:.0f}",
    "E6": lambda y, x: f"{x * 1e6:.0f},{y * 1e6:.0f}",
    "E5": lambda y, x: f"{y * 1e5:.0f},{x * 1e5:.0f}",
    "milliarcseconds": lambda y, x: f"{y * 3.6e6:.0f};{x * 3.6e6:.0f}",
    "ten-thousandths of minutes": lambda y, x: f"{y * 6e5:.0f} {x * 6e5:.0f}",
    "radians": lambda y, x: f"{np.radians(y):.9f}, {np.radians(x):.9f}",
    "earth-centred": lambda y, x: "x={:.2f} y={:.2f} z={:.2f}".format(*earth(y, x)),
    "earth-centred millimetres": lambda y, x: "{:.0f},{:.0f},{:.0f}".format(*(1000 * v for v in earth(y, x))),
    "UTM": lambda y, x: "{:.2f} {:.2f}".format(*utm(y, x)[:2]),
    "UTM, whole metres, northing first": lambda y, x: "N {1:.0f} E {0:.0f}".format(*utm(y, x)[:2]),
    "UTM with zone": lambda y, x: f"{utm(y, x)[0] + utm(y, x)[2] * 1e6:.2f},{utm(y, x)[1]:.2f}",
    "Gauss-Kruger 3": lambda y, x: "{1:.3f}, {0:.3f}".format(*gauss_kruger(y, x, 3)[:2]),
    "Gauss-Kruger 6": lambda y, x: "{:.3f}, {:.3f}".format(*gauss_kruger(y, x, 6)[:2]),
    "web mercator": lambda y, x: "[{:.2f}, {:.2f}]".format(*mercator(y, x)),
    "geohash 8": lambda y, x: geohash(y, x, 8),
    "geohash 11": lambda y, x: geohash(y, x, 11),
    "plus code": plus_code,
    "MGRS": mgrs,
}
CHINESE: dict[str, Callable[[float, float], str]] = {
    "degrees in words": lambda y, x: dms(y, x, "北纬{0}度{1}分{2:.1f}秒，东经{4}度{5}分{6:.1f}秒"),
    "Gauss-Kruger 3 with zone": lambda y, x: prefixed(y, x, 3),
    "Gauss-Kruger 6 with zone": lambda y, x: prefixed(y, x, 6),
    "GCJ-02": lambda y, x: "{:.6f},{:.6f}".format(*map(float, gcj02(np.array(y), np.array(x)))),
    "BD-09": lambda y, x: "{:.6f},{:.6f}".format(*map(float, bd09(*gcj02(np.array(y), np.array(x))))),
}
AROUND: dict[str, Callable[[str], bytes]] = {
    "text": lambda s: f"Version 1.2.3 of 2023-11-28, 17:04. Seen at {s} by vehicle 4.".encode(),
    "JSON": lambda s: json.dumps({"id": 12, "at": s, "speed": 7.25}, ensure_ascii=False).encode(),
    "XML": lambda s: f'<log n="7"><place>{s}</place><v>3.5</v></log>'.encode(),
    "UTF-16": lambda s: f"log {s} end".encode("utf-16-le"),
    "a binary blob at an odd offset": lambda s: b"\x00\xff\x07" + s.encode() + b"\x00\x01\xfe",
}


def stored(code: str, *values: float) -> bytes:
    return struct.pack(code, *(round(v) if code[-1] in "iqI" else v for v in values))


def rationals(order: str, lat: float, lon: float) -> bytes:
    parts = []
    for value in (lat, lon):
        degrees, minutes, seconds = sexagesimal(value)
        parts += [degrees, 1, minutes, 1, round(seconds * 10000), 10000]
    return struct.pack(f"{order}12I", *parts)


STORED: dict[str, Callable[[str, float, float], bytes]] = {
    "float64": lambda o, y, x: stored(f"{o}dd", y, x),
    "float64, longitude first": lambda o, y, x: stored(f"{o}dd", x, y),
    "float64, in protocol buffers": lambda o, y, x: (
        b"\x09" + stored(f"{o}d", y) + b"\x11" + stored(f"{o}d", x)
    ),
    "float64, a field between": lambda o, y, x: stored(f"{o}ddd", y, 43.5, x),
    "float64 radians": lambda o, y, x: stored(f"{o}dd", *np.radians([y, x])),
    "float32": lambda o, y, x: stored(f"{o}ff", y, x),
    "float32 radians": lambda o, y, x: stored(f"{o}ff", *np.radians([y, x])),
    "int32 e7": lambda o, y, x: stored(f"{o}ii", y * 1e7, x * 1e7),
    "int64 e7": lambda o, y, x: stored(f"{o}qq", y * 1e7, x * 1e7),
    "int32 semicircles": lambda o, y, x: stored(f"{o}ii", y * 2**31 / 180, x * 2**31 / 180),
    "float64 earth-centred": lambda o, y, x: stored(f"{o}ddd", *earth(y, x)),
    "int32 earth-centred centimetres": lambda o, y, x: stored(f"{o}iii", *(100 * v for v in earth(y, x))),
    "float64 UTM": lambda o, y, x: stored(f"{o}dd", *utm(y, x)[:2]),
    "float32 UTM": lambda o, y, x: stored(f"{o}ff", *utm(y, x)[:2]),
    "float64 Gauss-Kruger": lambda o, y, x: stored(f"{o}dd", *gauss_kruger(y, x, 3)[:2]),
    "float64 web mercator": lambda o, y, x: stored(f"{o}dd", *mercator(y, x)),
    "rationals": rationals,
}
NOISE = np.random.default_rng(5).bytes(600)


def displaced(lat: float, lon: float, away_m: float = 50.0, turn: float = 0.9) -> tuple[float, float]:
    """A position some metres away, in any direction."""
    y = lat + away_m * np.cos(turn) / 110_574.0
    x = lon + away_m * np.sin(turn) / (111_320.0 * np.cos(np.radians(lat)))
    return float(y), float(wrap_degrees(x))


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("notation", [*WRITTEN, *CHINESE])
def test_a_written_position_is_found_and_one_50_m_away_is_not(notation, around):
    text = (WRITTEN | CHINESE)[notation](*PEKING)
    content = AROUND[around](text)
    found = find_positions(content, lat=[PEKING[0]], lon=[PEKING[1]])
    assert found, (notation, text)
    for turn in (0.9, 2.5, 4.2, 5.8):
        lat, lon = displaced(*PEKING, 55.0, turn)
        assert not find_positions(content, lat=[lat], lon=[lon]), (notation, turn)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("notation", STORED)
def test_a_stored_position_is_found_at_any_offset_and_one_50_m_away_is_not(notation, order):
    planted = STORED[notation](order, *PEKING)
    for lead in (0, 1, 7, 122, 301):
        content = NOISE[:lead] + planted + NOISE[lead:]
        spans = [
            (f.where.start, f.where.end) for f in find_positions(content, lat=[PEKING[0]], lon=[PEKING[1]])
        ]
        assert any(start <= lead + 1 and end >= lead + len(planted) - 1 for start, end in spans), lead
        lat, lon = displaced(*PEKING, 55.0)
        assert not find_positions(content, lat=[lat], lon=[lon])


# Within a kilometre of 0, 0 integers of 1e-5 degrees have three digits: no position.
EVERYWHERE = [
    (notation, place)
    for notation in WRITTEN
    for place in PLACES
    if not (place == "the Gulf of Guinea" and notation in {"E5", "E6"})
]


@pytest.mark.parametrize(("notation", "place"), EVERYWHERE)
def test_every_notation_is_found_in_every_quarter_of_the_world(notation, place):
    lat, lon = PLACES[place]
    content = f"at {WRITTEN[notation](lat, lon)}, so they say".encode()
    found = find_positions(content, lat=[lat], lon=[lon])
    assert found, content
    away = displaced(lat, lon, 60.0)
    assert not find_positions(content, lat=[away[0]], lon=[away[1]])


@given(
    st.floats(-79.9, 79.9),
    st.floats(-180, 179.999999),
    st.floats(0, 6.28),
    st.sampled_from(sorted({*WRITTEN} - {"E5", "E6", "decimal, four decimals", "geohash 8"})),
)
@settings(max_examples=30, deadline=None)
def test_written_positions_anywhere(lat, lon, turn, notation):
    assume(abs(lat) > 1e-3 and abs(lon) > 1e-3)
    content = f"<at>{WRITTEN[notation](lat, lon)}</at>".encode()
    assert find_positions(content, lat=[10.0, lat], lon=[20.0, lon])
    y, x = displaced(lat, lon, 60.0, turn)
    assume(geodesic_m(lat, lon, y, x)[0] > 50.0)
    assert not find_positions(content, lat=[y], lon=[x])


@given(
    st.floats(-79.9, 79.9),
    st.floats(-180, 179.999999),
    st.floats(0, 6.28),
    st.sampled_from(sorted(STORED)),
    st.sampled_from("<>"),
    st.integers(0, 200),
)
@settings(max_examples=30, deadline=None)
def test_stored_positions_anywhere(lat, lon, turn, notation, order, lead):
    assume(abs(lat) > 1e-3 and abs(lon) > 1e-3)
    content = b"\xff" * lead + STORED[notation](order, lat, lon) + b"\xff\x00"
    assert search_positions([content], lat=[lat], lon=[lon])
    y, x = displaced(lat, lon, 60.0, turn)
    assume(geodesic_m(lat, lon, y, x)[0] > 50.0)
    assert not search_positions([content], lat=[y], lon=[x])
