"""Through a secrecy processor everything in a container moves as the ground does, and the scan knows it."""

import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from anonymize.containers.approved_residual import scan_approved_places
from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.open import open_container
from anonymize.containers.stream import Container, ContainerKind, Message
from anonymize.containers.unlink import unlink_container
from anonymize.errors import ProcessorError, ResidualError
from anonymize.geo.approved_displacement import ApprovedDisplacement, plan_approved
from anonymize.geo.approved_witness import WitnessedDisplacement
from anonymize.geo.crs import from_wgs84
from anonymize.geo.ellipsoid import to_enu
from anonymize.geo.offset_plan import OffsetPlan, plan_offset
from anonymize.profile import shipped_profile
from recorded_drive import UTM, Drive, Recorder, drive, reopened
from unsafe_secrecy_processor import ALLOWED, UnsafeCountingProcessor, UnsafeTestProcessor

PROFILE = shipped_profile("cn-2026").profile
# Heights are kept by this one, which a release through a processor does not heed.
KEEPING = replace(PROFILE, tracks=replace(PROFILE.tracks, keep_elevation=True))
KEY, CONTEXT = bytes(range(32)), b"recording"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CENTIMETRE = 0.01


@pytest.fixture(scope="module", autouse=True)
def _allowed() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ALLOWED, "1")
        yield


class UnsafeTurning(UnsafeTestProcessor):
    """Moves by some hundred metres, and turns the ground by a degree."""

    def process(self, lat: Any, lon: Any, height_m: Any) -> Any:
        super().process(lat, lon, height_m)
        north, east = (lat - 39.87) * 111_000.0, (lon - 116.28) * 85_400.0
        turn = np.radians(1.0)
        return (
            lat + (300.0 + np.sin(turn) * east - (1 - np.cos(turn)) * north) / 111_000.0,
            lon + (200.0 - np.sin(turn) * north - (1 - np.cos(turn)) * east) / 85_400.0,
            height_m,
        )


@pytest.fixture(scope="module")
def made() -> Drive:
    return drive()


def plan_of(made: Drive, processor: UnsafeTestProcessor) -> OffsetPlan:
    displacement = ApprovedDisplacement(processor, PROFILE.tracks, now=NOW)
    return plan_approved(
        made.track, key=KEY, context=CONTEXT, profile=PROFILE.tracks, displacement=displacement
    )


def released(made: Drive, processor: UnsafeTestProcessor, profile: Any = KEEPING) -> tuple[Any, ...]:
    witness = WitnessedDisplacement(processor, profile.tracks, now=NOW)
    run = unlink_container(
        made.container,
        mode="APPROVED",
        key=KEY,
        context=CONTEXT,
        reference=made.track,
        profile=profile,
        displacement=witness,
    )
    return reopened(run.chunks()), run.outcome(), witness


@pytest.fixture(scope="module")
def turned(made: Drive, _allowed: None) -> tuple[Any, ...]:
    return released(made, UnsafeTurning())


def by_topic(container: Container) -> dict[str, list[tuple[int, Any]]]:
    store, found = Recorder().store, dict[str, list[tuple[int, Any]]]()
    for message in container.messages():
        assert message.channel.schema is not None
        content = store.deserialize_cdr(message.data, message.channel.schema.name)
        found.setdefault(message.channel.topic, []).append((message.log_time_ns, content))
    return found


def yaw(q: Any) -> float:
    return float(np.arctan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y**2 + q.z**2)))


def test_fixes_poses_headings_and_sweeps_move_as_the_ground_does(
    made: Drive, turned: tuple[Any, ...]
) -> None:
    container, outcome, witness = turned
    plan = plan_offset(made.track, key=KEY, context=CONTEXT, profile=PROFILE.tracks)
    shift = round(plan.shift_s * 1e9)
    topics = by_topic(container)
    at = {round(t * 1e9) + shift: i for i, t in enumerate(made.track.time_s.tolist())}
    lat, lon, _ = UnsafeTurning().process(made.track.lat.copy(), made.track.lon.copy(), None)
    x, y = from_wgs84(lat, lon, UTM)
    true = by_topic(made.container)
    true_yaw = {t + shift: yaw(m.pose.pose.orientation) for t, m in true["/localization"]}
    assert len(topics["/gnss/fix"]) == len(topics["/localization"]) == sum(len(k) for k in plan.kept)
    for time_ns, fix in topics["/gnss/fix"]:
        i = at[time_ns]
        assert np.hypot(*to_enu(fix.latitude, fix.longitude, float(lat[i]), float(lon[i]))) < CENTIMETRE
        assert fix.altitude == 0.0
    places = {}
    for time_ns, odometry in topics["/localization"]:
        pose, i = odometry.pose.pose, at[time_ns]
        assert np.hypot(pose.position.x - x[i], pose.position.y - y[i]) < CENTIMETRE
        assert pose.position.z == 0.0
        assert np.degrees(yaw(pose.orientation) - true_yaw[time_ns]) % 360 == pytest.approx(1.0, abs=0.02)
        places[time_ns] = pose
    for time_ns, imu in topics["/imu"]:
        assert time_ns in at
        assert imu.linear_acceleration.z == 9.8
    goal_lat, goal_lon, _ = UnsafeTurning().process(*(np.array([v]) for v in made.landmark), None)
    goal, seen = np.array(from_wgs84(goal_lat, goal_lon, UTM))[:, 0], 0
    for time_ns, cloud in topics["/lidar/points"]:
        pose = places[time_ns]
        here = np.array([pose.position.x, pose.position.y])
        if np.hypot(*(goal - here)) < 90:
            px, py, _ = np.frombuffer(cloud.data.tobytes()[:12], "<f4").astype(np.float64)
            # Mounted a quarter turn to the left, 1 m before the middle; the grid's metre is 0.04 % short.
            body = np.array([-py + 1.0, px])
            c, s = np.cos(yaw(pose.orientation)), np.sin(yaw(pose.orientation))
            place = here + 0.99965 * np.array([c * body[0] - s * body[1], s * body[0] + c * body[1]])
            assert np.hypot(*(place - goal)) < CENTIMETRE
            seen += 1
    assert seen > 5
    evidence = witness.evidence()
    assert "turns directions alike" in evidence.checks
    assert evidence.positions > len(places)
    kinds = {t.kind for t in outcome.treatments}
    assert "secrecy_processor" in kinds
    assert "keyed_offset" not in kinds
    assert outcome.facts["mode"] == "APPROVED"


