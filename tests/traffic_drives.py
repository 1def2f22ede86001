"""Generated drives with other vehicles, as a fleet delivers them: nuScenes tables, and CAN logs of a radar."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import can
import numpy as np

from nuscenes_folder import HEIGHT, Folder, folder, token
from pipeline.simulation.calibration import BOUNDS, followed
from simulators import ORIGIN, START

SIGNALS = b"""\
format: fleetgate-signals
version: 1
can:
  speed_mps: {message: Chassis, signal: Vehicle_Speed, factor: 0.2777777777777778}
  gap_m: {message: Ahead, signal: Radar_Gap, absent: [655.35]}
  lead_lateral_m: {message: Ahead, signal: Radar_Offset}
  lead_id: {message: Ahead, signal: Radar_Track_Status}
"""
DBC = b"""VERSION ""
BU_: ECU
BO_ 256 Chassis: 8 ECU
 SG_ Vehicle_Speed : 0|16@1+ (0.01,0) [0|655] "km/h" ECU
BO_ 512 Ahead: 8 ECU
 SG_ Radar_Gap : 0|16@1+ (0.01,0) [0|655] "m" ECU
 SG_ Radar_Offset : 16|16@1- (0.01,0) [-300|300] "m" ECU
 SG_ Radar_Track_Status : 32|8@1+ (1,0) [0|255] "" ECU
"""
DRIVER = {
    "desired_speed": 18.0,
    "headway": 1.6,
    "standstill_gap": 3.0,
    "greatest_acceleration": 1.4,
    "comfortable_braking": 1.6,
}
LANE = 3.5
LENGTH = 4.6
EGO_LENGTH = 4.8
EVERY_S = 7.0


@dataclass(frozen=True, kw_only=True)
class MadeCutIn:
    """A vehicle that comes over ``starts`` seconds into the drive."""

    starts: float
    gap: float
    relative_speed: float
    duration: float
    braking: float

    def place(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Way of its middle and offset from the automated vehicle's lane."""
        since = t - self.starts
        braked = np.clip(since - 1.0, 0.0, 2.0)
        speed = speed_at(self.starts) + self.relative_speed
        way = way_at(self.starts) + self.gap + 0.5 * (LENGTH + EGO_LENGTH) + speed * since
        way -= self.braking * braked * (np.maximum(since - 1.0, 0.0) - braked / 2.0)
        part = np.clip(since / self.duration, 0.0, 1.0)
        return way, LANE * (1.0 - (10 * part**3 - 15 * part**4 + 6 * part**5))


def way_at(t: float | np.ndarray) -> np.ndarray:
    return 13.0 * np.asarray(t) + 20.0 * np.sin(np.asarray(t) / 15.0)


def speed_at(t: float | np.ndarray) -> np.ndarray:
    return 13.0 + 20.0 / 15.0 * np.cos(np.asarray(t) / 15.0)


def made_cut_ins(seconds: float, seed: int) -> list[MadeCutIn]:
    random = np.random.default_rng(seed)
    return [
        MadeCutIn(
            starts=float(starts), gap=float(random.uniform(15, 35)), relative_speed=float(random.normal(0.5, 0.8)),
            duration=float(random.uniform(3, 4.5)), braking=float(random.uniform(0.5, 2.5)),
        )
        for starts in np.arange(4.0, seconds - 10.0, EVERY_S)
    ]  # fmt: skip


def annotated_drive(seconds: int = 330, seed: int = 1) -> tuple[Folder, list[MadeCutIn]]:
    """A drive through Boston with annotated vehicles that cut in, one every seven seconds.

    A road of its own by seed: no trip is released twice.
    """
    north = 900.0 + 300.0 * (seed - 1)
    made, cut_ins = folder(seconds=seconds), made_cut_ins(seconds, seed)
    for row in made.tables["ego_pose"]:
        t = row["timestamp"] / 1e6 - START.timestamp()
        row["translation"] = [300.0 + float(way_at(t)), north, HEIGHT]
    annotations, instances = [], []
    for n, each in enumerate(cut_ins):
        first, last = (
            max(0, round(2 * (each.starts - 3.0))),
            min(2 * seconds - 1, round(2 * (each.starts + 9.0))),
        )
        rows = range(first, last + 1)
        way, across = each.place(np.array(rows) / 2.0)
        annotations += [
            {"token": token("ann", n, s), "sample_token": token("sample", s), "instance_token": token("inst", n),
             "attribute_tokens": [token("attribute")], "visibility_token": "4",
             "translation": [300.0 + float(along), north + float(left), HEIGHT], "size": [1.9, LENGTH, 1.7],
             "rotation": [1.0, 0.0, 0.0, 0.0], "num_lidar_pts": 5, "num_radar_pts": 0,
             "prev": token("ann", n, s - 1) if s > first else "",
             "next": token("ann", n, s + 1) if s < last else ""}
            for s, along, left in zip(rows, way, across, strict=True)
        ]  # fmt: skip
        instances.append(
            {"token": token("inst", n), "category_token": token("category"), "nbr_annotations": len(rows),
             "first_annotation_token": token("ann", n, first), "last_annotation_token": token("ann", n, last)}
        )  # fmt: skip
    made.tables["sample_annotation"], made.tables["instance"] = annotations, instances
    made.more.clear()
    return made, cut_ins


