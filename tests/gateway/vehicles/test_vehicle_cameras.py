"""Cameras in manifests: optional, signed with the rest, and every bad value an error that names it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import OKPKey

from gateway.vault.jws import sign_statement
from gateway.vehicles.agent import Collection, VehicleAgent
from gateway.vehicles.cameras import MAX_CAMERAS, Camera, parse_cameras, read_cameras
from gateway.vehicles.errors import ManifestError
from gateway.vehicles.manifest import MANIFEST_TYP, parse_manifest, read_manifest, sign_manifest

KEY = OKPKey.generate_key("Ed25519")
NAMES = ("cam/front/1.jpg", "cam/front/2.jpg", "cam/left/1.jpg", "[a]?.jpg", "track.gpx")


def camera(items: str = "cam/front/*", **changes: Any) -> dict[str, Any]:
    return {
        "items": items,
        "fov_deg": 90,
        "yaw_deg": -55.5,
        "heading_error_deg": 3,
        "offset_m": 1.5,
        **changes,
    }


def payload(*cameras: dict[str, Any]) -> dict[str, Any]:
    """A manifest of five items; without cameras it is one as vehicles signed before there were cameras."""
    described = {"cameras": list(cameras)} if cameras else {}
    return {
        "version": 1,
        "vehicle": "vehicle-7",
        "recording": "0b6cf29c-3f5e-4f0e-9d7e-3d1f2a4b5c6d",
        "started_at": "2026-05-01T00:00:00+00:00",
        "ended_at": "2026-05-01T00:30:00+00:00",
        "region": "110108",
        "crs": "EPSG:4326",
        "collection": {"cabin": False, "audio": False},
        "items": [{"name": name, "size": 1, "sha256": "ab" * 32, "captured_at": None} for name in NAMES],
        **described,
    }


def test_a_manifest_without_cameras_is_what_it_was_byte_for_byte():
    manifest = parse_manifest(payload())
    assert manifest.cameras == ()
    assert manifest.camera_of() == {}
    assert manifest.payload() == payload()
    assert sign_manifest(manifest, KEY) == sign_statement(KEY, MANIFEST_TYP, "vehicle-7", payload())


def test_cameras_are_signed_and_read_back():
    manifest = parse_manifest(payload(camera(), camera("cam/left/*", yaw_deg=270)))
    assert read_manifest(sign_manifest(manifest, KEY), KEY) == manifest
    assert sign_manifest(manifest, KEY) != sign_manifest(parse_manifest(payload()), KEY)
    assert manifest.cameras[0] == Camera(
        items="cam/front/*", fov_deg=90.0, yaw_deg=-55.5, heading_error_deg=3.0, offset_m=1.5
    )


def test_each_item_has_the_camera_that_names_it():
    names = ("cam/front/*", "*/left/1.jpg", "[a]?.jpg")
    manifest = parse_manifest(payload(*map(camera, names)))
    found = {name: camera.items for name, camera in manifest.camera_of().items()}
    assert found == {NAMES[0]: names[0], NAMES[1]: names[0], NAMES[2]: names[1], NAMES[3]: names[2]}


def test_a_camera_that_took_nothing_in_this_recording_is_no_error():
    manifest = parse_manifest(payload(camera(), camera("cam/rear/*")))
    assert set(manifest.camera_of()) == {NAMES[0], NAMES[1]}


BAD: dict[str, tuple[Callable[[], Any], str, str]] = {
    "null": (lambda: None, "cameras", "None"),
    "an object": (camera, "cameras", "items"),
    "none": (list, "cameras", "0 entries"),
    "too many": (lambda: [camera()] * (MAX_CAMERAS + 1), "cameras", "65 entries"),
    "text": (lambda: ["front"], "cameras[0]", "'front'"),
    "unknown field": (lambda: [camera(pitch_deg=0)], "cameras[0]", "pitch_deg"),
    "no yaw": (lambda: [{k: v for k, v in camera().items() if k != "yaw_deg"}], "cameras[0]", "yaw_deg"),
    "items is a number": (lambda: [camera(items=5)], "cameras[0].items", "5"),
    "items climbs": (lambda: [camera("../*")], "cameras[0].items", "../*"),
    "items is empty": (lambda: [camera("")], "cameras[0].items", "''"),
    "sees nothing": (lambda: [camera(fov_deg=0)], "cameras[0].fov_deg", "0"),
    "sees backwards": (lambda: [camera(fov_deg=-90)], "cameras[0].fov_deg", "-90"),
    "sees more than all": (lambda: [camera(fov_deg=361)], "cameras[0].fov_deg", "361"),
    "field of view as text": (lambda: [camera(fov_deg="90")], "cameras[0].fov_deg", "'90'"),
    "field of view as truth": (lambda: [camera(fov_deg=True)], "cameras[0].fov_deg", "True"),
    "field of view unknown": (lambda: [camera(fov_deg=None)], "cameras[0].fov_deg", "None"),
    "field of view no number": (lambda: [camera(fov_deg=float("nan"))], "cameras[0].fov_deg", "nan"),
    "yaw in no circle": (lambda: [camera(), camera("x", yaw_deg=360.5)], "cameras[1].yaw_deg", "360.5"),
    "yaw infinite": (lambda: [camera(yaw_deg=float("inf"))], "cameras[0].yaw_deg", "inf"),
    "yaw beyond numbers": (lambda: [camera(yaw_deg=10**400)], "cameras[0].yaw_deg", "1000"),
    "surer than sure": (lambda: [camera(heading_error_deg=-1)], "cameras[0].heading_error_deg", "-1"),
    "less sure than not": (lambda: [camera(heading_error_deg=181)], "cameras[0].heading_error_deg", "181"),
    "far from the vehicle": (lambda: [camera(offset_m=31)], "cameras[0].offset_m", "31"),
    "negative distance": (lambda: [camera(offset_m=-0.1)], "cameras[0].offset_m", "-0.1"),
    "two of one item": (
        lambda: [camera(), camera("cam/*/1.jpg")],
        "cameras[1].items",
        "cameras[0], such as 'cam/front/1.jpg'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_camera_is_refused_naming_field_and_value(case: str):
    build, field, value = BAD[case]
    with pytest.raises(ManifestError) as caught:
        parse_manifest({**payload(), "cameras": build()})
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field} (got ")
    assert value in str(caught.value)


def test_a_bad_camera_cannot_be_signed():
    manifest = parse_manifest(payload(camera()))
    bad = Camera(items="x", fov_deg=0.0, yaw_deg=0.0, heading_error_deg=0.0, offset_m=0.0)
    object.__setattr__(manifest, "cameras", (bad,))
    with pytest.raises(ManifestError, match="fov_deg"):
        sign_manifest(manifest, KEY)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"[[[]]]", b"[1]", b'[{"items": "a", "items": "b"}]', b"\xff", b'[{"fov_deg": NaN}]'],
)
def test_a_file_that_is_no_list_of_cameras_is_refused(content: bytes):
    with pytest.raises(ManifestError, match=r"^cameras"):
        read_cameras(content)


@given(
    st.lists(
        st.builds(
            camera,
            items=st.sampled_from(["cam/front/*", "cam/left/*", "track.gpx", "*"]),
            fov_deg=st.floats(0.0, 400.0) | st.integers(-10, 400),
            yaw_deg=st.floats(-200.0, 400.0),
            heading_error_deg=st.floats(-1.0, 200.0),
            offset_m=st.floats(-1.0, 40.0),
        ),
        max_size=3,
    )
)
@settings(max_examples=100, deadline=None)
def test_what_parses_signs_and_reads_back(cameras: list[dict[str, Any]]):
    try:
        manifest = parse_manifest(payload(*cameras))
    except ManifestError:
        return
    assert read_manifest(sign_manifest(manifest, KEY), KEY) == manifest
    for described in manifest.cameras:
        assert 0.0 < described.fov_deg <= 360.0
        assert 0.0 <= described.heading_error_deg <= 180.0


def test_the_agent_announces_what_a_calibration_file_says(tmp_path: Path):
    calibration = tmp_path / "cameras.json"
    calibration.write_text(json.dumps([camera("front.jpg")]), "utf-8")
    picture = tmp_path / "front.jpg"
    picture.write_bytes(b"picture")
    collection = Collection(
        recording=payload()["recording"],
        started_at=datetime(2026, 5, 1, tzinfo=UTC),
        ended_at=datetime(2026, 5, 1, 1, tzinfo=UTC),
        region="110108",
        crs="EPSG:4326",
    )
    with VehicleAgent("http://127.0.0.1:9", "vehicle-7", KEY) as agent:
        manifest = agent.build_manifest(
            {"front.jpg": picture}, collection, cameras=read_cameras(calibration.read_bytes())
        )
        assert agent.build_manifest({"front.jpg": picture}, collection).cameras == ()
    assert manifest.cameras == parse_cameras([camera("front.jpg")])
