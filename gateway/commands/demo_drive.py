"""A drive to demonstrate with: real photographs out of the installed ultralytics package, a generated route.

Every identifier here is invented: the VIN, the resident ID (its check digit is right), the phone number and the
plate belong to nobody.
"""

import importlib.util
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import numpy as np
from PIL import Image

from gateway.errors import ConfigurationError

REGION = "110000"
VIN = "LSVNV2187E2100001"
RESIDENT_ID = "11010519491231002X"
PHONE = "13800138000"
PLATE = "京A88F72"
STARTED_AT = datetime(2026, 9, 14, 1, 30, tzinfo=UTC)

_ORIGIN = (39.9075, 116.3520)
_METRES_PER_DEGREE = 111_320.0
_SPEED_MPS = 12.0
_FIXES = 540
# The first clip of a release begins with the drive and is at least 210 m long.
_FRAMES_AT = (2, 5, 270, 12)
_CLIP_AT = 8
_CLIP_SIZE = (640, 360)
_CLIP_FRAMES, _CLIP_FPS = 12, 6
_ZONE_AT = 270
_EXIF_GPS = 0x8825
_EXIF_IFD = 0x8769


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """Files of a drive by item name, when each was captured, and a zone file that its route crosses."""

    files: Mapping[str, bytes]
    captured_at: Mapping[str, datetime]
    started_at: datetime
    ended_at: datetime
    zones: bytes


def photographs() -> list[bytes]:
    """The photographs that ship inside the ultralytics package, found without importing it.

    Raises:
        ConfigurationError: The package or its photographs are not installed.
    """
    spec = importlib.util.find_spec("ultralytics")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    found = sorted(path for root in roots for path in (Path(root) / "assets").glob("*.jpg"))
    if not found:
        raise ConfigurationError("the photographs of the ultralytics package are not installed")
    return [path.read_bytes() for path in found]


def _route() -> tuple[list[float], list[float]]:
    """A city drive of about 6.5 km: blocks with turns, slightly irregular."""
    latitude, longitude = _ORIGIN
    heading = math.radians(80.0)
    lats, lons = [], []
    for second in range(_FIXES):
        if second and second % 90 == 0:
            heading += math.radians(90.0 if (second // 90) % 2 else -90.0)
        speed = _SPEED_MPS * (0.75 + 0.25 * math.sin(second / 17.0))
        latitude += speed * math.cos(heading) / _METRES_PER_DEGREE
        longitude += speed * math.sin(heading) / (_METRES_PER_DEGREE * math.cos(math.radians(latitude)))
        lats.append(latitude)
        lons.append(longitude)
    return lats, lons


def _rational(value: float) -> tuple[float, float, float]:
    degrees = int(abs(value))
    minutes = int((abs(value) - degrees) * 60)
    return float(degrees), float(minutes), (abs(value) - degrees - minutes / 60) * 3600


def _frame(photograph: bytes, latitude: float, longitude: float, taken: datetime) -> bytes:
    """A photograph as a dash camera would store it: position, time and serial number in its EXIF."""
    with Image.open(io.BytesIO(photograph)) as image:
        exif = image.getexif()
        exif[0x010F], exif[0x0110], exif[0x0131] = "Fleetgate", "Demo camera", f"unit {VIN}"
        exif[_EXIF_IFD] = {
            0x9003: taken.strftime("%Y:%m:%d %H:%M:%S"),
            0x9011: "+00:00",
            0xA431: "SN-0042-DEMO",
        }
        exif[_EXIF_GPS] = {1: "N", 2: _rational(latitude), 3: "E", 4: _rational(longitude), 18: "WGS-84"}
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=95, exif=exif.tobytes())
    return out.getvalue()


def _clip(photograph: bytes, latitude: float, longitude: float, taken: datetime) -> bytes:
    """Two seconds of a view that moves across a photograph, with position, time and serial number in the file."""
    width, height = _CLIP_SIZE
    with Image.open(io.BytesIO(photograph)) as image:
        scene = image.convert("RGB").resize((width + 4 * _CLIP_FRAMES, height + _CLIP_FRAMES))
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        container.metadata["location"] = f"{latitude:+08.4f}{longitude:+09.4f}/"
        container.metadata["creation_time"] = taken.isoformat()
        container.metadata["comment"] = f"unit {VIN}"
        stream = container.add_stream("libx264", rate=_CLIP_FPS, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(_CLIP_FRAMES):
            view = scene.crop((4 * number, number, 4 * number + width, number + height))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(view), format="rgb24")))
        container.mux(stream.encode(None))
    return out.getvalue()


def _gpx(lats: list[float], lons: list[float]) -> bytes:
    points = "".join(
        f'<trkpt lat="{lat:.7f}" lon="{lon:.7f}"><ele>48.5</ele>'
        f"<time>{(STARTED_AT + timedelta(seconds=i)).strftime('%Y-%m-%dT%H:%M:%SZ')}</time></trkpt>"
        for i, (lat, lon) in enumerate(zip(lats, lons, strict=True))
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<gpx version="1.1" creator="{VIN}" xmlns="http://www.topografix.com/GPX/1/1">'
        f"<metadata><name>{PLATE} morning drive</name></metadata>"
        f"<trk><name>{VIN}</name><trkseg>{points}</trkseg></trk></gpx>"
    ).encode()


