"""A track of as many fixes as the profiles admit, read, cut by zones, displaced, written: time and peak memory.

A process of its own takes each format, so that its peak resident memory is that of the steps here.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from anonymize.formats.csv_track import read_csv_track, write_csv_track
from anonymize.formats.gpx import read_gpx, write_gpx
from anonymize.formats.track import Track
from anonymize.geo.cut import cut_track
from anonymize.geo.offset import offset_track
from anonymize.geo.zones import ZoneSet
from anonymize.profile import TrackProfile, shipped_profile

KEY = hashlib.sha256(b"long track").digest()
BEGIN_MS = 1_700_000_000_000
PERIOD_MS = 100
AT_ONCE = 100_000
MIB = 1 << 20
ZONES_EVERY_DEG = 0.5

FORMS: dict[
    str,
    tuple[
        Callable[..., Track], Callable[[Track], bytes], tuple[str, str, Callable[[str, float, float], str]]
    ],
] = {
    "csv": (
        read_csv_track,
        write_csv_track,
        ("time,lat,lon\n", "", lambda t, y, x: f"{t},{y:.7f},{x:.7f}\n"),
    ),
    "gpx": (
        read_gpx,
        write_gpx,
        (
            '<?xml version="1.0"?><gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>\n',
            "</trkseg></trk></gpx>\n",
            lambda t, y, x: f'<trkpt lat="{y:.7f}" lon="{x:.7f}"><time>{t}</time></trkpt>\n',
        ),
    ),
}


def places(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A way that winds along parallels to and fro, 300 km each: ten fixes a second, 1.2 m apart."""
    along = 1.2 * np.arange(first, first + count)
    lap = along % 300_000.0
    row = along // 300_000.0
    to_and_fro = np.where(row % 2, 300_000.0 - lap, lap)
    return 30.0 + row * 2e-3 + 1e-3 * np.sin(along / 900.0), 112.0 + to_and_fro / 96_000.0


def written(form: str, fixes: int) -> Iterator[str]:
    head, foot, line = FORMS[form][2]
    yield head
    for first in range(0, fixes, AT_ONCE):
        lat, lon = places(first, min(AT_ONCE, fixes - first))
        stamps = BEGIN_MS + PERIOD_MS * np.arange(first, first + len(lat))
        times = np.char.add(np.datetime_as_string(stamps.astype("datetime64[ms]")), "Z").tolist()
        yield "".join(map(line, times, lat.tolist(), lon.tolist()))
    yield foot


def zones() -> ZoneSet:
    """Zones of 200 m on the parallel that the way begins on, half a degree apart."""
    features = []
    for number, lon in enumerate(np.arange(112.2, 115.0, ZONES_EVERY_DEG).tolist()):
        west, east, south, north = lon - 1e-3, lon + 1e-3, 29.999, 30.001
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        features.append(
            {
                "type": "Feature",
                "properties": {"id": f"z{number}", "kind": "MIL", "margin_m": 50},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        )
    document = {"type": "FeatureCollection", "name": "bench", "version": 1, "features": features}
    return ZoneSet.from_geojson(json.dumps(document).encode())


def taken(form: str, path: Path, profile: TrackProfile) -> dict[str, Any]:
    """Seconds of each step by the clock and of all by the processor, and the greatest resident memory here."""
    read, write, _ = FORMS[form]
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal began
        seconds[name] = round(time.perf_counter() - began, 1)
        began = time.perf_counter()

    track = read(path.read_bytes(), profile=profile, crs="EPSG:4326")
    fixes = len(track)
    lap("read")
    left = cut_track(track, zones(), profile=profile).track
    del track
    if left is None or len(left) == fixes:
        raise RuntimeError("the zones cut nothing, or everything (expected some of the way)")
    lap("zone cut")
    moved = offset_track(left, key=KEY, context=b"long", profile=profile)
    kept = len(moved.track)
    lap("offset")
    size = len(write(moved.track))
    lap("write")
    return {
        "fixes": fixes,
        "fixes_cut": fixes - len(left),
        "fixes_released": kept,
        "megabytes_in": round(path.stat().st_size / 1e6),
        "megabytes_out": round(size / 1e6),
        "seconds": {**seconds, "all": round(sum(seconds.values()), 1)},
        "cpu_seconds": round(time.process_time(), 1),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // MIB,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fixes", type=int, default=10_000_000)
    parser.add_argument("--forms", nargs="+", choices=sorted(FORMS), default=sorted(FORMS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--take", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    profile = shipped_profile("cn-2026").profile.tracks
    if asked.take is not None:
        print(json.dumps(taken(asked.forms[0], asked.take, profile)))
        return
    answer = {}
    for form in asked.forms:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"drive.{form}"
            with path.open("w") as file:
                file.writelines(written(form, asked.fixes))
            command = [sys.executable, __file__, "--forms", form, "--take", str(path)]
            found = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - itself
            answer[form] = json.loads(found.stdout)
    print(json.dumps(answer, indent=None if asked.json else 2))


if __name__ == "__main__":
    main()
