from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anonymize.containers.residual import scan_messages
from anonymize.containers.stream import Container
from anonymize.containers.unlink import unlink_container
from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind
from anonymize.formats.track import Track
from anonymize.geo.crs import from_wgs84
from anonymize.geo.ellipsoid import ecef
from anonymize.geo.offset_plan import plan_offset
from anonymize.profile import shipped_profile
from recorded_drive import BEGIN_S, UTM, Drive, Recorder, drive, opened, reopened

PROFILE = shipped_profile("cn-2026").profile
KEY = bytes(range(32))


@pytest.fixture(scope="module")
def made() -> Drive:
    return drive()


@pytest.fixture(scope="module")
def local(made: Drive) -> Container:
    return released(made, "LOCAL")


def released(made: Drive, mode: Any) -> Container:
    run = unlink_container(
        made.container, mode=mode, key=KEY, context=b"r", reference=made.track, profile=PROFILE
    )
    return reopened(run.chunks())


def found(
    container: Container, made: Drive, mode: Any, shown: Track | None = None
) -> set[tuple[Any, str, str]]:
    report = scan_messages(container, mode=mode, reference=made.track, profile=PROFILE, shown=shown)
    return {(f.kind, f.where.path, f.label) for f in report.residual}  # type: ignore[union-attr]


def test_a_local_release_is_clean(local: Container, made: Drive) -> None:
    report = scan_messages(local, mode="LOCAL", reference=made.track, profile=PROFILE)
    assert report.clean
    assert report.facts["messages"] > 1000


def test_an_offset_release_is_clean_with_and_without_what_it_shows(made: Drive) -> None:
    container = released(made, "OFFSET")
    plan = plan_offset(made.track, key=KEY, context=b"r", profile=PROFILE.tracks)
    lat, lon = plan.offset.displace(made.track.lat, made.track.lon)
    assert not found(container, made, "OFFSET")
    assert not found(container, made, "OFFSET", replace(made.track, lat=lat, lon=lon))


@pytest.mark.parametrize("ros1", [False, True])
def test_the_original_is_found_by_time_and_place_in_every_channel(ros1: bool) -> None:  # noqa: FBT001
    made = drive(seconds=60, ros1=ros1)
    hits = found(made.container, made, "LOCAL")
    kinds = {(kind, topic) for kind, topic, _ in hits}
    for topic in ("/gnss/fix", "/localization", "/tf", "/imu", "/lidar/points", "/camera/image/compressed"):
        assert (FindingKind.TIMESTAMP, topic) in kinds
    assert (FindingKind.POSITION, "/gnss/fix", "degrees") in hits
    assert any(k is FindingKind.POSITION and t == "/localization" for k, t, _ in hits)
    assert (FindingKind.EMBEDDED_STREAM, "/gnss/fix", "channel to position") in hits


def recorded(values: Any, topic: str = "/localization") -> Container:
    recorder = Recorder()
    for i, (x, y, z) in enumerate(values):
        recorder.odometry(topic, "map", 20.0 + i, x, y, z, 0.0)
    return opened(recorder.messages)


@pytest.mark.parametrize("notation", ["degrees", "radians", "utm", "earth-centred"])
def test_a_true_place_in_one_message_is_found_in_any_notation(made: Drive, notation: str) -> None:
    lat, lon = made.track.lat[100], made.track.lon[100]
    east, north = from_wgs84(np.array([lat]), np.array([lon]), UTM)
    place = {
        "degrees": (lat, lon, 0.0),
        "radians": (np.radians(lon), np.radians(lat), 0.0),
        "utm": (east[0], north[0], 0.0),
        "earth-centred": tuple(float(v) for v in ecef(lat, lon, 43.5)),
    }[notation]
    hits = found(recorded([(1.0, 2.0, 0.0), place, (3.0, 4.0, 0.0)]), made, "LOCAL")
    assert {kind for kind, _, _ in hits} == {FindingKind.POSITION}
    assert not found(recorded([(1.0, 2.0, 0.0), (3.0, 4.0, 0.0)]), made, "LOCAL")


def test_a_place_in_a_text_and_a_time_in_a_number_are_found(made: Drive) -> None:
    recorder = Recorder()
    text = recorder.type("std_msgs/msg/String")(data=f"at {made.track.lat[9]:.6f}, {made.track.lon[9]:.6f}")
    recorder.add("/note", "std_msgs/msg/String", 20.0, text)
    recorder.odometry("/pose", "map", 21.0, BEGIN_S + 5.0, 0.0, 0.0, 0.0)
    hits = found(opened(recorder.messages), made, "LOCAL")
    assert (FindingKind.POSITION, "*", "text: decimal") in hits
    assert (FindingKind.TIMESTAMP, "/pose", "number near the true time") in hits


def test_a_channel_that_no_rule_names_is_found(made: Drive) -> None:
    recorder = Recorder()
    recorder.add("/speed", "std_msgs/msg/Float64", 20.0, recorder.type("std_msgs/msg/Float64")(data=1.0))
    hits = found(opened(recorder.messages), made, "LOCAL")
    assert hits == {(FindingKind.EMBEDDED_STREAM, "/speed", "channel to quarantine")}


def test_a_message_that_cannot_be_read_again_stops_the_scan(made: Drive) -> None:
    recorder = Recorder()
    recorder.odometry("/pose", "map", 21.0, 0.0, 0.0, 0.0, 0.0)
    message = recorder.messages[0]
    for data in (message.data[:-9], message.data + b"\0" * 9):
        with pytest.raises(MalformedItemError, match="cannot be read again"):
            found(opened([replace(message, data=data)]), made, "LOCAL")