class KeptBytes(io.BytesIO):
    """What python-can closes when it has written."""

    def close(self) -> None:
        """Stay open."""


def bus_frame(t: float, speed: float, gap: float, offset: float, number: int) -> tuple[can.Message, ...]:
    """What the bus carries at a time."""
    chassis = round(speed * 3.6 * 100).to_bytes(2, "little")
    ahead = round(gap * 100).to_bytes(2, "little") + round(offset * 100).to_bytes(2, "little", signed=True)
    return tuple(
        can.Message(
            timestamp=START.timestamp() + t,
            arbitration_id=identifier,
            is_extended_id=False,
            data=data.ljust(8, b"\0"),
            channel=0,
        )
        for identifier, data in ((0x100, chassis), (0x200, ahead + bytes([number % 250 + 1])))
    )


def radar_log(seconds: float = 300.0, seed: int = 2, begins_s: float = 0.0) -> tuple[bytes, list[MadeCutIn]]:
    """The bus of a drive, ten frames a second, whose radar follows the vehicle that cuts in, as BLF.

    It is recorded from ``begins_s`` seconds after ``START``; the cut-ins count from there.
    """
    cut_ins = made_cut_ins(seconds, seed)
    file = KeptBytes()
    writer = can.BLFWriter(file)
    for i in range(round(seconds * 10)):
        t = i / 10.0
        seen = [
            (n, each)
            for n, each in enumerate(cut_ins)
            if each.starts - 2.0 <= t < each.starts + EVERY_S - 2.0
        ]
        gap, offset, number = 655.35, 0.0, 0
        if seen:
            number, each = seen[0]
            way, across = each.place(np.array([t]))
            gap, offset = float(way[0] - way_at(t)) - 0.5 * (LENGTH + EGO_LENGTH), float(across[0])
            gap, offset = (gap, offset) if 0.0 < gap < 600.0 else (655.35, 0.0)
        for message in bus_frame(begins_s + t, float(speed_at(t)), gap, offset, number):
            writer.on_message_received(message)
    writer.stop()
    return file.getvalue(), cut_ins


def track_csv(seconds: float = 300.0, hz: int = 10) -> bytes:
    """Fixes of the same drive, straight east, which the log is placed by."""
    t = np.arange(round(seconds * hz)) / hz
    return fixes(t, way_at(t), speed_at(t), ORIGIN[0])


def fixes(t: np.ndarray, way: np.ndarray, speeds: np.ndarray, lat: float) -> bytes:
    lon = ORIGIN[1] + way / (111_320 * math.cos(math.radians(lat)))
    rows = ["time,lat,lon,speed"]
    for second, degrees, speed in zip(t.tolist(), lon.tolist(), speeds.tolist(), strict=True):
        moment = (START + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        rows.append(f"{moment},{lat:.8f},{degrees:.8f},{speed:.3f}")
    return ("\n".join(rows) + "\n").encode()


def following_drive(driver: Mapping[str, float], seconds: float = 300.0) -> dict[str, bytes]:
    """A drive elsewhere, behind one vehicle that speeds up and slows down, by a known driver: fixes and bus."""
    t = np.arange(round(seconds * 10)) / 10.0
    lead_speed = np.interp(t % 24.0, [0, 6, 10, 16, 24], [6, 16, 16, 5, 6])
    lead = np.concatenate([[0.0], np.cumsum(lead_speed[:-1] / 10.0)])
    gaps = followed(lead, 15.0, 6.0, 0.1, np.array([driver[name] for name in BOUNDS]))
    way = lead - gaps
    speeds = np.maximum(0.0, np.gradient(way, 0.1))
    file = KeptBytes()
    writer = can.BLFWriter(file)
    for second, speed, gap in zip(t.tolist(), speeds.tolist(), gaps.tolist(), strict=True):
        for message in bus_frame(second, speed, gap, 0.0, 1):
            writer.on_message_received(message)
    writer.stop()
    return {"drive.csv": fixes(t, way - way[0], speeds, ORIGIN[0] + 0.3), "bus.blf": file.getvalue()}
