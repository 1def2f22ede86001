"""The example of docs/zones.md, run: a calibration file and the command that ingests a disk with it."""

import io
import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gateway.vehicles.cameras import read_cameras
from simulators import START, UNIT, csv_track, png, route, zone_file

DOCUMENT = (Path(__file__).parents[3] / "docs" / "zones.md").read_text("utf-8")
SECTION = DOCUMENT.split("\n## Cameras\n")[1].split("\n## ")[0]


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    return str(found)


def photograph(second: int, seed: int) -> bytes:
    """A picture that states its time and no position."""
    picture = Image.open(io.BytesIO(png(seed=seed)))
    exif = picture.getexif()
    taken = (START + timedelta(seconds=second)).strftime("%Y:%m:%d %H:%M:%S")
    exif.get_ifd(0x8769).update({0x9003: taken, 0x9011: "+00:00"})
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif)
    return out.getvalue()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A drive east with pictures of three cameras at one moment, and the documented calibration beside it."""
    folder = tmp_path / "disk"
    files = {"drive.csv": csv_track()}
    files |= {f"{name}/1.jpg": photograph(30, i) for i, name in enumerate(("front", "right", "undescribed"))}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (tmp_path / "cameras.json").write_text(block("json"), "utf-8")
    return folder


def documented(quick: Any, disk: Path) -> list[str]:
    """The command of the document, with this test's paths for those that it names."""
    program, *arguments = shlex.split(block("sh").replace("\\\n", " "))
    assert program == "fleetgate"
    here = {
        "disk": str(disk),
        "cameras.json": str(disk.parent / "cameras.json"),
        "officer.pem": str(quick.keys / "officer.pem"),
        "passphrase": str(quick.passphrase_file),
        "survey-unit": UNIT,
    }
    return [here.get(argument, argument) for argument in arguments]


def test_the_documented_calibration_file_reads():
    front, right = read_cameras(block("json").encode())
    assert (front.items, front.fov_deg, front.yaw_deg) == ("front/*", 120.0, 0.0)
    assert (right.items, right.heading_error_deg, right.offset_m) == ("right/*", 5.0, 1.2)


def test_the_documented_command_keeps_what_looks_away_from_a_zone(quick: Any, disk: Path):
    """The zone lies left of the road: the camera to the right keeps its picture, the undescribed one loses it."""
    lats, lons = route()
    zones = disk.parent / "zones.geojson"
    zones.write_bytes(zone_file(("MIL", lats[30] + 135.0 / 111_320, lons[30], 10.0), version=2))
    quick.did("officer", "zones", "install", zones)
    answer = quick.run(*documented(quick, disk), "--json")
    assert answer.code == 0, answer
    states = {item["name"]: item["state"] for item in answer.document["items"]}
    assert states["right/1.jpg"] == "cleansed"
    assert states["undescribed/1.jpg"] == "cut"
    again = quick.run(*documented(quick, disk), "--json")
    assert again.document["recording"] == answer.document["recording"]
    without = [a for a in documented(quick, disk) if "cameras" not in a]
    other = quick.run(*without, "--json").document
    assert other["recording"] != answer.document["recording"]
    assert {item["state"] for item in other["items"] if item["name"].endswith("jpg")} == {"cut"}


def test_a_calibration_file_that_is_wrong_is_named(quick: Any, disk: Path):
    (disk.parent / "cameras.json").write_text('[{"items": "front/*"}]', "utf-8")
    answer = quick.run(*documented(quick, disk), "--json")
    assert answer.code == 1
    assert answer.document["error"] == "manifest_invalid"
    assert "cameras[0]" in answer.document["detail"]
