import io

import pytest

from anonymize.geo.attacks.road_network import RoadNetwork, read_road_network
from streets import Town, extract, town


@pytest.fixture(scope="session")
def made_town() -> Town:
    return town()


@pytest.fixture(scope="session")
def made_extract(made_town, tmp_path_factory) -> bytes:
    return extract(made_town, tmp_path_factory.mktemp("osm") / "town.osm.pbf")


@pytest.fixture(scope="session")
def network(made_extract) -> RoadNetwork:
    return read_road_network(io.BytesIO(made_extract))
