import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anonymize.containers.cleanse import cleanse_container
from anonymize.containers.clear_times import ClearTimes, Verdict
from anonymize.containers.container_pass import ContainerPass, PassOutcome
from anonymize.containers.stream import Container, Message, Summary
from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError
from anonymize.finding import Finding, FindingKind, PixelBox, Treated, Treatment, TreatmentKind
from anonymize.geo.crs import from_wgs84, geodesic_m
from anonymize.geo.zones import ZoneSet
from anonymize.profile import Profile, shipped_profile
from recorded_drive import BEGIN_S, UTM, Drive, Recorder, drive, jpeg, opened, reopened, zones_around

PROFILE = shipped_profile("cn-2026").profile
ALL_SWEEPS = replace(PROFILE, points=replace(PROFILE.points, keep_every=1))


@pytest.fixture(scope="module")
def made() -> Drive:
    return drive()


def as_it_is(content: bytes, kind: str) -> Treated:
    return Treated(content=content, media_type=f"image/{kind}", findings=(), treatments=())


def cleanse(container: Container, **changes: Any) -> ContainerPass:
    parts: dict[str, Any] = {
        "zones": None,
        "reference": None,
        "profile": PROFILE,
        "images": as_it_is,
        "text": lambda text: text,
    }
    return cleanse_container(container, **(parts | changes))


def cleansed(container: Container, **changes: Any) -> tuple[list[Message], PassOutcome]:
    run = cleanse(container, **changes)
    messages = list(reopened(run.chunks()).messages())
    return messages, run.outcome()


def zone_at(made: Drive, index: int, half_m: float) -> ZoneSet:
    lat, lon = float(made.track.lat[index]), float(made.track.lon[index])
    return ZoneSet.from_geojson(zones_around(lat, lon, half_m))


def test_without_zones_all_but_sweeps_passes_byte_by_byte_in_order(made: Drive) -> None:
    messages, outcome = cleansed(made.container)
    before = [m for m in made.container.messages() if m.channel.topic != "/lidar/points"]
    after = [m for m in messages if m.channel.topic != "/lidar/points"]
    assert [(m.channel.topic, m.log_time_ns, m.publish_time_ns, m.sequence, m.data) for m in after] == [
        (m.channel.topic, m.log_time_ns, m.publish_time_ns, m.sequence, m.data) for m in before
    ]
    assert outcome.facts["messages"]["/lidar/points"] == {"in": 400, "out": 200}
    assert outcome.facts["left_out"]["/lidar/points"] == {"thinned": 200}


def test_a_zone_cuts_all_channels_at_the_times_the_vehicle_may_be_in_it(made: Drive) -> None:
    zones = zone_at(made, 300, 60.0)
    messages, outcome = cleansed(made.container, zones=zones, reference=made.track)
    inside = zones.test(made.track.lat, made.track.lon).inside
    times = made.track.time_s[inside]
    lat0, lon0 = float(made.track.lat[300]), float(made.track.lon[300])
    away, _ = geodesic_m(made.track.lat, made.track.lon, np.full(800, lat0), np.full(800, lon0))
    for message in messages:
        if message.channel.topic != "/tf_static":
            assert not times[0] <= message.log_time_ns / 1e9 <= times[-1]
    kept = {m.channel.topic: 0 for m in messages}
    for m in messages:
        kept[m.channel.topic] += 1
        if m.channel.topic == "/camera/image/compressed":
            assert away[round((m.log_time_ns / 1e9 - BEGIN_S) * 2)] > 60.0 + 110.0
    clear = int((away > 60.0 * 1.5 + 10.0 + 35.0).sum())
    assert kept["/gnss/fix"] == kept["/localization"] == kept["/tf"]
    assert clear <= kept["/gnss/fix"] < 800 - inside.sum()
    assert kept["/tf_static"] == 1
    assert outcome.tags == ("MIL",)
    topics = {f.where.path for f in outcome.findings if f.kind is FindingKind.RESTRICTED_ZONE}  # type: ignore[union-attr]
    assert {
        "/gnss/fix",
        "/localization",
        "/tf",
        "/imu",
        "/camera/image/compressed",
        "/lidar/points",
    } <= topics
    assert len(outcome.findings) < 40


