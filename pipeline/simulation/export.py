"""Concrete cut-ins as ASAM OpenSCENARIO XML and OpenDRIVE, for simulators that read them.

The road is straight and level, with an elevation record, which some players take a road without to be broken. The
scenario names its road by absolute path: players resolve relative ones in different folders.
"""

import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from pipeline.simulation.cut_in import PARAMETERS
from pipeline.simulation.errors import OutputError, ScenarioError

with warnings.catch_warnings():
    # The package warns of a default argument of its own as it is loaded.
    warnings.simplefilter("ignore", UserWarning)
    from scenariogeneration import xodr, xosc  # type: ignore[import-untyped]

LANE_WIDTH_M: Final = 3.5
VEHICLE_LENGTH_M: Final = 4.8
_EGO_AT_M: Final = 50.0
_SECONDS: Final = 40.0
_EGO, _OTHER = "ego", "cutting_in"
_ROAD, _EGO_LANE, _OTHER_LANE = "1", "-2", "-1"


def export_cut_in(
    name: str, values: Mapping[str, float], folder: Path, made_at: datetime
) -> tuple[Path, Path]:
    """Write ``name.xosc`` and ``name.xodr``.

    The automated vehicle drives at constant speed: its own driver is what a simulator adds. Both stand for
    vehicles 4.8 m long; the gap is from bumper to bumper at the start of the lane change, which is time 0.

    Args:
        name: Name of both files.
        values: Parameters of ``cut_in.PARAMETERS``; what is left out takes its default.
        folder: Where they go.
        made_at: Time for the headers, so that the same call writes the same bytes.

    Returns:
        The scenario and the road.

    Raises:
        ScenarioError: A parameter without a default is missing, or a value is outside what its parameter admits.
        OutputError: A file cannot be written.
    """
    made = cut_in_files(name, values, folder, made_at)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in made.items():
            (folder / file).write_bytes(content)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from error
    scenario, road = ((folder / file).resolve() for file in made)
    return scenario, road


def cut_in_files(name: str, values: Mapping[str, float], folder: Path, made_at: datetime) -> dict[str, bytes]:
    """The same two files by name, the scenario first, for the folder; nothing is written.

    Raises:
        ScenarioError: As ``export_cut_in``.
    """
    given = _complete(values)
    road = (folder / f"{name}.xodr").resolve()
    return {
        f"{name}.xosc": _written(_scenario(name, given, road, made_at), made_at),
        f"{name}.xodr": _written(_road(name, _length(given)), made_at),
    }


def _written(document: Any, made_at: datetime) -> bytes:
    element = document.get_element()
    header = element.find("header")
    if header is not None:
        # OpenDRIVE's header takes the time of writing, and no other, from the package.
        header.set("date", made_at.astimezone(UTC).isoformat())
    ET.indent(element)
    return bytes(ET.tostring(element, encoding="utf-8", xml_declaration=True))


def _complete(values: Mapping[str, float]) -> dict[str, float]:
    given: dict[str, float] = {}
    for each in PARAMETERS:
        value = values.get(each.name, each.default)
        if value is None:
            raise ScenarioError(f"{each.name} ({each.unit}) has no default (expected a value)")
        if not each.lowest <= value <= each.highest:
            raise ScenarioError(
                f"{each.name} (got {value}, expected {each.lowest} to {each.highest} {each.unit})"
            )
        given[each.name] = float(value)
    return given


def _length(given: Mapping[str, float]) -> float:
    fastest = max(given["ego_speed"], given["ego_speed"] + given["relative_speed"])
    return _EGO_AT_M + given["gap"] + VEHICLE_LENGTH_M + fastest * _SECONDS + 100.0


def _road(name: str, length: float) -> Any:
    road = xodr.create_road(
        xodr.Line(length), id=int(_ROAD), left_lanes=0, right_lanes=2, lane_width=LANE_WIDTH_M
    )
    road.add_elevation(0.0, 0.0, 0.0, 0.0, 0.0)
    drive = xodr.OpenDrive(name)
    drive.add_road(road)
    drive.adjust_roads_and_lanes()
    return drive


def _vehicle(name: str) -> Any:
    box = xosc.BoundingBox(1.9, VEHICLE_LENGTH_M, 1.5, 1.4, 0.0, 0.75)
    front, rear = xosc.Axle(0.5, 0.65, 1.65, 2.8, 0.325), xosc.Axle(0.0, 0.65, 1.65, 0.0, 0.325)
    return xosc.Vehicle(name, xosc.VehicleCategory.car, box, front, rear, 70.0, 6.0, 12.0)


def _scenario(name: str, given: Mapping[str, float], road: Path, made_at: datetime) -> Any:
    entities = xosc.Entities()
    entities.add_scenario_object(_EGO, _vehicle(_EGO))
    entities.add_scenario_object(_OTHER, _vehicle(_OTHER))
    other_speed = max(0.0, given["ego_speed"] + given["relative_speed"])
    init = xosc.Init()
    other_at = _EGO_AT_M + given["gap"] + VEHICLE_LENGTH_M
    for entity, at, lane, speed in (
        (_EGO, _EGO_AT_M, _EGO_LANE, given["ego_speed"]),
        (_OTHER, other_at, _OTHER_LANE, other_speed),
    ):
        init.add_init_action(entity, xosc.TeleportAction(xosc.LanePosition(at, 0.0, lane, _ROAD)))
        init.add_init_action(entity, xosc.AbsoluteSpeedAction(speed, _at_once()))
    board = xosc.StoryBoard(init, _from(_SECONDS, "end", "stop"))
    board.add_maneuver(_manoeuvre(given, other_speed), _OTHER)
    return xosc.Scenario(
        name,
        "Fleetgate",
        xosc.ParameterDeclarations(),
        entities,
        board,
        xosc.RoadNetwork(roadfile=str(road)),
        xosc.Catalog(),
        osc_minor_version=2,
        creation_date=made_at.astimezone(UTC),
    )


def _manoeuvre(given: Mapping[str, float], other_speed: float) -> Any:
    manoeuvre = xosc.Maneuver("cut_in")
    across = xosc.TransitionDynamics(
        xosc.DynamicsShapes.sinusoidal, xosc.DynamicsDimension.time, given["lane_change_duration"]
    )
    change = xosc.Event("lane_change", xosc.Priority.parallel)
    change.add_action("change_lane", xosc.AbsoluteLaneChangeAction(int(_EGO_LANE), across))
    change.add_trigger(_from(0.0, "lane_change"))
    manoeuvre.add_event(change)
    if given["braking"] > 0.0:
        slower = xosc.TransitionDynamics(
            xosc.DynamicsShapes.linear, xosc.DynamicsDimension.rate, given["braking"]
        )
        brake = xosc.Event("brake", xosc.Priority.parallel)
        left = max(0.0, other_speed - given["speed_drop"])
        brake.add_action("slow_down", xosc.AbsoluteSpeedAction(left, slower))
        brake.add_trigger(_from(given["braking_delay"], "brake"))
        manoeuvre.add_event(brake)
    return manoeuvre


def _at_once() -> Any:
    return xosc.TransitionDynamics(xosc.DynamicsShapes.step, xosc.DynamicsDimension.time, 0.0)


def _from(seconds: float, name: str, point: str = "start") -> Any:
    condition = xosc.SimulationTimeCondition(seconds, xosc.Rule.greaterThan)
    return xosc.ValueTrigger(f"{name}_at", 0.0, xosc.ConditionEdge.none, condition, triggeringpoint=point)
