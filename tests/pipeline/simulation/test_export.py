import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from defusedxml import ElementTree

from pipeline.simulation.errors import OutputError, ScenarioError
from pipeline.simulation.export import export_cut_in

MADE = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
VALUES = {
    "ego_speed": 26.0, "gap": 28.0, "relative_speed": -2.0, "lane_change_duration": 7.5, "braking": 4.0,
    "braking_delay": 0.3,
}  # fmt: skip


def attributes(root: Any, path: str) -> dict[str, str]:
    found = root.find(path)
    assert found is not None, path
    return found.attrib


def test_the_scenario_says_what_the_parameters_say(tmp_path: Path):
    scenario, road = export_cut_in("cut-in-0001", VALUES, tmp_path / "out", MADE)
    root = ElementTree.parse(scenario).getroot()
    assert attributes(root, "FileHeader")["revMinor"] == "2"
    named = Path(attributes(root, ".//LogicFile")["filepath"])
    assert named.is_absolute()
    assert named == road.resolve()
    speeds = [each.attrib["value"] for each in root.findall(".//Init//AbsoluteTargetSpeed")]
    assert speeds == ["26.0", "24.0"]
    ego, other = root.findall(".//Init//LanePosition")
    assert ego.attrib["laneId"] != other.attrib["laneId"]
    apart = float(other.attrib["s"]) - float(ego.attrib["s"])
    assert apart - 4.8 == pytest.approx(28.0), "the gap is from bumper to bumper"
    assert attributes(root, ".//LaneChangeActionDynamics")["value"] == "7.5"
    assert attributes(root, ".//AbsoluteTargetLane")["value"] == ego.attrib["laneId"]
    brake = attributes(root, ".//Event[@name='brake']//SpeedActionDynamics")
    assert (brake["dynamicsDimension"], brake["value"]) == ("rate", "4.0")
    assert attributes(root, ".//Event[@name='brake']//AbsoluteTargetSpeed")["value"] == "14.0"
    assert attributes(root, ".//Event[@name='brake']//SimulationTimeCondition")["value"] == "0.3"


def test_the_road_has_an_elevation_record_and_is_long_enough(tmp_path: Path):
    _, road = export_cut_in("a", VALUES, tmp_path, MADE)
    root = ElementTree.parse(road).getroot()
    assert attributes(root, ".//elevationProfile/elevation")["a"] == "0.0"
    assert float(attributes(root, "road")["length"]) > 82.8 + 26.0 * 40.0
    lanes = {each.attrib["id"] for each in root.findall(".//right/lane[@type='driving']")}
    assert lanes == {"-1", "-2"}


def test_no_braking_is_no_event(tmp_path: Path):
    scenario, _ = export_cut_in("a", VALUES | {"braking": 0.0}, tmp_path, MADE)
    events = [each.attrib["name"] for each in ElementTree.parse(scenario).getroot().findall(".//Event")]
    assert events == ["lane_change"]


def test_the_same_call_writes_the_same_bytes(tmp_path: Path):
    first = [path.read_bytes() for path in export_cut_in("a", VALUES, tmp_path, MADE)]
    assert first == [path.read_bytes() for path in export_cut_in("a", VALUES, tmp_path, MADE)]


REFUSED = {
    "a value is missing": ({"ego_speed": 20.0}, "gap (m) has no default"),
    "a value is out of range": (VALUES | {"braking": 40.0}, "braking (got 40.0, expected 0.0 to 12.0"),
    "NaN": (VALUES | {"gap": float("nan")}, "gap (got nan"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_that_are_no_cut_in_are_refused(tmp_path: Path, case: str):
    values, said = REFUSED[case]
    with pytest.raises(ScenarioError, match=re.escape(said)):
        export_cut_in("a", values, tmp_path, MADE)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        export_cut_in("a", VALUES, tmp_path / "file" / "out", MADE)


@pytest.mark.parametrize(("checker", "which"), [("qc_openscenario", 0), ("qc_opendrive", 1)])
def test_the_checkers_of_asam_find_no_error(tmp_path: Path, checker: str, which: int):
    programs = os.environ.get("FLEETGATE_ASAM_QC")
    if programs is None:
        pytest.skip(
            "the checkers of ASAM live in an environment of their own (set FLEETGATE_ASAM_QC to its bin)"
        )
    path = export_cut_in("a", VALUES, tmp_path, MADE)[which]
    result = tmp_path / "result.xqar"
    bundle = ("xoscBundle", "xodrBundle")[which]
    configuration = tmp_path / "configuration.xml"
    configuration.write_text(
        f'<Config><Param name="InputFile" value="{path}"/><CheckerBundle application="{bundle}">'
        f'<Param name="resultFile" value="{result}"/></CheckerBundle></Config>'
    )
    subprocess.run([Path(programs) / checker, "-c", configuration], check=True, cwd=tmp_path, timeout=120)  # noqa: S603
    checked = ElementTree.parse(result).getroot()
    states = [each.attrib["status"] for each in checked.iter("Checker")]
    assert states.count("completed") >= 8
    assert "error" not in states
    assert [each.attrib for each in checked.iter("Issue") if each.attrib["level"] == "1"] == []
