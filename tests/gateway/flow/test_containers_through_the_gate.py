"""A drive in one container, from delivery to a release in both modes: nothing in it tells where or when it was."""

import io
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from rosbags.rosbag1 import Writer

from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.open import open_container
from anonymize.containers.positions import tracks_of
from anonymize.containers.stream import ContainerKind
from anonymize.geo.crs import geodesic_m
from anonymize.profile import shipped_profile
from gateway.flow.classify import load_classified
from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.dossier import recording_summary, release_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import ItemState, ReleaseMode
from gateway.flow.records import ItemRow
from gateway.flow.serve import read_item, read_manifest
from gateway.people.zones import install_zones
from gateway.review.quality import show_pictures
from recorded_drive import BEGIN_S, DISTANCE_ERROR, Drive, drive, zones_around
from simulators import PURPOSE, House, candidate, cleanse, grant, publish

_IMAGES_KEPT = 3


def recorded(made: Drive) -> bytes:
    """The drive as MCAP, with few of its images: each takes a second to be looked at."""
    images = [m for m in made.recorder.messages if "Image" in m.channel.schema.name]
    kept = {id(m) for m in images[:: len(images) // _IMAGES_KEPT][:_IMAGES_KEPT]}
    messages = [m for m in made.recorder.messages if "Image" not in m.channel.schema.name or id(m) in kept]
    return b"".join(write_mcap(messages, profile="ros2", chunk_bytes=1 << 18))


@pytest.fixture
def furnished(sqlite_gate: Gate, sqlite_house: House) -> tuple[Gate, House, Drive]:
    """A gate with a military zone beside the middle of the drive."""
    made = drive(seconds=1100)  # whatever is trimmed, something is left on both sides of the zone
    at = len(made.track) // 2
    officer = sqlite_house.people["officer"]
    zone = zones_around(float(made.track.lat[at]), float(made.track.lon[at]), 40.0)
    newer = zone.replace(b'"version": 1', b'"version": 7')
    install_zones(sqlite_gate, newer, actor=officer.actor, key=officer.key)
    return sqlite_gate, sqlite_house, made


def only_item(gate: Gate, recording: str) -> ItemRow:
    with gate.database.read() as session:
        (row,) = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording))
    return row


def fetched(gate: Gate, house: House, release: str) -> dict[str, bytes]:
    grant(gate, house, release)
    engineer = house.people["engineer"].actor
    read_manifest(gate, release, actor=engineer, purpose=PURPOSE)
    items = release_summary(gate, release)["items"]
    return {
        item["name"]: b"".join(
            read_item(gate, release, item["name"], actor=engineer, purpose=PURPOSE, wanted=None).chunks
        )
        for item in items
    }