def test_points_in_a_zone_beside_the_road_go_and_others_stay(made: Drive) -> None:
    """The landmark stands 25 m beside the way: a small zone around it takes it, not the point straight ahead."""
    zones = ZoneSet.from_geojson(zones_around(*made.landmark, 2.0))
    before, _ = cleansed(made.container, profile=ALL_SWEEPS)
    after, outcome = cleansed(made.container, profile=ALL_SWEEPS, zones=zones, reference=made.track)
    sizes = {m.log_time_ns: len(m.data) for m in before if m.channel.topic == "/lidar/points"}
    smaller = [m for m in after if m.channel.topic == "/lidar/points" and len(m.data) < sizes[m.log_time_ns]]
    assert smaller
    assert outcome.tags == ("MIL",)
    for message in smaller:
        index = round((message.log_time_ns / 1e9 - BEGIN_S) * 2)
        away, _ = geodesic_m(made.track.lat[index], made.track.lon[index], *made.landmark)
        assert away < 130.0


def test_where_no_heading_is_known_points_go_by_their_distance(made: Drive) -> None:
    """The zone lies across the road from the landmark, as far away."""
    middle = len(made.track) // 2
    here = made.track.lat[middle], made.track.lon[middle]
    zones = ZoneSet.from_geojson(
        zones_around(*(2.0 * a - b for a, b in zip(here, made.landmark, strict=True)), 2.0)
    )
    no_heading = replace(ALL_SWEEPS, images=replace(ALL_SWEEPS.images, sectors=None))
    known, unknown = (
        cleansed(made.container, profile=profile, zones=zones, reference=made.track)[1].facts
        for profile in (ALL_SWEEPS, no_heading)
    )
    assert known["points_in"] == unknown["points_in"]
    assert unknown["points_out"] < known["points_out"]


def test_messages_before_and_after_the_track_go_unless_somebody_attests(made: Drive) -> None:
    recorder = Recorder()
    for i in range(-5, 5):
        recorder.imu(BEGIN_S + i, 0.0)
    for i in range(810):
        recorder.imu(BEGIN_S + 5.0 + 0.5 * i, 0.0)
    container, zones = opened(recorder.messages), zone_at(made, 300, 1.0)
    messages, outcome = cleansed(container, zones=zones, reference=made.track)
    assert outcome.facts["left_out"]["/imu"]["position unknown"] == 5 + 20
    assert min(m.log_time_ns for m in messages) == BEGIN_S * 10**9
    messages, outcome = cleansed(container, zones=zones, reference=made.track, attested=True)
    assert set(outcome.facts["left_out"]["/imu"]) == {"zone"}


def test_zones_without_a_track_are_refused_unless_somebody_attests(made: Drive) -> None:
    zones = zone_at(made, 300, 60.0)
    with pytest.raises(MalformedItemError, match="no track with times"):
        cleanse(made.container, zones=zones)
    clear = ClearTimes(zones=zones, reference=None, profile=PROFILE.images, attested=True)
    assert clear.verdict([BEGIN_S * 10**9], view=False) == (Verdict.CLEAR, ())


def test_a_stamp_in_a_zone_cuts_a_message_that_was_logged_elsewhere(made: Drive) -> None:
    recorder = Recorder()
    recorder.imu(BEGIN_S + 150.0, 0.0)
    late = replace(recorder.messages[0], log_time_ns=(BEGIN_S + 10) * 10**9)
    _, outcome = cleansed(opened([late]), zones=zone_at(made, 300, 60.0), reference=made.track)
    assert outcome.facts["left_out"]["/imu"] == {"zone": 1}


def test_a_goal_in_a_zone_goes_wherever_the_vehicle_is(made: Drive) -> None:
    recorder = made.recorder.more()
    east, north = from_wgs84(made.track.lat, made.track.lon, UTM)
    for i, to in ((10, 300), (20, 100)):
        time_s = BEGIN_S + 0.5 * i
        goal = recorder.type("geometry_msgs/msg/PoseStamped")(
            header=recorder.header(time_s, "map"), pose=recorder.pose(east[to], north[to], 0.0, 0.0)
        )
        recorder.add("/goal", "geometry_msgs/msg/PoseStamped", time_s, goal)
    _, outcome = cleansed(opened(recorder.messages), zones=zone_at(made, 300, 60.0), reference=made.track)
    assert outcome.facts["messages"]["/goal"] == {"in": 2, "out": 1}


