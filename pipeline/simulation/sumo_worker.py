"""What a process with libsumo does: cut-ins side by side, each on a straight road of its own, in one simulation.

Road and vehicles are written into a folder that goes with the simulation. They hold drawn parameters, nothing of a
released track.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import numpy as np

from pipeline.simulation.backend import Floats
from pipeline.simulation.cut_in import HORIZON_S
from pipeline.simulation.scripted import Run

LENGTH_M: Final = 4.8
ROADS: Final = 64
"""Cut-ins that one simulation holds."""

_EGO_AT_M: Final = 10.0
_APART_M: Final = 50.0
_LANE_M: Final = 3.5
_FAST_MPS: Final = 300.0
_ALL_CHECKS: Final = 31
_NO_CHECKS: Final = 0


def run_rows(rows: Floats, step_s: float) -> Floats:
    """Least gap, least time to collision and impact speed of rows of ``cut_in.PARAMETERS``."""
    with _silent():  # it prints of other packages as it is loaded
        import libsumo  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415 - one per process

    answers = np.empty((len(rows), 3))
    for begin in range(0, len(rows), ROADS):
        runs = [Run(row) for row in rows[begin : begin + ROADS]]
        with tempfile.TemporaryDirectory(prefix="fleetgate-sumo-") as folder:
            arguments = _written(Path(folder), runs, step_s)
            with _silent():
                libsumo.start(arguments)
            try:
                _play(libsumo, runs, step_s)
            finally:
                libsumo.close()
        answers[begin : begin + ROADS] = [run.figures for run in runs]
    return answers


def _play(sumo: Any, runs: list[Run], step_s: float) -> None:
    vehicle = sumo.vehicle
    sumo.simulationStep()  # puts them on the road
    for i in range(len(runs)):
        for name in (f"ego{i}", f"other{i}"):
            vehicle.setLaneChangeMode(name, _NO_CHECKS)
            vehicle.setSpeedMode(name, _NO_CHECKS)
        vehicle.setSpeed(f"ego{i}", runs[i].value("ego_speed"))
    at_work = list(enumerate(runs))
    in_lane, follows = set[int](), set[int]()
    for step in range(int(np.ceil(HORIZON_S / step_s)) + 1):
        now = step * step_s
        for i, run in at_work:
            ego, other = f"ego{i}", f"other{i}"
            place = vehicle.getLanePosition(other)
            gap = place - LENGTH_M - vehicle.getLanePosition(ego)
            run.look(now, gap, vehicle.getSpeed(ego), vehicle.getSpeed(other))
            if run.over:
                vehicle.remove(ego)
                vehicle.remove(other)
                continue
            if now >= run.reaches_s and i not in in_lane:
                in_lane.add(i)
                vehicle.moveTo(other, f"road{i}_0", place)
            if now >= run.notices_s and i not in follows:
                follows.add(i)
                vehicle.setSpeedMode(ego, _ALL_CHECKS)
                vehicle.setSpeed(ego, -1.0)
            vehicle.setSpeed(other, run.other_speed(now + step_s))
        at_work = [(i, run) for i, run in at_work if not run.over]
        if not at_work:
            return
        sumo.simulationStep()


def _written(folder: Path, runs: list[Run], step_s: float) -> list[str]:
    """The simulation's files; its arguments."""
    network, traffic = folder / "roads.net.xml", folder / "cut-ins.rou.xml"
    longest = max(
        _EGO_AT_M
        + run.value("gap")
        + LENGTH_M
        + HORIZON_S * max(run.value("ego_speed"), run.other_begins_mps)
        for run in runs
    )
    network.write_text(_network(len(runs), longest + 100.0), encoding="utf-8")
    traffic.write_text(_traffic(runs), encoding="utf-8")
    return [
        "sumo", "--net-file", str(network), "--route-files", str(traffic), "--step-length", repr(step_s),
        "--step-method.ballistic", "--default.speeddev", "0", "--collision.action", "none",
        "--time-to-teleport", "-1", "--no-step-log", "--no-warnings", "--xml-validation", "never", "--seed", "1",
    ]  # fmt: skip


def _network(roads: int, length: float) -> str:
    """Straight roads of two lanes beside one another that nothing joins."""
    net = ET.Element("net", version="1.20")
    box = f"0,0,{length},{roads * _APART_M}"
    ET.SubElement(net, "location", netOffset="0,0", convBoundary=box, origBoundary=box, projParameter="!")
    ends = []
    for i in range(roads):
        y = _APART_M * i
        edge = ET.SubElement(
            net, "edge", {"from": f"from{i}", "to": f"to{i}", "id": f"road{i}", "priority": "1"}
        )
        lanes = [f"road{i}_{lane}" for lane in (0, 1)]
        for number, lane in enumerate(lanes):
            across = y + _LANE_M * number
            shape = f"0,{across} {length},{across}"
            ET.SubElement(
                edge,
                "lane",
                id=lane,
                index=str(number),
                speed=str(_FAST_MPS),
                length=str(length),
                shape=shape,
            )
        ends += [(f"from{i}", 0.0, y, ""), (f"to{i}", length, y, " ".join(lanes))]
    for name, x, y, comes in ends:
        place = {"x": str(x), "y": str(y), "shape": f"{x},{y}"}
        ET.SubElement(
            net, "junction", {"id": name, "type": "dead_end", "incLanes": comes, "intLanes": ""} | place
        )
    return ET.tostring(net, encoding="unicode")


def _traffic(runs: list[Run]) -> str:
    routes = ET.Element("routes")
    common = {"carFollowModel": "IDM", "length": str(LENGTH_M), "speedFactor": "1", "speedDev": "0"}
    for i, run in enumerate(runs):
        driver = {
            "maxSpeed": max(run.value("ego_speed"), 0.1),
            "accel": run.value("greatest_acceleration"),
            "decel": run.value("comfortable_braking"),
            "emergencyDecel": max(run.value("grip"), run.value("comfortable_braking")),
            "tau": run.value("headway"),
            "minGap": run.value("standstill_gap"),
        }
        ET.SubElement(routes, "vType", {"id": f"ego{i}"} | common | {k: repr(v) for k, v in driver.items()})
        ET.SubElement(routes, "vType", {"id": f"other{i}", "maxSpeed": str(_FAST_MPS)} | common)
        ET.SubElement(routes, "route", id=f"road{i}", edges=f"road{i}")
    for i, run in enumerate(runs):
        ahead = _EGO_AT_M + run.value("gap") + LENGTH_M
        for name, lane, at, speed in (
            (f"ego{i}", "0", _EGO_AT_M, run.value("ego_speed")),
            (f"other{i}", "1", ahead, run.other_begins_mps),
        ):
            place = {"departLane": lane, "departPos": repr(at), "departSpeed": repr(speed), "depart": "0"}
            named = {"id": name, "type": name, "route": f"road{i}", "insertionChecks": "none"}
            ET.SubElement(routes, "vehicle", named | place)
    return ET.tostring(routes, encoding="unicode")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what the library prints, below Python, out of what commands print."""
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for each in (*kept, nowhere):
            os.close(each)
