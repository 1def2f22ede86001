"""Zone files and policy speak of the same zones: what may be drawn may also be judged."""

import pytest

from anonymize.geo.zone_file import ZoneKind
from gateway.flow.dossier import recording_summary, release_summary
from policies.bundle import shipped_bundle
from simulators import ORIGIN, SMALL_DRIVE, candidate, cleanse, zone_file


def test_policy_knows_every_kind_of_zone():
    tags = shipped_bundle().data()["law"]["taxonomy"]["tags"]["values"]
    known = {tag for values in tags.values() for tag in values}
    assert {kind.value for kind in ZoneKind} <= known


@pytest.mark.parametrize("kind", ["DEPOT", "HOME"])
def test_drive_that_starts_at_the_operator_s_own_place_is_cut_and_released(sqlite_house, kind):
    """A depot or a driver's home is cut out; the rest of the drive may go."""
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate, zone_file((kind, *ORIGIN, 100)))
        recording = cleanse(gate, {"drive.csv": SMALL_DRIVE["drive.csv"]})
        assert [item["state"] for item in recording_summary(gate, recording)["items"]] == ["cleansed"]
        shown = release_summary(gate, candidate(gate, sqlite_house, recording))
        assert shown["decision"]["allowed"] is True
        assert shown["findings"]["restricted_zone"] >= 1