def test_images_take_the_treatment_of_files_and_their_findings_are_counted_once(made: Drive) -> None:
    seen: list[str] = []
    face = Finding(
        kind=FindingKind.FACE, where=PixelBox(x0=0, y0=0, x1=1, y1=1), confidence=0.5, detector="d@1"
    )
    done = Treatment(kind=TreatmentKind.MASK_MEAN, of=FindingKind.FACE, count=1)

    def masked(_: bytes, kind: str) -> Treated:
        seen.append(kind)
        return Treated(content=jpeg(999), media_type="image/jpeg", findings=(face,), treatments=(done,))

    messages, outcome = cleansed(made.container, images=masked)
    images = [m for m in messages if m.channel.topic == "/camera/image/compressed"]
    assert len(seen) == len(images) == outcome.facts["images"] == 200
    assert all(m.data.endswith(jpeg(999)) for m in images)
    assert [f.kind for f in outcome.findings if f.detector == "d@1"] == [FindingKind.FACE]
    assert done.kind in {t.kind for t in outcome.treatments if t.count == 200}
    assert "FACE" in outcome.tags


def test_strings_frames_and_topics_are_redacted() -> None:
    recorder = Recorder()
    recorder.add(
        "/from/zhang", "std_msgs/msg/String", 10.0, recorder.type("std_msgs/msg/String")(data="zhang here")
    )
    recorder.imu(11.0, 0.0)
    messages, outcome = cleansed(opened(recorder.messages), text=lambda text: text.replace("zhang", "[P]"))
    assert [m.channel.topic for m in messages] == ["/from/[P]", "/imu"]
    assert recorder.store.deserialize_cdr(messages[0].data, "std_msgs/msg/String").data == "[P] here"  # type: ignore[attr-defined]
    assert messages[1].data == recorder.messages[1].data
    assert "zhang" not in str(outcome)


def test_channels_that_the_profile_drops_or_does_not_know() -> None:
    recorder = Recorder()
    time = recorder.type("sensor_msgs/msg/TimeReference")(
        header=recorder.header(10.0, "x"), time_ref=recorder.stamp(10.0), source="gps"
    )
    recorder.add("/time", "sensor_msgs/msg/TimeReference", 10.0, time)
    messages, outcome = cleansed(opened(recorder.messages))
    assert messages == []
    assert outcome.facts["left_out"] == {"/time": {"channel": 1}}
    recorder.add("/speed", "std_msgs/msg/Float64", 11.0, recorder.type("std_msgs/msg/Float64")(data=1.0))
    with pytest.raises(UnknownFormatError, match="/speed"):
        cleanse(opened(recorder.messages))


def test_an_error_names_topic_and_number_and_stops_the_container() -> None:
    recorder = Recorder()
    recorder.imu(10.0, 0.0)
    recorder.imu(11.0, 0.0)
    recorder.messages[1] = replace(recorder.messages[1], data=recorder.messages[1].data[:-4])
    run = cleanse(opened(recorder.messages))
    with pytest.raises(MalformedItemError, match="message 1 of topic '/imu'"):
        list(run.chunks())
    with pytest.raises(RuntimeError, match="fewer"):
        run.outcome()
    small = replace(PROFILE, containers=replace(PROFILE.containers, max_message_bytes=10))
    with pytest.raises(LimitExceededError, match="message 0 of topic '/imu': the message is too large"):
        list(cleanse(opened(recorder.messages), profile=small).chunks())


class Endless:
    """A container of very many messages, made as they are asked for."""

    def __init__(self, message: Message, count: int) -> None:
        self._message, self._count = message, count
        self.summary = Summary(
            container=made_kind(),
            profile="ros2",
            channels=(message.channel,),
            counts={message.channel.id: count},
            begin_ns=0,
            end_ns=count,
            dropped=("attachment",),
        )

    def messages(self, channels: frozenset[int] | None = None) -> Iterator[Message]:
        for i in range(self._count) if channels is None or self._message.channel.id in channels else ():
            yield replace(self._message, log_time_ns=i, publish_time_ns=i)


def made_kind() -> Any:
    recorder = Recorder()
    recorder.imu(1.0, 0.0)
    return opened(recorder.messages).summary.container


@pytest.mark.parametrize("count", [300, 2000])
def test_memory_does_not_grow_with_the_number_of_messages(count: int) -> None:
    recorder = Recorder()
    recorder.jpeg(1.0, jpeg(1, (320, 240)))
    container = Endless(recorder.messages[0], count)
    profile: Profile = replace(PROFILE, containers=replace(PROFILE.containers, chunk_bytes=1 << 18))
    run = cleanse(container, profile=profile)
    next(chunks := run.chunks())
    tracemalloc.start()
    written = sum(len(chunk) for chunk in chunks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written > count * 15_000
    assert peak < 8 << 20
    assert "attachment" in {f.where.path for f in run.outcome().findings}  # type: ignore[union-attr]
