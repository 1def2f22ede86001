from dataclasses import replace

import pytest

from anonymize.containers.rules import treatment_of, treatments_of
from anonymize.containers.stream import Channel, ContainerKind, Schema, Summary
from anonymize.errors import LimitExceededError, UnknownFormatError
from anonymize.profile import ChannelRule, shipped_profile

PROFILES = {name: shipped_profile(name).profile.containers for name in ("cn-2026", "gdpr")}


def channel(schema: str | None, topic: str = "/t", number: int = 1) -> Channel:
    made = Schema(name=schema, encoding="ros2msg", data=b"") if schema else None
    return Channel(id=number, topic=topic, message_encoding="cdr", schema=made)


def summary(*channels: Channel, count: int = 1) -> Summary:
    return Summary(
        container=ContainerKind.MCAP,
        profile="ros2",
        channels=channels,
        counts={c.id: count for c in channels},
        begin_ns=0,
        end_ns=0,
        dropped=(),
    )


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("schema", "topic", "treatment"),
    [
        ("sensor_msgs/msg/Image", "/front", "image"),
        ("sensor_msgs/Image", "/front", "image"),
        ("sensor_msgs/msg/Image", "/front/depth/image_raw", "drop"),
        ("foxglove.CompressedImage", "/front", "image"),
        ("sensor_msgs/msg/PointCloud2", "/lidar", "points"),
        ("sensor_msgs/msg/LaserScan", "/scan", "keep"),
        ("sensor_msgs/msg/NavSatFix", "/fix", "position"),
        ("gps_common/GPSFix", "/fix", "position"),
        ("novatel_gps_msgs/msg/NovatelPosition", "/bestpos", "drop"),
        ("ublox_msgs/msg/NavPVT", "/navpvt", "drop"),
        ("nmea_msgs/msg/Sentence", "/nmea", "drop"),
        ("nav_msgs/msg/Odometry", "/odom", "pose"),
        ("tf2_msgs/msg/TFMessage", "/tf", "transform"),
        ("sensor_msgs/msg/Imu", "/imu", "motion"),
        ("geometry_msgs/msg/TwistStamped", "/vel", "motion"),
        ("geometry_msgs/msg/TwistStamped", "/gps/vel", "drop"),
        ("ackermann_msgs/msg/AckermannDriveStamped", "/drive", "motion"),
        ("sensor_msgs/msg/MagneticField", "/mag", "drop"),
        ("std_msgs/msg/String", "/note", "text"),
        ("rcl_interfaces/msg/Log", "/rosout", "text"),
        ("can_msgs/msg/Frame", "/can0", "can"),
        ("visualization_msgs/msg/MarkerArray", "/markers", "drop"),
        ("std_msgs/msg/Float64", "/speed", "quarantine"),
        ("acme_msgs/msg/Secret", "/x", "quarantine"),
        (None, "/x", "quarantine"),
    ],
)
def test_shipped_rules(profile: str, schema: str | None, topic: str, treatment: str) -> None:
    assert treatment_of(channel(schema, topic), PROFILES[profile]) == treatment


@pytest.mark.parametrize("profile", PROFILES)
def test_no_shipped_rule_lets_channels_pass_that_it_does_not_know(profile: str) -> None:
    assert PROFILES[profile].unknown_channel in {"drop", "quarantine"}
    assert all(
        rule.schema != "*" for rule in PROFILES[profile].channels if rule.treat not in {"drop", "quarantine"}
    )


def test_the_first_rule_that_matches_decides_and_case_counts() -> None:
    rules = (
        ChannelRule(schema="a/B", topic="/x*", treat="keep"),
        ChannelRule(schema="a/*", treat="drop"),
    )
    profile = replace(PROFILES["cn-2026"], channels=rules)
    assert treatment_of(channel("a/msg/B", "/xy"), profile) == "keep"
    assert treatment_of(channel("a/msg/B", "/y"), profile) == "drop"
    assert treatment_of(channel("A/msg/B", "/xy"), profile) == "quarantine"
    assert treatment_of(channel("a.B", "/xy"), profile) == "quarantine"


def test_a_channel_for_quarantine_stops_the_container_unless_it_is_empty() -> None:
    odd = channel("acme_msgs/msg/Secret", "/odd")
    with pytest.raises(UnknownFormatError, match=r"/odd.*acme_msgs"):
        treatments_of(summary(odd), PROFILES["cn-2026"])
    assert treatments_of(summary(odd, count=0), PROFILES["cn-2026"]) == {1: "quarantine"}


def test_limits_on_channels_and_messages() -> None:
    known = [channel("std_msgs/msg/String", f"/{n}", n) for n in range(3)]
    with pytest.raises(LimitExceededError, match="channels"):
        treatments_of(summary(*known), replace(PROFILES["cn-2026"], max_channels=2))
    with pytest.raises(LimitExceededError, match="messages"):
        treatments_of(summary(*known), replace(PROFILES["cn-2026"], max_messages=2))
