"""A generated nuScenes folder: a straight drive through Boston, with the tables of schema 1.0 and some files."""

import hashlib
import io
import json
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from anonymize.geo.crs import to_wgs84
from anonymize.layouts.nuscenes import map_frame
from simulators import START, png

CITY = "boston-seaport"
CRS = f"nuscenes:{CITY}"
SPEED = 12.0
SECONDS = 400
"""4.8 km: OFFSET trims up to 1.5 km at each end."""

PER_SCENE = 80
"""Samples of a scene: 40 s of them, two a second."""

CAMERA_US = 50_000
"""The camera's picture is taken this long after the sweep of its sample."""

FILED = (5, 10, 200, 205)
"""Seconds whose sweeps and pictures are delivered: within LOCAL's first clip, and in the middle for OFFSET."""

LOGFILE = "n015-2018-07-24-11-22-45+0800"
HEIGHT = 7.25


def token(*parts: object) -> str:
    return hashlib.md5(repr(parts).encode(), usedforsecurity=False).hexdigest()


def place(second: float) -> tuple[float, float]:
    """Latitude and longitude of the car."""
    lat, lon = to_wgs84([300.0 + SPEED * second], [900.0], map_frame(CITY))
    return float(lat[0]), float(lon[0])


def stamp(second: float) -> int:
    return int(START.timestamp() * 1_000_000) + round(second * 1_000_000)


def file_of(channel: str, second: float) -> str:
    ending = "jpg" if channel.startswith("CAM") else "pcd.bin"
    return f"samples/{channel}/{LOGFILE}__{channel}__{stamp(second)}.{ending}"


def sweep(seed: int = 1, count: int = 800) -> bytes:
    """Points all around to 60 m."""
    rng = np.random.default_rng(seed)
    points = np.empty((count, 5), np.float32)
    points[:, :2] = rng.uniform(-60, 60, (count, 2))
    points[:, 2], points[:, 3], points[:, 4] = 0.0, rng.integers(0, 256, count), rng.integers(0, 32, count)
    return points.astype("<f4").tobytes()


@dataclass
class Folder:
    """Tables by name, and files by theirs; a test changes what it likes before it takes ``files()``."""

    tables: dict[str, list[dict]] = field(default_factory=dict)
    more: dict[str, bytes] = field(default_factory=dict)
    root: str = ""

    def files(self) -> dict[str, bytes]:
        tables = {
            f"{self.root}v1.0-mini/{n}.json": json.dumps(rows).encode() for n, rows in self.tables.items()
        }
        return {**tables, **{self.root + name: content for name, content in self.more.items()}}


def folder(root: str = "", seconds: int = SECONDS) -> Folder:
    """A drive of some seconds; files are delivered of those of ``FILED`` that lie within."""
    count = 2 * seconds
    samples = [n / 2 for n in range(count)]
    taken = [(n, "LIDAR_TOP", t) for n, t in enumerate(samples)]
    taken += [(n, "CAM_FRONT", t + CAMERA_US / 1e6) for n, t in enumerate(samples)]
    scenes = range(count // PER_SCENE)

    def link(kind: str, n: int, *more: object) -> str:
        return token(kind, n, *more) if 0 <= n < count else ""

    turn = [1.0, 0.0, 0.0, 0.0]
    tables: dict[str, list[dict]] = {
        "log": [
            {"token": token("log"), "logfile": LOGFILE, "vehicle": "n015", "date_captured": "2018-07-24",
             "location": CITY}
        ],
        "map": [
            {"token": token("map"), "log_tokens": [token("log")], "category": "semantic_prior",
             "filename": "maps/53992ee3023e5494b90c316c183be829.png"}
        ],
        "sensor": [
            {"token": token("sensor", "LIDAR_TOP"), "channel": "LIDAR_TOP", "modality": "lidar"},
            {"token": token("sensor", "CAM_FRONT"), "channel": "CAM_FRONT", "modality": "camera"},
        ],
        "calibrated_sensor": [
            {"token": token("calib", c, s), "sensor_token": token("sensor", c), "translation": [0.94, 0.0, 1.84],
             "rotation": turn, "camera_intrinsic": [] if c == "LIDAR_TOP" else np.eye(3).tolist()}
            for c in ("LIDAR_TOP", "CAM_FRONT") for s in scenes
        ],
        "ego_pose": [
            {"token": token("pose", c, n), "timestamp": stamp(t), "rotation": turn,
             "translation": [300.0 + SPEED * t, 900.0, HEIGHT]}
            for n, c, t in taken
        ],
        "sample": [
            {"token": token("sample", n), "timestamp": stamp(t), "scene_token": token("scene", n // PER_SCENE),
             "prev": link("sample", n - 1), "next": link("sample", n + 1)}
            for n, t in enumerate(samples)
        ],
        "sample_data": [
            {"token": token("data", n, c), "sample_token": token("sample", n),
             "ego_pose_token": token("pose", c, n),
             "calibrated_sensor_token": token("calib", c, n // PER_SCENE), "timestamp": stamp(t),
             "fileformat": "jpg" if c == "CAM_FRONT" else "pcd", "is_key_frame": True, "height": 900 * (c > "D"),
             "width": 1600, "filename": file_of(c, t), "prev": link("data", n - 1, c),
             "next": link("data", n + 1, c)}
            for n, c, t in taken
        ],
        "scene": [
            {"token": token("scene", s), "name": f"scene-{61 + s:04d}", "description": "Parked truck, Mr Lee",
             "log_token": token("log"), "nbr_samples": PER_SCENE,
             "first_sample_token": token("sample", PER_SCENE * s),
             "last_sample_token": token("sample", PER_SCENE * (s + 1) - 1)}
            for s in scenes
        ],
        "sample_annotation": [
            {"token": token("ann", n), "sample_token": token("sample", n),
             "instance_token": token("inst", n // PER_SCENE), "attribute_tokens": [token("attribute")],
             "visibility_token": "4", "translation": [300.0 + SPEED * t + 12.0, 897.0, HEIGHT],
             "size": [1.9, 4.6, 1.7], "rotation": turn, "num_lidar_pts": 5, "num_radar_pts": 0,
             "prev": link("ann", n - 1), "next": link("ann", n + 1)}
            for n, t in enumerate(samples)
        ],
        "instance": [
            {"token": token("inst", s), "category_token": token("category"), "nbr_annotations": PER_SCENE,
             "first_annotation_token": token("ann", PER_SCENE * s),
             "last_annotation_token": token("ann", PER_SCENE * (s + 1) - 1)}
            for s in scenes
        ],
        "category": [{"token": token("category"), "name": "vehicle.car", "description": "A car of a person"}],
        "attribute": [{"token": token("attribute"), "name": "vehicle.moving", "description": "Mr Lee drives"}],
        "visibility": [{"token": "4", "level": "v80-100", "description": "visibility of whole object"}],
    }  # fmt: skip
    made = Folder(tables=tables, root=root)
    for number, second in enumerate(second for second in FILED if second < seconds):
        made.more[file_of("LIDAR_TOP", second)] = sweep(number)
        made.more[file_of("CAM_FRONT", second + CAMERA_US / 1e6)] = jpeg(number)
    return made


def jpeg(seed: int) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(png(64, 48, seed))).convert("RGB").save(out, "JPEG")
    return out.getvalue()
