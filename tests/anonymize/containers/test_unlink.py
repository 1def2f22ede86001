import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anonymize.containers.cleanse import cleanse_container
from anonymize.containers.stream import Container, Message
from anonymize.containers.unlink import CLIP_TOPIC, unlink_container
from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.finding import Treated
from anonymize.geo.clips import plan_clips
from anonymize.geo.crs import from_wgs84, to_wgs84
from anonymize.geo.offset_plan import plan_offset
from anonymize.profile import shipped_profile
from recorded_drive import BEGIN_S, UTM, Drive, Recorder, drive, opened, reopened

PROFILE = shipped_profile("cn-2026").profile
KEY, CONTEXT = bytes(range(32)), b"recording"
CENTIMETRE = 0.01


@pytest.fixture(scope="module")
def made() -> Drive:
    return drive()


@pytest.fixture(scope="module")
def local(made: Drive) -> Container:
    return released(made, "LOCAL")[0]


@pytest.fixture(scope="module")
def offset(made: Drive) -> Container:
    return released(made, "OFFSET")[0]


def released(made: Drive, mode: Any, **changes: Any) -> tuple[Container, Any]:
    parts = {"key": KEY, "context": CONTEXT, "reference": made.track, "profile": PROFILE} | changes
    run = unlink_container(made.container, mode=mode, **parts)
    container = reopened(run.chunks())
    return container, run.outcome()


def decoded(container: Container, *, ros1: bool = False) -> Iterator[tuple[Message, Any]]:
    """Decode with a type store of its own, apart from the codec under test."""
    store = Recorder(ros1=ros1).store
    for message in container.messages():
        assert message.channel.schema is not None
        name = message.channel.schema.name
        if message.channel.message_encoding == "json":
            yield message, json.loads(message.data)
        elif ros1:
            yield message, store.deserialize_ros1(message.data, "/msg/".join(name.split("/")))
        else:
            yield message, store.deserialize_cdr(message.data, name)


def by_topic(container: Container, *, ros1: bool = False) -> dict[str, list[tuple[Message, Any]]]:
    found = defaultdict(list)
    for message, content in decoded(container, ros1=ros1):
        found[message.channel.topic].append((message, content))
    return found


def stamp_ns(header: Any) -> int:
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def yaw(q: Any) -> float:
    return float(np.arctan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y**2 + q.z**2)))


def turned(angle: float, x: float, y: float) -> Any:
    return np.array([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y])


def apart(a: float, b: float) -> float:
    return abs((a - b + np.pi) % (2 * np.pi) - np.pi)


def landmark_of(pose: Any, cloud: Any) -> Any:
    """Where the first point of a sweep lies, placed by the pose of the vehicle and the mount of the sensor."""
    x, y, _ = np.frombuffer(cloud.data.tobytes()[:12], "<f4").astype(np.float64)
    body = turned(np.pi / 2, x, y) + np.array([1.0, 0.0])
    return turned(yaw(pose.orientation), *body) + np.array([pose.position.x, pose.position.y])


def truth_of_clips(made: Drive) -> dict[int, tuple[Any, int]]:
    """For each clip its frame, and when it begins in the release: 10 s after the one before."""
    plan = plan_clips(made.track, key=KEY, context=CONTEXT, profile=PROFILE.tracks)
    found, at = {}, 10 * 10**9
    for clip in plan.clips:
        found[clip.number] = (clip, at)
        at += round((clip.end_s - clip.begin_s) * 1e9) + 10 * 10**9
    return found


def clip_at(clips: dict[int, tuple[Any, int]], log_time_ns: int) -> tuple[Any, float]:
    clip, begin = max((c for c in clips.values() if c[1] <= log_time_ns), key=lambda c: c[1])
    return clip, clip.begin_s + (log_time_ns - begin) / 1e9


def fix_index(time_s: float) -> int:
    return round((time_s - BEGIN_S) * 2)


