import cmath
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.containers.alignment import Alignment
from anonymize.containers.clear_disc import ClearFixes, ClearPlaces
from anonymize.errors import MalformedItemError
from anonymize.geo.ellipsoid import from_enu
from anonymize.geo.enu_frame import EnuFrame
from anonymize.geo.zones import ZoneSet

LATITUDES = st.sampled_from([-70.0, 0.0, 31.2, 39.9, 78.0])
LONGITUDES = st.sampled_from([-179.9, 0.0, 116.3])


def zones_near(rng: np.random.Generator, lat: float, lon: float) -> ZoneSet:
    features = []
    for number in range(int(rng.integers(1, 8))):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 6))
        middle, half = rng.uniform(-4000, 4000, 2), rng.uniform(20, 800)
        y, x = from_enu(middle[0] + half * np.cos(angles), middle[1] + half * np.sin(angles), lat, lon)
        ring = np.column_stack((np.r_[x, x[0]], np.r_[y, y[0]])).tolist()
        properties = {"id": f"z{number}", "kind": "MIL", "margin_m": float(rng.choice([0.0, 100.0]))}
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    collection = {"type": "FeatureCollection", "name": "t", "version": 1, "features": features}
    return ZoneSet.from_geojson(json.dumps(collection).encode())


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1), lat=LATITUDES, lon=LONGITUDES, turn=st.floats(-3.1, 3.1),
    scale=st.floats(0.997, 1.003), curve=st.sampled_from([0j, 2e-8 + 0j, -2e-8j]),
    centre=st.sampled_from([0j, 2e3 - 3e3j, 9e4 + 0j]), residual_m=st.floats(0.0, 2.0),
)  # fmt: skip
def test_clear_places_answer_as_the_exact_test_does_for_any_way_zones_and_frame(
    seed: int, lat: float, lon: float, turn: float, scale: float, curve: complex, centre: complex,
    residual_m: float,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    frame = Alignment(
        ground=EnuFrame(lat0=lat, lon0=lon), centre=centre, residual_m=residual_m,
        terms=(complex(*rng.uniform(-1e5, 1e5, 2)), cmath.rect(scale, turn), curve)[: 3 if curve else 2],
    )  # fmt: skip
    aside = complex(*rng.uniform(-1e3, 1e3, 2))
    at = np.array([centre + aside])
    there = frame.ground.to_wgs84(at.real, at.imag, None)
    # Zones that would cross the antimeridian are refused: those stay on one side of it.
    zones = zones_near(rng, float(there[0][0]), float(np.clip(there[1][0], -179.0, 179.0)))
    steps = rng.normal(0, rng.choice([5.0, 60.0, 600.0]), (300, 2)) + rng.normal(0, 20, 2)
    way = np.cumsum(steps, axis=0) + rng.uniform(-3000, 3000, 2)
    x, y = frame.terms[0].real + way[:, 0], frame.terms[0].imag + way[:, 1]
    exact = zones.test_exact(*frame.to_wgs84(x, y), extra_margin_m=residual_m).inside
    places = ClearPlaces(zones)
    told = [places.clear("map", frame, *place) for place in zip(x.tolist(), y.tolist(), strict=True)]
    assert told == (~exact).tolist()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), lat=LATITUDES, lon=LONGITUDES)
def test_clear_fixes_answer_as_the_exact_test_does_for_any_way_and_zones(
    seed: int, lat: float, lon: float
) -> None:
    rng = np.random.default_rng(seed)
    zones = zones_near(rng, lat, float(np.clip(lon, -179.0, 179.0)))
    steps = rng.normal(0, rng.choice([5.0, 60.0, 600.0]), (300, 2))
    way = np.cumsum(steps, axis=0) + rng.uniform(-3000, 3000, 2)
    y, x = from_enu(way[:, 0], way[:, 1], lat, lon)
    x = (x + 180.0) % 360.0 - 180.0
    fixes = ClearFixes(zones)
    told = [fixes.clear(*place) for place in zip(y.tolist(), x.tolist(), strict=True)]
    assert told == (~zones.test_exact(y, x).inside).tolist()


def test_clear_fixes_refuse_positions_that_are_none_even_beside_the_last_one() -> None:
    fixes = ClearFixes(zones_near(np.random.default_rng(3), 0.0, 0.0))
    assert fixes.clear(89.95, 179.95)
    for lat, lon in ((90.01, 179.9), (89.9, 180.01)):
        with pytest.raises(MalformedItemError):
            fixes.clear(lat, lon)
