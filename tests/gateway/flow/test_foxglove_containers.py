"""Drives recorded with Foxglove's messages, from delivery to a LOCAL release."""

import io
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anonymize.containers.open import open_container
from anonymize.containers.stream import ContainerKind
from anonymize.profile import shipped_profile
from foxglove_drive import foxglove_drive
from gateway.flow.dossier import recording_summary, release_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import ItemState, ReleaseMode
from gateway.flow.serve import read_item
from recorded_drive import BEGIN_S, drive
from simulators import PURPOSE, House, candidate, cleanse, grant, publish

TOPICS = {"/tf_static", "/tf", "/plan", "/lidar", "/camera"}


def released(gate: Gate, house: House, recording: str, mode: ReleaseMode) -> bytes:
    release = candidate(gate, house, recording, mode=mode)
    publish(gate, house, release)
    grant(gate, house, release)
    (item,) = release_summary(gate, release)["items"]
    reading = read_item(
        gate, release, item["name"], actor=house.people["engineer"].actor, purpose=PURPOSE, wanted=None
    )
    return b"".join(reading.chunks)


def xy(place: dict[str, float]) -> tuple[float, float]:
    return place["x"], place["y"]


@pytest.mark.parametrize(("mode", "encoding"), [(ReleaseMode.LOCAL, "protobuf")])
def test_a_foxglove_drive_leaves_without_true_place_or_time(
    sqlite_gate: Gate, sqlite_house: House, mode: ReleaseMode, encoding: str
) -> None:
    made = drive(seconds=700)
    recorder, content = foxglove_drive(made, encoding)
    recording = cleanse(sqlite_gate, {"drive.mcap": content})
    (item,) = recording_summary(sqlite_gate, recording)["items"]
    assert item["state"] == ItemState.CLEANSED, item
    content = released(sqlite_gate, sqlite_house, recording, mode)
    out = open_container(
        io.BytesIO(content), ContainerKind.MCAP, profile=shipped_profile("cn-2026").profile.containers
    )
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in out.messages():
        if message.channel.topic == "/clip":
            continue
        fields = recorder.read(message)
        assert abs(fields["time_s"] - BEGIN_S) > 29 * 86400
        assert fields["time_s"] == pytest.approx(message.log_time_ns / 1e9)
        found[message.channel.topic].append(fields)
    assert set(found) - {"/camera"} == TOPICS - {"/camera"}
    assert len(found["/plan"]) > 100
    for sweep in found["/lidar"]:
        points = np.frombuffer(sweep["data"], "<f4").reshape(-1, 3)
        # The third of each sweep lies beyond the range that the profile keeps.
        assert len(points) == 2
    for image in found["/camera"]:
        assert Image.open(io.BytesIO(image["data"])).size == (64, 48)
    assert sum(len(found[topic]) for topic in ("/tf", "/plan")) == 2 * len(found["/plan"])
    for edge, plan in zip(found["/tf"], found["/plan"], strict=True):
        first, second = (xy(pose["position"]) for pose in plan["poses"])
        assert edge["time_s"] == plan["time_s"]
        assert np.hypot(*np.subtract(first, xy(edge["translation"]))) < 0.01
        assert np.hypot(*np.subtract(first, second)) == pytest.approx(10.0, rel=0.01)
    # Clips of 300 m in frames of their own: nothing lies where a grid has its places.
    far = [np.hypot(*xy(edge["translation"])) for edge in found["/tf"]]
    assert max(far) < 2000.0
    assert {edge["translation"]["z"] for edge in found["/tf"]} == {0.0}