def test_local_poses_edges_imu_and_sweeps_lie_in_the_clips_frame_within_a_centimetre(
    made: Drive, local: Container
) -> None:
    topics, clips = by_topic(local), truth_of_clips(made)
    poses = {m.log_time_ns: c for m, c in topics["/localization"]}
    assert len(poses) > 500
    for log, odometry in poses.items():
        clip, time_s = clip_at(clips, log)
        i = fix_index(time_s)
        x, y, _ = clip.positions(made.track.lat[i], made.track.lon[i])
        at = odometry.pose.pose.position
        assert np.hypot(at.x - x[0], at.y - y[0]) < CENTIMETRE
        assert at.z == 0.0
    for message, tf in topics["/tf"]:
        link, edge = (t.transform for t in tf.transforms)
        place = turned(yaw(link.rotation), edge.translation.x, edge.translation.y)
        place = place + np.array([link.translation.x, link.translation.y])
        pose = poses[message.log_time_ns].pose.pose
        assert np.hypot(place[0] - pose.position.x, place[1] - pose.position.y) < CENTIMETRE
        assert apart(yaw(link.rotation) + yaw(edge.rotation), yaw(pose.orientation)) < 1e-6
    for message, imu in topics["/imu"]:
        assert apart(yaw(imu.orientation), yaw(poses[message.log_time_ns].pose.pose.orientation)) < 1e-3
    seen = 0
    for message, cloud in topics["/lidar/points"]:
        if np.frombuffer(cloud.data.tobytes()[:8], "<f4").tolist() != [5.0, 5.0]:
            clip, _ = clip_at(clips, message.log_time_ns)
            x, y, _ = clip.positions(*made.landmark)
            place = landmark_of(poses[message.log_time_ns].pose.pose, cloud)
            assert np.hypot(place[0] - x[0], place[1] - y[0]) < CENTIMETRE
            seen += 1
    assert seen > 5


def test_local_times_begin_at_ten_seconds_in_keyed_order_and_agree_with_all_stamps(
    made: Drive, local: Container
) -> None:
    topics, clips = by_topic(local), truth_of_clips(made)
    markers = [(m.log_time_ns, c["clip"]) for m, c in topics[CLIP_TOPIC]]
    assert markers == [(begin, number) for number, (_, begin) in sorted(clips.items())]
    order = [clip.begin_s for _, (clip, _) in sorted(clips.items())]
    assert order != sorted(order)
    times = [m.log_time_ns for m in local.messages()]
    assert times == sorted(times)
    for topic in ("/localization", "/imu", "/lidar/points", "/camera/image/compressed"):
        assert all(stamp_ns(c.header) == m.log_time_ns == m.publish_time_ns for m, c in topics[topic])
        counts: dict[int, int] = defaultdict(int)
        for message, _ in topics[topic]:
            number = clip_at(clips, message.log_time_ns)[0].number
            assert message.sequence == counts[number]
            counts[number] += 1


def test_local_drops_fixes_and_keeps_the_mounts_of_sensors(local: Container) -> None:
    topics = by_topic(local)
    assert "/gnss/fix" not in topics
    (message, static), *more = topics["/tf_static"]
    assert not more
    assert message.log_time_ns == stamp_ns(static.transforms[0].header) == 10 * 10**9
    assert [(t.header.frame_id, t.child_frame_id) for t in static.transforms] == [("base_link", "lidar")]


def test_local_covariances_turn_and_body_rates_stay(local: Container) -> None:
    topics = by_topic(local)
    for _, odometry in topics["/localization"][:20]:
        block = odometry.pose.covariance.reshape(6, 6)[:2, :2]
        assert np.trace(block) == pytest.approx(0.04)
        assert np.linalg.det(block) == pytest.approx(0.0, abs=1e-12)
        assert (odometry.twist.twist.linear.x, odometry.twist.twist.angular.z) == (8.0, 0.1)