@pytest.mark.parametrize("mode", [ReleaseMode.LOCAL, ReleaseMode.OFFSET])
def test_a_container_is_cut_moved_and_released(furnished, mode):
    gate, house, made = furnished
    recording = cleanse(gate, {"drive.mcap": recorded(made)})
    row = only_item(gate, recording)
    assert row.state == ItemState.CLEANSED, recording_summary(gate, recording)["items"]
    with gate.database.read() as session:
        classified = load_classified(gate, session, row.id)
        cleansed = load_cleansed(gate, session, row.id)
    assert (classified.kind, classified.data_class) == ("mcap", "EXT_VIDEO")
    assert "MIL" in cleansed.payload["tags"]
    assert set(cleansed.payload["detector_kinds"]) == {"face", "plate", "limit_sign"}
    limits = shipped_profile("cn-2026").profile
    treated = open_container(open_treated(gate, cleansed), ContainerKind.MCAP, profile=limits.containers)
    (track,) = tracks_of(treated, profile=limits)
    middle = len(made.track) // 2
    place = (np.full(len(track), each[middle]) for each in (made.track.lat, made.track.lon))
    place = (np.full(len(track), each[middle]) for each in (made.track.lat, made.track.lon))
    away, _ = geodesic_m(track.lat, track.lon, *place)
    assert away.min() > 40.0
    release = candidate(gate, house, recording, mode=mode)
    # Rule 17: image messages are looked at one by one, as they would leave.
    quality, officer = release_summary(gate, release)["quality"], house.people["officer"].actor
    assert set(quality["kinds"]["face"]["strata"]) == {"unknown"}
    ((_, sheet),) = show_pictures(gate, release, actor=officer, numbers=[quality["sampled"]])
    assert sheet.startswith(b"\x89PNG")
    publish(gate, house, release)
    (content,) = fetched(gate, house, release).values()
    out = open_container(io.BytesIO(content), ContainerKind.MCAP, profile=limits.containers)
    assert out.summary.begin_ns is not None
    apart_s = abs(out.summary.begin_ns / 1e9 - BEGIN_S)
    assert apart_s > 30 * 86400
    schemas = {channel.schema.name for channel in out.summary.channels if channel.schema}
    if mode is ReleaseMode.LOCAL:
        assert "sensor_msgs/msg/NavSatFix" not in schemas
    else:
        (shown,) = tracks_of(out, profile=limits)
        # Both ends are trimmed. A displaced track may lie anywhere near, at its true start too.
        trimmed_m = made.track.path_length_m() - shown.path_length_m()
        assert trimmed_m > 2 * limits.tracks.trim_m[0] * (1 - DISTANCE_ERROR)
    topics = {channel.topic for channel in out.summary.channels}
    assert any("camera" in topic or "image" in topic for topic in topics)


def test_a_ros_1_bag_leaves_as_mcap(furnished, tmp_path: Path):
    gate, house, _ = furnished
    made = drive(seconds=700, ros1=True)
    path = tmp_path / "drive.bag"
    with Writer(path) as bag:
        connections = {
            topic: bag.add_connection(
                topic,
                channel.schema.name.replace("/", "/msg/", 1),
                msgdef=channel.schema.data.decode(),
                md5sum="0" * 32,
            )
            for topic, channel in made.recorder.channels.items()
            if "Image" not in channel.schema.name
        }
        for message in made.recorder.messages:
            if message.channel.topic in connections:
                bag.write(connections[message.channel.topic], message.log_time_ns, message.data)
    recording = cleanse(gate, {"drive.bag": path.read_bytes()})
    assert only_item(gate, recording).state == ItemState.CLEANSED, recording_summary(gate, recording)["items"]
    release = candidate(gate, house, recording)
    publish(gate, house, release)
    (name,) = fetched(gate, house, release)
    assert name.endswith(".mcap")


def test_a_container_cut_short_is_held_and_kept(furnished):
    gate, _, made = furnished
    content = recorded(made)
    recording = cleanse(gate, {"drive.mcap": content[: len(content) // 2]})
    (item,) = recording_summary(gate, recording)["items"]
    assert (item["state"], item["reason"]) == ("held", "malformed")


def test_a_channel_that_no_rule_names_stops_the_container(furnished):
    gate, _, made = furnished
    recorder = made.recorder.more()
    odd = recorder.channel("/mystery", "std_msgs/msg/Float64")
    store = recorder.store.types["std_msgs/msg/Float64"]
    payload = recorder.encode("std_msgs/msg/Float64", store(data=1.0))
    first = recorder.messages[0]
    messages = [
        *recorder.messages[:40],
        type(first)(
            channel=odd,
            log_time_ns=first.log_time_ns,
            publish_time_ns=first.log_time_ns,
            sequence=0,
            data=payload,
        ),
    ]
    content = b"".join(write_mcap(messages, profile="ros2", chunk_bytes=1 << 16))
    recording = cleanse(gate, {"drive.mcap": content})
    (item,) = recording_summary(gate, recording)["items"]
    assert (item["state"], item["reason"]) == ("held", "unknown_format")
    assert "/mystery" in item["detail"]
