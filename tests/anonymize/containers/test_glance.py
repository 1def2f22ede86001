"""What outlines decide is what trees decide: the same bytes, the same evidence, with outlines and without."""

from dataclasses import replace
from typing import Any

import pytest

from anonymize.containers.cleanse import cleanse_container
from anonymize.containers.codec import _codec
from anonymize.containers.codec_ros import RosCodec
from anonymize.containers.container_pass import PassOutcome
from anonymize.finding import Treated
from anonymize.geo.zones import ZoneSet
from anonymize.profile import shipped_profile
from recorded_drive import Drive, drive, zones_around

PROFILE = shipped_profile("cn-2026").profile


@pytest.fixture(scope="module")
def made() -> Drive:
    return drive(seconds=120)


def cleansed(made: Drive, zones: ZoneSet | None, **changes: Any) -> tuple[bytes, PassOutcome]:
    # Plans are made when a codec is.
    _codec.cache_clear()
    parts: dict[str, Any] = {
        "zones": zones,
        "reference": made.track,
        "profile": PROFILE,
        "images": lambda content, kind: Treated(
            content=content, media_type=f"image/{kind}", findings=(), treatments=()
        ),
        "text": lambda text: text.replace("京A12345", "[PLATE]").replace("imu", "sensor"),
    }
    run = cleanse_container(made.container, **(parts | changes))
    return b"".join(run.chunks()), run.outcome()


@pytest.mark.parametrize("beside_m", [None, 0.0, 40.0, 5000.0])
@pytest.mark.parametrize("attested", [False, True])
def test_a_pass_gives_the_same_with_outlines_and_without(
    made: Drive,
    monkeypatch: pytest.MonkeyPatch,
    beside_m: float | None,
    attested: bool,  # noqa: FBT001 - a parameter
) -> None:
    zones = None
    if beside_m is not None:
        lat, lon = float(made.track.lat[100]), float(made.track.lon[100])
        zones = ZoneSet.from_geojson(zones_around(lat + beside_m / 111_000, lon, 25.0))
    track = replace(made.track, time_s=made.track.time_s + 20.0)
    quick = cleansed(made, zones, reference=track, attested=attested)
    trees: list[bytes] = []
    decode = RosCodec.decode

    def counted(self: RosCodec, data: bytes) -> Any:
        trees.append(data)
        return decode(self, data)

    monkeypatch.setattr(RosCodec, "outline", lambda *_: None)
    monkeypatch.setattr(RosCodec, "decode", counted)
    assert cleansed(made, zones, reference=track, attested=attested) == quick
    assert len(trees) >= sum(made.container.summary.counts.values())


def test_messages_that_stay_are_not_decoded(made: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    decode = RosCodec.decode

    def noted(self: RosCodec, data: bytes) -> Any:
        names.append(self.definition.name)
        return decode(self, data)

    monkeypatch.setattr(RosCodec, "decode", noted)
    cleansed(made, ZoneSet.from_geojson(zones_around(10.0, 10.0, 25.0)), text=lambda text: text)
    assert set(names) <= {"sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/PointCloud2"}
