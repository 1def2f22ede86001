"""Extracts as road networks: by osmium's own writers, damaged, of other kinds, real."""

import gzip
import io

import numpy as np
import pytest

from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError
from anonymize.geo.attacks.road_network import read_road_network
from anonymize.geo.osm_sites import MAX_BYTES
from streets import degrees, extract

FOOTWAY = b"""<osm version='0.6'><node id='1' lat='1' lon='1'/><node id='2' lat='1' lon='1.1'/>
<way id='1'><nd ref='1'/><nd ref='2'/><tag k='highway' v='footway'/></way></osm>"""
OUTSIDE = b"""<osm version='0.6'><node id='1' lat='1' lon='1'/>
<way id='1'><nd ref='1'/><nd ref='9'/><tag k='highway' v='primary'/></way></osm>"""


def test_every_street_is_two_edges_of_its_length_and_a_footway_is_none(made_town, network):
    length = sum(np.abs(np.diff(line)).sum() for line in made_town.streets.values()) / 2000.0
    assert network.road_km == pytest.approx(length, rel=1e-4)
    assert np.array_equal(network.tail[0::2], network.head[1::2])
    assert np.array_equal(network.head[0::2], network.tail[1::2])


def test_edges_leaving_a_node_begin_there(network):
    first, order = network.leaving
    for node in range(0, len(network.nodes), 97):
        assert set(network.tail[order[first[node] : first[node + 1]]]) <= {node}


def test_xml_and_its_gzip_read_as_the_pbf_does(made_town, network, tmp_path):
    xml = extract(made_town, tmp_path / "town.osm")
    for content in (xml, gzip.compress(xml)):
        again = read_road_network(io.BytesIO(content))
        assert again.road_km == pytest.approx(network.road_km, rel=1e-6)
        assert again.digest != network.digest


def test_the_nearest_place_on_a_road_is_that_of_the_exact_geometry(network):
    rng = np.random.default_rng(1)
    at = rng.uniform(-800, 800, 40) + 1j * rng.uniform(-800, 800, 40)
    offset = at[:, None] - network.nodes[network.tail]
    along = np.clip((offset * np.conj(network.direction)).real, 0.0, network.length_m)
    exact = np.abs(offset - along * network.direction).min(axis=1)
    found = np.abs(network.nearest(at) - at)
    assert np.all(found - exact < 1.0)
    assert np.all(found - exact > -1e-6)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnknownFormatError),
        (b"\x89PNG\r\n", UnknownFormatError),
        (b"<osm version='0.6'><node id='1'", MalformedItemError),
        (b"<osm version='0.6'></osm>", MalformedItemError),
        (FOOTWAY, MalformedItemError),
        (OUTSIDE, MalformedItemError),
    ],
)
def test_what_is_no_extract_or_holds_no_road_is_refused(content, error):
    with pytest.raises(error):
        read_road_network(io.BytesIO(content))


def test_a_truncated_or_too_large_extract_is_refused(made_extract):
    with pytest.raises(MalformedItemError):
        read_road_network(io.BytesIO(made_extract[: len(made_extract) // 2]))
    with pytest.raises(LimitExceededError):
        read_road_network(io.BytesIO(made_extract), max_bytes=100)
    assert MAX_BYTES > 1 << 30


@pytest.mark.parametrize(
    ("name", "least_km"), [("krems.osm.gz", 100.0), ("Helsinki.osm.pbf", 20.0), ("test.osm.pbf", 40.0)]
)
def test_real_extracts_are_read(shared, name, least_km):
    with (shared / "osm" / name).open("rb") as file:
        network = read_road_network(file)
    assert network.road_km > least_km
    assert len(degrees(network.nodes[:1])) == 2
