"""``fleetgate demo`` as a new user runs it, in a process of its own; and with a folder of the user's own."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

from anonymize.formats.identify import ItemKind, identify

TITLES = [
    "A gate of its own",
    "People, a surveying certificate, a recipient, a purpose and a signed zone file",
    "Received, quarantined, classified, cleansed",
    "A sample of pictures drawn and counted (nobody looked: this is a demonstration)",
    "Unlinked and judged",
    "Approved by two operators, released, granted",
    "Fetched by the engineer and verified against the signed manifest",
    "Refused: no grant",
    "Refused: wrong purpose",
    "Refused: tampered release",
    "The ledger verifies, inside the gate and by the stand-alone verifier",
]
REASONS = {"no grant": "no_grant", "wrong purpose": "denied"}


def demonstrate(folder: Path, *options: object) -> dict[str, object]:
    command = [
        sys.executable,
        "-m",
        "gateway.cli",
        "demo",
        "--json",
        "--dir",
        str(folder),
        *map(str, options),
    ]
    # A new user has nothing configured, and nothing in this environment may help.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FLEETGATE_")}
    done = subprocess.run(  # noqa: S603 (our own command)
        command, capture_output=True, text=True, check=False, timeout=280, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    document: dict[str, object] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """One run for all tests."""
    return demonstrate(tmp_path_factory.mktemp("demo") / "run")


def step(shown, start):
    return next(s for s in shown["steps"] if s["title"].startswith(start))


@pytest.mark.timeout(300)
def test_every_step_is_told_in_order(shown):
    assert [s["title"] for s in shown["steps"]] == TITLES
    assert [s["step"] for s in shown["steps"]] == list(range(1, len(TITLES) + 1))
    elapsed = [s["elapsed_s"] for s in shown["steps"]]
    assert elapsed == sorted(elapsed)


def test_drive_shows_every_fate_of_an_item(shown):
    items = step(shown, "Received")["items"]
    fates = set(items.values())
    assert fates == {"cleansed", "cut", "held"}
    assert items["radar.raw"] == "held"
    kinds = {Path(name).suffix for name, fate in items.items() if fate == "cleansed"}
    assert kinds == {".jpg", ".mp4", ".bin", ".gpx", ".csv", ".json", ".txt"}


def test_the_sample_says_that_nobody_looked(shown):
    """Rule 17: what the demonstration records in a person's place is named as that."""
    told = step(shown, "A sample")
    pictures = list((Path(shown["folder"]) / "quality").glob("*.png"))
    assert told["simulated_reviewer"] is True
    assert len(pictures) == told["sampled"] > 1


def test_three_things_are_refused(shown):
    for name, reason in REASONS.items():
        assert step(shown, f"Refused: {name}")["refused"] == reason
    assert step(shown, "Refused: wrong purpose")["rules"] == "purpose_bound"
    assert step(shown, "Refused: tampered")["refused"]
    folder = Path(shown["folder"])
    assert not list(folder.glob("none/*"))
    assert not (folder / "tampered" / "release.jws").exists()


def test_engineer_received_what_was_cleansed_and_can_open_it(shown):
    released = Path(shown["folder"]) / "released"
    files = sorted(path for path in released.iterdir() if path.name != "release.jws")
    cleansed = [name for name, fate in step(shown, "Received")["items"].items() if fate == "cleansed"]
    masks = {file.name for file in files if file.name.endswith((".mask.png", ".masks.json"))}
    pictures = [name for name in cleansed if name.endswith((".jpg", ".mp4"))]
    assert len(files) == len(cleansed) + len(pictures) == step(shown, "Fetched")["files"]
    assert len(masks) == len(pictures)
    for file in files:
        kind = identify(file.name, file.read_bytes()).kind
        if kind is ItemKind.VIDEO:
            assert f"{file.name}.masks.json" in masks
            with av.open(str(file)) as video:
                assert sum(1 for _ in video.decode(video=0)) == 12
                assert [stream.type for stream in video.streams] == ["video"]
        if kind is ItemKind.JPEG:
            with Image.open(file) as image:
                image.load()
                assert dict(image.getexif()) == {}


def test_ledger_verifies_without_the_gate(shown):
    last = step(shown, "The ledger verifies")
    export = Path(shown["folder"]) / "ledger-export.jsonl"
    header = json.loads(export.read_bytes().split(b"\n", 1)[0])
    command = [sys.executable, "-m", "audit.verify", str(export), "--vkey", header["vkey"], "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    record = json.loads(done.stdout)
    assert (done.returncode, record["ok"], record["root"]) == (0, True, last["root"])
    assert record["size"] >= last["entries"]
    assert record["findings"] == []


def test_nothing_that_it_keeps_is_open_to_others(shown):
    folder = Path(shown["folder"])
    assert (folder / "passphrase").stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0
    sealed = [path.read_bytes() for path in (folder / "home" / "objects").rglob("*") if path.is_file()]
    assert sealed
    assert not any(content.startswith((b"\xff\xd8\xff", b"<?xml", b"\x89PNG")) for content in sealed)


@pytest.mark.timeout(300)
def test_folder_of_the_user_s_own(shared_data, tmp_path):
    """Days of a GeoLife track, a photograph with GPS in its EXIF, a KITTI frame with calibration and labels.

    All of GeoLife would be 1,200 km² of ground: more than rule 18 lets one recipient hold.
    """
    kitti, media = shared_data / "formats" / "kitti_object", shared_data / "media" / "exif_gps"
    wanted = [
        shared_data / "formats" / "traj" / "geolife_sample.txt.gz",
        media / "DSCN0010.jpg",
        *(
            kitti / part / f"000000.{ext}"
            for part, ext in (("calib", "txt"), ("label_2", "txt"), ("velodyne", "bin"))
        ),
    ]
    for file in wanted:
        if not file.is_file():
            pytest.skip(f"the sample {file.name} is not here")
        (tmp_path / "mine" / file.parent.name).mkdir(parents=True, exist_ok=True)
        copy = tmp_path / "mine" / file.parent.name / file.name
        if file.suffix == ".gz":
            rows = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
            copy.write_bytes(gzip.compress(b"".join(rows[:5001])))
        else:
            shutil.copyfile(file, copy)
    shown = demonstrate(tmp_path / "run", "--input", tmp_path / "mine")
    assert [s["title"] for s in shown["steps"]] == TITLES
    assert set(step(shown, "Received")["items"].values()) == {"cleansed"}
    masks = [
        path.name for path in (tmp_path / "run" / "released").iterdir() if path.name.endswith(".mask.png")
    ]
    assert len(masks) == 1
    assert step(shown, "Fetched")["files"] == len(wanted) + len(masks)
    everything = b"".join(path.read_bytes() for path in (tmp_path / "run" / "released").iterdir())
    assert b"Exif" not in everything
    assert b"NIKON" not in everything
