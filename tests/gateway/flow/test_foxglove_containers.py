"""Drives recorded with Foxglove's messages, from delivery to a release, in either encoding and mode."""

import io
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anonymize.containers.open import open_container
from anonymize.containers.stream import ContainerKind
from anonymize.geo.crs import from_wgs84, geodesic_m
from anonymize.profile import shipped_profile
from foxglove_drive import Foxglove, foxglove_drive
from gateway.flow.build import load_built
from gateway.flow.dossier import recording_summary, release_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import ItemState, ReleaseMode
from gateway.flow.serve import read_item
from gateway.vault.store import Context
from recorded_drive import BEGIN_S, DISTANCE_ERROR, UTM, Drive, drive
from simulators import PURPOSE, House, candidate, cleanse, grant, publish

PROFILE = shipped_profile("cn-2026").profile
TOPICS = {"/tf_static", "/tf", "/plan", "/lidar", "/camera"}

Found = dict[str, list[dict[str, Any]]]


def held_in(gate: Gate, release: str) -> bytes:
    """The only item of a candidate, as it would leave."""
    with gate.database.read() as session:
        (item,) = load_built(gate, session, release).items
    context = Context(owner=release, object=item.name, role="release")
    return b"".join(gate.vault.open(item.seal, context).chunks())


def served(gate: Gate, house: House, release: str) -> bytes:
    """The only item of a release that is approved, published and granted."""
    publish(gate, house, release)
    grant(gate, house, release)
    (item,) = release_summary(gate, release)["items"]
    engineer = house.people["engineer"].actor
    reading = read_item(gate, release, item["name"], actor=engineer, purpose=PURPOSE, wanted=None)
    return b"".join(reading.chunks)


def read_with(recorder: Foxglove, content: bytes) -> Found:
    """The fields of all messages by topic; each has lost its true time, and one clock runs through all."""
    out = open_container(io.BytesIO(content), ContainerKind.MCAP, profile=PROFILE.containers)
    found: Found = defaultdict(list)
    for message in out.messages():
        if message.channel.topic == "/clip":
            continue
        fields = recorder.read(message)
        assert abs(fields["time_s"] - BEGIN_S) > 29 * 86400
        assert fields["time_s"] == pytest.approx(message.log_time_ns / 1e9)
        found[message.channel.topic].append(fields)
    return found


def xy(place: dict[str, float]) -> tuple[float, float]:
    return place["x"], place["y"]


def hold_together(found: Found) -> None:
    """Edges and plans of a moment name one place, plans keep their length, sweeps and images their content."""
    assert len(found["/plan"]) > 100
    for sweep in found["/lidar"]:
        # The third of each sweep lies beyond the range that the profile keeps.
        assert len(np.frombuffer(sweep["data"], "<f4").reshape(-1, 3)) == 2
    for image in found["/camera"]:
        assert Image.open(io.BytesIO(image["data"])).size == (64, 48)
    for edge, plan in zip(found["/tf"], found["/plan"], strict=True):
        first, second = (xy(pose["position"]) for pose in plan["poses"])
        assert edge["time_s"] == plan["time_s"]
        assert np.hypot(*np.subtract(first, xy(edge["translation"]))) < 0.01
        assert np.hypot(*np.subtract(first, second)) == pytest.approx(10.0, rel=0.01)


def is_local(found: Found) -> None:
    """Clips of 300 m in frames of their own: nothing lies where a grid has its places."""
    assert set(found) - {"/camera"} == TOPICS - {"/camera"}
    assert max(np.hypot(*xy(edge["translation"])) for edge in found["/tf"]) < 2000.0
    assert {edge["translation"]["z"] for edge in found["/tf"]} == {0.0}


def is_displaced(found: Found, made: Drive) -> None:
    """Fixes and poses lie under one displacement, to a metre; none of the true fixes is among them."""
    assert set(found) - {"/camera"} == (TOPICS | {"/fix"}) - {"/camera"}
    fixes = {fix["time_s"]: (fix["latitude"], fix["longitude"]) for fix in found["/fix"]}
    assert fixes.keys() == {edge["time_s"] for edge in found["/tf"]}
    lat, lon = np.array([fixes[edge["time_s"]] for edge in found["/tf"]]).T
    poses = np.array([xy(edge["translation"]) for edge in found["/tf"]])
    assert np.hypot(*(np.array(from_wgs84(lat, lon, UTM)) - poses.T)).max() < 1.0
    for true_lat, true_lon in zip(made.track.lat, made.track.lon, strict=True):
        assert not ((abs(lat - true_lat) < 1e-7) & (abs(lon - true_lon) < 1e-7)).any()
    # Both ends are trimmed. A displaced track may lie anywhere near, at its true start too.
    trimmed_m = made.track.path_length_m() - float(geodesic_m(lat[:-1], lon[:-1], lat[1:], lon[1:])[0].sum())
    assert trimmed_m > 2 * PROFILE.tracks.trim_m[0] * (1 - DISTANCE_ERROR)


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_a_foxglove_drive_leaves_without_true_place_or_time(
    sqlite_gate: Gate, sqlite_house: House, encoding: str
) -> None:
    made = drive(seconds=700)
    recorder, content = foxglove_drive(made, encoding)
    recording = cleanse(sqlite_gate, {"drive.mcap": content})
    (item,) = recording_summary(sqlite_gate, recording)["items"]
    assert item["state"] == ItemState.CLEANSED, item
    local, offset = (
        candidate(sqlite_gate, sqlite_house, recording, mode=mode)
        for mode in (ReleaseMode.LOCAL, ReleaseMode.OFFSET)
    )
    # A trip leaves once, in one mode: the other candidate is read where it lies.
    places = read_with(recorder, held_in(sqlite_gate, local))
    hold_together(places)
    is_local(places)
    places = read_with(recorder, served(sqlite_gate, sqlite_house, offset))
    hold_together(places)
    is_displaced(places, made)