def _csv(lats: list[float], lons: list[float]) -> bytes:
    rows = ["time,lat,lon,speed,vehicle"]
    for i, (lat, lon) in enumerate(zip(lats, lons, strict=True)):
        moment = (STARTED_AT + timedelta(seconds=i)).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows.append(f"{moment},{lat:.7f},{lon:.7f},{_SPEED_MPS:.2f},{VIN}")
    return ("\n".join(rows) + "\n").encode()


def _sweep() -> bytes:
    """A synthetic LiDAR sweep: ground rings and a few boxes, KITTI layout."""
    generator = np.random.default_rng(20260914)
    angle = generator.uniform(-math.pi, math.pi, 20_000)
    distance = generator.uniform(3.0, 80.0, 20_000)
    points = np.stack(
        [
            distance * np.cos(angle),
            distance * np.sin(angle),
            generator.normal(-1.7, 0.05, 20_000),
            angle * 0 + 0.3,
        ],
        axis=1,
    )
    return points.astype("<f4").tobytes()


def _metadata(lats: list[float], lons: list[float]) -> bytes:
    return json.dumps(
        {
            "vin": VIN,
            "driver": {"name": "王小明", "resident_id": RESIDENT_ID, "phone": PHONE},
            "start": {"lat": lats[0], "lon": lons[0]},
            "weather": "clear",
            "road_type": "urban",
            "camera": {"model": "Demo camera", "width": 810, "height": 1080, "fps": 10},
            "notes": f"Take-over at {lats[100]:.6f}, {lons[100]:.6f}; car {PLATE}, call {PHONE}.",
        },
        ensure_ascii=False,
    ).encode()


def _notes(lats: list[float], lons: list[float]) -> bytes:
    return (
        f"行车记录：驾驶员王小明，身份证号{RESIDENT_ID}，电话{PHONE}。\n"
        f"车架号 {VIN}，车牌 {PLATE}。路口位置：北纬{lats[200]:.6f}，东经{lons[200]:.6f}。\n"
        "天气晴，城市道路，左转时前车切入。\n"
    ).encode()


def _zone_file(latitude: float, longitude: float) -> bytes:
    half_lat = 150.0 / _METRES_PER_DEGREE
    half_lon = half_lat / math.cos(math.radians(latitude))
    ring = [
        [longitude - half_lon, latitude - half_lat],
        [longitude + half_lon, latitude - half_lat],
        [longitude + half_lon, latitude + half_lat],
        [longitude - half_lon, latitude + half_lat],
        [longitude - half_lon, latitude - half_lat],
    ]
    return json.dumps(
        {
            "type": "FeatureCollection",
            "name": "demo-zones",
            "version": 1,
            "features": [
                {
                    "type": "Feature",
                    "properties": {"id": "demo-mil-1", "kind": "MIL", "margin_m": 100},
                    "geometry": {"type": "Polygon", "coordinates": [ring]},
                }
            ],
        }
    ).encode()


def make_drive() -> Drive:
    """A drive with everything that this gate understands, something that it does not, and a truncated frame.

    Raises:
        ConfigurationError: The photographs are not installed.
    """
    lats, lons = _route()
    pictures = photographs()
    files: dict[str, bytes] = {}
    captured: dict[str, datetime] = {}
    for number, second in enumerate(_FRAMES_AT):
        name = f"camera_front/{VIN}_{number:04d}.jpg"
        captured[name] = STARTED_AT + timedelta(seconds=second)
        files[name] = _frame(pictures[number % len(pictures)], lats[second], lons[second], captured[name])
    files["camera_front/truncated.jpg"] = files[f"camera_front/{VIN}_0000.jpg"][:20_000]
    clip = f"camera_front/{VIN}_clip.mp4"
    captured[clip] = STARTED_AT + timedelta(seconds=_CLIP_AT)
    files[clip] = _clip(pictures[-1], lats[_CLIP_AT], lons[_CLIP_AT], captured[clip])
    files["lidar/000000.bin"] = _sweep()
    captured["lidar/000000.bin"] = STARTED_AT + timedelta(seconds=10)
    files["drive.gpx"] = _gpx(lats, lons)
    files["drive.csv"] = _csv(lats, lons)
    files["metadata.json"] = _metadata(lats, lons)
    files["notes.txt"] = _notes(lats, lons)
    files["radar.raw"] = bytes(range(256)) * 16
    return Drive(
        files=files,
        captured_at=captured,
        started_at=STARTED_AT,
        ended_at=STARTED_AT + timedelta(seconds=_FIXES),
        zones=_zone_file(lats[_ZONE_AT], lons[_ZONE_AT]),
    )