def scan(made: Drive, container: Container, processor: UnsafeTestProcessor) -> Any:
    return scan_approved_places(
        container,
        cleansed=made.container,
        plan=plan_of(made, processor),
        reference=made.track,
        profile=PROFILE,
    )


def test_the_scan_passes_what_is_the_processors_own(made: Drive, turned: tuple[Any, ...]) -> None:
    report = scan(made, turned[0], UnsafeTurning())
    assert report.clean, report.residual
    # A fix, a pose and an edge at every fix that is kept.
    plan = plan_of(made, UnsafeTurning())
    assert report.facts["places"] == 3 * sum(len(kept) for kept in plan.kept)


def changed(container: Container, topic: str, change: Callable[[Any], None]) -> Container:
    """The container with the fifth message of a topic decoded, changed and encoded again."""
    store, number = Recorder().store, 0

    def messages() -> Iterable[Message]:
        nonlocal number
        for message in container.messages():
            if message.channel.topic == topic:
                number += 1
                if number == 5:
                    assert message.channel.schema is not None
                    name = message.channel.schema.name
                    content = store.deserialize_cdr(message.data, name)
                    change(content)
                    yield replace(message, data=bytes(store.serialize_cdr(content, name)))
                    continue
            yield message

    content = b"".join(write_mcap(messages(), profile="ros2", chunk_bytes=1 << 18))
    return open_container(io.BytesIO(content), ContainerKind.MCAP, profile=PROFILE.containers)


def north(fix: Any) -> None:
    fix.latitude += 0.02 / 111_000.0


def up(fix: Any) -> None:
    fix.altitude = 43.5


def along(odometry: Any) -> None:
    odometry.pose.pose.position.x += 0.02


def aside(edges: Any) -> None:
    edges.transforms[0].transform.translation.y += 0.02


@pytest.mark.parametrize(
    ("topic", "change", "label"),
    [
        ("/gnss/fix", north, "not the processor's position"),
        ("/gnss/fix", up, "elevation"),
        ("/localization", along, "not the processor's position"),
        ("/tf", aside, "not the processor's position"),
    ],
)
def test_the_scan_finds_two_centimetres_and_a_height(
    made: Drive, turned: tuple[Any, ...], topic: str, change: Callable[[Any], None], label: str
) -> None:
    report = scan(made, changed(turned[0], topic, change), UnsafeTurning())
    assert {(f.where.path, f.label) for f in report.residual} == {(topic, label)}


def test_the_scan_refuses_true_places_another_processor_and_another_mode(
    made: Drive, turned: tuple[Any, ...]
) -> None:
    plan = plan_of(made, UnsafeTurning())
    shift = round(plan.shift_s * 1e9)
    times = [round(t * 1e9) for t in (plan.spans.begin_s.min(), plan.spans.end_s.max())]
    true = [
        replace(m, log_time_ns=m.log_time_ns + shift, publish_time_ns=m.log_time_ns + shift)
        for m in made.container.messages()
        if times[0] <= m.log_time_ns <= times[1]
    ]
    found = scan(made, reopened(write_mcap(true, profile="ros2", chunk_bytes=1 << 18)), UnsafeTurning())
    assert {"/gnss/fix", "/localization", "/tf"} <= {f.where.path for f in found.residual}
    assert not scan(made, turned[0], UnsafeTestProcessor()).clean
    with pytest.raises(ResidualError, match="held against a processor"):
        scan_approved_places(
            turned[0],
            cleansed=made.container,
            plan=plan_offset(made.track, key=KEY, context=CONTEXT, profile=PROFILE.tracks),
            reference=made.track,
            profile=PROFILE,
        )


def test_a_processor_that_counts_its_calls_stops_the_pass(made: Drive) -> None:
    with pytest.raises(ProcessorError, match="same in another batch"):
        released(made, UnsafeCountingProcessor())[2].evidence()


def test_the_mode_needs_its_processor(made: Drive) -> None:
    with pytest.raises(ValueError, match="APPROVED with a processor"):
        unlink_container(
            made.container,
            mode="APPROVED",
            key=KEY,
            context=CONTEXT,
            reference=made.track,
            profile=PROFILE,
        )
