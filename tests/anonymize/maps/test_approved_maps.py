"""A map that a secrecy processor placed is held against it, vertex by vertex."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from anonymize.errors import ProfileError, ResidualError
from anonymize.geo.approved_displacement import ApprovedDisplacement
from anonymize.geo.displacement import KeyedOffset
from anonymize.maps.residual import scan_released_map
from anonymize.maps.sniff import MapKind
from anonymize.maps.unlink import MapUnlinked, unlink_map
from anonymize.profile import Profile
from unsafe_secrecy_processor import ALLOWED, UnsafeTestProcessor

KEY = bytes(range(32))
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def processor(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> ApprovedDisplacement:
    monkeypatch.setenv(ALLOWED, "1")
    return ApprovedDisplacement(UnsafeTestProcessor(), profile.tracks, now=NOW)


def left(content: bytes, make: Any, profile: Profile, offset: Any, mode: Any) -> tuple[bytes, MapUnlinked]:
    made = unlink_map(
        make.file(content), MapKind.GEOJSON, mode=mode, offset=offset, key=KEY, context=b"item",
        profile=profile, crs="EPSG:4326",
    )  # fmt: skip
    return b"".join(made.chunks), made


def labels(
    out: bytes, made: MapUnlinked, make: Any, profile: Profile, processor: ApprovedDisplacement | None
) -> set[str]:
    report = scan_released_map(
        make.file(out), MapKind.GEOJSON, source_lat=made.source_lat, source_lon=made.source_lon,
        mode="APPROVED", profile=profile, processor=processor,
    )  # fmt: skip
    return {f.label or f.kind.value for f in report.residual}


def test_the_scan_takes_the_processors_places_and_finds_two_centimetres(
    make: Any, profile: Profile, processor: ApprovedDisplacement
) -> None:
    content = make.collection(make.line((0, 0), (100, 20), (200, 50), name="Reed Street", id=1))
    out, made = left(content, make, profile, processor, "APPROVED")
    assert made.treatments[0].kind.value == "secrecy_processor"
    assert set(made.facts) == {"mode", "positions", "features"}
    assert labels(out, made, make, profile, processor) == set()
    (feature,) = json.loads(out)["features"]
    lon = feature["geometry"]["coordinates"][1][0]
    spoilt = out.replace(json.dumps(lon).encode(), json.dumps(round(lon + 3e-7, 7)).encode())
    assert spoilt != out
    assert labels(spoilt, made, make, profile, processor) == {"not the processor's position"}


def test_heights_go_whatever_the_profile_keeps(
    make: Any, profile: Profile, processor: ApprovedDisplacement
) -> None:
    keeping = replace(profile, maps=replace(profile.maps, keep_elevation=True))
    line = make.line((0, 0), (100, 20), name="Reed Street", id=1)
    line["geometry"]["coordinates"] = [[*p[:2], 43.5] for p in line["geometry"]["coordinates"]]
    content = make.collection(line)
    out, made = left(content, make, keeping, processor, "APPROVED")
    assert b"43.5" not in out
    kept, _ = left(content, make, keeping, KeyedOffset(KEY, profile.tracks), "OFFSET")
    assert b"43.5" in kept
    tagged = out.replace(b'"name"', b'"ele":"43.5","name"')
    assert labels(tagged, made, make, keeping, processor)


def test_a_processor_belongs_to_its_mode_and_no_other(
    make: Any, profile: Profile, processor: ApprovedDisplacement
) -> None:
    content = make.collection(make.line((0, 0), (100, 20), name="Reed Street", id=1))
    with pytest.raises(ProfileError, match="displacement of its mode"):
        left(content, make, profile, processor, "OFFSET")
    with pytest.raises(ProfileError, match="displacement of its mode"):
        left(content, make, profile, KeyedOffset(KEY, profile.tracks), "APPROVED")
    out, made = left(content, make, profile, processor, "APPROVED")
    with pytest.raises(ResidualError, match="no processor"):
        labels(out, made, make, profile, None)