def test_local_clips_that_do_not_fit_into_memory_together_give_the_same_bytes(
    made: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = unlink_container(
        made.container, mode="LOCAL", key=KEY, context=CONTEXT, reference=made.track, profile=PROFILE
    )
    monkeypatch.setattr("anonymize.containers.unlink._TOGETHER", 1)
    alone = unlink_container(
        made.container, mode="LOCAL", key=KEY, context=CONTEXT, reference=made.track, profile=PROFILE
    )
    assert b"".join(together.chunks()) == b"".join(alone.chunks())
    assert together.outcome() == alone.outcome()


def test_offset_moves_fixes_poses_edges_and_sweeps_by_one_function_within_a_centimetre(
    made: Drive, offset: Container
) -> None:
    plan = plan_offset(made.track, key=KEY, context=CONTEXT, profile=PROFILE.tracks)
    topics = by_topic(offset)
    poses = {m.log_time_ns: c.pose.pose for m, c in topics["/localization"]}
    shift = round(plan.shift_s * 1e9)
    assert len(poses) > 200
    for message, fix in topics["/gnss/fix"]:
        i = fix_index((message.log_time_ns - shift) / 1e9)
        lat, lon = plan.offset.displace(made.track.lat[i], made.track.lon[i])
        assert (fix.latitude, fix.longitude, fix.altitude) == (lat[0], lon[0], 0.0)
        x, y = from_wgs84(lat, lon, UTM)
        at = poses[message.log_time_ns].position
        assert np.hypot(at.x - x[0], at.y - y[0]) < CENTIMETRE
        assert at.z == 0.0
    for message, tf in topics["/tf"]:
        (edge,) = tf.transforms
        assert (edge.header.frame_id, edge.child_frame_id) == ("odom", "base_link")
        back = turned(0.7, edge.transform.translation.x, edge.transform.translation.y)
        origin = np.array(from_wgs84(made.track.lat[:1], made.track.lon[:1], UTM))[:, 0] - [30.0, -12.0]
        at = poses[message.log_time_ns]
        assert np.hypot(*(back + origin - [at.position.x, at.position.y])) < CENTIMETRE
        assert apart(yaw(edge.transform.rotation) + 0.7, yaw(at.orientation)) < 1e-4
    goal = np.array(from_wgs84(*plan.offset.displace(*made.landmark), UTM))[:, 0]
    seen = 0
    for message, cloud in topics["/lidar/points"]:
        if (
            np.hypot(*(goal - [poses[message.log_time_ns].position.x, poses[message.log_time_ns].position.y]))
            < 90
        ):
            # The grid's metre is 0.04 % short of a metre on the ground: 90 m away that is more than 1 cm.
            scale = 0.99965
            pose = poses[message.log_time_ns]
            at = np.array([pose.position.x, pose.position.y])
            assert np.hypot(*(at + scale * (landmark_of(pose, cloud) - at) - goal)) < CENTIMETRE
            seen += 1
    assert seen > 5


def test_offset_shifts_all_times_alike_and_trims_all_channels_alike(made: Drive, offset: Container) -> None:
    plan = plan_offset(made.track, key=KEY, context=CONTEXT, profile=PROFILE.tracks)
    shift = round(plan.shift_s * 1e9)
    topics = by_topic(offset)
    for topic in ("/gnss/fix", "/localization", "/imu", "/lidar/points", "/camera/image/compressed"):
        times = [m.log_time_ns for m, _ in topics[topic]]
        assert all(stamp_ns(c.header) == m.log_time_ns for m, c in topics[topic])
        for span, kept in enumerate(plan.kept):
            begin, end = (round(made.track.time_s[i] * 1e9) + shift for i in (kept[0], kept[-1]))
            assert span == 0
            assert begin <= min(times)
            assert max(times) <= end
            assert max(times) - min(times) > 0.9 * (end - begin)


def test_images_leave_as_they_came(made: Drive, local: Container) -> None:
    before = {c.data.tobytes() for _, c in by_topic(made.container)["/camera/image/compressed"]}
    after = [c.data.tobytes() for _, c in by_topic(local)["/camera/image/compressed"]]
    assert after
    assert before.issuperset(after)


def test_ros1_headers_count_anew() -> None:
    made = drive(seconds=150, ros1=True)
    container, _ = released(made, "LOCAL")
    poses = by_topic(container, ros1=True)["/localization"]
    seen = [c.header.seq for _, c in poses]
    assert [a for a, b in zip(seen[1:], seen, strict=False) if a not in {0, b + 1}] == []
    assert seen.count(0) == len(by_topic(container, ros1=True)[CLIP_TOPIC])


def test_a_frame_that_does_not_fit_the_track_is_dropped_and_reported() -> None:
    made = drive(seconds=150)
    rng = np.random.default_rng(1)
    recorder = made.recorder.more()
    for i in range(300):
        x, y = rng.uniform(-500.0, 500.0, 2)
        recorder.odometry("/slam", "world", BEGIN_S + 0.5 * i, x, y, 0.0, 0.0)
    container, outcome = released(replace(made, container=opened(recorder.messages)), "LOCAL")
    assert "/slam" not in by_topic(container)
    assert "world" not in outcome.facts["frames_aligned"]
    assert outcome.facts["messages"]["/slam"]["out"] == 0
    assert ("/slam", "frame not aligned") in {(f.where.path, f.label) for f in outcome.findings}


def test_velocities_in_axes_of_the_ground_turn_with_the_clip(made: Drive) -> None:
    recorder = made.recorder.more()
    east, north = from_wgs84(made.track.lat, made.track.lon, UTM)
    for i in range(0, 800, 2):
        time_s = BEGIN_S + 0.5 * i
        recorder.odometry("/ground", "map", time_s, east[i], north[i], 0.0, 0.0, child="map")
        recorder.twist("/ground/speed", "map", time_s, 8.0)
    container, _ = released(replace(made, container=opened(recorder.messages)), "LOCAL")
    topics, clips = by_topic(container), truth_of_clips(made)
    assert len(topics["/ground"]) == len(topics["/ground/speed"]) > 200
    for (message, odometry), (_, twist) in zip(topics["/ground"], topics["/ground/speed"], strict=True):
        turn = clip_at(clips, message.log_time_ns)[0].turn_rad
        for velocity in (odometry.twist.twist.linear, twist.twist.linear):
            assert np.hypot(velocity.x, velocity.y) == pytest.approx(8.0)
            # The grid's north is 0.5 degrees off the true one here.
            assert apart(float(np.arctan2(velocity.y, velocity.x)), turn) < 0.02


@pytest.mark.parametrize("frame", ["utm_50n", "wheel_odometry"])
def test_a_frame_that_the_profile_does_not_name_is_one_of_the_map_when_the_vehicle_moves_in_it(
    made: Drive, frame: str
) -> None:
    """On the ground it is brought into the clip's frame; without a known place there it goes."""
    recorder = made.recorder.more()
    east, north = from_wgs84(made.track.lat, made.track.lon, UTM)
    drift = 1.0 if frame == "utm_50n" else 1.05
    for i in range(0, 800, 2):
        recorder.odometry("/more", frame, BEGIN_S + 0.5 * i, drift * east[i], drift * north[i], 0.0, 0.0)
    container, outcome = released(replace(made, container=opened(recorder.messages)), "LOCAL")
    found = by_topic(container).get("/more", [])
    assert (frame in outcome.facts["frames_aligned"]) == bool(found) == (drift == 1.0)
    assert all(abs(c.pose.pose.position.x) < 600.0 for _, c in found)


def test_a_goal_far_from_the_vehicle_is_dropped(made: Drive) -> None:
    recorder = made.recorder.more()
    east, north = from_wgs84(made.track.lat, made.track.lon, UTM)
    for i, away in [(i, 100.0 if i % 40 else 2000.0) for i in range(300, 560, 20)]:
        time_s = BEGIN_S + 0.5 * i
        goal = recorder.type("geometry_msgs/msg/PoseStamped")(
            header=recorder.header(time_s, "map"), pose=recorder.pose(east[i] + away, north[i], 43.5, 0.0)
        )
        recorder.add("/goal", "geometry_msgs/msg/PoseStamped", time_s, goal)
    for mode in ("LOCAL", "OFFSET"):
        _, outcome = released(replace(made, container=opened(recorder.messages)), mode)
        assert 0 < outcome.facts["messages"]["/goal"]["out"] < 8
        assert "far from the vehicle" in {f.label for f in outcome.findings if f.where.path == "/goal"}


def test_stamps_of_another_clock_become_those_of_the_log(made: Drive) -> None:
    recorder = made.recorder.more()
    for i in range(200, 600):
        imu = recorder.messages[-1]
        recorder.imu(BEGIN_S + 0.5 * i, 0.0)
        message = recorder.messages.pop()
        content = recorder.store.deserialize_cdr(message.data, "sensor_msgs/msg/Imu")
        content.header.stamp.sec = 1234 + i  # type: ignore[attr-defined]
        data = recorder.encode("sensor_msgs/msg/Imu", content)
        channel = recorder.channel("/imu/boot", "sensor_msgs/msg/Imu")
        recorder.messages.append(replace(message, channel=channel, data=data))
        assert imu is not message
    container, _ = released(replace(made, container=opened(recorder.messages)), "OFFSET")
    found = by_topic(container)["/imu/boot"]
    assert found
    assert all(stamp_ns(c.header) == m.log_time_ns for m, c in found)


def test_a_release_needs_a_track_and_a_drive_longer_than_its_trims(made: Drive) -> None:
    with pytest.raises(MalformedItemError, match="along a track"):
        released(made, "LOCAL", reference=None)
    with pytest.raises(LimitExceededError, match="trimming"):
        released(drive(seconds=30), "OFFSET")


def test_the_first_passes_output_goes_through_the_second(made: Drive) -> None:
    first = cleanse_container(
        made.container,
        zones=None,
        reference=made.track,
        profile=PROFILE,
        images=lambda content, _: Treated(
            content=content, media_type="image/jpeg", findings=(), treatments=()
        ),
        text=lambda text: text,
    )
    cleansed = reopened(first.chunks())
    container, outcome = released(replace(made, container=cleansed), "OFFSET")
    assert outcome.facts["messages"]["/lidar/points"]["out"] > 50
    assert {"/gnss/fix", "/localization", "/tf"} <= set(by_topic(container))
    lat, lon = to_wgs84(*from_wgs84(made.track.lat[:1], made.track.lon[:1], UTM), UTM)
    assert lat[0] == pytest.approx(made.track.lat[0])
    assert lon[0] == pytest.approx(made.track.lon[0])
