"""The fast displacement against the slow exact sum of the benchmark."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.geo.crs import geodesic_m
from anonymize.geo.offset import KeyedOffset

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "keyed_offset.py"


@pytest.fixture(scope="session")
def exact_offset():
    spec = importlib.util.spec_from_file_location("keyed_offset", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ExactOffset


@settings(max_examples=25, deadline=None)
@given(
    key=st.binary(min_size=32, max_size=32),
    lat=st.floats(-84.0, 84.0),
    lon=st.one_of(st.floats(-180.0, 180.0), st.sampled_from([-180.0, 179.9999999, 180.0, 0.0])),
)
def test_the_displacement_is_the_sum_of_its_definition(exact_offset, profile, key, lat, lon):
    rng = np.random.default_rng(1)
    y, x = lat + rng.uniform(-1e-3, 1e-3, 20), np.clip(lon + rng.uniform(-1e-3, 1e-3, 20), -180.0, 180.0)
    y[0], x[0] = lat, lon
    exact = exact_offset(key, profile)
    slow = np.array([exact.displace(a, b) for a, b in zip(y.tolist(), x.tolist(), strict=True)])
    assert geodesic_m(slow[:, 0], slow[:, 1], *KeyedOffset(key, profile).displace(y, x))[0].max() < 1e-3
